/** Catalogues for whom columns are hidden: they answer as on a table from which those columns were dropped. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { viewsOfColumns } from '../../src/catalog/data/views.ts';
import { relationSafety } from '../../src/catalog/safety.ts';
import { Pipeline } from '../../src/pipeline.ts';
import type { Decision } from '../../src/stages.ts';
import { identityOf } from '../policy/support.ts';
import { type Bench, openBench } from './bench.ts';

/** The same objects twice: from `gone` the columns are dropped, in `kept` they are hidden. */
function objects(schema: string): string {
	return `
create schema ${schema};
create table ${schema}.others (id int primary key, code int unique, note text);
create table ${schema}.t (
	id int primary key, name varchar(20) not null default 'n', secret text not null default 'x' collate "C" check (secret <> ''),
	code int unique, amount int check (amount > 0), num serial, ident int generated always as identity, other int references ${schema}.others (code),
	kin int references ${schema}.others (id), twice int generated always as (amount * 2) stored, tags text[], labels text[],
	check (amount > 1 or secret is not null), unique (name, secret), constraint by_name unique (name, amount), exclude using btree (amount with =)
);
alter table ${schema}.t add added int default 7;
create index on ${schema}.t (lower(secret));
create index on ${schema}.t (amount) where secret is not null;
create index on ${schema}.t (amount) include (code);
create index on ${schema}.t (name, kin);
create statistics ${schema}.both (dependencies) on name, secret from ${schema}.t;
create statistics ${schema}.plain (dependencies) on name, amount from ${schema}.t;
create statistics ${schema}.computed on (secret || 'x'), (name || 'x') from ${schema}.t;
comment on column ${schema}.t.secret is 'of it';
comment on column ${schema}.t.name is 'the name';
comment on table ${schema}.t is 'all';
create function ${schema}.f() returns trigger language plpgsql as 'begin return new; end';
create trigger on_secret before update of secret on ${schema}.t for each row execute function ${schema}.f();
create trigger when_secret before update on ${schema}.t for each row when (new.secret is null) execute function ${schema}.f();
create trigger on_name before update of name on ${schema}.t for each row execute function ${schema}.f();
create policy by_secret on ${schema}.t using (secret = 'a');
create policy by_name on ${schema}.t using (name = 'a');
create table ${schema}.refers (id int primary key, code int references ${schema}.t (code), t int references ${schema}.t (id));
create table ${schema}.parts (id int, at int, secret text default 'p') partition by range (at);
create table ${schema}.part partition of ${schema}.parts for values from (1) to (10);
create index on ${schema}.parts (secret);
create table ${schema}.lone (only_one int primary key, secret text);
create view ${schema}.v as select id, name from ${schema}.t;
`;
}

const DROPPED = ['secret', 'code', 'num', 'ident', 'other', 'added', 'labels'];

const SETUP = `
${objects('kept')}
${objects('gone')}
${DROPPED.map((name) => `alter table gone.t drop column ${name} cascade;`).join('\n')}
alter table gone.parts drop column secret cascade;
alter table gone.lone drop column only_one cascade;
drop sequence if exists gone.t_num_seq, gone.t_ident_seq;
`;

const RULES = `
p, *, db, connect, allow
p, role:analyst, db.kept.*, select, allow
${DROPPED.map((name) => `p, role:analyst, db.kept.t.${name}, select, deny`).join('\n')}
p, role:analyst, db.k*.part*.secret, select, deny
p, role:analyst, db.kept.lone.only_*, *, deny
p, role:plain, db.kept.*, select, allow
p, role:plain, db.kept.t.secret, insert, deny
p, role:open, db.kept.*, select, allow
p, role:open, db.kept.*, insert, allow
p, role:open, db.kept.t.secret, select, deny
p, role:open, db.pg_catalog.pg_attribute, select, allow
`;

const ANALYST = identityOf(['user:ana', 'role:analyst'], {});

let bench: Bench;

beforeAll(async () => {
	bench = await openBench({ setup: SETUP, rules: RULES, who: ANALYST });
});

afterAll(() => bench.close());

const ofSchema = (relation: string): string =>
	`${relation} in (select oid from pg_class where relnamespace = 'kept'::regnamespace)`;
const nameOf = (relation: string): string => `(select relname from pg_class where oid = ${relation})`;

