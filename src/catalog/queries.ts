/** The SQL with which the catalogue is read, for PostgreSQL 14 to 18, under an empty search_path. No I/O. */
import { INSTEAD } from './instead-query.ts';

/** Objects below this oid come with the server (FirstNormalObjectId, access/transam.h). */
const FIRST_NORMAL_OID = 16_384;

/** Which objects a load wants: those that come with the server, or those made since. */
export type Part = 'builtin' | 'user';

function ofPart(part: Part, oid: string): string {
	return part === 'builtin' ? `${oid} < ${FIRST_NORMAL_OID}` : `${oid} >= ${FIRST_NORMAL_OID}`;
}

/**
 * Prepares the catalogue's own session: names print qualified, and no wait lasts for ever. Times are milliseconds. Without statistics
 * of its own catalogues the server takes them to be small, and would go through thousands of constraints for each of thousands of types.
 */
export function sessionSetup(limits: { readonly queryTimeoutMs: number; readonly loadLockTimeoutMs: number }): string {
	return `set search_path = '';
		set quote_all_identifiers = off;
		set jit = off;
		set enable_nestloop = off;
		set work_mem = '32MB';
		set max_parallel_workers_per_gather = 0;
		set default_transaction_isolation = 'read committed';
		set statement_timeout = ${limits.queryTimeoutMs};
		set lock_timeout = ${limits.loadLockTimeoutMs};
		set idle_in_transaction_session_timeout = ${limits.queryTimeoutMs}`;
}

/** One row: server_version_num, current_user, database, TimeZone. */
export const identityQuery = `select current_setting('server_version_num'), current_user, current_database(), current_setting('TimeZone')`;

/** Rows: name, whether the gateway's role may use it. Temporary and toast schemas are among them. */
export const schemasQuery = `select nspname, has_schema_privilege(oid, 'USAGE') from pg_namespace`;

export interface RelationChoice {
	/** Condition over `c` (pg_class) and `n` (its pg_namespace). */
	readonly where: string;
	/** Condition over `a.attrelid`, for the same relations; a wider one is right, only slower. */
	readonly attributes: string;
}

/** All relations of a part but those of toast schemas and temporary ones, which belong to one session each. */
export function relationsOf(part: Part): RelationChoice {
	return {
		where: `${ofPart(part, 'c.oid')} and c.relpersistence <> 't'`,
		attributes: ofPart(part, 'a.attrelid'),
	};
}

/**
 * Those of PostgreSQL's own functions that leave something in the session, whoever calls them, by their oids, which are the same in
 * every version: set_config, setseed, setval, and pg_advisory_lock to pg_advisory_unlock_all in all their forms.
 */
export const ACTING: readonly number[] = [
	2078,
	1599,
	1576,
	1765,
	...Array.from({ length: 13 }, (_, index) => 2880 + index),
];

/** nextval. */
export const NUMBERING: readonly number[] = [1574];

/**
 * Whether an expression (a pg_node_tree, which has functions by oid) calls one of those: pg_depend does not tell of what comes with the
 * server. An oid of `28` followed by something may be another one: of XML, or a user's.
 */
function calls(tree: string, oids: readonly number[]): string {
	const wanted = new Set(oids.map((oid) => (oid >= 2880 ? `:funcid ${Math.trunc(oid / 10)}` : `:funcid ${oid} `)));
	return `(${[...wanted].map((words) => `strpos(${tree}::text, '${words}') > 0`).join(' or ')})`;
}

/** What needs functions and operators that did not come with the server: those have no entries in pg_depend. */
const USERS = `users as materialized (
		select d.classid, d.objid, d.refclassid, d.refobjid from pg_depend d
		where d.refclassid in ('pg_proc'::regclass, 'pg_operator'::regclass)
	)`;

/**
 * Types that are made of those in `domains`: arrays, rows, ranges and domains over them, and domains that cast to them. pg_depend has
 * them all: whatever needs a type that did not come with the server stands there.
 */
const WITH_DOMAINS = `of_types as materialized (
		select d.classid, d.objid, d.refobjid as type from pg_depend d where d.refclassid = 'pg_type'::regclass
	), parts (part, type) as materialized (
		select d.type, d.objid from of_types d where d.classid = 'pg_type'::regclass
		union all
		select d.type, c.reltype from of_types d join pg_class c on c.oid = d.objid
		where d.classid = 'pg_class'::regclass and c.reltype <> 0
		union all
		select d.type, k.contypid from of_types d join pg_constraint k on k.oid = d.objid
		where d.classid = 'pg_constraint'::regclass and k.contypid <> 0
	), made as (
		select oid as type from domains
		union
		select parts.type from made join parts on parts.part = made.type
	)`;

