/** Who may import whom: the direction of imports that src/README.md states, held by force and tried with planted faults. */
import { posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { importsOf, type SourceFile, sourceFiles } from './sources.ts';

/** Nouns that every part may name, and what keeps secrets out of what is written down; they stand in src itself. */
const everywhere = ['stages.ts', 'errors.ts', 'secrets.ts'];

/**
 * The parts of src and which other parts each may import. A part is a folder of src, or a file in src itself.
 * `types:X` allows types of X only.
 */
const mayImport: Readonly<Record<string, readonly string[]>> = {
	'errors.ts': [],
	'stages.ts': [],
	'secrets.ts': [],
	wire: [],
	auth: ['wire'],
	catalog: [],
	policy: [],
	audit: [],
	config: [],
	sql: ['catalog'],
	analysis: ['sql', 'catalog'],
	backend: ['wire', 'auth'],
	'pipeline.ts': ['analysis', 'sql', 'policy', 'audit', 'catalog'],
	session: ['wire', 'auth', 'backend', 'pipeline.ts', 'types:audit', 'types:catalog'],
	admin: ['wire', 'types:backend', 'types:session', 'types:audit', 'types:catalog', 'types:pipeline.ts'],
	cli: [
		'wire',
		'auth',
		'catalog',
		'policy',
		'audit',
		'config',
		'sql',
		'analysis',
		'backend',
		'pipeline.ts',
		'session',
		'admin',
	],
};

/** One line for every import that breaks a rule, `path:line: what`, and one for every cycle between parts. */
function violations(files: readonly SourceFile[]): string[] {
	const found: string[] = [];
	const paths = new Set(files.map((file) => file.path));
	const edges = new Map<string, Set<string>>();
	for (const file of files) {
		const from = partOf(file.path);
		if (mayImport[from] === undefined) found.push(`${file.path}:1: ${from} is not a known part of src`);
		for (const { specifier, typeOnly, line } of importsOf(file)) {
			const say = (what: string): number => found.push(`${file.path}:${line}: ${what}`);
			if (specifier === null) say('imports what cannot be read from the source');
			else if (specifier.startsWith('.')) {
				const target = posix.join(posix.dirname(file.path), specifier);
				const to = partOf(target);
				if (!target.startsWith('src/')) say(`imports ${target}, which is outside src`);
				else if (!specifier.endsWith('.ts')) say(`imports ${specifier} without .ts`);
				else if (!paths.has(target)) say(`imports ${target}, which does not exist`);
				if (to !== from) {
					edges.set(from, (edges.get(from) ?? new Set()).add(to));
					if (!allowed(from, to, typeOnly)) say(`${from} must not import ${to}`);
				}
			} else if (/^(\/|file:|data:|https?:|src\/|#)/.test(specifier)) say(`imports ${specifier}: use a relative path`);
		}
	}
	return [...found, ...cycles(edges)];
}

/** `src/wire/framer.ts` belongs to `wire`, `src/errors.ts` is a part by itself. */
function partOf(path: string): string {
	return path.split('/')[1] ?? path;
}

function allowed(from: string, to: string, typeOnly: boolean): boolean {
	if (everywhere.includes(to)) return from !== 'errors.ts';
	const list = mayImport[from] ?? [];
	return list.includes(to) || (typeOnly && list.includes(`types:${to}`));
}

/** Each way to go round, once, from its first part by name. */
function cycles(edges: ReadonlyMap<string, ReadonlySet<string>>): string[] {
	const found = new Set<string>();
	const go = (path: readonly string[]): void => {
		for (const next of edges.get(path.at(-1) ?? '') ?? []) {
			const at = path.indexOf(next);
			if (at === -1) go([...path, next]);
			else {
				const round = path.slice(at);
				const first = round.indexOf([...round].sort()[0] ?? '');
				const turned = [...round.slice(first), ...round.slice(0, first)];
				found.add(`cycle: ${[...turned, turned[0]].join(' -> ')}`);
			}
		}
	};
	for (const part of edges.keys()) go([part]);
	return [...found];
}

describe('imports', () => {
	const files = sourceFiles('src');

	it('are read from all of src', () => {
		expect(files.map((file) => file.path)).toEqual(expect.arrayContaining(['src/errors.ts', 'src/wire/framer.ts']));
		expect(files.flatMap(importsOf).length).toBeGreaterThan(files.length / 2);
	});

	it('go in the direction that the design gives them', () => {
		expect(violations(files)).toEqual([]);
	});

	it('of the rules themselves make no cycle', () => {
		const rules = Object.entries(mayImport).map(([from, list]): [string, Set<string>] => [
			from,
			new Set(list.map((to) => to.replace('types:', ''))),
		]);
		expect(cycles(new Map(rules))).toEqual([]);
	});
});

describe('planted violations are found', () => {
	const others = [
		'errors',
		'stages',
		'wire/a',
		'auth/a',
		'audit/a',
		'sql/a',
		'catalog/a',
		'session/a',
		'cli/main',
		'pipeline',
	];

	/** A small project of empty files, and one with `text`. */
	function plant(path: string, text: string): string[] {
		const rest = others.map((name): SourceFile => ({ path: `src/${name}.ts`, text: 'export {};' }));
		return violations([...rest.filter((file) => file.path !== path), { path, text }]);
	}

	const rows: { name: string; path: string; text: string; want: string[] }[] = [
		{
			name: 'wire imports auth',
			path: 'src/wire/a.ts',
			text: "import { a } from '../auth/a.ts';",
			want: ['src/wire/a.ts:1: wire must not import auth'],
		},
		{
			name: 'a type is an import too',
			path: 'src/catalog/a.ts',
			text: "\nimport type { A } from '../sql/a.ts';",
			want: ['src/catalog/a.ts:2: catalog must not import sql'],
		},
		{
			name: 'so is a type in place',
			path: 'src/audit/a.ts',
			text: "type A = import('../session/a.ts').A;",
			want: ['src/audit/a.ts:1: audit must not import session'],
		},
		{
			name: 'a re-export',
			path: 'src/audit/a.ts',
			text: "export * from '../catalog/a.ts';",
			want: ['src/audit/a.ts:1: audit must not import catalog'],
		},
		{
			name: 'a named re-export',
			path: 'src/audit/a.ts',
			text: "export { a } from '../catalog/a.ts';",
			want: ['src/audit/a.ts:1: audit must not import catalog'],
		},
		{
			name: 'a dynamic import',
			path: 'src/wire/deep/er.ts',
			text: "export const a = () => import('../../sql/a.ts');",
			want: ['src/wire/deep/er.ts:1: wire must not import sql'],
		},
		{
			name: 'require',
			path: 'src/wire/a.ts',
			text: "const a = require('../sql/a.ts');",
			want: ['src/wire/a.ts:1: wire must not import sql'],
		},
		{
			name: 'an import made at run time',
			path: 'src/wire/a.ts',
			text: 'export const a = (name: string) => import(name);',
			want: ['src/wire/a.ts:1: imports what cannot be read from the source'],
		},
		{
			name: 'anybody imports cli',
			path: 'src/session/a.ts',
			text: "import '../cli/main.ts';",
			want: ['src/session/a.ts:1: session must not import cli'],
		},
		{
			name: 'session imports more of audit than types',
			path: 'src/session/a.ts',
			text: "import { type A, b } from '../audit/a.ts';",
			want: ['src/session/a.ts:1: session must not import audit'],
		},
		{
			name: 'errors imports stages',
			path: 'src/errors.ts',
			text: "import type { A } from './stages.ts';",
			want: ['src/errors.ts:1: errors.ts must not import stages.ts'],
		},
		{
			name: 'an import without an extension',
			path: 'src/sql/b.ts',
			text: "import { a } from './a';",
			want: ['src/sql/b.ts:1: imports ./a without .ts'],
		},
		{
			name: 'a file that is not there',
			path: 'src/sql/b.ts',
			text: "import { a } from './c.ts';",
			want: ['src/sql/b.ts:1: imports src/sql/c.ts, which does not exist'],
		},
		{
			name: 'a test imported by src',
			path: 'src/cli/main.ts',
			text: "import '../../test/support/postgres.ts';",
			want: expect.arrayContaining([
				'src/cli/main.ts:1: imports test/support/postgres.ts, which is outside src',
			]) as string[],
		},
		{
			name: 'an absolute path',
			path: 'src/cli/main.ts',
			text: "import '/etc/passwd.ts';",
			want: ['src/cli/main.ts:1: imports /etc/passwd.ts: use a relative path'],
		},
		{
			name: 'a part that nobody knows',
			path: 'src/utils/a.ts',
			text: 'export {};',
			want: ['src/utils/a.ts:1: utils is not a known part of src'],
		},
		{ name: 'nothing wrong', path: 'src/sql/b.ts', text: "import type { A } from '../catalog/a.ts';", want: [] },
		{
			name: 'nothing wrong with types of audit',
			path: 'src/session/a.ts',
			text: "import type { A } from '../audit/a.ts';",
			want: [],
		},
		{
			name: 'nothing wrong with packages',
			path: 'src/wire/a.ts',
			text: "import { b } from 'node:buffer'; import z from 'zod';",
			want: [],
		},
	];
	it.each(rows)('$name', ({ path, text, want }) => {
		expect(plant(path, text)).toEqual(want);
	});

	it('cycles between parts, however long, once each', () => {
		const files: SourceFile[] = [
			{ path: 'src/sql/a.ts', text: "import '../catalog/a.ts';" },
			{ path: 'src/catalog/a.ts', text: "import '../wire/a.ts';" },
			{ path: 'src/wire/a.ts', text: "import type { A } from '../sql/a.ts';" },
		];
		expect(violations(files)).toContain('cycle: catalog -> wire -> sql -> catalog');
		expect(violations(files).filter((line) => line.startsWith('cycle'))).toHaveLength(1);
	});

	it('a file that does not parse is not passed over', () => {
		expect(() => violations([{ path: 'src/wire/a.ts', text: 'import {' }])).toThrow(/src\/wire\/a.ts/);
	});
});
