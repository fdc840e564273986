/**
 * The server's catalogues as they look to somebody from whom columns are hidden: as after ALTER TABLE ... DROP COLUMN ... CASCADE.
 * pg_attribute has such columns as it has dropped ones, which tools know; what was made of them is left out.
 */
import type { Column, Relation } from '../catalog/snapshot.ts';
import type { RuleRef } from '../stages.ts';
import { type HiddenColumns, KEY_FACTOR } from './hidden-columns.ts';
import {
	castTo,
	type ColumnProtection,
	makeProtection,
	type Protection,
	type RowFilter,
	type RowName,
} from './protection.ts';

/** How one relation is shown. */
interface Substitution {
	/** What stands in place of columns, whichever of them a version has; `row` qualifies the relation's columns. */
	readonly columns?: Readonly<Record<string, (row: string) => string>>;
	/** Rows that are left out. */
	readonly leavesOut?: (row: string) => string;
	/** The relation with one column more, and with what TABLESAMPLE asks of it. */
	readonly from?: (sample: string) => string;
}

const RULE: RuleRef = { file: 'built-in', line: 0, text: 'columns that the policy hides look as if they were dropped' };

/** The name under which masks and filters of the gateway's own are written down. */
const NAME = 'hidden columns';

const known = new WeakMap<HiddenColumns, Map<string, Protection | null>>();

/**
 * Null where the relation of pg_catalog or information_schema tells nothing of columns, or is a view that is read through its definition. `columns`: the relation's, with what stands in place of
 * some of them for everybody.
 */
export function hiddenCatalogue(
	{ schema, name: relation }: Relation,
	hidden: HiddenColumns,
	columns: readonly ColumnProtection[],
): Protection | null {
	const name = `${schema}.${relation}`;
	let ofSet = known.get(hidden);
	if (ofSet === undefined) known.set(hidden, (ofSet = new Map<string, Protection | null>()));
	let protection = ofSet.get(name);
	if (protection === undefined) ofSet.set(name, (protection = protectionFor(name, hidden, columns)));
	return protection;
}

function protectionFor(name: string, hidden: HiddenColumns, columns: readonly ColumnProtection[]): Protection | null {
	const { columns: replaced = {}, leavesOut, from } = substitutionFor(name, hidden) ?? {};
	if (leavesOut === undefined && Object.keys(replaced).length === 0) return null;
	const filter: RowFilter = {
		...{ name: NAME, rules: [RULE], columns: [], readOnly: true },
		render: (row) => (leavesOut === undefined ? 'true' : `NOT (${leavesOut(nameOf(row))})`),
	};
	const shown = columns.map((own) => shownColumn(own, replaced[own.column.name]));
	const made = makeProtection(shown, leavesOut === undefined ? [] : [filter], []);
	return { ...made, ofNames: { from: from ?? null } };
}

function shownColumn(own: ColumnProtection, replacement: ((row: string) => string) | undefined): ColumnProtection {
	if (replacement === undefined || own.state !== 'plain') return own;
	const column: Column = own.column;
	return {
		column,
		state: 'masked',
		mask: NAME,
		rules: [RULE],
		render: (row) => castTo(column, replacement(nameOf(row))),
	};
}

/** What is written through a view is no catalogue: its row has a name. */
function nameOf(row: RowName): string {
	if (typeof row !== 'string') throw new Error('a row of a catalogue without a name');
	return row;
}

/** Oids of catalogues that pg_depend, pg_description and others name; fixed for all versions (their BKI entries). */
const CATALOGUE = { class: 1259, constraint: 2606, policy: 3256, statistics: 3381, trigger: 2620 } as const;