/** What writing the one relation does to another: a foreign key to those that refer to it, and a rule. `always`: an INSERT too, or by a default. */
const ACTIONS = `actions as materialized (
		select k.confrelid as rel, k.conrelid as target, 'd' in (k.confdeltype, k.confupdtype) as always from pg_constraint k
		where k.contype = 'f' and (k.confdeltype in ('c', 'n', 'd') or k.confupdtype in ('c', 'n', 'd'))
		union
		select r.ev_class, d.refobjid, true from pg_rewrite r
		join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refclassid = 'pg_class'::regclass
		where r.ev_type <> '1'
	)`;

/**
 * Relations with which code runs that is not PostgreSQL's own: of triggers, constraints, defaults, generated columns, indexes,
 * domains, policies and views; or that is, and acts on the session. A foreign key that acts on the referencing table brings along
 * what that one has, and so does a rule. `copied`: by what LIKE copies (defaults, checks, indexes), and not an extension's.
 */
const USERS_CODE = `
	with recursive ${USERS}, domains as (
		select k.contypid as oid from pg_constraint k where k.contypid >= ${FIRST_NORMAL_OID} and ${calls('k.conbin', ACTING)}
		union
		select y.oid from pg_type y where y.typtype = 'd' and ${calls('y.typdefaultbin', ACTING)}
		union
		select d.objid from users d join pg_type y on y.oid = d.objid and y.typtype = 'd'
		where d.classid = 'pg_type'::regclass and d.refclassid = 'pg_proc'::regclass
		union
		select k.contypid from users d join pg_constraint k on k.oid = d.objid
		where d.classid = 'pg_constraint'::regclass and k.contypid >= ${FIRST_NORMAL_OID}
	), ${WITH_DOMAINS}, ${ACTIONS}, needs as materialized (
		select d.classid, d.objid, bool_or(e.objid is null) as own from users d
		left join (
			select distinct e.classid, e.objid from pg_depend e where e.deptype = 'e' and e.classid in ('pg_proc'::regclass, 'pg_operator'::regclass)
		) e on e.classid = d.refclassid and e.objid = d.refobjid
		group by d.classid, d.objid
		union
		select d.classid, d.objid, false from of_types d where d.type in (select type from made)
	), code as (
		select t.tgrelid as rel, false as on_read, false as copied from pg_trigger t
		where not t.tgisinternal and t.tgenabled <> 'D' and (t.tgfoid >= ${FIRST_NORMAL_OID} or t.tgqual is not null)
		union all
		select k.conrelid, false, d.own from needs d join pg_constraint k on k.oid = d.objid
		where d.classid = 'pg_constraint'::regclass and k.conrelid <> 0
		union all
		select f.adrelid, a.attgenerated = 'v', d.own from needs d join pg_attrdef f on f.oid = d.objid
		join pg_attribute a on a.attrelid = f.adrelid and a.attnum = f.adnum
		where d.classid = 'pg_attrdef'::regclass
		union all
		select i.indrelid, false, d.own from needs d join pg_index i on i.indexrelid = d.objid where d.classid = 'pg_class'::regclass
		union all
		select d.objid, false, false from needs d where d.classid = 'pg_class'::regclass
		union all
		select r.ev_class, true, false from needs d join pg_rewrite r on r.oid = d.objid where d.classid = 'pg_rewrite'::regclass
		union all
		select p.polrelid, true, false from needs d join pg_policy p on p.oid = d.objid where d.classid = 'pg_policy'::regclass
		union all
		select f.adrelid, false, false from pg_attrdef f where ${calls('f.adbin', ACTING)}
		union all
		select k.conrelid, false, false from pg_constraint k where k.contype = 'c' and k.conrelid <> 0 and ${calls('k.conbin', ACTING)}
		union all
		select r.ev_class, false, false from pg_rewrite r where r.ev_type <> '1' and ${calls('r.ev_action', ACTING)}
		union all
		select p.polrelid, true, false from pg_policy p where ${calls('p.polqual', ACTING)} or ${calls('p.polwithcheck', ACTING)}
	), reached as (
		select rel, on_read, copied from code
		union
		select actions.rel, false, false from reached join actions on actions.target = reached.rel
	)
	select rel, bool_or(on_read) as on_read, bool_or(copied) as copied from reached group by rel`;

