/** The world of the oracle: protected tables behind the gateway, and views of the same names that show by hand what the policy lets through. */
import { identityOf } from '../policy/support.ts';

export type ValueType = 'int' | 'num' | 'text' | 'bool' | 'date';

export interface WorldColumn {
	readonly name: string;
	readonly type: ValueType;
	/** Not to be written from an expression over it, and not writable through the oracle's view. */
	readonly masked?: boolean;
}

export interface WorldRelation {
	readonly name: string;
	/** As the identity sees them. */
	readonly columns: readonly WorldColumn[];
	/** May be the target of INSERT, UPDATE and DELETE in the tests. */
	readonly writable?: boolean;
	/** May be sampled and locked: no view. */
	readonly table?: boolean;
}

const int = (name: string): WorldColumn => ({ name, type: 'int' });
const text = (name: string): WorldColumn => ({ name, type: 'text' });
const num = (name: string): WorldColumn => ({ name, type: 'num' });
const date = (name: string): WorldColumn => ({ name, type: 'date' });
const masked = (column: WorldColumn): WorldColumn => ({ ...column, masked: true });

export const RELATIONS: readonly WorldRelation[] = [
	{
		name: 'people',
		columns: [
			int('id'),
			text('tenant'),
			text('name'),
			masked(text('email')),
			masked(text('ssn')),
			masked(num('salary')),
			masked(int('level')),
			date('born'),
			int('team'),
			int('boss'),
		],
		writable: true,
		table: true,
	},
	{ name: 'teams', columns: [int('id'), text('title'), text('city')], table: true },
	{ name: 'items', columns: [int('id'), int('owner'), text('label'), num('price')], writable: true, table: true },
	{
		name: 'events',
		columns: [int('id'), date('at'), text('tenant'), masked(text('body'))],
		writable: true,
		table: true,
	},
	{ name: 'events_2023', columns: [int('id'), date('at'), text('tenant'), masked(text('body'))], table: true },
	{ name: 'docs', columns: [int('id'), text('tenant'), masked(text('body'))], table: true },
	{ name: 'memos', columns: [int('id'), text('tenant'), masked(text('body')), text('kind')], table: true },
	{ name: 'Odd Table', columns: [int('id'), text('select'), masked(text('Tücke'))], table: true },
	{ name: 'directory', columns: [int('id'), text('name'), text('ssn'), text('title')] },
	{ name: 'loud', columns: [text('title'), int('n'), text('top')] },
	{ name: 'pairs', columns: [text('a'), text('b'), num('sum')] },
	{ name: 'deep', columns: [text('title'), int('n')] },
	{ name: 'snap', columns: [int('id'), text('tenant'), text('name'), text('ssn')] },
];

export const WHO = identityOf(['user:ana', 'role:analyst'], { tenant: 'acme', levels: ['a', 'b'] });

/** Base tables with rows; nulls in every column that may be null, equal values in different rows, and rows of no tenant. */
const TABLES = `
create table S.teams (id int primary key, title text not null, city text);
insert into S.teams values (1, 'Ops', 'Bonn'), (2, 'Dev', 'Köln'), (3, 'Law', null), (4, 'Void', 'Bonn');
create table S.people (id int primary key, tenant text, name text, email text, ssn text, salary numeric(10,2), level int, born date,
	team int, boss int, photo bytea);
insert into S.people select i, case i % 4 when 0 then 'globex' when 3 then null else 'acme' end, nullif('p' || i % 5, 'p4'),
	nullif('p' || i || '@x' || i % 2 || '.org', 'p5@x1.org'), nullif('123-45-' || 1000 + i % 7, '123-45-1006'), nullif(i * 100.25, 601.5), nullif(i * 7 % 50, 14),
	nullif(date '1980-01-01' + i % 9 * 400, date '1980-01-01'), nullif(i % 4, 0), nullif(i / 2, 0), '\\x01' from generate_series(1, 18) i;
create table S.items (id int primary key, owner int, label text, price numeric);
insert into S.items select i, nullif(i % 8, 7), nullif('item ' || i % 6, 'item 5'), nullif(i * 1.5, 6) from generate_series(1, 12) i;
create table S.events (id int not null, at date not null, tenant text, body text, primary key (id, at)) partition by range (at);
create table S.events_2023 partition of S.events for values from ('2023-01-01') to ('2024-01-01');
create table S.events_2024 partition of S.events for values from ('2024-01-01') to ('2025-01-01');
insert into S.events select i, date '2023-06-01' + i * 30, case i % 3 when 0 then 'globex' when 1 then 'acme' end, nullif('raw_event_' || i, 'raw_event_4') from generate_series(1, 12) i;
create table S.docs (id int, tenant text, body text, secret boolean);
create table S.memos (kind text) inherits (S.docs);
insert into S.docs values (1, 'acme', 'raw_doc_1', true), (2, 'globex', 'raw_doc_2', true), (3, 'initech', 'raw_doc_3', false), (4, null, 'raw_doc_4', null), (5, 'acme', null, null);
insert into S.memos values (6, 'acme', 'raw_doc_6', true, 'k'), (7, 'globex', 'raw_doc_7', true, 'k'), (8, 'initech', 'raw_doc_8', false, null), (9, null, 'raw_doc_9', null, 'l');
create table S."Odd Table" (id int, "select" text, "Tücke" text);
insert into S."Odd Table" values (1, 'a', 'geheim'), (2, 'b', 'öäü'), (3, 'c', null), (null, null, 'x');
`;

