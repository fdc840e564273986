/** Rules against questions: what is allowed, denied, masked and filtered, and by which lines. */
import { describe, expect, test } from 'vitest';
import type { ClaimValue } from '../../src/stages.ts';
import { printPolicy } from '../../src/sql/policy-print.ts';
import { ask, identityOf, policyOf, RENDERING } from './support.ts';

interface Case {
	readonly name: string;
	readonly rules: string;
	/** Default: `user:ana`, `role:analyst`. */
	readonly who?: readonly string[];
	readonly database?: string;
	readonly claims?: Readonly<Record<string, ClaimValue>>;
	/** Question, as `ask` takes it, to: allow, deny (a rule denies), none (no rule allows), with the lines that made it. */
	readonly want: Readonly<Record<string, string>>;
}

const ANALYST = ['user:ana', 'role:analyst'];

function check(cases: readonly Case[]): void {
	for (const { name, rules, who = ANALYST, database = 'shop', claims = {}, want } of cases) {
		test(name, async () => {
			const access = (await policyOf(rules)).accessFor(identityOf(who, claims), database);
			const got = Object.fromEntries(
				Object.keys(want).map((question) => {
					const answer = ask(access, question);
					const word = answer.allowed ? 'allow' : answer.denied ? 'deny' : 'none';
					return [
						question,
						[word, ...answer.rules.map((rule) => rule.line), ...(answer.named ? ['named'] : [])].join(' '),
					];
				}),
			);
			expect(got).toEqual(want);
		});
	}
}

