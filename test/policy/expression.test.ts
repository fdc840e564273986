/** Expressions of masks.yaml: what is taken and how it is printed, what is refused, and that a database cannot hijack it. */
import { parseSync } from 'libpg-query';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isHarmlessFunctionName } from '../../src/catalog/safety.ts';
import { bindExpression, compileExpression, type ExpressionKind } from '../../src/policy/expression.ts';
import { rowFunctions } from '../../src/policy/expression-functions.ts';
import { prepareReading } from '../../src/policy/expression-reading.ts';
import { printPolicy } from '../../src/sql/policy-print.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';

const CLAIMS = { tenant: 'acme', level: 3, tenants: ['acme', 'globex'], 'odd name': "it's" };

const RULE = { file: 'policy.csv', line: 1, text: '' };

beforeAll(() => prepareReading());

function print(text: string, kind: ExpressionKind = 'mask'): string {
	const compiled = compileExpression('x', text, { kind, isHarmlessFunction: isHarmlessFunctionName });
	return printPolicy(bindExpression(compiled, CLAIMS, RULE).tree, {
		value: 'v',
		column: (name) => `"${name.replaceAll('"', '""')}"`,
	});
}

function why(text: string, kind: ExpressionKind = 'mask'): string {
	try {
		return `taken as ${print(text, kind)}`;
	} catch (error) {
		return error instanceof Error ? error.message : String(error);
	}
}

const op = (symbol: string): string => `OPERATOR(pg_catalog.${symbol})`;

describe('what is taken', () => {
	const cases: Readonly<Record<string, string>> = {
		null: '(NULL)',
		"'it''s' || value": `(('it''s' ${op('||')} v))`,
		"E'a\\nb'": "('a\nb')",
		"left(value, 1) || '***'": `((pg_catalog.left(v, 1) ${op('||')} '***'))`,
		'round(value / 10000) * 10000': `((pg_catalog.round((v ${op('/')} 10000)) ${op('*')} 10000))`,
		'-value': `((${op('-')} v))`,
		'a - 1 > -2': `((("a" ${op('-')} 1) ${op('>')} (-2)))`,
		'not a and (b or c) is true': '(((NOT "a") AND (("b" OR "c") IS TRUE)))',
		'tenant = claims.tenant': `(("tenant" ${op('=')} 'acme'))`,
		'level <= claims.level': `(("level" ${op('<=')} '3'))`,
		'a = claims."odd name"': `(("a" ${op('=')} 'it''s'))`,
		'tenant = any(claims.tenants)': `(("tenant" ${op('=')} ANY ('{"acme","globex"}')))`,
		'tenant <> all(claims.tenants)': `(("tenant" ${op('<>')} ALL ('{"acme","globex"}')))`,
		'tenant in (claims.tenants)': `((("tenant" ${op('=')} ANY ('{"acme","globex"}'))))`,
		"tenant not in (claims.tenants, 'x')": `((NOT (("tenant" ${op('=')} ANY ('{"acme","globex"}')) OR ("tenant" ${op('=')} 'x'))))`,
		'tenants && claims.tenants': `(("tenants" ${op('&&')} '{"acme","globex"}'))`,
		'value between 1 and 2': `(((v ${op('>=')} 1) AND (v ${op('<=')} 2)))`,
		'value not between 1 and 2': `((NOT ((v ${op('>=')} 1) AND (v ${op('<=')} 2))))`,
		"value like 'x%'": `((v ${op('~~')} 'x%'))`,
		"value not ilike 'x%'": `((v ${op('!~~*')} 'x%'))`,
		'value != 1': `((v ${op('<>')} 1))`,
		"case value when 1 then 'one' else 'more' end": `((CASE WHEN (v ${op('=')} 1) THEN 'one' ELSE 'more' END))`,
		'case when value is null then 1 end': '((CASE WHEN (v IS NULL) THEN 1 END))',
		"coalesce(value, 'x')": "(COALESCE(v, 'x'))",
		"nullif(value, 'x')": `((CASE WHEN (v ${op('=')} 'x') THEN NULL ELSE v END))`,
		'greatest(value, 1)': '(GREATEST(v, 1))',
		'value::int': '(COALESCE(CAST(v AS pg_catalog.int4)))',
		'cast(value as numeric(10, 2))': '(COALESCE(CAST(v AS pg_catalog.numeric(10, 2))))',
		'value::char': '(COALESCE(CAST(v AS pg_catalog.bpchar(1))))',
		'value::text[]': '(COALESCE(CAST(v AS pg_catalog.text[])))',
		"interval '1 day'": "(CAST('1 day' AS pg_catalog.interval))",
		'extract(year from value)': "(pg_catalog.extract('year', v))",
		'substring(value from 2 for 3)': '(pg_catalog.substring(v, 2, 3))',
		"overlay(value placing '**' from 2)": "(pg_catalog.overlay(v, '**', 2))",
		"position('@' in value)": "(pg_catalog.position(v, '@'))",
		'trim(value)': '(pg_catalog.btrim(v))',
		"value at time zone 'UTC'": "(pg_catalog.timezone('UTC', v))",
		"value -> 'a' ->> 0": `(((v ${op('->')} 'a') ${op('->>')} 0))`,
		"to_tsvector('pg_catalog.english', value)": "(pg_catalog.to_tsvector('pg_catalog.english', v))",
		'value[1]': '(((v)[1]))',
		'array[1, 2]': '(ARRAY[1, 2])',
		current_date: '(CURRENT_DATE)',
		'"Odd ""col""" = 1': `(("Odd ""col""" ${op('=')} 1))`,
		'"VALUE"': '(COALESCE("VALUE"))',
		'a -- and so on': '(COALESCE("a"))',
		'1.50': '(1.5)',
	};
	for (const [text, want] of Object.entries(cases)) test(text, () => expect(print(text)).toBe(want));

	test('value is a column like any other in a filter', () => {
		expect(print('value = 1', 'filter')).toBe(`(("value" ${op('=')} 1))`);
	});

	test('everything that is printed is one expression to PostgreSQL', () => {
		for (const text of Object.keys(cases)) {
			const tree = parseSync(`select ${print(text)} from t`) as {
				stmts: { stmt: { SelectStmt: { targetList: unknown[] } } }[];
			};
			expect(tree.stmts).toHaveLength(1);
			expect(tree.stmts[0]?.stmt.SelectStmt.targetList).toHaveLength(1);
		}
	});
});