/**
 * Relations with which a number of a sequence is taken when they are written: identity columns and defaults, those of domains, and
 * what foreign keys with SET DEFAULT and rules do. `moves`: also by what writes no row of it.
 */
const NUMBERED = `
	with recursive domains as (
		select y.oid from pg_type y where y.typtype = 'd' and ${calls('y.typdefaultbin', NUMBERING)}
		union
		select k.contypid from pg_constraint k where k.contypid >= ${FIRST_NORMAL_OID} and ${calls('k.conbin', NUMBERING)}
	), ${WITH_DOMAINS}, ${ACTIONS}, reached as (
		select * from (
			select a.attrelid as rel, false as moves from pg_attribute a where a.attidentity <> ''
			union all
			select d.objid, false from of_types d where d.classid = 'pg_class'::regclass and d.type in (select type from made)
			union all
			select f.adrelid, false from pg_attrdef f where ${calls('f.adbin', NUMBERING)}
			union all
			select k.conrelid, false from pg_constraint k where k.contype = 'c' and k.conrelid <> 0 and ${calls('k.conbin', NUMBERING)}
			union all
			select r.ev_class, true from pg_rewrite r where r.ev_type <> '1' and ${calls('r.ev_action', NUMBERING)}
		) taken
		union
		select actions.rel, true from reached join actions on actions.target = reached.rel and (actions.always or reached.moves)
	)
	select distinct rel from reached`;

/** Attnums of the columns that the generated column `a` is computed from. Servers before 15 note them of the column, not of its expression. */
const COMPUTED_FROM = `(
		select coalesce(json_agg(distinct d.refobjsubid), '[]') from pg_depend d
		where d.refclassid = 'pg_class'::regclass and d.refobjid = a.attrelid and d.refobjsubid > 0 and d.refobjsubid <> a.attnum and (
			d.classid = 'pg_class'::regclass and d.objid = a.attrelid and d.objsubid = a.attnum
			or d.classid = 'pg_attrdef'::regclass
				and d.objid = (select f.oid from pg_attrdef f where f.adrelid = a.attrelid and f.adnum = a.attnum))
	)`;

/**
 * What a value of type `type` under modifier `typmod` is without the domains over it, as format_type prints it; null where no
 * domain checks values.
 */
function withoutDomain(type: string, typmod: string): string {
	const checks = `y.typnotnull or exists (select from pg_constraint k where k.contypid = y.oid)`;
	return `(
	with recursive d as (
		select y.typbasetype as base, case when ${typmod} >= 0 then ${typmod} else y.typtypmod end as typmod, ${checks} as checked
		from pg_type y where y.oid = ${type} and y.typtype = 'd'
		union all
		select y.typbasetype, case when d.typmod >= 0 then d.typmod else y.typtypmod end, d.checked or ${checks}
		from d join pg_type y on y.oid = d.base and y.typtype = 'd'
	)
	select format_type(d.base, d.typmod) from d join pg_type b on b.oid = d.base and b.typtype <> 'd' where d.checked
)`;
}

/**
 * Shards are tables of their own, in the schema of the table that they are of, named by it and the shard's number; a name that would be too
 * long is cut and has a hash in it. Below all numbers that Citus gives shards there may be tables that are called so by chance.
 */
const SHARDS = `
		union all
		select s.oid, d.logicalrelid::oid, 0 from pg_class s
		join pg_catalog.pg_dist_shard d on d.shardid::text = substring(s.relname from '_([0-9]+)$')
		join pg_class l on l.oid = d.logicalrelid::oid and l.relnamespace = s.relnamespace and l.oid <> s.oid
		where s.relkind in ('r', 'p', 'f') and (s.relname = l.relname || '_' || d.shardid or octet_length(l.relname || '_' || d.shardid) > 63)`;

