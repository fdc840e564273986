/** What a policy is refused for: every mistake, with file, line and reason. */
import { describe, expect, test } from 'vitest';
import { errorsOf, MASKS, MODEL, policyOf } from './support.ts';

interface Case {
	readonly name: string;
	readonly rules?: string;
	readonly masks?: string;
	readonly model?: string;
	/** Lines of the error, each at least in part; none for a policy that is taken. */
	readonly want: readonly string[];
}

function check(cases: readonly Case[]): void {
	for (const { name, rules = '', want, ...options } of cases) {
		test(name, async () => {
			const errors = await errorsOf(rules, options);
			expect(errors.map((line, index) => line.includes(want[index] ?? '\0') || line)).toEqual(want.map(() => true));
		});
	}
}

describe('policy.csv', () => {
	check([
		{
			name: 'what would not hold for a system relation is said, and a deny of the whole of it is fine',
			rules: [
				'p, *, shop.pg_catalog.pg_roles, select, deny',
				'p, *, shop.information_schema.*, select, deny',
				'p, *, shop.*.*.rolname, select, deny',
				'p, *, shop.pg_catalog.pg_roles.rolname, select, deny',
				'p, *, shop.pg_catalog.pg_roles.rolname, select, mask, nothing',
				'p, *, *.pg_catalog.*, select, filter, own_tenant',
				'p, *, shop.information_schema.tables, select, mask, nothing',
			].join('\n'),
			want: [
				'policy.csv:4: a system relation can be denied as a whole only: deny would not hold there',
				'policy.csv:5',
				'policy.csv:6',
				'policy.csv:7',
			],
		},
		{
			name: 'comments, blank lines, a byte order mark, CRLF, trailing blanks and quoted fields are fine',
			rules:
				'\ufeff# who\r\n\r\n  p , * , shop , connect , allow \r\n"p","role:a","shop.hr.t","select","deny"\r\n   # more\np, *, "shop.f.g(integer,text)", execute, allow',
			want: [],
		},
		{
			name: 'all mistakes are told, each with its line',
			rules: [
				'p, *, shop, connect, alow',
				'',
				'p, *, shop.hr, select, allow',
				'p, *, shop.hr.t, selct, allow',
				'x, *, shop',
				'p, *, shop.hr.t, select, allow, extra',
				'p, *, shop.hr.t, select, mask',
				'p, *, shop.hr.t, select',
				'p, *, shop.hr.t, select, allow, , ',
			].join('\n'),
			want: [
				'policy.csv:1: unknown effect "alow"',
				'policy.csv:3: object shop.hr has 2 parts',
				'policy.csv:4: unknown action "selct"',
				'policy.csv:5: a line starts with p or g, not with "x"',
				'policy.csv:6: allow takes no argument',
				'policy.csv:7: mask needs the name of a mask',
				'policy.csv:8: a rule is p, subject, object, action, effect',
				'policy.csv:9: a rule is p, subject, object, action, effect',
			],
		},
		{
			name: 'subjects',
			rules: [
				'p, ana, shop, connect, allow',
				'p, user:, shop, connect, allow',
				'p, user:*, shop, connect, deny',
				'p, User:ana, shop, connect, allow',
				'p, , shop, connect, allow',
				'g, user:ana, auditor',
				'g, user:ana, user:bob',
				'g, user:ana, *',
				'g, user:ana',
				'g, user:ana, role:a, extra',
			].join('\n'),
			want: [
				'policy.csv:1: "ana" is not user:NAME, role:NAME, group:NAME or *',
				'policy.csv:2: "user:" lacks a name',
				'policy.csv:3: user:*: the wildcard of a subject stands alone',
				'policy.csv:4: "User:ana" is not',
				'policy.csv:5: "" is not',
				'policy.csv:6: "auditor" is not role:NAME',
				'policy.csv:7: "user:bob" is not role:NAME',
				'policy.csv:8: the second of a link is role:NAME',
				'policy.csv:9: a link is g, member, role',
				'policy.csv:10: a link is g, member, role',
			],
		},
		{
			name: 'objects',
			rules: [
				'p, *, , connect, allow',
				'p, *, shop..t, select, allow',
				'p, *, shop.hr.t.c.d, select, allow',
				'p, *, my-shop, connect, allow',
				'p, *, shop.hr."t, select, allow',
				'p, *, shop.hr."t"x, select, allow',
				'p, *, shop.hr.x"t", select, allow',
				'p, *, shop.hr."", select, allow',
				'p, *, shop.hr.f(integer, execute, allow',
				'p, *, shop.f(), execute, allow',
				'p, *, shop.hr.f(integer;drop), execute, allow',
				'p, *, shop.hr.f(integer,*), execute, allow',
				'p, *, shop.hr.f(varchar(3)), execute, allow',
				'p, *, "shop.hr.f(integer,)", execute, allow',
				`p, *, shop.hr.${'x'.repeat(64)}, select, allow`,
				'p, *, "Shop", connect, deny',
				'p, *, shop.hr.f()x, execute, allow',
			].join('\n'),
			want: [
				'policy.csv:1: object "" has an empty part',
				'policy.csv:2: object shop..t has an empty part',
				'policy.csv:3: object shop.hr.t.c.d has 5 parts',
				'policy.csv:4: object my-shop: quote the part my-shop',
				'policy.csv:5: a quote is not closed',
				'policy.csv:6: object shop.hr."t"x: a part is either quoted as a whole or not at all',
				'policy.csv:7: object shop.hr.x"t": a part is either quoted as a whole or not at all',
				'policy.csv:8: an object part may not be empty',
				'policy.csv:9: a parenthesis is not closed',
				'policy.csv:10: function shop.f() must be written database.schema.function(types)',
				'policy.csv:11: argument type integer;drop',
				'policy.csv:12: argument type *',
				'policy.csv:13: argument type varchar(3)',
				'policy.csv:14: "" is not an argument type',
				'policy.csv:15: name xxx',
				'policy.csv:16: "Shop" loses its quotes as CSV',
				'policy.csv:17: object shop.hr.f()x lacks the closing parenthesis',
			],
		},
		{
			name: 'a name that only looks like another, as it has a character that nobody sees, is a mistake',
			rules: [
				'p, role:a, shop.hr.t\u200b, select, deny',
				'p, role:a\u00ad, shop.hr.t, select, deny',
				'g, user:\u202eb, role:a',
				'# what is said of it may have any: \u200b',
				'p, role:a, shop.hr.t\u200d, select, deny',
				'p, role:a, shop.hr.t\u3164, select, deny',
				'p, role:a, shop.hr.t\ufe0f, select, deny',
				'p, role:a, shop."\u0646\u06cc\u0645\u200c\u0641\u0627"."\u2764\ufe0f", select, deny',
			].join('\n'),
			want: [
				'policy.csv:1: the line has an invisible character, U+200B',
				'policy.csv:2: the line has an invisible character, U+00AD',
				'policy.csv:3: the line has an invisible character, U+202E',
				'policy.csv:5: the line has an invisible character, U+200D',
				'policy.csv:6: the line has an invisible character, U+3164',
				'policy.csv:7: the line has an invisible character, U+FE0F',
			],
		},
		{
			name: 'a blank of another kind in a name is a mistake like a blank, and beside a comma none',
			rules: [
				'p, role:a, shop.hr\u00a0.t, select, deny',
				'p, role:a, shop.hr.t\u3000.c, select, deny',
				'p,\u00a0role:a, shop.hr."t\u00a0u"\u00a0, select, deny',
			].join('\n'),
			want: [
				'policy.csv:1: object shop.hr\u00a0.t: quote the part',
				'policy.csv:2: object shop.hr.t\u3000.c: quote the part',
			],
		},
		{
			name: 'a narrowing rule that could never apply is a mistake',
			rules: [
				'p, *, shop, select, deny',
				'p, *, shop.hr.*, execute, deny',
				'p, *, shop.hr.f(), select, deny',
				'p, *, shop.hr.t.c, delete, deny',
				'p, *, shop, select, mask, nothing',
				'p, *, shop.hr.t.c, update, mask, nothing',
				'p, *, shop.hr.t.c, select, filter, own_tenant',
				'p, *, shop.hr.t, lock, filter, own_tenant',
				'p, *, shop.hr.f(), execute, filter, own_tenant',
			].join('\n'),
			want: [
				'policy.csv:1: select is an action on a relation or a column, and shop is a database',
				'policy.csv:2: execute is an action on a function, and shop.hr.* is a relation (a function is written shop.hr.*(*))',
				'policy.csv:3: select is an action on a relation or a column, and shop.hr.f() is a function',
				'policy.csv:4: delete is an action on a relation, and shop.hr.t.c is a column',
				'policy.csv:5: mask is for columns and relations, and shop is a database',
				'policy.csv:6: mask goes with the action select, not update',
				'policy.csv:7: filter is for relations, and shop.hr.t.c is a column',
				'policy.csv:8: filter goes with the action select, not lock',
				'policy.csv:9: filter is for relations, and shop.hr.f() is a function',
			],
		},
		{
			name: 'a mask or filter that is not in masks.yaml',
			rules: [
				'p, *, shop.hr.t.c, select, mask, own_tenant',
				'p, *, shop.hr.t, select, filter, nothing',
				'p, *, shop.hr.t.c, select, unmask, missing',
				'p, *, shop.hr.t, select, unfilter, missing',
				'p, *, shop.hr.t.c, select, unmask',
			].join('\n'),
			want: [
				'policy.csv:1: masks.yaml has no mask named "own_tenant"',
				'policy.csv:2: masks.yaml has no filter named "nothing"',
				'policy.csv:3: masks.yaml has no mask named "missing"',
				'policy.csv:4: masks.yaml has no filter named "missing"',
			],
		},
	]);

	test('a widening rule that could never apply is a warning, and so is a mask that no rule applies', async () => {
		const policy = await policyOf('p, *, shop, select, allow\np, *, shop.hr.t, lock, unfilter');
		expect(policy.warnings.map(({ file, line, reason }) => `${file}:${line} ${reason}`)).toEqual([
			'policy.csv:1 select is an action on a relation or a column, and shop is a database, so the rule does nothing',
			'policy.csv:2 unfilter goes with the action select, not lock, so the rule does nothing',
			'masks.yaml:2 no rule applies the mask ssn_last4',
			'masks.yaml:3 no rule applies the mask email',
			'masks.yaml:4 no rule applies the mask nothing',
			'masks.yaml:6 no rule applies the filter own_tenant',
			'masks.yaml:7 no rule applies the filter own_region',
		]);
	});
});

