/** Precedence for any rules at all: against a second reading of the format, and that rules which narrow never widen. */
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { loadModule, parseSync } from 'libpg-query';
import { claimText } from '../../src/policy/claims.ts';
import { parseRules } from '../../src/policy/csv.ts';
import { Engine } from '../../src/policy/engine.ts';
import { matches } from '../../src/policy/object.ts';
import { ProblemList } from '../../src/policy/problem.ts';
import { quoteLiteral } from '../../src/sql/quote.ts';
import { sliceOf } from '../../src/policy/slice.ts';
import type { Access, Action, ClaimValue } from '../../src/stages.ts';
import { identityOf, MODEL, policyOf } from './support.ts';
import { cpuMsOf } from '../support/time.ts';

const WHO = ['user:u', 'role:r', 'group:g'];
const SUBJECTS = ['*', 'user:u', 'role:r', 'group:g', 'role:linked', 'user:other', 'role:unlinked'];
const LINKS = 'g, group:g, role:linked\ng, user:other, role:unlinked';
const SCHEMAS = ['a', 'ab'];
const RELATIONS = ['t', 'tt'];
const COLUMNS = ['c', 'd'];
const ACTIONS = ['select', 'insert', 'update'] as const;

interface RuleText {
	readonly subject: string;
	readonly parts: readonly string[];
	readonly action: string;
	readonly effect: string;
	readonly argument: string;
}

const part = (names: readonly string[]): fc.Arbitrary<string> => fc.constantFrom(...names, '*', `${names[0]}*`);
const place = fc.tuple(fc.constantFrom('shop', 's*', 'other'), part(SCHEMAS), part(RELATIONS));
const relation = place.map((parts) => [...parts]);
const column = fc.tuple(place, part(COLUMNS)).map(([parts, last]) => [...parts, last]);

const rule = (effects: readonly string[]): fc.Arbitrary<RuleText> =>
	fc
		.record({
			subject: fc.constantFrom(...SUBJECTS),
			effect: fc.constantFrom(...effects),
			relation,
			column,
			useColumn: fc.boolean(),
		})
		.chain(({ subject, effect, relation: three, column: four, useColumn }) => {
			const rows = effect === 'filter' || effect === 'unfilter';
			const access = effect === 'allow' || effect === 'deny';
			const names = rows ? ['own_tenant', 'own_region'] : ['nothing', 'email'];
			const argument = access ? [''] : effect.startsWith('un') ? ['', ...names] : names;
			return fc.record({
				subject: fc.constant(subject),
				effect: fc.constant(effect),
				parts: fc.constant(useColumn && !rows ? four : three),
				action: fc.constantFrom(...(access ? ['*', ...ACTIONS] : ['*', 'select'])),
				argument: fc.constantFrom(...argument),
			});
		});

const anyRules = fc.array(rule(['allow', 'allow', 'deny', 'mask', 'unmask', 'filter', 'unfilter']), { maxLength: 12 });

function text(rules: readonly RuleText[]): string {
	const lines = rules.map(
		({ subject, parts, action, effect, argument }) =>
			`p, ${subject}, ${parts.join('.')}, ${action}, ${effect}, ${argument}`,
	);
	return [...lines.map((line) => line.replace(/, $/, '')), LINKS].join('\n');
}

async function accessOf(rules: readonly RuleText[]): Promise<Access> {
	return (await policyOf(text(rules))).accessFor(identityOf(WHO, { tenant: 'x', regions: [] }), 'shop');
}

/** Everything that the small world can be asked. */
interface World {
	readonly allowed: ReadonlySet<string>;
	readonly masks: ReadonlyMap<string, string>;
	readonly filters: ReadonlySet<string>;
}

function worldOf(access: Access): World {
	const allowed = new Set<string>();
	const masks = new Map<string, string>();
	const filters = new Set<string>();
	for (const schema of SCHEMAS) {
		for (const table of RELATIONS) {
			const name = `${schema}.${table}`;
			for (const action of ACTIONS) {
				if (access.onRelation(schema, table, action).allowed) allowed.add(`${action} ${name}`);
				for (const last of COLUMNS)
					if (access.onColumn(schema, table, last, action).allowed) allowed.add(`${action} ${name}.${last}`);
			}
			for (const last of COLUMNS) {
				const answer = access.readColumn(schema, table, last);
				if (answer.mask) masks.set(`${name}.${last}`, answer.mask.name);
				expect(answer.allowed).toBe(allowed.has(`select ${name}.${last}`));
			}
			for (const filter of access.filtersOf(schema, table).filters) filters.add(`${name} ${filter.name}`);
		}
	}
	return { allowed, masks, filters };
}

