/** `portcullis audit ...`: prove and check single records, search a log or all logs of a gateway, and report on a period. */
import { printable, toJson } from '../audit/json.ts';
import { eventCodes } from '../audit/lines.ts';
import { checkProof, logIdOf, proveRecord } from '../audit/prove.ts';
import { type AuditReport, reportLog, reportLogs } from '../audit/report.ts';
import {
	databaseOf,
	decisionOf,
	detailOf,
	type Hit,
	type SearchFilter,
	searchLog,
	statementOf,
	userOf,
} from '../audit/search.ts';
import { searchLogs } from '../audit/search-logs.ts';
import { auditLogs, count, orCommandError, readText } from './audit-input.ts';
import { CommandError, type CommandIo, type Paint, paint } from './io.ts';

/**
 * Prints the proof (C2SP tlog-proof) of the record with that sequence, or uid; where there are several logs `worker-2/1234` says of
 * which. `path`: a folder, or the configuration.
 */
export async function auditProve(io: CommandIo, path: string, record: string): Promise<number> {
	const { places, several } = auditLogs(path);
	const [, log, id, digits] = /^(?:(worker-\d{1,4}|\.)\/)?(?:([0-9a-f]+)-)?(\d{1,15})$/.exec(record) ?? [];
	if (digits === undefined) throw new CommandError(`${record} is neither the sequence of a record nor its uid`, 2);
	if (several && log === undefined && id === undefined)
		throw new CommandError(
			`there are several logs: say of which, like ${places.at(-1)?.name}/${digits}, or the uid`,
			2,
		);
	const asked = log === undefined ? places : places.filter(({ name }) => name === log);
	const ids = await Promise.all(asked.map(({ directory }) => logIdOf(directory)));
	const place = asked.find((_, index) => id === undefined || ids[index] === id);
	if (place === undefined) throw new CommandError(`no log here has the record ${record}`);
	io.out(await orCommandError(() => proveRecord(place.directory, Number(digits))));
	return 0;
}

/** Checks a proof with nothing but the public key, and prints the record that it proves. */
export async function auditCheckProof(
	io: CommandIo,
	proof: string,
	options: { readonly key?: string },
): Promise<number> {
	const key = options.key === undefined ? null : readText(options.key);
	const text = proof === '-' ? await readAll(io) : readText(proof);
	const { sequence, record, checkpoint, signed } = await orCommandError(() => checkProof(text, key));
	const by = signed ? '' : ' (its signature was not checked: no --key)';
	io.err(`record ${sequence} is in ${printable(checkpoint.origin)}, among the first ${checkpoint.size}${by}\n`);
	io.out(`${record}\n`);
	return 0;
}

export interface AuditSearchOptions {
	readonly user?: string;
	readonly relation?: string;
	readonly column?: string;
	readonly database?: string;
	readonly decision?: string;
	readonly event?: string;
	readonly from?: string;
	readonly until?: string;
	readonly session?: string;
	readonly fingerprint?: string;
	readonly text?: string;
	/** As typed: at most so many. */
	readonly limit?: string;
	readonly json?: boolean;
}

/** Prints a line for each match: a table, or with `json` the records themselves with their outcome. */
export async function auditSearch(
	io: CommandIo,
	path: string,
	options: AuditSearchOptions,
	nowMs: number = Date.now(),
): Promise<number> {
	const { places, several } = auditLogs(path);
	const widths = several ? severalWidths : oneWidths;
	const limit = options.limit === undefined ? Number.POSITIVE_INFINITY : Number(options.limit);
	if (!(limit >= 1)) throw new CommandError(`--limit: ${options.limit} is no number of records`, 2);
	const filter = filterOf(options, nowMs);
	let found = 0;
	if (options.json !== true)
		io.out(
			`${tableRow(['TIME', 'RECORD', 'USER', 'DATABASE', 'DECISION', 'ROWS', 'MS', 'WHAT'], widths, io.columns)}\n`,
		);
	const show = (hit: Hit, log: string): void => {
		found += 1;
		if (found > limit) return;
		io.out(
			options.json === true
				? `${toJson({ ...hit.record, ...(hit.outcome === null ? {} : { outcome: hit.outcome }), ...(several ? { log } : {}) })}\n`
				: `${tableRow(hitCells(hit, several ? `${log}/` : ''), widths, io.columns)}\n`,
		);
	};
	const { drained } = io;
	const options_ = drained === undefined ? {} : { drained };
	const [only] = places;
	await orCommandError(() =>
		several || only === undefined
			? searchLogs(places, filter, (hit) => show(hit, hit.log), options_)
			: searchLog(only.directory, filter, (hit) => show(hit, ''), options_),
	);
	if (found > limit) io.err(`${found - limit} more are not shown (--limit)\n`);
	if (found === 0) io.err('no record matches\n');
	return 0;
}