describe('masks.yaml', () => {
	check([
		{ name: 'may be empty', masks: '', want: [] },
		{ name: 'may hold empty sections', masks: 'masks:\nfilters: {}\n', want: [] },
		{ name: 'is YAML', masks: 'masks: [', want: ['masks.yaml:1: '] },
		{ name: 'is a map', masks: '- a', want: ['masks.yaml:1: masks.yaml holds a map'] },
		{
			name: 'every mistake with its line',
			masks: `maskz:
  a: "null"
masks:
  ok: "value"
  typed: 5
  bad name: "null"
  broken: "value +"
  sub: "(select 1)"
  fn: "pg_read_file(value)"
filters:
  - x
`,
			want: [
				'masks.yaml:1: unknown key "maskz"',
				'masks.yaml:5: mask typed: the expression has to be a string in quotes',
				'masks.yaml:6: mask bad name: the name has to be one word',
				'masks.yaml:7: mask broken: ',
				'masks.yaml:8: mask sub: subqueries are not allowed',
				'masks.yaml:9: mask fn: function pg_read_file is not on the list of harmless built-in functions',
				'masks.yaml:10: filters is a map from names to expressions',
			],
		},
		{
			name: 'a name that is there twice',
			masks: 'masks:\n  a: "null"\n  a: "value"\n',
			want: ['masks.yaml:3: Map keys must be unique'],
		},
		{
			name: 'a rule that names a broken mask has no mistake of its own',
			rules: 'p, *, shop.hr.t.c, select, mask, m',
			masks: 'masks:\n  m: "value +"\n',
			want: ['masks.yaml:2: mask m: '],
		},
		{
			name: 'mistakes of both files are told together',
			rules: 'p, *, shop, connect, alow',
			masks: 'masks:\n  m: "value +"\n',
			want: ['policy.csv:1: unknown effect', 'masks.yaml:2: mask m: '],
		},
	]);
});