/** The format once more, written from its text alone and as plainly as can be. */
function reference(rules: readonly RuleText[]): World {
	const mine = rules.filter((one) => ['*', ...WHO, 'role:linked'].includes(one.subject));
	const fits = (pattern: string, name: string): boolean => new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(name);
	const about = (names: readonly string[], action: string): RuleText[] =>
		mine.filter(
			(one) =>
				one.parts.length <= names.length &&
				one.parts.every((pattern, index) => fits(pattern, names[index] ?? '')) &&
				['*', action].includes(one.action),
		);
	const allowed = new Set<string>();
	const masks = new Map<string, string>();
	const filters = new Set<string>();
	for (const schema of SCHEMAS) {
		for (const table of RELATIONS) {
			const targets = [[schema, table], ...COLUMNS.map((last) => [schema, table, last])];
			for (const target of targets) {
				for (const action of ACTIONS) {
					const found = about(['shop', ...target], action);
					const allows = found.some((one) => one.effect === 'allow') && !found.some((one) => one.effect === 'deny');
					if (allows) allowed.add(`${action} ${target.join('.')}`);
				}
				const found = about(['shop', ...target], 'select');
				const lifted = (by: string, name: string): boolean =>
					found.some((one) => one.effect === by && ['', name].includes(one.argument));
				if (target.length === 3) {
					const mask = found.find((one) => one.effect === 'mask' && !lifted('unmask', one.argument));
					if (mask) masks.set(target.join('.'), mask.argument);
				} else {
					for (const one of found)
						if (one.effect === 'filter' && !lifted('unfilter', one.argument))
							filters.add(`${target.join('.')} ${one.argument}`);
				}
			}
		}
	}
	return { allowed, masks, filters };
}

const RUNS = { numRuns: 150 };

describe('any policy', () => {
	test('is read as the format says', async () => {
		await fc.assert(
			fc.asyncProperty(anyRules, async (rules) => {
				expect(worldOf(await accessOf(rules))).toEqual(reference(rules));
			}),
			RUNS,
		);
	});

	test('never allows more, unmasks or unfilters for a rule that denies, masks or filters', async () => {
		await fc.assert(
			fc.asyncProperty(anyRules, rule(['deny', 'mask', 'filter']), fc.nat(), async (rules, more, at) => {
				const before = worldOf(await accessOf(rules));
				const after = worldOf(await accessOf(rules.toSpliced(at % (rules.length + 1), 0, more)));
				for (const question of after.allowed) expect(before.allowed).toContain(question);
				for (const masked of before.masks.keys()) expect([...after.masks.keys()]).toContain(masked);
				for (const filter of before.filters) expect(after.filters).toContain(filter);
			}),
			RUNS,
		);
	});

	test('never allows less for a rule that allows, nor for one that unmasks or unfilters', async () => {
		await fc.assert(
			fc.asyncProperty(anyRules, rule(['allow', 'unmask', 'unfilter']), fc.nat(), async (rules, more, at) => {
				const before = worldOf(await accessOf(rules));
				const after = worldOf(await accessOf(rules.toSpliced(at % (rules.length + 1), 0, more)));
				for (const question of before.allowed) expect(after.allowed).toContain(question);
				for (const masked of after.masks.keys()) expect([...before.masks.keys()]).toContain(masked);
				for (const filter of after.filters) expect(before.filters).toContain(filter);
			}),
			RUNS,
		);
	});

	test('allows nothing to somebody whom it does not name', async () => {
		await fc.assert(
			fc.asyncProperty(anyRules, async (rules) => {
				const named = rules.filter((one) => one.subject !== '*');
				const access = (await policyOf(text(named))).accessFor(
					identityOf(['user:stranger', 'group:strangers']),
					'shop',
				);
				expect(worldOf(access).allowed.size).toBe(0);
			}),
			{ numRuns: 50 },
		);
	});

	test('gives Casbin every rule that could matter: asked with all of them it says the same', async () => {
		await fc.assert(
			fc.asyncProperty(anyRules, async (rules) => {
				const parsed = parseRules(text(rules), 'policy.csv', new ProblemList('policy.csv'));
				const engine = await Engine.create(MODEL, parsed.rules, parsed.links);
				const access = await accessOf(rules);
				const who = engine.principals(WHO);
				const all = sliceOf('decision', parsed.rules);
				for (const schema of SCHEMAS) {
					for (const action of ACTIONS satisfies readonly Action[]) {
						const target = { kind: 'column', database: 'shop', schema, relation: 't', column: 'c' } as const;
						expect(access.onColumn(schema, 't', 'c', action).allowed).toBe(
							engine.ask(all, who, target, action).allowed,
						);
					}
				}
			}),
			{ numRuns: 50 },
		);
	});
});

