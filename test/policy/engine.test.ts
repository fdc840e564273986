/** What the policy relies on in node-casbin: a new version that behaves otherwise must not go unnoticed. */
import { EnforceContext, type Enforcer, newEnforcer, newModelFromString } from 'casbin';
import { describe, expect, test } from 'vitest';
import { parseRules } from '../../src/policy/csv.ts';
import { Engine } from '../../src/policy/engine.ts';
import type { Target } from '../../src/policy/object.ts';
import { ProblemList } from '../../src/policy/problem.ts';
import { sliceOf } from '../../src/policy/slice.ts';
import { MODEL } from './support.ts';

async function plainCasbin(rows: string[][], links: string[][] = []): Promise<Enforcer> {
	const model = newModelFromString(`
[request_definition]
r = sub, obj
[policy_definition]
p = sub, obj, eft, more
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = r.sub == p.sub && r.obj == p.obj
`);
	const enforcer = await newEnforcer(model);
	const assertion = enforcer.getModel().model.get('p')?.get('p');
	const roles = enforcer.getModel().model.get('g')?.get('g');
	if (!assertion || !roles) throw new Error('no such section');
	assertion.policy = rows;
	roles.policy = links;
	await enforcer.buildRoleLinks();
	return enforcer;
}

describe('node-casbin', () => {
	test('takes an effect that is neither allow nor deny for no effect', async () => {
		const enforcer = await plainCasbin([['a', 'o', 'mask', 'x']]);
		expect(enforcer.enforceSync('a', 'o')).toBe(false);
		expect(
			(
				await plainCasbin([
					['a', 'o', 'allow', ''],
					['a', 'o', 'mask', 'x'],
				])
			).enforceSync('a', 'o'),
		).toBe(true);
	});

	test('takes an empty effect for allow, which is why the CSV is checked before', async () => {
		expect((await plainCasbin([['a', 'o', '', '']])).enforceSync('a', 'o')).toBe(true);
	});

	test('ignores columns beyond those that the model defines', async () => {
		expect((await plainCasbin([['a', 'o', 'allow', 'x', 'deny', 'deny']])).enforceSync('a', 'o')).toBe(true);
	});

	test('runs the matcher on an empty rule when there are no rules, which is why it is not asked then', async () => {
		expect((await plainCasbin([])).enforceSync('', '')).toBe(true);
	});

	test('follows links further than the ten steps of its g() function', async () => {
		const links = Array.from({ length: 30 }, (_, index) => [`role:${index}`, `role:${index + 1}`]);
		expect(await (await plainCasbin([], links)).getImplicitRolesForUser('role:0')).toContain('role:30');
	});

	test('decides by section when it is given a context', async () => {
		const model = newModelFromString(MODEL);
		const enforcer = await newEnforcer(model);
		await enforcer.addFunction('is', () => true);
		await enforcer.addFunction('covers', () => true);
		const second = enforcer.getModel().model.get('p')?.get('p2');
		if (second) second.policy = [['*', 'x', 'select', 'mask', 'm']];
		expect(enforcer.enforceSync(new EnforceContext('r', 'p2', 'e2', 'm2'), 'w', 'o', 'select')).toBe(true);
		expect(enforcer.enforceSync(new EnforceContext('r', 'p2', 'e2', 'm2'), 'w', 'o', 'insert')).toBe(false);
	});
});

describe('the engine', () => {
	const TARGET: Target = { kind: 'relation', database: 'shop', schema: 'hr', relation: 't' };

	async function engineOf(text: string): Promise<{ engine: Engine; slice: ReturnType<typeof sliceOf> }> {
		const { rules, links } = parseRules(text, 'policy.csv', new ProblemList('policy.csv'));
		return { engine: await Engine.create(MODEL, rules, links), slice: sliceOf('decision', rules) };
	}

	test('names every rule that took part, those after the deny too, without letting them change the decision', async () => {
		const { engine, slice } = await engineOf(
			[
				'p, *, shop.hr.t, select, allow',
				'p, *, shop.hr.t, select, deny',
				'p, *, shop.hr.u, select, deny',
				'p, *, shop.hr.t, select, allow',
				'p, *, shop.hr.*, *, deny',
			].join('\n'),
		);
		const verdict = engine.ask(slice, engine.principals(['user:a']), TARGET, 'select');
		expect(verdict.allowed).toBe(false);
		expect(verdict.matched.map((rule) => rule.ref.line)).toEqual([1, 2, 4, 5]);
	});

	test('keeps one question apart from the next', async () => {
		const { engine, slice } = await engineOf('p, *, shop.hr.t, select, allow\np, *, shop.hr.t, insert, deny');
		const who = engine.principals(['user:a']);
		for (let round = 0; round < 3; round++) {
			expect(engine.ask(slice, who, TARGET, 'select').matched.map((rule) => rule.ref.line)).toEqual([1]);
			expect(engine.ask(slice, who, TARGET, 'insert').matched.map((rule) => rule.ref.line)).toEqual([2]);
			expect(engine.ask(slice, who, TARGET, 'update').matched).toEqual([]);
		}
	});

	test('two identical rules are two rules', async () => {
		const { engine, slice } = await engineOf('p, *, shop.hr.t, select, allow\np, *, shop.hr.t, select, allow');
		expect(engine.ask(slice, engine.principals([]), TARGET, 'select').matched).toHaveLength(2);
	});
});
