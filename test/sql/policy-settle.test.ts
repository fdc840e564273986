/** Masks and filters mean the same whatever the session has set: what they give under odd settings is what they give under none. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CatalogSnapshot } from '../../src/catalog/snapshot.ts';
import { isHarmlessFunctionName } from '../../src/catalog/safety.ts';
import { compileExpression } from '../../src/policy/expression.ts';
import { prepareReading } from '../../src/policy/expression-reading.ts';
import { printPolicy } from '../../src/sql/policy-print.ts';
import { settle } from '../../src/sql/policy-settle.ts';
import { quoteIdentifier } from '../../src/sql/quote.ts';
import type { PolicyTree } from '../../src/stages.ts';
import { settingProblems } from '../../src/cli/setting-fit.ts';
import { formatProblem } from '../../src/policy/problem.ts';
import { identityOf, policyOf } from '../policy/support.ts';
import { type Bench, openBench, withOther } from './bench.ts';

/** Columns of every type that a setting has to do with, and of others beside them. */
const COLUMNS = {
	id: 'int',
	n: 'numeric',
	f: 'float8',
	g: 'float4',
	t: 'text',
	v: 'varchar(30)',
	d: 'date',
	s: 'timestamp',
	z: 'timestamptz',
	c: 'time',
	i: 'interval',
	b: 'bytea',
	j: 'jsonb',
	days: 'date[]',
	words: 'text[]',
	span: 'tstzrange',
	own: 'zoned',
	mood: 'mood',
	moments: 'timestamptz[]',
	stay: 'stay',
} as const;

const SETUP = `
create schema hr;
create domain zoned as timestamptz;
create type mood as enum ('good', 'bad');
create type stay as range (subtype = timestamptz);
create table hr.t (${Object.entries(COLUMNS)
	.map(([name, type]) => `${name} ${type}`)
	.join(', ')});
insert into hr.t select k, k * 1.25, k * 1.25::float8, k * 1.5::float4, '2024-03-0' || k, '2024-03-3' || (k % 2) || ' 02:30', d, d + time '23:30', z,
	time '23:30', interval '1 day 02:00' * k, 'abcd', jsonb_build_object('at', '2024-03-31 12:00:00', 'n', k), array[d, d + 1], array['a', 'b'],
	tstzrange(z, z + interval '40 hours'), z, 'good',
	array[z, d::timestamptz], stay(z, z + interval '40 hours')
from (values (1, date '2024-03-30', timestamptz '2024-03-30 23:10+00'), (2, '2024-03-31', '2024-03-31 00:30+00'),
	(3, '1883-11-18', '1883-11-18 12:00+00'), (4, '2024-10-27', '2024-10-27 01:30+00'), (5, '0044-03-15 BC', '0044-03-15 10:00+00 BC'),
	(6, '2023-12-31', '2023-12-31 23:30+00'), (7, null, null)) w (k, d, z);
`;

/** What a session may set, beside nothing. */
const SETTINGS: readonly (readonly string[])[] = [
	["set timezone = 'Etc/GMT+12'"],
	["set timezone = 'Pacific/Kiritimati'", "set datestyle = 'SQL, DMY'", "set intervalstyle = 'iso_8601'"],
	["set timezone = 'UTC-12'", "set datestyle = 'German'", 'set extra_float_digits = -14'],
	[
		"set timezone = 'America/St_Johns'",
		"set datestyle = 'Postgres, YMD'",
		"set intervalstyle = 'sql_standard'",
		"set bytea_output = 'escape'",
		'set xmloption = document',
	],
	[
		'set extra_float_digits = 0',
		"set timezone_abbreviations = 'Australia'",
		"set timezone = 'EST5EDT'",
		'set quote_all_identifiers = on',
	],
];