/**
 * Rows, one a relation: oid, schema, name, relkind, reltype, flags (letters: t temporary, r rules, g triggers, i on INSERT, u and w: a
 * user's code runs when it is read and when it is written, l: LIKE copies a user's code, s: writing it may take a number from a sequence,
 * I, U and D: a trigger or rule does something in place of INSERT, UPDATE, DELETE), primary key
 * (attnums), parents (oids), columns as JSON [attnum, name, type, typmod, flags, collation] with flags 1 not null,
 * 2 default, 4 stored, 8 virtual and collation 0 where it is the type's own; of a generated column also the attnums that it is
 * computed from. Columns of indexes are left out. `shards`: Citus is there, and tables that are shards have the table that they are of among
 * their parents.
 */
export function relationsQuery({ where, attributes }: RelationChoice, shards: boolean): string {
	return `
select c.oid, n.nspname, c.relname, c.relkind::text, c.reltype,
	case when c.relpersistence = 't' then 't' else '' end
		|| case when r.ev_class is null then '' else 'r' end || case when g.tgrelid is null then '' when g.on_insert then 'gi' else 'g' end
		|| case when u.rel is null then '' when u.on_read then 'uw' else 'w' end || case when u.copied then 'l' else '' end || case when s.rel is null then '' else 's' end
		|| coalesce(o.instead, ''),
	(select string_agg(k::text, ' ' order by o) from unnest(i.indkey) with ordinality x(k, o) where o <= i.indnkeyatts),
	h.parents, a.columns
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
left join (
	select a.attrelid, json_agg(case a.attgenerated when '' then json_build_array(a.attnum, a.attname, a.atttypid::int8, a.atttypmod,
		a.attnotnull::int + 2 * (a.atthasdef or a.attidentity <> '')::int,
		case when a.attcollation = t.typcollation then 0 else a.attcollation::int8 end)
	else json_build_array(a.attnum, a.attname, a.atttypid::int8, a.atttypmod,
		a.attnotnull::int + 2 + case a.attgenerated when 's' then 4 else 8 end,
		case when a.attcollation = t.typcollation then 0 else a.attcollation::int8 end, ${COMPUTED_FROM}) end
		order by a.attnum)::text as columns
	from pg_attribute a
	join pg_class ac on ac.oid = a.attrelid and ac.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'c')
	join pg_type t on t.oid = a.atttypid
	where a.attnum > 0 and not a.attisdropped and ${attributes}
	group by a.attrelid
) a on a.attrelid = c.oid
left join pg_index i on i.indrelid = c.oid and i.indisprimary
left join (
	select child, string_agg(parent::text, ' ' order by place) as parents
	from (select inhrelid, inhparent, inhseqno from pg_inherits${shards ? SHARDS : ''}) i (child, parent, place) group by child
) h on h.child = c.oid
left join (select distinct ev_class from pg_rewrite where ev_type <> '1') r on r.ev_class = c.oid
left join (
	select tgrelid, bool_or((tgtype & 4) <> 0) as on_insert from pg_trigger
	where not tgisinternal and tgenabled <> 'D' and (tgtype & 1) <> 0 and (tgtype & 66) <> 0 and (tgtype & 20) <> 0
	group by tgrelid
) g on g.tgrelid = c.oid
left join (${INSTEAD}) o on o.rel = c.oid
left join (${USERS_CODE}) u on u.rel = c.oid
left join (${NUMBERED}) s on s.rel = c.oid
where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'c', 'i', 'I') and n.nspname !~ '^pg_toast' and ${where}`;
}

/**
 * The rows of `relationsQuery` with two cells more: JSON [type, typmod, format_type, collation, its qualified and quoted
 * name, what it is without a domain or null] of each column, and the definition of a view.
 */
export function withDetails(relations: string): string {
	return `
select r.*, (
	select json_agg(json_build_array(a.atttypid::int8, a.atttypmod, format_type(a.atttypid, a.atttypmod), a.attcollation::int8,
		quote_ident(n.nspname) || '.' || quote_ident(l.collname), ${withoutDomain('a.atttypid', 'a.atttypmod')}))::text
	from pg_attribute a
	left join pg_collation l on l.oid = a.attcollation
	left join pg_namespace n on n.oid = l.collnamespace
	where a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
), case when r.kind in ('v', 'm') then pg_get_viewdef(r.oid) end
from (${relations}) r (oid, schema, name, kind, row_type, flags, primary_key, parents, columns)`;
}