describe('allow and deny', () => {
	check([
		{
			name: 'nothing is allowed without a rule',
			rules: '',
			want: { connect: 'none', 'select hr.t': 'none', 'execute s.f()': 'none' },
		},
		{
			name: 'a rule of another subject, object, action or database allows nothing',
			rules: [
				'p, user:bob, shop.hr.t, select, allow',
				'p, role:ana, shop.hr.t, select, allow',
				'p, group:analyst, shop.hr.t, select, allow',
				'p, user:ana, shop.hr.u, select, allow',
				'p, user:ana, shop.hs.t, select, allow',
				'p, user:ana, shop.hr.t, insert, allow',
				'p, user:ana, shopp.hr.t, select, allow',
			].join('\n'),
			want: { 'select hr.t': 'none', 'select hr.t.c': 'none' },
		},
		{
			name: 'deny beats allow, whichever comes first and whoever it is for',
			rules: [
				'p, user:ana, shop.hr.t, *, allow',
				'p, *, shop.hr.t, delete, deny',
				'p, role:analyst, shop.hr.t, insert, deny',
				'p, user:ana, shop.hr.t, insert, allow',
			].join('\n'),
			want: {
				'select hr.t': 'allow 1 named',
				'delete hr.t': 'deny 2',
				'insert hr.t': 'deny 3',
				'insert hr.t.c': 'deny 3',
			},
		},
		{
			name: 'what is said of a relation is said of its columns, not the other way round',
			rules: 'p, *, shop.hr.t, select, allow\np, *, shop.hr.t.c, select, deny\np, *, shop.hr.u.c, select, allow',
			want: {
				'select hr.t': 'allow 1 named',
				'select hr.t.a': 'allow 1 named',
				'select hr.t.c': 'deny 2',
				'select hr.u': 'none',
				'select hr.u.c': 'allow 3 named',
				'select hr.u.d': 'none',
			},
		},
		{
			name: 'a rule on the database says nothing of what is in it, and the other way round',
			rules: 'p, *, shop, *, allow\np, *, shop.hr.*, create, allow\np, *, shop, temp, deny',
			want: {
				connect: 'allow 1 named',
				temp: 'deny 3',
				'select hr.t': 'none',
				'create hr': 'allow 2',
				'drop hr': 'none',
				'create sales': 'none',
			},
		},
		{
			name: 'a rule on one relation is none on its schema',
			rules: 'p, *, shop.hr.t, create, allow\np, *, shop.hs.t*, create, allow\np, *, shop."*".*, create, deny',
			want: { 'create hr': 'none', 'create hs': 'none', 'create hr.t': 'allow 1 named' },
		},
		{
			name: 'wildcards match within one part',
			rules: 'p, *, shop.h*.emp_*, select, allow\np, *, *.sales.*.id, select, allow\np, *, shop.x.a*b*c, select, allow',
			want: {
				'select hr.emp_': 'allow 1',
				'select hr.emp_x': 'allow 1',
				'select hr.employees': 'none',
				'select xhr.emp_x': 'none',
				'select sales.orders.id': 'allow 2',
				'select sales.orders': 'none',
				'select x.abc': 'allow 3',
				'select x.abbcac': 'allow 3',
				'select x.abca': 'none',
			},
		},
		{
			name: 'a database is the name that the client connects to',
			database: 'Shop.eu',
			rules: 'p, *, """Shop.eu""", connect, allow\np, *, *.hr.*, select, allow\np, *, shop.hr.*, select, deny',
			want: { connect: 'allow 1 named', 'select hr.t': 'allow 2' },
		},
		{
			name: 'names fold as in SQL, quoted names do not, and a quoted star is a star',
			rules:
				'p, *, SHOP.HR."Odd Schema", select, allow\np, *, shop.HR.Emp_É, select, allow\np, *, shop.hr."a.*", select, allow\np, *, shop.hr."q""q", select, allow',
			want: {
				'select hr."Odd Schema"': 'allow 1 named',
				'select hr."odd schema"': 'none',
				'select hr.emp_É': 'allow 2 named',
				'select hr.emp_é': 'none',
				'select hr."a.*"': 'allow 3 named',
				'select hr."a.b"': 'none',
			},
		},
		{
			name: 'every principal counts: user, roles, groups, the roles that links lead to, and everybody',
			who: ['user:ana', 'role:r1', 'group:g1'],
			rules: [
				'p, user:ana, shop.s.user, select, allow',
				'p, role:r1, shop.s.role, select, allow',
				'p, group:g1, shop.s.group, select, allow',
				'p, *, shop.s.all, select, allow',
				'p, role:r2, shop.s.linked, select, allow',
				'p, role:r4, shop.s.deep, select, allow',
				'p, role:r9, shop.s.other, select, allow',
				'p, role:ra, shop.s.everyone, select, allow',
				'g, group:g1, role:r2',
				'g, role:r2, role:r3',
				'g, role:r3, role:r4',
				'g, user:bob, role:r9',
				'g, *, role:ra',
			].join('\n'),
			want: {
				'select s.user': 'allow 1 named',
				'select s.role': 'allow 2 named',
				'select s.group': 'allow 3 named',
				'select s.all': 'allow 4 named',
				'select s.linked': 'allow 5 named',
				'select s.deep': 'allow 6 named',
				'select s.other': 'none',
				'select s.everyone': 'allow 8 named',
			},
		},
		{
			name: 'a deny reaches through a link',
			rules: 'p, *, shop.s.t, select, allow\np, role:r2, shop.s.t, select, deny\ng, role:analyst, role:r2',
			want: { 'select s.t': 'deny 2' },
		},
	]);

	test('links reach as far as they go, round circles too', async () => {
		const links = Array.from({ length: 40 }, (_, index) => `g, role:r${index}, role:r${index + 1}`);
		const rules = [...links, 'g, role:r40, role:r0', 'p, role:r40, shop.s.t, select, allow'].join('\n');
		const access = (await policyOf(rules)).accessFor(identityOf(['user:x', 'role:r0']), 'shop');
		expect(ask(access, 'select s.t').allowed).toBe(true);
	});
});