/** Expressions that some setting would move. */
const MOVED = `
	z >= '2024-03-31' | z < '2024-03-31 01:00' | z::date | z::timestamp | z::time | z::date - current_date | z > d | d <= z | s < z | z > s | d = z
	z::text | left(z::text, 13) | z || '' | '' || s | concat(z, d) | concat_ws('-', s, b) | d::text | s::varchar(9) | b::text | quote_literal(z) | format('%s', d)
	to_json(z)::text | to_jsonb(z) | jsonb_build_object('at', z) | json_build_array(f)::text | to_jsonb(f) | f::text | g || '' | f::varchar(5)
	date_trunc('day', z) | date_trunc('day', z, 'UTC') | date_trunc('month', d) | date_part('hour', z) | extract(day from z) | extract(hour from own) | own::date
	to_char(z, 'YYYY-MM-DD HH24') | age(z) | age(z, '2020-01-01') | age(s) | age(z, s) | current_date | localtimestamp::date | now()::date | current_date - 1
	z + interval '1 day' | z - interval '1 month' | z + i | interval '25 days' + z | z - i | z at time zone 'UTC' | s at time zone 'UTC' | timezone('UTC', z)
	s::timestamptz | d::timestamptz | (t || ' 10:00')::timestamptz | v::timestamptz | make_timestamptz(2024, 3, 31, 2, 30, 0)
	make_timestamptz(2024, 3, 31, 2, 30, 0, 'UTC') | coalesce(d, z) | case when id > 3 then d else z end | greatest(s, z) | z in ('2024-03-31 00:10', '2024-03-30')
	z between '2024-03-31' and '2024-04-01' | span @> '2024-03-31'::timestamptz | lower(span)::date | lower(span) > '2024-03-31' | z - d | z - '2024-01-01' | d - z
	z = any(array['2024-03-31 00:30 UTC'::timestamptz, d]) | array[z::text, d::text] | date(z) | timestamp '2024-03-31 02:30'::timestamptz | nullif(z::date, d)
	date_trunc('week', z)::date | least(z, '2024-03-31 12:00') | own || '' | own > '2024-03-31 01:30'
	(z at time zone 'UTC')::date | (s at time zone 'Europe/Berlin')::date | extract(epoch from z::date)
	coalesce(z, 'infinity')::text | coalesce(d, 'infinity') || '' | to_jsonb(coalesce(own, '-infinity')) | z + '1 day 1 hour' | d + c < z | z::timestamp(0) | (z::date + 1)::timestamptz | timestamptz(d) | timestamptz(d, c) | to_jsonb(d) || to_jsonb(z)
	array_position(moments, d) | d = moments[1] | (array_append(moments, d))[3] > z | (moments || d)[3] > z | width_bucket(d, moments)
	lower(stay) > '2024-03-31' | stay @> '2024-03-31'::date::timestamptz | lower(stay)::date
	stay @> z and upper(stay) > '2024-04-01 17:00'
`;

/** Expressions that none does. */
const SAME = `
	z >= '2024-03-31 00:00+00' | z >= now() - interval '9 hours' | d >= '2024-03-31' | s < '2024-03-31 02:30' | d + 1 | d - d | z - z | s + interval '1 day'
	t = 'x' | n::text | right(v, 4) | id::text || 'x' | t || id | md5(t) | j ->> 'at' | (j -> 'n')::int | words[1] | 'a' = any(words) | words && '{a,c}' | days[1]
	d = any('{2024-03-31,2024-03-30}') | to_char(d, 'YYYY') | to_char(n, 'FM990.00') | to_date(t, 'YYYY-MM-DD') | date_part('year', d) | extract(epoch from z)
	mood = 'good' | mood::text | i > '1 day' | i = '-1 day' | i * 2 | extract(day from i) | c > '10:00' | upper_inf(span) | isempty(span) | encode(b, 'hex') | length(b)
	round(f::numeric, 2) | round(n / 10) * 10 | coalesce(v, t, 'x') | greatest(id, 2.5) | case when t like '2024%' then 1 end | to_timestamp(id) | jsonb_build_object('n', n)
	date_bin('15 minutes', z, '2024-01-01 00:00+00') | isfinite(z) | concat(t, id, v) | array_to_string(words, ',') | to_tsvector('pg_catalog.english', t)::text
	'0'::money = 0::money | span = 'empty' | timestamptz '2024-03-31 02:30+01' | make_date(2024, 3, 31) | z = z | own = z | d in ('2024-03-31') | substring(t from 1 for 4) | hashtext(v) | t::date - 1 | v::date
	encode(sha256(convert_to(t, 'UTF8')), 'hex') | lpad(id::text, 3, '0') | regexp_replace(t, '[0-9]', 'x', 'g') | 'abc' || null | date '2024-03-31' - 7
`;