/** Rows: type oid, typmod, format_type of both, what it is without a domain or null, for all types of columns. */
export function columnTypesQuery({ attributes }: Pick<RelationChoice, 'attributes'>): string {
	return `
select t, m, format_type(t, m), ${withoutDomain('t', 'm')}
from (select distinct a.atttypid as t, a.atttypmod as m from pg_attribute a where a.attnum > 0 and not a.attisdropped
	and ${attributes}) d`;
}

/** Rows: oid, qualified and quoted name. */
export function collationsQuery(part: Part): string {
	return `
select l.oid, quote_ident(n.nspname) || '.' || quote_ident(l.collname)
from pg_collation l
join pg_namespace n on n.oid = l.collnamespace
where ${ofPart(part, 'l.oid')}`;
}

/**
 * Rows, one a routine: oid, schema, name, prokind, argument types (oids), their names as JSON, defaults, variadic element,
 * returns set, result type, names of OUT and TABLE columns as JSON, volatility, leakproof, written in C (an aggregate: all that it is
 * made of, and none of that volatile), of an extension.
 */
export function routinesQuery(part: Part): string {
	return `
select p.oid, n.nspname, p.proname, p.prokind::text, p.proargtypes::text,
	(select json_agg(format_type(t, null) order by o) from unnest(p.proargtypes) with ordinality x(t, o)),
	p.pronargdefaults, p.provariadic, p.proretset, p.prorettype,
	(select json_agg(coalesce(p.proargnames[o], '') order by o)
		from unnest(p.proargmodes) with ordinality x(m, o) where m in ('o', 'b', 't')),
	p.provolatile::text, p.proleakproof,
	l.lanname in ('c', 'internal') and (p.prokind <> 'a' or not exists (
		select from pg_aggregate g
		join pg_proc q on q.oid in (g.aggtransfn, g.aggfinalfn, g.aggcombinefn, g.aggserialfn, g.aggdeserialfn, g.aggmtransfn,
			g.aggminvtransfn, g.aggmfinalfn)
		join pg_language ql on ql.oid = q.prolang
		where g.aggfnoid = p.oid and (ql.lanname not in ('c', 'internal') or q.provolatile = 'v')
	)), e.objid is not null
from pg_proc p
join pg_language l on l.oid = p.prolang
left join pg_depend e on e.classid = 'pg_proc'::regclass and e.objid = p.oid and e.objsubid = 0 and e.deptype = 'e'
join pg_namespace n on n.oid = p.pronamespace
where ${ofPart(part, 'p.oid')}`;
}

/** Rows: oid, schema, name, left type, right type, result type, routine. Shell operators are left out. */
export function operatorsQuery(part: Part): string {
	return `
select o.oid, n.nspname, o.oprname, o.oprleft, o.oprright, o.oprresult, o.oprcode::oid
from pg_operator o
join pg_namespace n on n.oid = o.oprnamespace
where o.oprcode <> 0 and ${ofPart(part, 'o.oid')}`;
}

/**
 * Rows: oid, schema, name, typtype, category, preferred, element of a true array or 0, base of a domain or 0, relation of
 * a composite or 0, array type or 0, oids of the routines that making a value of it runs, of the types of which it makes
 * values, and of the routines that its default runs. Types of temporary relations are left out.
 */
export function typesQuery(part: Part): string {
	return `
select t.oid, n.nspname, t.typname, t.typtype::text, t.typcategory::text, t.typispreferred,
	case when t.typsubscript = 'pg_catalog.array_subscript_handler'::regproc then t.typelem else 0 end,
	t.typbasetype, t.typrelid, t.typarray, ${part === 'user' ? `coalesce(w.routines, ''), coalesce(w.parts, ''), coalesce(v.routines, '')` : `'', '', ''`}
from pg_type t
join pg_namespace n on n.oid = t.typnamespace
${part === 'user' ? `left join (${MADE_WITH}) w on w.type = t.oid left join (${DEFAULTED_WITH}) v on v.type = t.oid` : ''}
where ${ofPart(part, 't.oid')} and n.nspname !~ '^pg_(toast_)?temp_' and t.typisdefined`;
}

/**
 * What making a value of a type runs, and of which types it makes values: what the checks of a domain call (functions, of PostgreSQL's
 * own those that act on the session, and those behind operators) and cast to, what a range type is made with and of.
 */