/** Each gives the same of `kept` through the gateway as the server itself gives of `gone`. */
const ALIKE: readonly { readonly name: string; readonly sql: string }[] = [
	{
		name: 'pg_attribute',
		sql: `select ${nameOf('attrelid')}, attnum, attname, atttypid, atttypmod, attnotnull, atthasdef, atthasmissing, attgenerated, attisdropped, attlen,
			attisdropped or attcollation = 950, attacl, attoptions, attfdwoptions
			from pg_attribute where attnum > 0 and ${ofSchema('attrelid')} and ${nameOf('attrelid')} in ('t', 'parts', 'part', 'lone', 'refers', 'others') order by 1, 2`,
	},
	{
		name: 'pg_attrdef',
		sql: `select ${nameOf('adrelid')}, adnum, pg_get_expr(adbin, adrelid) from pg_attrdef where ${ofSchema('adrelid')} order by 1, 2`,
	},
	{
		name: 'pg_constraint',
		sql: `select ${nameOf('conrelid')}, conname, contype, conkey, confkey from pg_constraint where ${ofSchema('conrelid')} order by 1, 2`,
	},
	{
		name: 'pg_index',
		sql: `select ${nameOf('indrelid')}, ${nameOf('indexrelid')}, indkey from pg_index where ${ofSchema('indrelid')} order by 1, 2`,
	},
	{
		name: 'indexes in pg_class',
		sql: `select relname from pg_class where ${ofSchema('oid')} and relkind in ('i', 'I') order by 1`,
	},
	{
		name: 'checks in pg_class',
		sql: `select relname, relchecks from pg_class where ${ofSchema('oid')} and relkind in ('r', 'p') order by 1`,
	},
	{
		name: 'pg_description',
		sql: `select ${nameOf('objoid')}, objsubid, description from pg_description where classoid = 'pg_class'::regclass and ${ofSchema('objoid')} order by 1, 2`,
	},
	{
		name: 'pg_trigger',
		sql: `select tgname from pg_trigger where ${ofSchema('tgrelid')} and not tgisinternal order by 1`,
	},
	{ name: 'pg_policy', sql: `select polname from pg_policy where ${ofSchema('polrelid')} order by 1` },
	{
		name: 'sequences that columns own',
		sql: `select ${nameOf('objid')} from pg_depend where classid = 'pg_class'::regclass and ${ofSchema('refobjid')} and refclassid = 'pg_class'::regclass and refobjsubid > 0 and ${ofSchema('objid')} and deptype in ('a', 'i') and (select relkind from pg_class where oid = objid) = 'S' order by 1`,
	},
	{ name: 'pg_statistic_ext', sql: `select stxname from pg_statistic_ext where ${ofSchema('stxrelid')} order by 1` },
	{ name: 'pg_indexes', sql: `select tablename, indexname from pg_indexes where schemaname = 'kept' order by 1, 2` },
	{
		name: 'columns',
		sql: `select table_name, column_name, ordinal_position, column_default, is_nullable, data_type, character_maximum_length, is_identity, generation_expression from information_schema.columns where table_schema = 'kept' order by 1, 3`,
	},
	{
		name: 'column_privileges',
		sql: `select distinct table_name, column_name from information_schema.column_privileges where table_schema = 'kept' order by 1, 2`,
	},
	{
		name: 'role_column_grants',
		sql: `select distinct table_name, column_name from information_schema.role_column_grants where table_schema = 'kept' order by 1, 2`,
	},
	{
		name: 'table_constraints',
		sql: `select table_name, regexp_replace(constraint_name, '^\\d+_\\d+_', ''), constraint_type from information_schema.table_constraints where table_schema = 'kept' order by 1, 2`,
	},
	{
		name: 'key_column_usage',
		sql: `select table_name, constraint_name, column_name, ordinal_position from information_schema.key_column_usage where table_schema = 'kept' order by 1, 2, 4`,
	},
	{
		name: 'element_types',
		sql: `select object_name, collection_type_identifier, data_type from information_schema.element_types where object_schema = 'kept' order by 1, 2`,
	},
	{
		name: 'an own view',
		sql: `select table_name, count(*) from (select * from information_schema.columns) c where table_schema = 'kept' group by 1 order by 1`,
	},
];

describe('what the catalogues tell of hidden columns is what they tell of dropped ones', () => {
	test.each(ALIKE)('$name', async ({ sql }) => {
		const [through, direct] = [await bench.run(sql), await bench.direct(sql.replaceAll("'kept'", "'gone'"))];
		expect(through).toEqual(direct);
		expect(direct).toMatchObject({ kind: 'rows' });
		expect(await bench.direct(sql)).not.toEqual(direct);
	});
});