/** Expressions that are refused, with a part of the reason. */
const REFUSED: Readonly<Record<string, string>> = {
	"d = '01/02/2024'": 'write dates as',
	"d = 'today'": 'write dates as',
	"z > 'now'": 'write moments as',
	"z > '2024-01-01 EST'": 'write moments as',
	"i > '-1 2:03:04'": 'write - before an interval',
	'i::text': 'the text of interval means what the session',
	"i || ''": 'the text of interval',
	'concat(days)': 'the text of date[]',
	"array_to_string(days, ',')": 'the text of date[]',
	'to_jsonb(days)': 'JSON of date[]',
	'span::text': 'the text of tstzrange',
	"span @> '[2024-01-01,2024-02-01)'": 'a literal that is read as tstzrange',
	"z at time zone 'EST'": 'the zone "EST"',
	'z at time zone t': 'a zone that is computed',
	"to_char(z, 'HH24 TZ')": 'TZ in a format of to_char',
	"to_char(d, 'TMMonth')": 'TM in a format of to_char',
	"to_char(n, '9D9')": 'D in a format of to_char',
	'to_char(z, t)': 'a format of to_char that is computed',
	"to_timestamp(t, 'YYYY')": 'the function to_timestamp',
	'extract(timezone from z)': 'a field of extract',
	current_time: 'take localtime',
	'c::timetz': 'a cast of time to timetz',
	'n::money': 'a cast of numeric to money',
	"'1'::money": 'a literal that is read as money',
	't::money': 'text read as money',
	"current_setting('TimeZone') = t": 'claims.NAME',
	"has_table_privilege('t', 'select')": 'the function has_table_privilege',
	'current_schema() = t': 'the function current_schema',
	'quote_ident(t)': 'the function quote_ident',
	"jsonb_path_exists_tz(j, '$.at')": 'the function jsonb_path_exists_tz',
	't::xml is null': 'cast to xml',
	'timeofday()': 'take now()',
	"format('%I', t) = t": '%I in a format',
	"format(t, 'x') = t": 'a format that is computed',
};

let bench: Bench;
let catalog: CatalogSnapshot;
beforeAll(async () => {
	await prepareReading();
	bench = await openBench({ setup: SETUP, rules: 'p, *, db, connect, allow', who: identityOf(['user:ana'], {}) });
	catalog = bench.catalog.snapshot();
});
afterAll(async () => {
	await bench?.close();
});

function compiled(text: string): PolicyTree {
	return compileExpression('x', text, { kind: 'filter', isHarmlessFunction: isHarmlessFunctionName }).tree;
}

function print(tree: PolicyTree): string {
	return printPolicy(tree, { column: quoteIdentifier });
}

function settled(text: string, timeZone: string): string {
	const relation = catalog.relation('hr', 't');
	const column = (name: string): number => relation?.columns.find((one) => one.name === name)?.typeOid ?? 0;
	return print(settle(compiled(text), { catalog: withOther(catalog, 'timeZone', () => timeZone), column }));
}

/** Split at | that is no part of ||. */
function expressions(text: string): readonly string[] {
	return text
		.split('\n')
		.flatMap((line) => line.split(/(?<!\|)\|(?!\|)/))
		.map((one) => one.trim())
		.filter((one) => one !== '');
}