describe('model.conf', () => {
	const without = (from: string, to: string): string => {
		expect(MODEL).toContain(from);
		return MODEL.replace(from, to);
	};
	const cases: readonly { readonly name: string; readonly model: () => string; readonly want: string }[] = [
		{ name: 'garbage', model: () => 'garbage', want: 'model.conf: ' },
		{ name: 'nothing', model: () => '', want: 'model.conf: missing required sections' },
		{
			name: 'no roles',
			model: () => without('g = _, _', 'g = _, _, _'),
			want: 'model.conf: the model must define g = _, _',
		},
		{
			name: 'other columns',
			model: () => without('p = subject, object, action, eft, argument', 'p = subject, object, action, eft'),
			want: 'model.conf: the model must define p = subject, object, action, eft, argument',
		},
		{ name: 'no m2', model: () => without('m2 = ', 'm3 = '), want: 'model.conf: the model must define m2' },
		{ name: 'a matcher that does not parse', model: () => without('m = is(', 'm = is(('), want: 'model.conf: ' },
		{ name: 'a function that is not there', model: () => without('m = is(', 'm = was('), want: 'model.conf: ' },
		{
			name: 'an effect that is not there',
			model: () => without('e = some(where (p.eft == allow)) &&', 'e = any &&'),
			want: 'model.conf: ',
		},
		{
			name: 'allow beats deny',
			model: () =>
				without('e = some(where (p.eft == allow)) && !some(where (p.eft == deny))', 'e = some(where (p.eft == allow))'),
			want: 'the model breaks a promise of the policy format: deny beats allow',
		},
		{
			name: 'what is not denied is allowed',
			model: () =>
				without('e = some(where (p.eft == allow)) && !some(where (p.eft == deny))', 'e = !some(where (p.eft == deny))'),
			want: 'the model breaks a promise of the policy format: a rule is for',
		},
		{
			name: 'a matcher without subject',
			model: () => without('m = is(r.who, p.subject) && ', 'm = '),
			want: 'a rule is for its subject only',
		},
		{
			name: 'a matcher without object',
			model: () => without('covers(p.object, r.object) && ', ''),
			want: 'a rule is for its object only',
		},
		{
			name: 'a matcher without action',
			model: () => without(" && (p.action == '*' || p.action == r.action)\n#", '\n#'),
			want: 'a rule is for its action only',
		},
		{
			name: 'protections of others',
			model: () => without('m2 = is(r.who, p2.subject) && ', 'm2 = '),
			want: 'protections apply to their subject',
		},
		{
			name: 'no filter on writes',
			model: () => without(" || p2.protection == 'filter'", ''),
			want: 'a filter holds whichever row action',
		},
	];
	for (const { name, model, want } of cases) {
		test(`${name} is refused`, async () => {
			const errors = await errorsOf('p, *, shop, connect, allow', { model: model() });
			expect(errors).toHaveLength(1);
			expect(errors[0]).toContain(want);
		});
	}

	test('the shipped one is taken', async () => {
		expect(await errorsOf('', { masks: MASKS })).toEqual([]);
	});
});
