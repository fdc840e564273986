/** The question to a server what of a client's session state is on its connection, and how the answer is read. */
import { settingColumns } from '../backend/settings.ts';
import { GatewayError } from '../errors.ts';
import { ownStatements } from './virtual-names.ts';
import type { AnswerRows } from './question.ts';

/** Kinds of state that a server can tell of. */
export const askable = ['temporary', 'cursor', 'prepared', 'lock', 'listen'] as const;

export type Askable = (typeof askable)[number];

const is = 'operator(pg_catalog.=)';

/**
 * SQL that is true while there is some. Every name is qualified, whatever search_path is in force. Whatever is in a
 * temporary schema depends on it (pg_depend), or else it would not be dropped with it.
 */
const conditions: Readonly<Record<Askable, string>> = {
	temporary: `exists (select from pg_catalog.pg_depend where refclassid ${is} 'pg_catalog.pg_namespace'::pg_catalog.regclass
		and refobjid ${is} pg_catalog.pg_my_temp_schema() and deptype ${is} 'n')`,
	cursor: 'exists (select from pg_catalog.pg_cursors where is_holdable)',
	prepared: `exists (select from pg_catalog.pg_prepared_statements where not pg_catalog.starts_with(name, '${ownStatements}'))`,
	lock: `exists (select from pg_catalog.pg_locks where locktype ${is} 'advisory' and pid ${is} pg_catalog.pg_backend_pid())`,
	listen: 'exists (select from pg_catalog.pg_listening_channels())',
};

/** One row: a boolean for each kind, then the values of the settings. */
export function stateQuestion(kinds: Iterable<Askable>, settings: readonly string[]): string {
	return `select ${[...[...kinds].map((kind) => conditions[kind]), ...settingColumns(settings)].join(', ')}`;
}

/** Throws where the answer is not one row of that many columns. */
export function stateRow(rows: AnswerRows, columns: number): readonly (string | null)[] {
	const [row] = rows;
	if (rows.length !== 1 || row?.length !== columns)
		throw new GatewayError('XX000', 'no answer about the session state');
	return row;
}

/** Null: there is no such setting (any more). */
export function learnedSettings(
	names: readonly string[],
	values: readonly (string | null)[],
): Map<string, string | null> {
	return new Map(names.map((name, i) => [name, values[i] ?? null]));
}