/** Which of the second list differ, under the session's settings, from what the first gave under those of the server with that zone. */
async function differing(
	texts: readonly string[],
	zone: string,
	sql: (text: string) => string,
): Promise<Set<string>[]> {
	const { client } = bench;
	await client.query('reset all');
	await client.query(`set timezone = '${zone}'`);
	const plain = texts.map((text, at) => `${print(compiled(text))} as r${at}`);
	await client.query(`create temp table was as select id as k, ${plain.join(', ')} from hr.t`);
	const found: Set<string>[] = [];
	try {
		for (const settings of SETTINGS) {
			for (const one of settings) await client.query(one);
			const same = texts.map(
				(text, at) => `coalesce(bool_and(r${at} is not distinct from ${sql(text)}), true) as s${at}`,
			);
			const { rows } = await client.query<Record<string, boolean>>(
				`select ${same.join(', ')} from hr.t join was on k = id`,
			);
			found.push(new Set(texts.filter((_, at) => rows[0]?.[`s${at}`] !== true)));
			await client.query('reset all');
		}
	} finally {
		await client.query('drop table was; reset all');
	}
	return found;
}

describe('under any settings of the session', () => {
	for (const zone of ['Europe/Berlin', 'UTC', 'America/New_York', 'PRC']) {
		test(`an expression gives what it gives in a session of ${zone}`, async () => {
			const all = [...expressions(MOVED), ...expressions(SAME)];
			const found = await differing(all, zone, (text) => settled(text, zone));
			expect(found.map((texts) => [...texts])).toEqual(SETTINGS.map(() => []));
		});
	}

	test('each of them would move, as it is written', async () => {
		const moved = expressions(MOVED);
		const found = await differing(moved, 'Europe/Berlin', (text) => print(compiled(text)));
		expect(moved.filter((text) => !found.some((texts) => texts.has(text)))).toEqual([]);
		const same = await differing(expressions(SAME), 'Europe/Berlin', (text) => print(compiled(text)));
		expect(same.flatMap((texts) => [...texts])).toEqual([]);
	});
});

describe('what cannot be written so', () => {
	for (const [text, want] of Object.entries(REFUSED)) {
		test(text, () => expect(() => settled(text, 'UTC')).toThrow(want));
	}
});

describe('is told before a statement is refused for it', () => {
	const RULES = `p, *, db, connect, allow
p, *, db.hr.*, select, allow
p, *, db.hr.*.i, select, mask, length
p, *, db.hr.t, select, filter, long_ago
p, *, db.hr.t, select, filter, mine
p, *, db.hr.t, select, filter, fine
p, *, db.other.*, select, filter, long_ago`;
	const MASKS = `masks:
  length: "left(value::text, 1)::interval"
filters:
  long_ago: "d < '31.12.2020'"
  mine: "t = claims.t and c::timetz is null"
  fine: "z < '2020-12-31' and t = claims.t"`;

	test('with the rule, and what to write', async () => {
		const policy = await policyOf(RULES, { masks: MASKS });
		const told = (await settingProblems(policy.expressionsIn('db'), catalog)).map(formatProblem);
		expect(told).toEqual([
			expect.stringMatching(/^policy.csv:3: .*hr.t cannot be read .* the mask length of i the text of interval/),
			expect.stringMatching(/^policy.csv:4: .*the filter long_ago the literal "31.12.2020" .* write dates as/),
			expect.stringMatching(/^policy.csv:5: .*the filter mine a cast of time to timetz/),
		]);
	});

	test('and sessions have their turn meanwhile, however many relations there are', async () => {
		const policy = await policyOf(RULES, { masks: MASKS });
		const relation = catalog.relation('hr', 't');
		if (relation === undefined) throw new Error('hr.t is missing');
		const many = withOther(catalog, 'relations', () => () => Array.from({ length: 20_000 }, () => relation));
		let had = false;
		setImmediate(() => {
			had = true;
		});
		await settingProblems(policy.expressionsIn('db'), many);
		expect(had).toBe(true);
	});
});