const MADE_WITH = `
	with ${USERS}, checks as materialized (select k.oid, k.contypid as type, k.conbin from pg_constraint k where k.contypid <> 0)
	select type, string_agg(routine::text, ' ' order by routine) as routines, string_agg(part::text, ' ' order by part) as parts from (
		select k.type, d.refobjid as routine, null::oid as part from checks k
		join users d on d.classid = 'pg_constraint'::regclass and d.objid = k.oid and d.refclassid = 'pg_proc'::regclass
		union
		select k.type, f.oid, null from checks k
		join unnest('{${[...ACTING, ...NUMBERING].join()}}'::oid[]) f (oid) on strpos(k.conbin::text, ':funcid ' || f.oid || ' ') > 0
		union
		select k.type, o.oprcode::oid, null from checks k
		join users d on d.classid = 'pg_constraint'::regclass and d.objid = k.oid and d.refclassid = 'pg_operator'::regclass
		join pg_operator o on o.oid = d.refobjid
		union
		select k.type, null, d.refobjid from checks k
		join pg_depend d on d.classid = 'pg_constraint'::regclass and d.objid = k.oid and d.refclassid = 'pg_type'::regclass
		union
		select r.rngtypid, f.oid, r.rngsubtype from pg_range r
		left join unnest(array[r.rngcanonical::oid, r.rngsubdiff::oid]) f (oid) on f.oid <> 0
		union
		select r.rngmultitypid, null, r.rngtypid from pg_range r
	) made_with
	group by type`;

/** What the default of a domain calls, where a column of it has none of its own; a domain needs the functions that write its values, too. */
const DEFAULTED_WITH = `
	select y.oid as type, string_agg(distinct f.routine::text, ' ') as routines from pg_type y
	join pg_depend d on d.classid = 'pg_type'::regclass and d.objid = y.oid
		and d.refclassid in ('pg_proc'::regclass, 'pg_operator'::regclass)
	left join pg_operator o on d.refclassid = 'pg_operator'::regclass and o.oid = d.refobjid
	cross join lateral (select case when d.refclassid = 'pg_proc'::regclass then d.refobjid else o.oprcode::oid end) f (routine)
	where y.typtype = 'd' and y.typdefaultbin is not null
		and f.routine not in (y.typinput, y.typoutput, y.typreceive, y.typsend, y.typmodin, y.typmodout, y.typanalyze)
	group by y.oid`;

/** Rows: source, target, routine, context; casts with a domain or through a binary-coercible or I/O way have routine 0. */
export function castsQuery(part: Part): string {
	return `select castsource, casttarget, castfunc, castcontext::text from pg_cast where ${ofPart(part, 'oid')}`;
}

/** Rows, one an operator class that did not come with the server: schema, name, type, default, operators and routines of its family (oids). */
export const operatorClassesQuery = `
select n.nspname, c.opcname, c.opcintype, c.opcdefault,
	array_to_string(array(select a.amopopr from pg_amop a where a.amopfamily = c.opcfamily), ' '),
	array_to_string(array(
		select p.amproc::oid from pg_amproc p where p.amprocfamily = c.opcfamily
		union
		select o.oprcode::oid from pg_amop a join pg_operator o on o.oid = a.amopopr where a.amopfamily = c.opcfamily
	), ' ')
from pg_opclass c
join pg_namespace n on n.oid = c.opcnamespace
where ${ofPart('user', 'c.oid')}`;

/**
 * Rows: oid and definition of a view or materialized view; the definition is null where somebody holds the view or one of
 * its relations so that printing it would wait. It may wait all the same when somebody takes one just now.
 */
export const definitionsQuery = `
with locked as (
	select l.relation from pg_locks l
	join pg_database d on d.oid = l.database and d.datname = current_database()
	where l.mode = 'AccessExclusiveLock' and l.relation is not null and l.pid <> pg_backend_pid()
), held as (
	select relation as view from locked
	union
	select r.ev_class from pg_rewrite r
	join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refclassid = 'pg_class'::regclass
	where d.refobjid in (select relation from locked)
)
select c.oid, case when h.view is null then pg_get_viewdef(c.oid) end
from pg_class c
left join held h on h.view = c.oid
where c.relkind in ('v', 'm') and c.relpersistence <> 't' and ${ofPart('user', 'c.oid')}`;