test('wildcards match what a regular expression of them does', async () => {
	const letters = fc.string({ unit: fc.constantFrom('a', 'b', '*'), maxLength: 8 });
	fc.assert(
		fc.property(letters, fc.string({ unit: fc.constantFrom('a', 'b', '\n'), maxLength: 10 }), (glob, name) => {
			const wanted = new RegExp(`^${glob.replaceAll('*', '.*')}$`, 's').test(name);
			expect(matches({ text: glob, wild: glob.includes('*') }, name)).toBe(wanted);
		}),
		{ numRuns: 2_000 },
	);
	const slow = (): void => expect(matches({ text: `${'*a'.repeat(30)}b`, wild: true }, 'a'.repeat(63))).toBe(false);
	expect(await cpuMsOf(slow)).toBeLessThan(1_000);
});

describe('claims', () => {
	beforeAll(() => loadModule());

	const hostile = fc.oneof(
		fc.string({ unit: 'grapheme' }),
		fc.string({
			unit: fc.constantFrom(
				"'",
				'\\',
				'"',
				'{',
				'}',
				',',
				'$',
				'-',
				'/',
				'*',
				';',
				'\n',
				'a',
				'\u2019',
				'\u00e9',
				'E',
				'\0',
			),
		}),
		fc.string({ unit: 'binary' }),
	);

	/** True when it survives the way through UTF-8. */
	const isText = (value: string): boolean => Buffer.from(value, 'utf8').toString('utf8') === value;

	/** The one string constant that PostgreSQL's own parser finds; undefined for anything else. */
	function constantOf(literal: string): string | undefined {
		const tree = parseSync(`select ${literal}`) as {
			stmts: {
				stmt: { SelectStmt: { targetList: { ResTarget: { val: { A_Const?: { sval: { sval?: string } } } } }[] } };
			}[];
		};
		if (tree.stmts.length !== 1) return undefined;
		const constant = tree.stmts[0]?.stmt.SelectStmt.targetList[0]?.ResTarget.val.A_Const;
		return constant && (constant.sval.sval ?? '');
	}

	function quoted(text: string | undefined): string | undefined {
		return text === undefined ? undefined : quoteLiteral(text);
	}

	test('stay one string, whatever is in them', () => {
		fc.assert(
			fc.property(hostile, (value) => {
				const literal = quoted(claimText({ x: value }, 'x', 'value'));
				const possible = !value.includes('\0') && isText(value);
				expect(literal === undefined ? undefined : constantOf(literal)).toBe(possible ? value : undefined);
			}),
			{ numRuns: 2_000 },
		);
	});

	test('stay a list of those strings, whatever is in them', () => {
		fc.assert(
			fc.property(fc.array(hostile, { maxLength: 4 }), (values) => {
				const literal = quoted(claimText({ x: values satisfies ClaimValue }, 'x', 'list'));
				const possible = values.every((value) => !value.includes('\0') && isText(value));
				const constant = literal === undefined ? undefined : constantOf(literal);
				expect(constant === undefined ? undefined : readArray(constant)).toEqual(possible ? values : undefined);
			}),
			{ numRuns: 2_000 },
		);
	});

	/** array_in for elements that are all quoted. */
	function readArray(constant: string): string[] {
		expect(constant).toMatch(/^\{("(\\[\s\S]|[^"\\])*"(,"(\\[\s\S]|[^"\\])*")*)?\}$/);
		return [...constant.matchAll(/"((?:\\[\s\S]|[^"\\])*)"/g)].map(([, element = '']) =>
			element.replace(/\\([\s\S])/g, '$1'),
		);
	}
});
