/** What a policy says about relations and columns that a database does not have. */
import { expect, test } from 'vitest';
import { formatProblem } from '../../src/policy/problem.ts';
import { policyOf } from './support.ts';

const RELATIONS = [
	{ schema: 'hr', name: 'employees', columns: [{ name: 'id' }, { name: 'ssn' }, { name: 'tenant' }] },
	{ schema: 'hr', name: 'secrets', columns: [{ name: 'name' }] },
	{ schema: 'sales', name: 'orders', columns: [{ name: 'id' }, { name: 'tenant' }, { name: 'region' }] },
];

const MASKS = `masks:
  nothing: "null"
  by_name: "name || value"
filters:
  own_tenant: "tenant = claims.tenant"
`;

const cases: readonly { readonly name: string; readonly rules: string; readonly want: readonly string[] }[] = [
	{
		name: 'all is there',
		rules:
			'p, *, shop.hr.employees, select, allow\np, *, shop.hr.employees, select, filter, own_tenant\np, *, shop.hr.employees.ssn, select, mask, nothing',
		want: [],
	},
	{
		name: 'a column that a named relation lacks is an error',
		rules: 'p, *, shop.hr.secrets, select, filter, own_tenant\np, *, *.hr.employees.ssn, select, mask, by_name',
		want: [
			'masks.yaml:5: filter own_tenant names tenant, which hr.secrets does not have (policy.csv:1)',
			'masks.yaml:3: mask by_name names name, which hr.employees does not have (policy.csv:2)',
		],
	},
	{
		name: 'a column that a relation lacks which a wildcard reaches is a warning',
		rules: 'p, *, shop.*.*, select, filter, own_tenant',
		want: ['masks.yaml:5: warning: filter own_tenant names tenant, which hr.secrets does not have (policy.csv:1)'],
	},
	{
		name: 'relations and columns that are not there are warnings',
		rules: [
			'p, *, shop.hr.employee, select, deny',
			'p, *, shop.hr.employees.ssm, select, deny',
			'p, *, shop.hr.employees.s*, select, deny',
			'p, *, shop.hr.new_table, create, allow',
			'p, *, other.hr.nowhere, select, deny',
			'p, *, shop.hr.emp*, select, deny',
			'p, *, shop.hr.nofunction(), execute, allow',
		].join('\n'),
		want: [
			'policy.csv:1: warning: there is no relation hr.employee',
			'policy.csv:2: warning: hr.employees has no column ssm',
		],
	},
	{
		name: 'unmask and unfilter name no columns',
		rules: 'p, *, shop.hr.secrets, select, unfilter, own_tenant\np, *, shop.hr.employees.ssn, select, unmask, by_name',
		want: [],
	},
];

for (const { name, rules, want } of cases) {
	test(name, async () => {
		const problems = (await policyOf(rules, { masks: MASKS })).problems('shop', RELATIONS);
		expect(problems.map(formatProblem)).toEqual(want);
	});
}