/** Rows: oid and definition of views of the server's own; `names` are words of letters, digits and `_`, one with its schema. */
export function systemDefinitionsQuery(names: readonly string[]): string {
	const wanted = names.map((name) => `to_regclass('${name}')`).join(', ');
	return `select c.oid, pg_get_viewdef(c.oid) from pg_class c where c.oid in (${wanted}) and c.relkind = 'v'`;
}

/**
 * One row: a text that changes with every change of what the other queries read, the milliseconds that the server took, and
 * whether Citus has a list of shards. Every row version of a catalogue has its own (oid, xmin). Temporary objects are left out: they belong to one
 * session each, and would change it all the time.
 */
export const fingerprintQuery = `
with temporary_schemas as (
	select oid from pg_namespace where nspname ~ '^pg_(toast_)?temp_'
), temporary as (
	select oid from pg_class where relpersistence = 't'
), parts as (
	${[
		`select 1, count(*), sum(hash_record_extended(row(oid, xmin), 1)) from pg_namespace
		where oid not in (select oid from temporary_schemas)`,
		`select 2, count(*), sum(hash_record_extended(row(oid, xmin), 2)) from pg_class
		where ${ofPart('user', 'oid')} and relpersistence <> 't'`,
		`select 3, count(*), sum(hash_record_extended(row(attrelid, attnum, xmin), 3)) from pg_attribute
		where ${ofPart('user', 'attrelid')} and attnum > 0 and attrelid not in (select oid from temporary)`,
		`select 4, count(*), sum(hash_record_extended(row(oid, xmin), 4)) from pg_proc where ${ofPart('user', 'oid')}`,
		`select 5, count(*), sum(hash_record_extended(row(oid, xmin), 5)) from pg_rewrite
		where ${ofPart('user', 'oid')} and ev_class not in (select oid from temporary)`,
		`select 6, count(*), sum(hash_record_extended(row(inhrelid, inhparent, xmin), 6)) from pg_inherits
		where inhrelid not in (select oid from temporary)`,
		`select 7, count(*), sum(hash_record_extended(row(oid, xmin), 7)) from pg_type
		where ${ofPart('user', 'oid')} and typnamespace not in (select oid from temporary_schemas)`,
		`select 8, count(*), sum(hash_record_extended(row(oid, xmin), 8)) from pg_operator where ${ofPart('user', 'oid')}`,
		`select 9, count(*), sum(hash_record_extended(row(oid, xmin), 9)) from pg_cast where ${ofPart('user', 'oid')}`,
		`select 10, count(*), sum(hash_record_extended(row(indexrelid, xmin), 10)) from pg_index
		where ${ofPart('user', 'indexrelid')} and indrelid not in (select oid from temporary)`,
		`select 11, count(*), sum(hash_record_extended(row(aggfnoid::oid, xmin), 11)) from pg_aggregate
		where ${ofPart('user', 'aggfnoid::oid')}`,
		`select 12, count(*), sum(hash_record_extended(row(oid, xmin), 12)) from pg_trigger
		where ${ofPart('user', 'oid')} and not tgisinternal and tgrelid not in (select oid from temporary)`,
		`select 13, count(*), sum(hash_record_extended(row(oid, xmin), 13)) from pg_collation where ${ofPart('user', 'oid')}`,
		`select 14, count(*), sum(hash_record_extended(row(oid, xmin), 14)) from pg_policy
		where polrelid not in (select oid from temporary)`,
		`select 15, count(*), sum(hash_record_extended(row(oid, xmin), 15)) from pg_opclass where ${ofPart('user', 'oid')}`,
		`select 16, count(*), sum(hash_record_extended(row(oid, xmin), 16)) from pg_amproc where ${ofPart('user', 'oid')}`,
		`select 17, count(*), sum(hash_record_extended(row(oid, xmin), 17)) from pg_amop where ${ofPart('user', 'oid')}`,
		// To give a domain a check, or a foreign key to a table that has triggers already, leaves their rows as they were.
		`select 18, count(*), sum(hash_record_extended(row(oid, xmin), 18)) from pg_constraint
		where (contypid <> 0 or contype = 'f') and ${ofPart('user', 'oid')} and conrelid not in (select oid from temporary)`,
	].join('\n\tunion all ')}
)
select text, extract(epoch from clock_timestamp() - statement_timestamp()) * 1000,
	to_regclass('pg_catalog.pg_dist_shard') is not null
from (select string_agg(p::text, ' ') as text from parts p) f`;
