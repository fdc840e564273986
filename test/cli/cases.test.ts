/** Cases of a policy: their format, and that a wrong expectation is found. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { differences, report, runCases } from '../../src/cli/case-runner.ts';
import { type CaseWorld, parseCases, type PolicyCase } from '../../src/cli/cases.ts';
import type { CommandIo } from '../../src/cli/io.ts';
import { ConfigError } from '../../src/config/document.ts';
import { Secret } from '../../src/config/secret.ts';
import { GatewayError } from '../../src/errors.ts';
import type { Decision, ObjectUse, StatementDecision } from '../../src/stages.ts';

const PASSWORD = await Secret.read({ text: 'SCRAM-SHA-256$...' }, {});

const WORLD: CaseWorld = {
	databases: ['shop', 'other'],
	users: [
		{
			name: 'app',
			password: PASSWORD,
			roles: ['writer'],
			claims: { tenant: 'acme' },
			certificate: false,
			sessionsMax: null,
		},
	],
};

function one(lines: string): PolicyCase {
	const [found] = parseCases(
		`database: shop\npeople: { ben: { groups: [data-team] } }\ncases:\n${lines}`,
		'cases/x.yaml',
		WORLD,
	);
	if (!found) throw new Error('no case');
	return found;
}

describe('the format', () => {
	test('names people, service accounts and databases', () => {
		const [first, second] = parseCases(
			`database: shop
people:
  ben: { groups: [data-team], claims: { tenant: acme, level: 3 } }
cases:
  - name: a
    as: ben
    sql: select 1
    expect: allow
  - as: app
    database: other
    searchPath: [hr]
    sql: |
      select
        2
    expect: [mask, filter]
    masks: { hr.t.c: m }
    filters: [f]
`,
			'cases/x.yaml',
			WORLD,
		);
		expect(first).toMatchObject({
			file: 'cases/x.yaml',
			line: 5,
			name: 'a',
			identity: { name: 'ben', roles: [], groups: ['data-team'], claims: { tenant: 'acme', level: 3 } },
			database: 'shop',
			searchPath: ['$user', 'public'],
			expect: ['allow'],
		});
		expect(second).toMatchObject({
			line: 9,
			name: 'select\n  2\n',
			identity: { name: 'app', roles: ['writer'], groups: [], claims: { tenant: 'acme' } },
			database: 'other',
			searchPath: ['hr'],
			masks: new Map([['hr.t.c', 'm']]),
			filters: [{ relation: null, name: 'f' }],
		});
	});

	test('tells every mistake with its line', () => {
		const wrong: readonly (readonly [string, readonly string[]])[] = [
			['', ['cases/x.yaml: cases: missing']],
			['cases: []', ['cases/x.yaml:1: cases: too small']],
			[
				'cases:\n  - as: ben\n    sqll: x\n    expect: perhaps',
				[
					'cases/x.yaml:2: cases[0].sql: missing',
					'cases/x.yaml:3: cases[0].sqll: unknown key',
					'cases/x.yaml:4: cases[0].expect: must be allow, deny',
				],
			],
			[
				[
					'database: shop',
					'people: { ben: {} }',
					'cases:',
					'  - { as: zoe, sql: x, expect: allow }',
					'  - { as: ben, sql: x, expect: [deny, mask] }',
					'  - { as: ben, sql: x, expect: allow, masks: [a] }',
					'  - { as: ben, sql: x, expect: mask, message: a }',
					'  - { as: ben, database: shoop, sql: x, expect: mask }',
				].join('\n'),
				[
					'cases/x.yaml:4: cases[0].as: zoe is neither in people nor in identity.users',
					'cases/x.yaml:5: cases[1].expect: allow and deny stand alone',
					'cases/x.yaml:6: cases[2].expect: masks and filters go with mask and filter',
					'cases/x.yaml:7: cases[3].message: goes with deny',
					'cases/x.yaml:8: cases[4].database: the configuration has no database shoop',
				],
			],
			[
				'cases: [{ as: app, sql: x, expect: allow }]',
				['cases/x.yaml:1: cases[0].database: missing: the configuration has several'],
			],
		];
		for (const [source, want] of wrong) {
			let lines: string[] = [];
			try {
				parseCases(source, 'cases/x.yaml', WORLD);
			} catch (error) {
				if (!(error instanceof ConfigError)) throw error;
				lines = error.message.split('\n');
			}
			expect(lines.map((line, index) => line.startsWith(want[index] ?? '\0') || line)).toEqual(want.map(() => true));
		}
	});

	test('the shipped cases are sound', () => {
		const folder = new URL('../../policies/cases/', import.meta.url);
		const cases = readdirSync(folder).flatMap((name) =>
			parseCases(readFileSync(new URL(name, folder), 'utf8'), name, { databases: ['shop'], users: [] }),
		);
		expect(cases.length).toBeGreaterThan(20);
		expect(new Set(cases.flatMap((found) => found.expect))).toEqual(new Set(['allow', 'deny', 'mask', 'filter']));
	});
});

function use(name: string, what: Partial<ObjectUse>): ObjectUse {
	return {
		kind: 'relation',
		schema: 'hr',
		name,
		action: 'select',
		columns: [],
		masks: {},
		filters: [],
		hidden: [],
		rules: [],
		...what,
	};
}

function decision(effect: Decision['effect'], objects: readonly ObjectUse[] = [], message = ''): Decision {
	const rule = { file: 'policy.csv', line: 4, text: 'p,  *, x' };
	const statement: StatementDecision = {
		effect,
		node: 'SelectStmt',
		sql: '',
		rewritten: '',
		objects,
		rules: [rule, rule],
		touchesProtected: false,
		checks: [],
		hidesRows: false,
		effects: [],
	};
	const error = effect === 'deny' ? { error: new GatewayError('42501', message) } : {};
	return { effect, sql: '', rewritten: '', edits: [], statements: [statement], revision: '', ...error };
}

const MASKED = decision('mask', [
	use('t', { columns: ['c', 'd'], masks: { c: 'm', d: 'n', unread: 'o' }, hidden: ['photo'] }),
]);
const BOTH = decision('mask', [
	use('t', { columns: ['*'], masks: { c: 'm' }, filters: ['f'] }),
	use('u', { filters: ['g'] }),
]);
const FILTERED = decision('mask', [use('t', { filters: ['f'] })]);
const DENIED = decision('deny', [], 'no rule allows select on hr.t');

describe('the comparison', () => {
	const cases: readonly (readonly [string, Decision, readonly string[]])[] = [
		['expect: allow', decision('allow'), []],
		['expect: allow', MASKED, ['expected allow, got mask']],
		['expect: allow', FILTERED, ['expected allow, got filter']],
		['expect: allow', DENIED, ['expected allow, got deny (42501 no rule allows select on hr.t)']],
		['expect: deny', DENIED, []],
		['expect: deny\n    message: no rule', DENIED, []],
		[
			'expect: deny\n    message: hidden',
			DENIED,
			['expected an error with "hidden", got (42501 no rule allows select on hr.t)'],
		],
		['expect: deny', decision('allow'), ['expected deny, got allow']],
		['expect: mask', MASKED, []],
		['expect: mask', BOTH, []],
		['expect: filter', BOTH, []],
		['expect: [mask, filter]', BOTH, []],
		['expect: [mask, filter]', MASKED, ['expected mask and filter, got mask']],
		['expect: mask', DENIED, ['expected mask, got deny (42501 no rule allows select on hr.t)']],
		['expect: mask\n    masks: [hr.t.c, d]', MASKED, []],
		['expect: mask\n    masks: { t.c: m, hr.t.d: n }', MASKED, []],
		['expect: mask\n    masks: [c]', MASKED, ['hr.t.d by n is masked, which is not expected']],
		['expect: mask\n    masks: [c, d, e]', MASKED, ['expected e to be masked, which it is not']],
		[
			'expect: mask\n    masks: { c: n, d: n }',
			MASKED,
			['expected c by n to be masked, which it is not', 'hr.t.c by m is masked, which is not expected'],
		],
		['expect: filter\n    filters: [f, g]', BOTH, []],
		['expect: filter\n    filters: { hr.t: f, hr.u: g }', BOTH, []],
		['expect: filter\n    filters: { hr.t: f }', BOTH, ['hr.u by g is filtered, which is not expected']],
		['expect: mask\n    filters: []', MASKED, []],
		[
			'expect: mask\n    filters: []',
			BOTH,
			['hr.t by f is filtered, which is not expected', 'hr.u by g is filtered, which is not expected'],
		],
		['expect: mask\n    hidden: [hr.t.photo]', MASKED, []],
		['expect: mask\n    hidden: []', MASKED, ['hr.t.photo is hidden, which is not expected']],
		['expect: mask\n    hidden: [x]', BOTH, ['expected x to be hidden, which it is not']],
	];
	for (const [expected, got, want] of cases) {
		test(`${expected.replace(/\s+/g, ' ')} against ${want.length === 0 ? 'what fits' : (want[0] ?? '')}`, () => {
			expect(differences(one(`  - as: ben\n    sql: select 1\n    ${expected}`), got)).toEqual(want);
		});
	}
});

test('the report names each failure with its line and rules, and fails as a whole', async () => {
	const cases = parseCases(
		'database: shop\npeople: { ben: {} }\ncases:\n  - { name: good, as: ben, sql: a, expect: allow }\n  - { name: planted, as: ben, sql: b, expect: allow }',
		'cases/x.yaml',
		WORLD,
	);
	const lines: string[] = [];
	const io = { out: (text: string) => lines.push(text), color: false } as unknown as CommandIo;
	const results = await runCases(cases, async ({ sql }) => (sql === 'a' ? decision('allow') : DENIED));
	expect(report(io, results)).toBe(1);
	expect(lines.join('')).toBe(
		[
			'ok    good',
			'FAIL  planted cases/x.yaml:5',
			'      expected allow, got deny (42501 no rule allows select on hr.t)',
			'      policy.csv:4  p, *, x',
			'2 cases, 1 not as expected',
			'',
		].join('\n'),
	);
	lines.length = 0;
	expect(report(io, await runCases(cases.slice(0, 1), async () => decision('allow')))).toBe(0);
	expect(lines.at(-1)).toBe('1 case, all as expected\n');
});