describe('functions', () => {
	check([
		{
			name: 'an overload is named by its types, in any spelling that the grammar knows',
			rules: [
				'p, *, "shop.public.f(int,varchar)", execute, allow',
				'p, *, shop.public.f(integer, text), execute, allow',
				'p, *, shop.public.g( TIMESTAMPTZ ), execute, allow',
				'p, *, shop.public.h(), execute, allow',
				'p, *, "shop.public.i(hr.""My, Type""[],""char"",pg_catalog.int4)", execute, allow',
			].join('\n'),
			want: {
				'execute public.f(integer,character varying)': 'allow 1 named',
				'execute public.f(integer,text)': 'allow 2 named',
				'execute public.f(integer)': 'none',
				'execute public.f()': 'none',
				'execute public.g(timestamp with time zone)': 'allow 3 named',
				'execute public.h()': 'allow 4 named',
				'execute public.h(integer)': 'none',
				'call public.h()': 'none',
			},
		},
		{
			name: '(*) stands for all overloads, and names none',
			rules:
				'p, *, shop.public.f(*), execute, allow\np, *, shop.public.f(text), execute, deny\np, *, shop.*.g_*(*), *, allow',
			want: {
				'execute public.f()': 'allow 1',
				'execute public.f(integer)': 'allow 1',
				'execute public.f(text)': 'deny 2',
				'execute public.g_x(text)': 'allow 3',
				'call other.g_()': 'allow 3',
				'call other.h()': 'none',
			},
		},
		{
			name: 'a rule on relations is none on functions',
			rules: 'p, *, shop.public.*, *, allow',
			want: { 'execute public.f()': 'none', 'select public.f': 'allow 1' },
		},
	]);

	test('types with quotes and commas are compared as they are', async () => {
		const policy = await policyOf('p, *, "shop.s.i(hr.""My, Type""[],""char"",integer)", execute, allow');
		const access = policy.accessFor(identityOf(ANALYST), 'shop');
		expect(access.onFunction('s', 'i', ['hr."My, Type"[]', '"char"', 'integer'], 'execute').allowed).toBe(true);
		expect(access.onFunction('s', 'i', ['hr."My, Type"[]', 'character', 'integer'], 'execute').allowed).toBe(false);
		expect(access.onFunction('s', 'i', ['hr."my, type"[]', '"char"', 'integer'], 'execute').allowed).toBe(false);
	});

	test('a type that no rule can name fits only all overloads', async () => {
		const policy = await policyOf('p, *, shop.s.f(*), execute, allow\np, *, shop.s.g(text), execute, allow');
		const access = policy.accessFor(identityOf(ANALYST), 'shop');
		expect(access.onFunction('s', 'f', ['-'], 'execute').allowed).toBe(true);
		expect(access.onFunction('s', 'g', ['-'], 'execute').allowed).toBe(false);
	});
});

interface MaskCase {
	readonly name: string;
	readonly rules: string;
	readonly who?: readonly string[];
	readonly claims?: Readonly<Record<string, ClaimValue>>;
	/** Column of hr.employees to `mask line` or `-`, with `named` where the protection names the relation. */
	readonly masks?: Readonly<Record<string, string>>;
	/** Filters of relations of hr, in order, with `named`. */
	readonly filters?: Readonly<Record<string, string>>;
}

function checkMasks(cases: readonly MaskCase[]): void {
	for (const {
		name,
		rules,
		who = ANALYST,
		claims = { tenant: 'acme', regions: ['eu'] },
		masks = {},
		filters = {},
	} of cases) {
		test(name, async () => {
			const access = (await policyOf(rules)).accessFor(identityOf(who, claims), 'shop');
			const named = (is: boolean): string => (is ? ' named' : '');
			const gotMasks = Object.fromEntries(
				Object.keys(masks).map((column) => {
					const { mask, protectionNamed } = access.readColumn('hr', 'employees', column);
					return [column, `${mask ? `${mask.name} ${mask.rule.line}` : '-'}${named(protectionNamed)}`];
				}),
			);
			const gotFilters = Object.fromEntries(
				Object.keys(filters).map((relation) => {
					const answer = access.filtersOf('hr', relation);
					return [
						relation,
						`${answer.filters.map((filter) => filter.name).join(' ') || '-'}${named(answer.protectionNamed)}`,
					];
				}),
			);
			expect({ masks: gotMasks, filters: gotFilters }).toEqual({ masks, filters });
		});
	}
}