/** The attnum `0` of pg_depend and others stands for the relation as a whole, and no key ends in it. */
function substitutionFor(name: string, hidden: HiddenColumns): Substitution | undefined {
	const is = conditionsOf(hidden);
	const partOfColumn = (row: string): string =>
		`${equals(`${row}.classoid`, CATALOGUE.class)} AND ${is.hidden(`${row}.objoid`, `${row}.objsubid`)}`;
	switch (name) {
		case 'pg_catalog.pg_attribute':
			return {
				columns: ATTRIBUTE,
				from: (sample) =>
					`(SELECT tableoid, ctid, xmin, *, ${is.hidden('attrelid', 'attnum')} AS "_h" FROM pg_catalog.pg_attribute${sample})`,
			};
		case 'pg_catalog.pg_attrdef':
			return { leavesOut: (row) => is.hidden(`${row}.adrelid`, `${row}.adnum`) };
		case 'pg_catalog.pg_description':
		case 'pg_catalog.pg_seclabel':
		case 'pg_catalog.pg_seclabels':
		case 'pg_catalog.pg_init_privs':
			return { leavesOut: partOfColumn };
		case 'pg_catalog.pg_index':
			return { leavesOut: (row) => indexOn(is, row) };
		case 'pg_catalog.pg_constraint':
			return { leavesOut: (row) => constraintOn(is, row) };
		case 'pg_catalog.pg_class':
			return { columns: { relchecks: (row) => checksOf(is, row) }, leavesOut: (row) => isIndexGone(is, row) };
		case 'pg_catalog.pg_statistic_ext':
			return {
				leavesOut: (row) => is.over(`${row}.stxrelid`, `${row}.stxkeys`, [[CATALOGUE.statistics, `${row}.oid`]]),
			};
		case 'pg_catalog.pg_trigger':
			return { leavesOut: (row) => is.over(`${row}.tgrelid`, `${row}.tgattr`, [[CATALOGUE.trigger, `${row}.oid`]]) };
		case 'pg_catalog.pg_policy':
			return { leavesOut: (row) => is.over(`${row}.polrelid`, null, [[CATALOGUE.policy, `${row}.oid`]]) };
		case 'pg_catalog.pg_depend':
			return dependencies(is);
		case 'information_schema.column_privileges':
		case 'information_schema.role_column_grants':
		case 'information_schema.column_options':
			return { leavesOut: (row) => is.named(`${row}.table_schema`, `${row}.table_name`, `${row}.column_name`) };
		case 'information_schema._pg_foreign_table_columns':
			return { leavesOut: (row) => is.named(`${row}.nspname`, `${row}.relname`, `${row}.attname`) };
		default:
			return undefined;
	}
}

/** As RemoveAttributeById of the server leaves them (catalog/heap.c); sizes and numbers stay, by which rows are laid out. */
const ATTRIBUTE: NonNullable<Substitution['columns']> = {
	attname: (row) =>
		whenHidden(
			row,
			`'........pg.dropped.' OPERATOR(pg_catalog.||) CAST(${row}.attnum AS pg_catalog.text) OPERATOR(pg_catalog.||) '........'`,
			'attname',
			'name',
		),
	atttypid: (row) => whenHidden(row, '0', 'atttypid', 'oid'),
	atttypmod: (row) => whenHidden(row, '-1', 'atttypmod', 'int4'),
	attnotnull: (row) => whenHidden(row, 'false', 'attnotnull', 'bool'),
	atthasdef: (row) => whenHidden(row, 'false', 'atthasdef', 'bool'),
	atthasmissing: (row) => whenHidden(row, 'false', 'atthasmissing', 'bool'),
	attidentity: (row) => whenHidden(row, `''`, 'attidentity', '"char"'),
	attgenerated: (row) => whenHidden(row, `''`, 'attgenerated', '"char"'),
	attisdropped: (row) => `${row}.attisdropped OR ${row}."_h"`,
	attcollation: (row) => whenHidden(row, '0', 'attcollation', 'oid'),
	attacl: (row) => `CASE WHEN NOT ${row}."_h" THEN ${row}.attacl END`,
	attoptions: (row) => `CASE WHEN NOT ${row}."_h" THEN ${row}.attoptions END`,
	attfdwoptions: (row) => `CASE WHEN NOT ${row}."_h" THEN ${row}.attfdwoptions END`,
};

function whenHidden(row: string, value: string, column: string, type: string): string {
	return `CASE WHEN ${row}."_h" THEN CAST(${value} AS pg_catalog.${type}) ELSE ${row}.${column} END`;
}

interface Conditions {
	/** SQL: the column is hidden. */
	readonly hidden: (relation: string, attnum: string) => string;
	/** SQL: there is a hidden column of these names. For views that read what only their owner may. */
	readonly named: (schema: string, relation: string, column: string) => string;
	/** SQL: the relation has a hidden column. */
	readonly isOneOf: (relation: string) => string;
	/**
	 * SQL: something of `relation` is made of a hidden column, one of `attnums` (int2[] or int2vector) or one that an object of pg_depend
	 * (oids of its catalogue and of itself) depends on. Costs nothing for other relations.
	 */
	readonly over: (relation: string, attnums: string | null, objects: readonly (readonly [number, string])[]) => string;
}