/** Over the tables behind the gateway, and over the views of the oracle: the same text. */
const VIEWS = `
create view lab.directory as select p.id, p.name, p.ssn, t.title from lab.people p left join lab.teams t on t.id = p.team;
create view lab.loud as select title, count(*)::int as n, max(ssn) as top from lab.directory group by title having count(*) > 1;
create view lab.pairs as select a.name as a, b.name as b, coalesce(a.salary, 0) + coalesce(b.level, 0) as sum
	from lab.people a join lab.people b on b.boss = a.id where a.email like 'p%';
create view lab.deep as select title, n from lab.loud union all select d.body, d.id from lab.docs d where exists (select from lab.people p where p.id = d.id);
`;

/** Says what it is given, and is as cheap and as pure as a planner could wish: whoever runs it on a hidden row tells. */
const SPY = `create function lab.spy(text) returns text language plpgsql immutable cost 0.0001
	as $$ begin raise notice 'spied %', $1; return $1; end $$;`;

/** What only hidden rows, hidden columns and unmasked values have in them, whatever the statements make of what they may see. */
export const SECRETS = /123-45|p\d+@|globex|raw_(event|doc)_|geheim/;

/** The database behind the gateway. */
export const GATEWAY_SETUP = `
create schema lab;
${SPY}
${TABLES.replaceAll('S.', 'lab.')}
${VIEWS}
create materialized view lab.snap as select id, tenant, name, ssn from lab.people;
`;

/** The database in which somebody has written the policy by hand. */
export const ORACLE_SETUP = `
create schema raw;
create schema lab;
${SPY}
${TABLES.replaceAll('S.', 'raw.').replaceAll('raw.items', 'lab.items').replaceAll('raw.teams', 'lab.teams')}
create view lab.people with (security_barrier) as select id, tenant, name, (left(email, 1) || '***@' || split_part(email, '@', 2))::text as email,
	('XXX-XX-' || right(ssn, 4))::text as ssn, null::numeric(10,2) as salary, (coalesce(level, 0) / 10 * 10)::int as level, born, team, boss
	from raw.people where tenant = 'acme' with cascaded check option;
create view lab.events with (security_barrier) as select id, at, tenant, reverse(body)::text as body from raw.events where tenant = 'acme' with cascaded check option;
create view lab.events_2023 with (security_barrier) as select id, at, tenant, reverse(body)::text as body from raw.events_2023 where tenant = 'acme';
create view lab.docs with (security_barrier) as select id, tenant, ('doc ' || id)::text as body from raw.docs where (tenant = 'acme' or secret is not true);
create view lab.memos with (security_barrier) as select id, tenant, ('doc ' || id)::text as body, kind from raw.memos where (tenant = 'acme' or secret is not true);
create view lab."Odd Table" with (security_barrier) as select id, "select", reverse("Tücke")::text as "Tücke" from raw."Odd Table";
${VIEWS}
create view lab.snap as select id, tenant, name, ssn from lab.people;
`;

export const RULES = `
p, *, db, connect, allow
p, role:analyst, db.lab.*, select, allow
p, role:analyst, db.lab.*, insert, allow
p, role:analyst, db.lab.*, update, allow
p, role:analyst, db.lab.*, delete, allow
p, role:analyst, db.lab.spy(text), execute, allow
p, role:analyst, db.lab.people, select, filter, own_tenant
p, role:analyst, db.lab.people.email, select, mask, email
p, role:analyst, db.lab.people.ssn, select, mask, ssn_last4
p, role:analyst, db.lab.people.salary, select, mask, nothing
p, role:analyst, db.lab.people.level, select, mask, band
p, role:analyst, db.lab.people.photo, select, deny
p, role:analyst, db.lab.events, select, filter, own_tenant
p, role:analyst, db.lab.events.body, select, mask, backwards
p, role:analyst, db.lab.docs, select, filter, own_or_open
p, role:analyst, db.lab.docs.body, select, mask, number
p, role:analyst, db.lab.docs.secret, select, deny
p, role:analyst, db.lab.Odd Table.Tücke, select, mask, backwards
`.replace('db.lab.Odd Table.Tücke', `"db.lab.""Odd Table"".""Tücke"""`);

export const MASKS = `masks:
  ssn_last4: "'XXX-XX-' || right(value, 4)"
  email: "left(value, 1) || '***@' || split_part(value, '@', 2)"
  nothing: "null"
  band: "coalesce(value, 0) / 10 * 10"
  number: "'doc ' || id"
  backwards: "reverse(value)"
filters:
  own_tenant: "tenant = claims.tenant"
  own_or_open: "tenant = claims.tenant or secret is not true"
`;

/** Everything that a write could have changed, in a fixed order; `schema` is where the base tables are. */
export function stateQuery(schema: 'lab' | 'raw'): string {
	return `select 'p', to_jsonb(p)::text from ${schema}.people p union all select 'e', to_jsonb(e)::text from ${schema}.events e
		union all select 'i', to_jsonb(i)::text from lab.items i order by 1, 2`;
}