describe('what is refused', () => {
	const cases: Readonly<Record<string, string>> = {
		'': 'Unexpected end of input',
		'value +': 'Unexpected end of input',
		'value -1': 'operators need spaces around them',
		'value; select 1': 'Syntax error',
		'value) or (true': 'Syntax error',
		'(select 1)': 'subqueries are not allowed',
		'a in (select 1)': 'subqueries are not allowed',
		'exists (select 1)': 'subqueries are not allowed',
		'array(select 1)': 'subqueries are not allowed',
		'a = any(select 1)': 'subqueries are not allowed',
		'value = $1': 'parameter $1 has no value here',
		default: 'default is not allowed here',
		'(a, b) = (1, 2)': 'a list in parentheses stands only after IN',
		'*': '* is not allowed',
		'count(*)': '* is not allowed',
		'sum(value)': 'function sum works over rows',
		'sum(value) over ()': 'aggregates and window functions are not allowed',
		'count(distinct value)': 'aggregates and window functions are not allowed',
		'unnest(value)': 'function unnest works over rows',
		"to_tsvector(value) @@ to_tsquery('pg_catalog.simple', 'x')": 'function to_tsvector takes what the session chooses',
		"to_tsvector('english', value) is null": 'function to_tsvector takes what the session chooses',
		"search @@ plainto_tsquery('x')": 'function plainto_tsquery takes what the session chooses',
		'search @@ to_tsquery(claims.level)': 'function to_tsquery takes what the session chooses',
		"ts_headline(value, to_tsquery('pg_catalog.simple', 'x'))": 'function ts_headline takes what the session chooses',
		"websearch_to_tsquery('x') is null": 'function websearch_to_tsquery takes what the session chooses',
		'jsonb_to_tsvector(value, \'"all"\') is null': 'function jsonb_to_tsvector takes what the session chooses',
		'get_current_ts_config() is null': "takes the session's own text search configuration",
		'pg_sleep(1)': 'function pg_sleep acts instead of computing',
		'pg_advisory_lock(1)': 'function pg_advisory_lock acts instead of computing',
		"nextval('s')": 'function nextval is not on the list',
		"set_config('a', 'b', true)": 'function set_config is not on the list',
		"query_to_xml('select 1', true, true, '')": 'function query_to_xml is not on the list',
		'no_such_function(value)': 'function no_such_function is not on the list',
		'row(1, 2)': 'function row is not on the list',
		'hr.mask(value)': 'function hr.mask: only built-in functions are allowed',
		'a operator(hr.+) b': 'operators of schema hr are not allowed',
		'value::regclass': 'cast to regclass',
		'value::hr.mood': 'cast to hr.mood',
		'value::"char"': 'cast to char',
		'value::float(3)': 'type float takes no length',
		'hr.employees.ssn': 'only columns of the same row and claims.NAME',
		'employees.ssn': 'only columns of the same row and claims.NAME',
		'x.claims.tenant': 'only columns of the same row and claims.NAME',
		'claims.*': '* is not allowed',
		'any(claims.tenants)': 'any stands only after a comparison',
		current_user: "current_user is about the gateway's own session",
		session_user: "session_user is about the gateway's own session",
		'a = b is null': 'its meaning is not certain',
		"'x' || 1 + 2": 'its meaning is not certain',
		'value::time(3) with time zone': 'its meaning is not certain',
		"U&'d\\0061ta'": 'its meaning is not certain',
		'a = b = c': 'PostgreSQL does not take it',
		'12345678901234567890': 'too large to be exact',
		'0.12345678901234567890123': 'its meaning is not certain',
		'value \0': 'NUL',
		[`${'('.repeat(3000)}value`]: 'Unexpected end of input',
		[`value || ${"'x' || ".repeat(1000)} value`]: 'longer than',
	};
	for (const [text, want] of Object.entries(cases)) {
		test(text.slice(0, 60) || '(nothing)', () => expect(why(text)).toContain(want));
	}
});

