/** Who may do everything: only whom rules allow every action on everything, and from whom nothing is kept. */
import { describe, expect, test } from 'vitest';
import { MODEL, identityOf, policyOf } from './support.ts';

const ALL = [
	'p, role:dba, shop, *, allow',
	'p, role:dba, shop.*.*, *, allow',
	'p, role:dba, shop.*.*(*), execute, allow',
];

async function isUnrestricted(rules: readonly string[], model = MODEL, database = 'shop'): Promise<boolean> {
	const policy = await policyOf(rules.join('\n'), { model });
	return policy.accessFor(identityOf(['user:ana', 'role:dba', 'group:g']), database).unrestricted;
}

describe('may do everything', () => {
	const actions = 'connect create alter drop grant temp set do listen notify maintain'.split(' ');
	test.each<readonly [string, readonly string[]]>([
		['with a rule for each kind of object', ALL],
		['by several roles', [...ALL.slice(0, 2), 'p, group:g, *.*.*(*), *, allow']],
		['with each action by its name', [...actions.map((action) => `p, *, shop, ${action}, allow`), ...ALL.slice(1)]],
		[
			'when what is kept is kept from others',
			[...ALL, 'p, role:other, shop.hr.t, *, deny', 'p, role:dba, mall.hr.t, *, deny'],
		],
	])('%s', async (_, rules) => {
		expect(await isUnrestricted(rules)).toBe(true);
	});
});

describe('may not', () => {
	test.each<readonly [string, readonly string[]]>([
		['without any rule', []],
		['without the database', ALL.slice(1)],
		['without relations', [ALL[0] ?? '', ALL[2] ?? '']],
		['without functions', ALL.slice(0, 2)],
		['without an action', ['p, role:dba, shop, connect, allow', ...ALL.slice(1)]],
		[
			'where relations are not all',
			[...ALL.toSpliced(1, 1), 'p, role:dba, shop.public.*, *, allow', 'p, role:dba, shop.*.a*, *, allow'],
		],
		['where functions are not all', [...ALL.slice(0, 2), 'p, role:dba, shop.public.*(*), execute, allow']],
		['where one is named', [...ALL.slice(0, 2), 'p, role:dba, shop.*.*(), execute, allow']],
		['where a relation is denied', [...ALL, 'p, *, shop.hr.t, delete, deny']],
		['where a column is masked', [...ALL, 'p, *, shop.hr.t.c, select, mask, nothing']],
		[
			'where a mask is lifted',
			[...ALL, 'p, *, shop.hr.t.c, select, mask, nothing', 'p, role:dba, shop.hr.t.c, select, unmask'],
		],
		['where rows are filtered', [...ALL, 'p, *, shop.hr.t, select, filter, own_region']],
	])('%s', async (_, rules) => {
		expect(await isUnrestricted(rules)).toBe(false);
	});

	test('in another database', async () => {
		expect(await isUnrestricted(ALL, MODEL, 'mall')).toBe(false);
	});
});