function conditionsOf({ keys, relations }: HiddenColumns): Conditions {
	// A constant array with more than a few elements is looked up by hash.
	const all = `'{${keys.join(',')}}'::pg_catalog.int8[]`;
	const some = `'{${relations.join(',')}}'::pg_catalog.oid[]`;
	const hidden = (relation: string, attnum: string): string =>
		`(((CAST(${relation} AS pg_catalog.int8) OPERATOR(pg_catalog.*) ${KEY_FACTOR}) OPERATOR(pg_catalog.+) ${attnum}) OPERATOR(pg_catalog.=) ANY (${all}))`;
	const isOneOf = (relation: string): string => `${relation} OPERATOR(pg_catalog.=) ANY (${some})`;
	const over: Conditions['over'] = (relation, attnums, objects) => {
		const numbers = objects.map(
			([catalogue, oid]) =>
				`SELECT "_d".refobjsubid FROM pg_catalog.pg_depend AS "_d" WHERE ${equals('"_d".classid', catalogue)} AND "_d".objid OPERATOR(pg_catalog.=) ${oid}` +
				` AND ${equals('"_d".refclassid', CATALOGUE.class)} AND "_d".refobjid OPERATOR(pg_catalog.=) ${relation}`,
		);
		if (attnums !== null)
			numbers.push(`SELECT pg_catalog.unnest(CAST(${attnums} AS pg_catalog.int2[]))::pg_catalog.int4`);
		// The list of hidden columns stands there once.
		const ways = `SELECT FROM (${numbers.join(' UNION ALL ')}) AS "_n"(n) WHERE ${hidden(relation, '"_n".n')}`;
		return `(${isOneOf(relation)} AND EXISTS (${ways}))`;
	};
	const named: Conditions['named'] = (schema, relation, column) =>
		`EXISTS (SELECT FROM pg_catalog.pg_attribute AS "_a" JOIN pg_catalog.pg_class AS "_r" ON "_r".oid OPERATOR(pg_catalog.=) "_a".attrelid` +
		` JOIN pg_catalog.pg_namespace AS "_s" ON "_s".oid OPERATOR(pg_catalog.=) "_r".relnamespace` +
		` WHERE ${isOneOf('"_a".attrelid')} AND ${hidden('"_a".attrelid', '"_a".attnum')} AND "_s".nspname OPERATOR(pg_catalog.=) ${schema}` +
		` AND "_r".relname OPERATOR(pg_catalog.=) ${relation} AND "_a".attname OPERATOR(pg_catalog.=) ${column})`;
	return { hidden, named, isOneOf, over };
}

function equals(column: string, oid: number): string {
	return `${column} OPERATOR(pg_catalog.=) ${oid}::pg_catalog.oid`;
}

/** Columns of its expressions and of its condition are not in indkey. */
function indexOn(is: Conditions, row: string): string {
	return is.over(`${row}.indrelid`, `${row}.indkey`, [[CATALOGUE.class, `${row}.indexrelid`]]);
}

/** psql gives up a list of relations at an index that pg_index does not have. */
function isIndexGone(is: Conditions, row: string): string {
	const gone = `SELECT "_i".indexrelid FROM pg_catalog.pg_index AS "_i" WHERE ${indexOn(is, '"_i"')}`;
	return `${row}.relkind OPERATOR(pg_catalog.=) ANY ('{i,I}'::pg_catalog."char"[]) AND ${row}.oid OPERATOR(pg_catalog.=) ANY (${gone})`;
}

/** A foreign key to a hidden column is gone with it; an exclusion constraint's expressions are those of its index. */
function constraintOn(is: Conditions, row: string): string {
	const own = is.over(`${row}.conrelid`, `${row}.conkey`, [
		[CATALOGUE.constraint, `${row}.oid`],
		[CATALOGUE.class, `${row}.conindid`],
	]);
	return `${own} OR ${is.over(`${row}.confrelid`, `${row}.confkey`, [])}`;
}

/** pg_dump counts the checks that it finds. */
function checksOf(is: Conditions, row: string): string {
	const gone = `SELECT pg_catalog.count(*) FROM pg_catalog.pg_constraint AS "_c" WHERE "_c".conrelid OPERATOR(pg_catalog.=) ${row}.oid AND "_c".contype OPERATOR(pg_catalog.=) 'c'::pg_catalog."char" AND ${is.over('"_c".conrelid', '"_c".conkey', [])}`;
	return `CASE WHEN ${row}.relchecks OPERATOR(pg_catalog.>) 0 AND ${is.isOneOf(`${row}.oid`)} THEN ${row}.relchecks OPERATOR(pg_catalog.-) (${gone}) ELSE ${row}.relchecks END`;
}

/** Sequences that a hidden column owns belong to nobody; what else depends on one, a view, depends on its table. */
function dependencies(is: Conditions): Substitution {
	const referenced = (row: string): string =>
		`${equals(`${row}.refclassid`, CATALOGUE.class)} AND ${is.hidden(`${row}.refobjid`, `${row}.refobjsubid`)}`;
	const dependent = (row: string): string =>
		`${equals(`${row}.classid`, CATALOGUE.class)} AND ${is.hidden(`${row}.objid`, `${row}.objsubid`)}`;
	return {
		columns: { refobjsubid: (row) => `CASE WHEN ${referenced(row)} THEN 0 ELSE ${row}.refobjsubid END` },
		leavesOut: (row) =>
			`(${dependent(row)}) OR (${row}.deptype OPERATOR(pg_catalog.<>) 'n'::pg_catalog."char" AND ${referenced(row)})`,
	};
}
