/** Habits that hold in every file: an opening sentence, no module state, no silenced checks, and the linter's limits, each tried with a planted fault. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { lineAt, type SourceFile, sourceFiles, statements } from './sources.ts';

const openingLengthMax = 800;

/** One line for every broken habit: `path:line: what`. */
function violations(file: SourceFile): string[] {
	const found: string[] = [];
	const opening = openingOf(file.text);
	if (opening === null) found.push(`${file.path}:1: does not open with a sentence on what it is for`);
	else if (!/^\S+ \S+ .*[.:]$/.test(opening)) found.push(`${file.path}:1: opens with no sentence`);
	else if (opening.length > openingLengthMax) found.push(`${file.path}:1: opens with an essay`);
	for (const match of file.text.matchAll(
		/\/[/*]+\s*(@ts-(?:ignore|nocheck|expect-error)|(?:oxlint|eslint)-disable|biome-ignore)/g,
	)) {
		const line = lineAt(file.text, match.index);
		const reason = / -- \S|: \S/.test(file.text.split('\n')[line - 1]?.slice(-200) ?? '');
		if (!reason) found.push(`${file.path}:${line}: ${match[1] ?? ''} without a reason`);
	}
	if (!file.path.startsWith('src/')) return found;
	for (const statement of statements(file)) {
		const declared = statement.type === 'ExportNamedDeclaration' ? statement['declaration'] : statement;
		const { type, kind } = (declared ?? {}) as { type?: string; kind?: string };
		if (type === 'VariableDeclaration' && kind !== 'const') {
			found.push(`${file.path}:${lineAt(file.text, statement.start)}: a module keeps no state: ${kind}`);
		}
	}
	return found;
}

/** The words of the comment that a file opens with, after `#!` and a linter's directive; null where there is none. */
function openingOf(text: string): string | null {
	const body = text.replace(/^#!.*\n/, '').replace(/^\/\* oxlint-.*\n/, '');
	const comment = /^\/\*\*((?:(?!\*\/)[\s\S])+)\*\//.exec(body)?.[1];
	const words = comment
		?.replace(/\n \* ?/g, ' ')
		.replace(/\s+/g, ' ')
		.trim();
	return words === undefined || words === '' ? null : words;
}

describe('every file', () => {
	it('of src keeps the habits', () => {
		expect(sourceFiles('src').flatMap(violations)).toEqual([]);
	});
	it('of test keeps the habits', () => {
		expect(sourceFiles('test').flatMap(violations)).toEqual([]);
	});
});

describe('planted faults are found', () => {
	const good = '/** Says what it is for. */\n';
	const silence = ['@ts', 'ignore'].join('-');
	const rows: { name: string; text: string; want: RegExp | null }[] = [
		{ name: 'nothing wrong', text: `${good}const a = 1;`, want: null },
		{ name: 'a sentence over two lines', text: '/**\n * Says what it is for,\n * at length.\n */', want: null },
		{ name: 'a script', text: `#!/usr/bin/env node\n${good}`, want: null },
		{ name: 'no opening sentence', text: 'const a = 1;', want: /:1: does not open/ },
		{ name: 'an import before it', text: `import 'a';\n${good}`, want: /:1: does not open/ },
		{ name: 'an empty one', text: '/** */\nconst a = 1;', want: /:1: does not open/ },
		{ name: 'a mere label', text: '/** framer */', want: /:1: opens with no sentence/ },
		{ name: 'an essay', text: `/** ${'Word. '.repeat(200)} */`, want: /:1: opens with an essay/ },
		{ name: 'let in a module', text: `${good}let cache = 1;`, want: /:2: a module keeps no state: let/ },
		{ name: 'an exported let', text: `${good}export let cache = 1;`, want: /:2: a module keeps no state: let/ },
		{ name: 'a silenced check', text: `${good}// ${silence}\n`, want: /:2: @ts-ignore without a reason/ },
		{ name: 'a silenced check with a reason', text: `${good}// ${silence}: the types of x are wrong\n`, want: null },
	];
	it.each(rows)('$name', ({ text, want }) => {
		const found = violations({ path: 'src/wire/planted.ts', text });
		if (want === null) expect(found).toEqual([]);
		else expect(found.join('\n')).toMatch(want);
	});
});

describe('the linter', () => {
	const root = fileURLToPath(new URL('../../', import.meta.url));
	const oxlint = join(root, 'node_modules/oxlint/bin/oxlint');
	const held = ['max-lines', 'max-lines-per-function', 'no-explicit-any', 'no-default-export'];

	/** Rules of `held` that a run of oxlint with the project's own settings reports, as `path: rule`. */
	function lint(cwd: string): string[] {
		const run = spawnSync(process.execPath, [oxlint, '-c', join(root, '.oxlintrc.json'), '--format=json', 'src'], {
			cwd,
			encoding: 'utf8',
			maxBuffer: 1 << 26,
		});
		if (run.error !== undefined) throw run.error;
		const { diagnostics } = JSON.parse(run.stdout) as { diagnostics: { filename: string; code: string }[] };
		return diagnostics.flatMap(({ filename, code }) => {
			const rule = /\(([^)]+)\)$/.exec(code)?.[1] ?? code;
			return held.includes(rule) ? [`${filename}: ${rule}`] : [];
		});
	}

	it('finds no long file, long function, `any` or default export in src', () => {
		expect(lint(root)).toEqual([]);
	});

	it('finds them where they are planted', () => {
		const folder = mkdtempSync(join(tmpdir(), 'portcullis-tidy-'));
		try {
			mkdirSync(join(folder, 'src'));
			const lines = (count: number): string => 'void 0;\n'.repeat(count);
			const planted: Record<string, string> = {
				'any.ts': 'export const a = (b: any): unknown => b;\n',
				'default.ts': 'export default 1;\n',
				'function.ts': `export function long(): void {\n${lines(69)}}\n`,
				'arrow.ts': `export const long = (): void => {\n${lines(69)}};\n`,
				'method.ts': `export class A {\n\tlong(): void {\n${lines(69)}\t}\n}\n`,
				'lines.ts': lines(501),
				'good.ts': `export function fits(): void {\n${lines(68)}}\n${lines(400)}`,
			};
			for (const [name, text] of Object.entries(planted)) writeFileSync(join(folder, 'src', name), text);
			expect(lint(folder).sort()).toEqual([
				'src/any.ts: no-explicit-any',
				'src/arrow.ts: max-lines-per-function',
				'src/default.ts: no-default-export',
				'src/function.ts: max-lines-per-function',
				'src/lines.ts: max-lines',
				'src/method.ts: max-lines-per-function',
			]);
		} finally {
			rmSync(folder, { recursive: true, force: true });
		}
	});
});