describe('masks and filters', () => {
	checkMasks([
		{
			name: 'the first mask in the file holds, through whichever principal',
			rules: [
				'p, *, shop.hr.employees.ssn, select, mask, ssn_last4',
				'p, user:ana, shop.hr.employees.ssn, select, mask, nothing',
				'p, role:other, shop.hr.employees.name, select, mask, nothing',
				'p, role:analyst, shop.hr.employees, *, mask, email',
			].join('\n'),
			masks: { ssn: 'ssn_last4 1 named', name: 'email 4 named' },
		},
		{
			name: 'an unmask of the column lifts it, one with a name lifts only that mask',
			rules: [
				'p, *, shop.hr.*.ssn, select, mask, ssn_last4',
				'p, *, shop.hr.*.name, select, mask, nothing',
				'p, *, shop.hr.*.name, select, mask, email',
				'p, *, shop.hr.*.phone, select, mask, nothing',
				'p, user:ana, shop.hr.*.ssn, select, unmask',
				'p, user:ana, shop.hr.*, select, unmask, nothing',
				'p, user:bob, shop.hr.*, select, unmask',
			].join('\n'),
			masks: { ssn: '-', name: 'email 3', phone: '-' },
		},
		{
			name: 'protection is named by mask, unmask and deny of select that name the relation for this column',
			rules: [
				'p, *, shop.hr.employees.a, select, unmask',
				'p, *, shop.hr.employees.b, select, deny',
				'p, *, shop.hr.employees.c, insert, deny',
				'p, *, shop.*.employees.d, select, mask, nothing',
				'p, *, shop.hr.employees.e, select, allow',
				'p, *, *.hr.employees.f*, select, mask, nothing',
			].join('\n'),
			masks: { a: '- named', b: '- named', c: '-', d: 'nothing 4', e: '-', fx: 'nothing 6 named' },
		},
		{
			name: 'all filters hold together, each once, whatever row action they are written with',
			rules: [
				'p, *, shop.hr.employees, select, filter, own_tenant',
				'p, role:analyst, shop.hr.*, *, filter, own_region',
				'p, user:ana, shop.hr.employees, select, filter, own_tenant',
				'p, user:ana, shop.hr.updates, update, filter, own_tenant',
				'p, user:bob, shop.hr.open, select, filter, own_tenant',
			].join('\n'),
			filters: { employees: 'own_tenant own_region named', updates: 'own_region own_tenant named', open: 'own_region' },
		},
		{
			name: 'an unfilter lifts all filters, one with a name lifts only that one',
			rules: [
				'p, *, shop.hr.*, select, filter, own_tenant',
				'p, *, shop.hr.*, select, filter, own_region',
				'p, user:ana, shop.hr.a, select, unfilter',
				'p, user:ana, shop.hr.b, select, unfilter, own_tenant',
				'p, user:bob, shop.hr.c, select, unfilter',
			].join('\n'),
			filters: { a: '- named', b: 'own_region named', c: 'own_tenant own_region' },
		},
	]);

	test('claims become literals, and a missing one closes', async () => {
		const rules =
			'p, *, shop.hr.t, select, filter, own_tenant\np, *, shop.hr.t, select, filter, own_region\np, *, shop.hr.t.c, select, mask, m';
		const masks = `masks:\n  m: "value || claims.suffix"\nfilters:\n  own_tenant: "tenant = claims.tenant"\n  own_region: "region = any(claims.regions)"\n`;
		const policy = await policyOf(rules, { masks });
		const render = (claims: Record<string, ClaimValue>): string[] => {
			const access = policy.accessFor(identityOf(ANALYST, claims), 'shop');
			const all = [...access.filtersOf('hr', 't').filters, access.readColumn('hr', 't', 'c').mask];
			return all.map((expression) => (expression === undefined ? '' : printPolicy(expression.tree, RENDERING)));
		};
		expect(render({})).toEqual(['(FALSE)', '(FALSE)', '(NULL)']);
		expect(render({ tenant: "a'b\\", regions: ['e"u', "x'", 'b\\'], suffix: 5 })).toEqual([
			`((t."tenant" OPERATOR(pg_catalog.=) 'a''b\\'))`,
			`((t."region" OPERATOR(pg_catalog.=) ANY ('{"e\\"u","x''","b\\\\"}')))`,
			`((t.v OPERATOR(pg_catalog.||) '5'))`,
		]);
		expect(render({ tenant: 'nul\0', regions: [], suffix: Number.NaN })).toEqual([
			'(FALSE)',
			`((t."region" OPERATOR(pg_catalog.=) ANY ('{}')))`,
			'(NULL)',
		]);
		expect(render({ tenant: true, regions: '{a,b}', suffix: '\ud800' })).toEqual([
			`((t."tenant" OPERATOR(pg_catalog.=) 'true'))`,
			`((t."region" OPERATOR(pg_catalog.=) ANY ('{"{a,b}"}')))`,
			'(NULL)',
		]);
	});
});