describe('on a real server', () => {
	let database: TestDatabase;
	beforeAll(async () => {
		database = await createDatabase({
			setup: `
				create table t (v varchar, w text, n integer, m numeric, d date, ts timestamptz, a text[], j jsonb, b boolean, tenant varchar);
				insert into t values
					('123-45-6789', 'ana@example.com', 7, 12345.678, '2001-02-03', '2001-02-03 04:05:06Z', '{x,y}', '{"k": [1, 2]}', true, 'acme'),
					('', 'x', -3, 0, '1999-12-31', '1999-12-31 23:59:59Z', '{}', '{}', false, 'globex'),
					(null, null, null, null, null, null, null, null, null, null);
				create schema evil;
				create function evil.yes(varchar, varchar) returns boolean language sql immutable as 'select true';
				create function evil.yes(varchar, text) returns boolean language sql immutable as 'select true';
				create function evil.yes(integer, integer) returns boolean language sql immutable as 'select true';
				create function evil.no(varchar, varchar) returns varchar language sql immutable as 'select $1';
				create function evil.no(varchar, text) returns varchar language sql immutable as 'select $1';
				create operator evil.= (leftarg = varchar, rightarg = varchar, function = evil.yes);
				create operator evil.= (leftarg = varchar, rightarg = text, function = evil.yes);
				create operator evil.= (leftarg = integer, rightarg = integer, function = evil.yes);
				create operator evil.>= (leftarg = integer, rightarg = integer, function = evil.yes);
				create operator evil.<= (leftarg = integer, rightarg = integer, function = evil.yes);
				create operator evil.~~ (leftarg = varchar, rightarg = text, function = evil.yes);
				create operator evil.|| (leftarg = varchar, rightarg = text, function = evil.no);
				create function evil.left(varchar, integer) returns varchar language sql immutable as 'select $1';
				create function evil.right(varchar, integer) returns varchar language sql immutable as 'select $1';
				create function evil.btrim(varchar) returns varchar language sql immutable as 'select ''hijacked''::varchar';
				create domain evil.int4 as text;
				create domain evil.text as varchar;
			`,
		});
	});
	afterAll(() => database?.drop());

	/** Each expression by its value for every row, as the author wrote it and as it was printed. */
	const EXPRESSIONS = [
		"'XXX-XX-' || right(v, 4)",
		"left(w, 1) || '***@' || split_part(w, '@', 2)",
		'round(m / 10000) * 10000',
		'tenant = claims.tenant',
		'tenant = any(claims.tenants)',
		"tenant in ('acme', 'x')",
		"tenant not in ('acme', 'x')",
		'tenant in (claims.tenant)',
		'n between 1 and 7',
		'n not between -3 and 0',
		"v like '123%'",
		"v not like '123%'",
		"w ilike 'ANA%'",
		"case tenant when 'acme' then 1 when 'globex' then 2 else 3 end",
		'case when n > 0 then v else w end',
		"coalesce(v, 'none')",
		"nullif(tenant, 'acme')",
		'nullif(n, 7)',
		'greatest(n, 0)',
		'n::text',
		'cast(m as numeric(10, 1))',
		'v::char',
		'n - 1',
		'-n',
		'n % 2 = 0 or b is not true',
		"d + interval '1 day'",
		'extract(year from d)',
		"date_trunc('year', ts)",
		"ts at time zone 'UTC'",
		'substring(v from 2 for 3)',
		'substring(w, 2)',
		"overlay(v placing '**' from 2)",
		"position('@' in w)",
		'trim(v)',
		'a[1]',
		"a @> array['x']",
		"j -> 'k' ->> 0",
		"j #>> '{k,1}'",
		'upper(substr(md5(v), 1, 8))',
		"to_char(d, 'YYYY')",
		'n <= claims.level',
		'array_length(a, 1)',
	];

	const withClaims = (text: string): string =>
		text
			.replaceAll('claims.tenants', "'{acme,globex}'")
			.replaceAll('claims.tenant', "'acme'")
			.replaceAll('claims.level', "'3'");

	async function values(expression: string, searchPath: string): Promise<unknown[]> {
		const rows = await database.sql(
			`set search_path = ${searchPath}; select (${expression})::pg_catalog.text as x from public.t as t`,
		);
		return rows.map((row) => row['x']);
	}

	for (const text of EXPRESSIONS) {
		test(`${text} means what its author wrote, whatever the search_path`, async () => {
			const written = withClaims(text);
			const wanted = await values(written, 'pg_catalog');
			const printed = print(text, 'filter');
			expect(await values(printed, 'pg_catalog')).toEqual(wanted);
			expect(await values(printed, 'evil, pg_catalog')).toEqual(wanted);
			expect(await values(printed, "''")).toEqual(wanted);
		});
	}

	test('the look-alikes would have hijacked what the author wrote', async () => {
		const hijacked = EXPRESSIONS.filter((text) => !text.includes('substring(') && !text.includes('position('));
		let different = 0;
		for (const text of hijacked) {
			const wanted = await values(withClaims(text), 'pg_catalog');
			const got = await values(withClaims(text), 'evil, pg_catalog').catch(() => []);
			if (JSON.stringify(got) !== JSON.stringify(wanted)) different++;
		}
		expect(different).toBeGreaterThan(8);
	});

	test('all aggregates, window functions and set-returning functions are known', async () => {
		const rows = await database.sql(
			`select distinct proname as name from pg_proc where pronamespace = 'pg_catalog'::regnamespace and (prokind in ('a', 'w') or proretset)`,
		);
		expect(rows.length).toBeGreaterThan(100);
		expect(rows.map((row) => String(row['name'])).filter((name) => !rowFunctions.has(name))).toEqual([]);
	});
});