const PLAIN = identityOf(['user:pia', 'role:plain'], {});
const OPEN = identityOf(['user:oli', 'role:open'], {});
const NAMES = `select attname from pg_catalog.pg_attribute where attrelid = 'kept.t'::regclass and attnum > 0 and not attisdropped order by attnum`;

async function plan(sql: string): Promise<string> {
	const answer = await bench.run(`explain (costs off) ${sql}`);
	return answer.kind === 'rows' ? answer.rows.join('\n') : answer.message;
}

test('from whom no column is hidden the text is forwarded as it came', async () => {
	for (const sql of [NAMES, 'select * from information_schema.columns', 'select conname from pg_catalog.pg_constraint'])
		expect((await bench.decide(sql, { who: PLAIN })).rewritten).toBe(sql);
});

test('a rule that names a catalogue shows it as it is', async () => {
	const answer = await bench.run(NAMES, { who: OPEN });
	expect(answer).toEqual(await bench.direct(NAMES));
	expect(await bench.run(NAMES)).not.toEqual(answer);
});

test('what names the columns that are left can be run', async () => {
	const names = await bench.run(NAMES);
	const list = names.kind === 'rows' ? names.rows.join(', ') : '';
	expect(await bench.run(`select ${list} from kept.t`)).toMatchObject({ kind: 'rows', names: list.split(', ') });
	expect(await bench.run('select secret from kept.t')).toMatchObject({ sqlstate: '42703' });
});

test('rows of one relation are still found by index', async () => {
	const one = `where a.attrelid = 'kept.t'::regclass and a.attnum = 2 and not a.attisdropped`;
	expect(await plan(`select attname from pg_attribute a ${one}`)).toContain(
		'Index Scan using pg_attribute_relid_attnum_index',
	);
	expect(
		await plan(
			`select attname from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1] where c.oid = 1`,
		),
	).toContain('Index Scan using pg_attribute_relid_attnum_index');
	expect(await plan(`select column_name from information_schema.columns where table_name = 't'`)).toContain(
		'Index Scan using pg_class_relname_nsp_index',
	);
});

test('only names are kept back: nothing of what the server says is taken out', async () => {
	const decision = await bench.decide(NAMES);
	expect(decision.statements[0]).toMatchObject({ effect: 'mask', touchesProtected: false });
	// What is masked in it for everybody still counts.
	const missing = await bench.decide('select attmissingval from pg_attribute');
	expect(missing.statements[0]).toMatchObject({ touchesProtected: true });
});

test('more hidden columns than are listed in a statement are refused', async () => {
	const pipeline = new Pipeline({ audit: null, limits: { hiddenColumnsMax: 10 } });
	const decide = async (sql: string): Promise<Decision> => pipeline.decide(bench.context(), sql);
	expect((await decide(NAMES)).effect).toBe('mask');
	expect((await decide(`${NAMES.replace('attname', '(select max(attname) from pg_attribute)')}`)).error).toMatchObject({
		sqlstate: '54001',
		hint: expect.stringContaining('limits.sqlHiddenColumnsMax') as string,
	});
	const fewer = new Pipeline({ audit: null, limits: { hiddenColumnsMax: 3 } });
	expect((await fewer.decide(bench.context({ who: { ...ANALYST, name: 'other' } }), NAMES)).error?.sqlstate).toBe(
		'54001',
	);
});

test('every view of the server that tells of columns is known', async () => {
	const answer =
		await bench.direct(`select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where c.relkind = 'v' and n.nspname in ('pg_catalog', 'information_schema')
		and pg_get_viewdef(c.oid) ~ '\\m(pg_attribute|pg_attrdef|pg_constraint|pg_index|pg_trigger|pg_statistic_ext|columns|column_privileges|_pg_foreign_table_columns)\\M'`);
	const found = answer.kind === 'rows' ? answer.rows.map(([name]) => name ?? '') : [];
	const harmless = found.filter(
		(name) => relationSafety(name.split('.')[0] ?? '', name.split('.')[1] ?? '').safe === true,
	);
	expect(harmless.filter((name) => !viewsOfColumns.includes(name) && !OTHERWISE.includes(name))).toEqual([]);
	expect(found).toEqual(expect.arrayContaining(['pg_catalog.pg_indexes', 'information_schema.columns']));
});

/** Their rows are left out by name, or name no column of a table. */
const OTHERWISE: readonly string[] = [
	'pg_catalog.pg_seclabels',
	...[
		...['_pg_foreign_table_columns', 'attributes', 'check_constraint_routine_usage', 'column_options'],
		...['column_privileges', 'domain_constraints', 'role_column_grants', 'views'],
	].map((name) => `information_schema.${name}`),
];