test('the example of the format is read as it says', async () => {
	const rules = `
    p, *,             shop,                       connect, allow
    p, role:analyst,  shop.hr.employees,          select,  allow
    p, role:analyst,  shop.hr.employees,          select,  filter, own_tenant
    p, role:analyst,  shop.hr.employees.ssn,      select,  mask,   ssn_last4
    p, role:analyst,  shop.hr.employees.salary,   select,  mask,   nothing
    p, role:analyst,  shop.hr.employees.photo,    select,  deny
    p, role:analyst,  shop.hr.secrets,            *,       deny
    p, role:analyst,  shop.public.*,              select,  allow
    p, role:analyst,  shop.public.headcount(),    execute, allow
    p, role:auditor,  shop.hr.employees.*,        select,  unmask
    g, group:data-team, role:analyst
    g, user:ana, role:auditor
`;
	const masks = `
    masks:
      ssn_last4: "'XXX-XX-' || right(value, 4)"
      email: "left(value, 1) || '***@' || split_part(value, '@', 2)"
      nothing: "null"
      salary_band: "round(value / 10000) * 10000"
    filters:
      own_tenant: "tenant = claims.tenant"
`;
	const policy = await policyOf(rules, { masks });
	const analyst = policy.accessFor(identityOf(['user:ben', 'group:data-team'], { tenant: 'acme' }), 'shop');
	const auditor = policy.accessFor(identityOf(['user:ana', 'group:data-team'], { tenant: 'acme' }), 'shop');
	const stranger = policy.accessFor(identityOf(['user:zoe']), 'shop');
	for (const access of [analyst, auditor, stranger]) expect(access.onDatabase('connect').allowed).toBe(true);
	expect(stranger.onRelation('hr', 'employees', 'select').allowed).toBe(false);
	for (const access of [analyst, auditor]) {
		expect(access.readColumn('hr', 'employees', 'name')).toMatchObject({ allowed: true });
		expect(access.readColumn('hr', 'employees', 'photo')).toMatchObject({ allowed: false, denied: true });
		expect(access.filtersOf('hr', 'employees').filters.map((filter) => filter.name)).toEqual(['own_tenant']);
		expect(access.onRelation('hr', 'secrets', 'select')).toMatchObject({ allowed: false, denied: true });
		expect(access.onFunction('public', 'headcount', [], 'execute').allowed).toBe(true);
	}
	expect(analyst.readColumn('hr', 'employees', 'ssn').mask?.name).toBe('ssn_last4');
	expect(analyst.readColumn('hr', 'employees', 'salary').mask?.name).toBe('nothing');
	expect(auditor.readColumn('hr', 'employees', 'ssn').mask).toBeUndefined();
});

describe('one Access', () => {
	const rules =
		'p, role:analyst, shop.hr.t, select, allow\np, *, shop.hr.t, select, filter, own_tenant\ng, group:data, role:analyst';

	test('is shared by identities that get the same answers, and by no others', async () => {
		const policy = await policyOf(rules);
		const base = policy.accessFor(identityOf(['user:a', 'group:data'], { tenant: 'x', unused: 1 }), 'shop');
		const same = policy.accessFor(
			identityOf(['user:b', 'role:analyst', 'group:unheard'], { unused: 2, tenant: 'x' }),
			'shop',
		);
		expect(same).toBe(base);
		const others = [
			policy.accessFor(identityOf(['user:a', 'group:data'], { tenant: 'y' }), 'shop'),
			policy.accessFor(identityOf(['user:a', 'group:data'], {}), 'shop'),
			policy.accessFor(identityOf(['user:a', 'group:data'], { tenant: ['x'] }), 'shop'),
			policy.accessFor(identityOf(['user:a'], { tenant: 'x' }), 'shop'),
			policy.accessFor(identityOf(['user:a', 'group:data'], { tenant: 'x' }), 'other'),
		];
		expect(new Set([base, ...others].map((access) => access.shape)).size).toBe(6);
	});

	test('is not fooled by names that look like other names', async () => {
		const policy = await policyOf(
			'p, role:admin, shop.hr.t, select, allow\np, user:root, shop.hr.t, select, allow\ng, user:boss, role:admin',
		);
		for (const who of [
			['user:x", "role:admin'],
			['user:admin'],
			['group:admin'],
			['user:*'],
			['user:role:admin'],
			['group:root'],
			['role:boss'],
			['user:__proto__'],
		]) {
			const access = policy.accessFor(identityOf(who), 'shop');
			expect([who, ask(access, 'select hr.t').allowed]).toEqual([who, false]);
		}
	});

	test('does not take inherited properties for claims', async () => {
		const policy = await policyOf('p, *, shop.hr.t, select, filter, f', {
			masks: `filters:\n  f: "a = claims.constructor or b = claims.tostring"\n`,
		});
		const filter = policy.accessFor(identityOf(ANALYST), 'shop').filtersOf('hr', 't').filters[0];
		expect(filter?.tree).toEqual({ node: 'word', word: 'FALSE' });
	});

	test('gives the same answer object again', async () => {
		const access = (await policyOf(rules)).accessFor(identityOf(ANALYST), 'shop');
		expect(access.onRelation('hr', 't', 'select')).toBe(access.onRelation('hr', 't', 'select'));
		expect(access.readColumn('hr', 't', 'c')).toBe(access.readColumn('hr', 't', 'c'));
		expect(access.onColumn('hr', 't', 'c', 'select')).not.toBe(access.readColumn('hr', 't', 'c'));
	});
});
