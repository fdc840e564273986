/** What the audit log holds of the tour, shortened to a line each, and one record of it in full. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Paint } from '../io.ts';

/** The members of a record (see docs/audit.md) that are shown here. */
interface AuditRecord {
	readonly metadata: { readonly event_code: string; readonly uid: string; readonly correlation_uid?: string };
	readonly time: number;
	readonly query_info?: { readonly query_string: string };
	readonly authorizations?: readonly { readonly decision: string; readonly policy?: { readonly name: string } }[];
	readonly actor?: { readonly user?: { readonly name: string }; readonly app_name?: string };
	readonly status_code?: string;
	readonly action?: string;
	readonly unmapped?: { readonly tag?: string; readonly rows?: number; readonly duration_us?: number };
}

interface Parsed {
	readonly line: string;
	readonly record: AuditRecord;
}

const STATEMENT_COLUMNS = 44;

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
	const shown = mine.map(({ record }) => statementLine(record, outcomes.get(record.metadata.uid), columns, paint));
	const masked = mine.find(({ record }) => record.action === 'Modified') ?? mine[0];
	return [
		` ${paint.bold('What the audit log has of it')}  ${paint.dim(`${folder}, ${all.length} records, each written before its statement was forwarded`)}`,
		'',
		...shown,
		'',
		paint.dim('   the first of them in full:'),
		...(masked === undefined ? [] : chop(masked.line, columns - 6).map((piece) => paint.dim(`   ${piece}`))),
		'',
	];
}

async function readRecords(folder: string): Promise<Parsed[]> {
	const files = (await readdir(folder)).filter((name) => name.endsWith('.jsonl')).sort();
	const texts = await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')));
	return texts
		.flatMap((text) => text.split('\n'))
		.filter((line) => line !== '')
		.map((line) => ({ line, record: JSON.parse(line) as AuditRecord }));
}

function statementLine(record: AuditRecord, outcome: AuditRecord | undefined, columns: number, paint: Paint): string {
	const [decision = ''] = [...new Set(record.authorizations?.map((one) => one.decision) ?? [])].sort(strictest);
	const denied = record.action === 'Denied';
	const effect = denied
		? paint.red('deny'.padEnd(6))
		: decision === 'mask'
			? paint.yellow('mask  ')
			: paint.green('allow ');
	const time = new Date(record.time).toISOString().slice(11, 23);
	const who = (record.actor?.user?.name ?? '').padEnd(5);
	const sql = shorten(record.query_info?.query_string ?? '', STATEMENT_COLUMNS).padEnd(STATEMENT_COLUMNS);
	const result = denied ? (record.status_code ?? '') : resultOf(outcome);
	const room = columns - 3 - 13 - 6 - 7 - STATEMENT_COLUMNS - 2 - 12;
	return `   ${paint.dim(time)} ${who} ${effect} ${sql}  ${result.padEnd(11)} ${paint.dim(shorten(rulesOf(record), Math.max(12, room)))}`;
}

const STRICTNESS = ['deny', 'mask', 'filter', 'allow'];

function strictest(one: string, other: string): number {
	return STRICTNESS.indexOf(one) - STRICTNESS.indexOf(other);
}

function resultOf(outcome: AuditRecord | undefined): string {
	const { rows, duration_us: us = 0 } = outcome?.unmapped ?? {};
	return outcome === undefined ? '' : `${rows ?? 0} rows ${(us / 1000).toFixed(1)}ms`;
}

/** `policy.csv:12,13`; nothing when no rule matched. */
function rulesOf(record: AuditRecord): string {
	const names = (record.authorizations ?? []).flatMap((one) => (one.policy === undefined ? [] : [one.policy.name]));
	const lines = [...new Set(names.filter((name) => name.startsWith('policy.csv:')).map((name) => name.slice(11)))];
	return lines.length === 0 ? 'no rule' : `policy.csv:${lines.join(',')}`;
}

function shorten(text: string, length: number): string {
	return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

function chop(text: string, length: number): string[] {
	const pieces: string[] = [];
	for (let start = 0; start < text.length; start += length) pieces.push(text.slice(start, start + length));
	return pieces;
}