function filterOf(options: AuditSearchOptions, nowMs: number): SearchFilter {
	const { user, relation, column, database, decision, event, from, until, session, fingerprint, text } = options;
	if (decision !== undefined && decision !== 'allow' && decision !== 'mask' && decision !== 'deny') {
		throw new CommandError(`--decision: ${decision} is none of allow, mask, deny`, 2);
	}
	if (event !== undefined && event !== 'all' && !eventCodes.some((code) => code === event)) {
		throw new CommandError(`--event: ${event} is none of all, ${eventCodes.join(', ')}`, 2);
	}
	return {
		...(user === undefined ? {} : { user }),
		...(relation === undefined ? {} : { relation }),
		...(column === undefined ? {} : { column }),
		...(database === undefined ? {} : { database }),
		...(decision === undefined ? {} : { decision }),
		...(event === undefined ? {} : { code: event === 'all' ? null : event }),
		...(session === undefined ? {} : { session }),
		...(fingerprint === undefined ? {} : { fingerprint }),
		...(text === undefined ? {} : { text }),
		...periodOf({ ...(from === undefined ? {} : { from }), ...(until === undefined ? {} : { until }) }, nowMs),
	};
}

/** Width of each column of the table but the last. */
const oneWidths = [24, 8, 20, 10, 8, 7, 7] as const;
/** Where each record is told with its log. */
const severalWidths = [24, 18, 20, 10, 8, 7, 7] as const;

function tableRow(cells: readonly string[], widths: readonly number[], columns: number): string {
	const line = cells.map((cell, index) => (index < widths.length ? fit(cell, widths[index] ?? 0) : cell)).join(' ');
	return line.length > columns && columns > 0 ? `${line.slice(0, columns - 1)}\u2026` : line;
}

function fit(text: string, width: number): string {
	return text.length > width ? `${text.slice(0, width - 1)}\u2026` : text.padEnd(width);
}

function hitCells({ timeMs, sequence, record, outcome, code }: Hit, log: string): string[] {
	const of = (outcome?.unmapped ?? {}) as { rows?: unknown; duration_us?: unknown };
	const ms = typeof of.duration_us === 'number' ? (of.duration_us / 1000).toFixed(1) : '';
	const rows = typeof of.rows === 'number' ? String(of.rows) : '';
	const denied = decisionOf(record) === 'deny' ? `${detailOf(record)}: ` : '';
	const what = code === 'statement' ? `${denied}${statementOf(record)}` : `${code} ${detailOf(record)}`;
	const cells = [
		isoTime(timeMs),
		`${log}${sequence}`,
		userOf(record),
		databaseOf(record),
		decisionOf(record),
		rows,
		ms,
		what,
	];
	return cells.map((cell) => printable(cell.replaceAll(/\s+/g, ' ')));
}

export interface AuditReportOptions {
	readonly from?: string;
	readonly until?: string;
	/** `text` or `csv`. */
	readonly format?: string;
}

/** Prints what happened in a period. */
export async function auditReport(
	io: CommandIo,
	path: string,
	options: AuditReportOptions,
	nowMs: number = Date.now(),
): Promise<number> {
	const { places, several } = auditLogs(path);
	const { format = 'text' } = options;
	if (format !== 'text' && format !== 'csv') throw new CommandError(`--format: ${format} is neither text nor csv`, 2);
	const period = periodOf(options, nowMs);
	const [only] = places;
	const report = await orCommandError(() =>
		several || only === undefined ? reportLogs(places, period) : reportLog(only.directory, period),
	);
	io.out(
		format === 'csv' ? reportCsv(report) : reportText(report, options, several ? places.length : 1, paint(io.color)),
	);
	return 0;
}

interface Section {
	readonly title: string;
	readonly name: string;
	/** user, object, detail, count, rows, first, last */
	readonly rows: readonly (readonly string[])[];
}

