/** What the audit log holds of the tour, shortened to a line each, and one record of it in full. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Paint } from '../io.ts';
import { wrap } from './panels.ts';

/** The members of a record (see docs/audit.md) that are shown here. */
export interface AuditRecord {
	readonly metadata: { readonly event_code: string; readonly uid: string; readonly correlation_uid?: string };
	readonly time: number;
	readonly query_info?: { readonly query_string: string };
	readonly authorizations?: readonly { readonly policy?: { readonly name: string } }[];
	readonly actor?: { readonly user?: { readonly name: string }; readonly app_name?: string };
	readonly status_code?: string;
	readonly status_detail?: string;
	readonly action?: string;
	readonly unmapped?: {
		readonly method?: string | null;
		readonly rewritten?: string;
		readonly rows?: number;
		readonly duration_us?: number;
	};
}

export interface Parsed {
	readonly line: string;
	readonly record: AuditRecord;
}

/** Columns of a line but for the statement: margin, time, who, decision, result, rules, and the gaps between. */
const OTHER_COLUMNS = 3 + 13 + 6 + 6 + 2 + 18 + 16;
const RECORD_LINES_MAX = 6;

/** Lines for the terminal, without line ends. `application`: only the records of clients that call themselves so. */
export async function auditLines(
	folder: string,
	application: string,
	columns: number,
	paint: Paint,
): Promise<string[]> {
	const all = await readRecords(folder);
	const outcomes = new Map(all.map(({ record }) => [record.metadata.correlation_uid, record]));
	const mine = all.filter(
		({ record }) => record.metadata.event_code === 'statement' && record.actor?.app_name === application,
	);
	const masked = mine.find(({ record }) => record.action === 'Modified');
	return [
		` ${paint.bold('What the audit log has of it')}`,
		paint.dim('   JSON lines in the schema of OCSF, each written before its statement was forwarded, in'),
		paint.dim(`   ${folder}`),
		'',
		...mine.map(({ record }) => statementLine(record, outcomes.get(record.metadata.uid), columns, paint)),
		'',
		...(masked === undefined ? [] : inFull(masked, columns, paint)),
	];
}

/** What ran in place of a statement, and the beginning of its record as it stands in the file. */
function inFull({ line, record }: Parsed, columns: number, paint: Paint): string[] {
	const width = Math.min(columns, 120) - 6;
	const pieces = chop(line, width);
	return [
		paint.dim('   what the database was given in place of the first statement:'),
		...wrap(record.unmapped?.rewritten ?? '', width).map((piece) => paint.yellow(`   ${piece}`)),
		'',
		paint.dim(`   its record (${line.length} bytes) begins:`),
		...pieces.slice(0, RECORD_LINES_MAX).map((piece) => paint.dim(`   ${piece}`)),
		'',
	];
}

/** Every record of the log. */
export async function readRecords(folder: string): Promise<Parsed[]> {
	const files = (await readdir(folder)).filter((name) => name.endsWith('.jsonl')).sort();
	const texts = await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')));
	return texts
		.flatMap((text) => text.split('\n'))
		.filter((line) => line !== '')
		.map((line) => ({ line, record: JSON.parse(line) as AuditRecord }));
}

function statementLine(record: AuditRecord, outcome: AuditRecord | undefined, columns: number, paint: Paint): string {
	const denied = record.action === 'Denied';
	const masked = record.action === 'Modified';
	const effect = denied ? paint.red('deny ') : masked ? paint.yellow('mask ') : paint.green('allow');
	const time = new Date(record.time).toISOString().slice(11, 23);
	const who = (record.actor?.user?.name ?? '').padEnd(5);
	const room = Math.min(columns, 120) - OTHER_COLUMNS;
	const sql = shorten(record.query_info?.query_string ?? '', room).padEnd(room);
	const result = denied ? `ERROR ${record.status_code ?? ''}` : resultOf(outcome);
	return `   ${paint.dim(time)} ${who} ${effect} ${sql}  ${result.padEnd(16)}  ${paint.dim(rulesOf(record))}`.trimEnd();
}

function resultOf(outcome: AuditRecord | undefined): string {
	const { rows = 0, duration_us: us = 0 } = outcome?.unmapped ?? {};
	return outcome === undefined ? '' : `${String(rows).padStart(2)} rows ${(us / 1000).toFixed(1).padStart(5)} ms`;
}

/** The lines of policy.csv that decided: `:13-19`; nothing when no rule matched. */
function rulesOf(record: AuditRecord): string {
	const names = (record.authorizations ?? []).map((one) => one.policy?.name ?? '');
	const text = [...names, record.status_detail ?? ''].join(' ');
	const lines = new Set([...text.matchAll(/policy\.csv:(\d+)/g)].map((match) => Number(match[1])));
	return lines.size === 0 ? 'no rule' : `rule ${ranges([...lines].sort((one, other) => one - other)).join(',')}`;
}

/** `[13, 14, 15, 19]` as `13-15`, `19`. */
function ranges(sorted: readonly number[]): string[] {
	const found: { from: number; to: number }[] = [];
	for (const line of sorted) {
		const last = found.at(-1);
		if (last !== undefined && line === last.to + 1) last.to = line;
		else found.push({ from: line, to: line });
	}
	return found.map(({ from, to }) => (from === to ? String(from) : `${from}-${to}`));
}

function shorten(text: string, length: number): string {
	return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

function chop(text: string, length: number): string[] {
	const pieces: string[] = [];
	for (let start = 0; start < text.length; start += length) pieces.push(text.slice(start, start + length));
	return pieces;
}