function sectionsOf(report: AuditReport): Section[] {
	const when = (entry: { firstMs: number; lastMs: number }) => [isoTime(entry.firstMs), isoTime(entry.lastMs)];
	return [
		{
			title: 'Protected columns that were read',
			name: 'read',
			rows: report.reads.map((read) => [
				read.user,
				`${read.database}.${read.column}`,
				read.mask === null ? 'in the clear' : `masked by ${read.mask}`,
				String(read.count),
				String(read.rows),
				...when(read),
			]),
		},
		{
			title: 'Denials',
			name: 'denial',
			rows: report.denials.map((denial) => [
				denial.user,
				denial.database,
				denial.reason,
				String(denial.count),
				'',
				...when(denial),
			]),
		},
		{
			title: 'Failed logins',
			name: 'failed-login',
			rows: report.failedLogins.map((login) => [
				login.user,
				login.address,
				login.reason,
				String(login.count),
				'',
				...when(login),
			]),
		},
		{
			title: 'Policy and configuration',
			name: 'change',
			rows: report.changes.map((change) => [
				'',
				change.what,
				change.detail,
				String(change.logs),
				'',
				isoTime(change.timeMs),
				isoTime(change.timeMs),
			]),
		},
		{
			title: 'Alarms',
			name: 'alarm',
			rows: report.alarms.map((alarm) => [
				'',
				alarm.what,
				alarm.detail,
				'1',
				'',
				isoTime(alarm.timeMs),
				isoTime(alarm.timeMs),
			]),
		},
	];
}

function reportText(report: AuditReport, options: AuditReportOptions, logs: number, colors: Paint): string {
	const period = `${options.from ?? 'the beginning'} to ${options.until ?? 'now'}`;
	const lines = [
		`${count(report.statements, 'statement')} by ${count(report.people, 'person', 'people')}, ${period}${logs === 1 ? '' : `, from ${logs} logs`} (times in UTC)`,
	];
	for (const { title, rows } of sectionsOf(report)) {
		lines.push('', colors.bold(title), ...(rows.length === 0 ? ['  none'] : rows.map(reportRow)));
	}
	return `${lines.join('\n')}\n`;
}

function reportRow([
	user = '',
	object = '',
	detail = '',
	times = '',
	rows = '',
	first = '',
	last = '',
]: readonly string[]): string {
	const who = user === '' ? '' : `${user}  `;
	const howOften = times === '1' ? first : `${times} times, ${first} to ${last}`;
	return `  ${printable(`${who}${object}  ${detail}`)}  (${howOften}${rows === '' ? '' : `, ${rows} rows`})`;
}

function reportCsv(report: AuditReport): string {
	const head = ['section', 'user', 'object', 'detail', 'count', 'rows', 'first', 'last'];
	const rows = sectionsOf(report).flatMap(({ name, rows: of }) => of.map((row) => [name, ...row]));
	return [head, ...rows].map((row) => `${row.map(csvCell).join(',')}\r\n`).join('');
}

/** RFC 4180. A cell that a spreadsheet would take for a formula gets an apostrophe: its text comes from clients. */
function csvCell(cell: string): string {
	const safe = /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : cell;
	return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

// ---------------------------------------------------------------- shared

function isoTime(timeMs: number): string {
	return Math.abs(timeMs) <= 8.64e15 ? new Date(timeMs).toISOString() : '(no time)';
}

const agoMs: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** `2026-11-22`, `2026-11-22T10:00Z`, or ago: `90m`, `24h`, `7d`, `2w`. Without a zone it is UTC. */
function timeOf(option: string, text: string, nowMs: number): number {
	const ago = /^(\d{1,6})([mhdw])$/.exec(text);
	if (ago !== null) return nowMs - Number(ago[1]) * (agoMs[ago[2] ?? ''] ?? 0);
	const iso = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/.exec(text);
	const timeMs =
		iso === null ? Number.NaN : Date.parse(iso[1] === undefined || iso[4] !== undefined ? text : `${text}Z`);
	// The thirtieth of February would be the second of March.
	const [day] = /^\d{4}-\d\d-\d\d/.exec(text) ?? [];
	if (Number.isNaN(timeMs) || (day !== undefined && !isoTime(Date.parse(day)).startsWith(day)))
		throw new CommandError(`${option}: ${text} is no time like 2026-11-22, 2026-11-22T10:00Z or 24h`, 2);
	return timeMs;
}

function periodOf(
	{ from, until }: { from?: string; until?: string },
	nowMs: number,
): { fromMs?: number; untilMs?: number } {
	const fromMs = from === undefined ? null : timeOf('--from', from, nowMs);
	const untilMs = until === undefined ? null : timeOf('--until', until, nowMs);
	if (fromMs !== null && untilMs !== null && fromMs >= untilMs)
		throw new CommandError(`--from ${from} is not before --until ${until}`, 2);
	return { ...(fromMs === null ? {} : { fromMs }), ...(untilMs === null ? {} : { untilMs }) };
}

async function readAll(io: CommandIo): Promise<string> {
	const chunks: Buffer[] = [];
	for await (const chunk of io.stdin) chunks.push(Buffer.from(chunk as Uint8Array));
	return Buffer.concat(chunks).toString('utf8');
}
