/** Measures what the audit costs: CPU microseconds per statement (its record and its outcome), by durability and by how much repeats. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import { join } from 'node:path';
import { type Accepted, AuditLog } from '../src/audit/log.ts';
import type { StatementRecord } from '../src/audit/event.ts';
import type { AuditReceipt } from '../src/stages.ts';
import { decision, record, use } from '../test/audit/samples.ts';

interface Case {
	readonly name: string;
	readonly durability: 'os' | 'disk';
	readonly clients: number;
	readonly statements: number;
	readonly next: (count: number) => StatementRecord;
}

/** What the measuring itself costs is taken off: a log that does nothing. */
const nothing: Pick<AuditLog, 'accept' | 'outcome'> = (() => {
	const receipt = {} as AuditReceipt;
	let waiting: Accepted[] = [];
	return {
		accept: (_record, done) => {
			if (waiting.push(done) > 1) return;
			setImmediate(() => {
				const now = waiting;
				waiting = [];
				for (const go of now) go(null, receipt);
			});
		},
		outcome: () => {},
	};
})();

const plainSql = 'select id, total from sales.orders where id = $1';
const plain = record({
	decision: decision({
		effect: 'allow',
		sql: plainSql,
		rewritten: plainSql,
		objects: [use({ schema: 'sales', name: 'orders', columns: ['id', 'total'], masks: {}, filters: [], hidden: [] })],
	}),
	parameters: [],
});
/** As the gateway sends it: with the relation's schema, in quotation marks. */
const qualified: StatementRecord = {
	...plain,
	decision: { ...plain.decision, rewritten: 'select id, total from "sales".orders where id = $1' },
};
const same = record({ parameters: [] });
const repeated = record();

/** As a text that came from a client, or is sent to a server: what the engine puts off when it joins texts is not the log's work. */
function inOnePiece(text: string): string {
	text.charCodeAt(0);
	return text;
}

/** As a template of statements gives it: its text is new, all else of the decision is what it was. */
function ofShape(of: StatementRecord, count: number): StatementRecord {
	const { decision: known } = of;
	const sql = inOnePiece(known.sql.replace('$1', String(count)));
	const rewritten = known.rewritten === known.sql ? sql : inOnePiece(known.rewritten.replace('$1', String(count)));
	return { ...of, decision: { ...known, sql, rewritten } };
}

const cases: readonly Case[] = [
	{
		name: 'os, repeated statement, allowed as it is',
		durability: 'os',
		clients: 16,
		statements: 100_000,
		next: () => plain,
	},
	{ name: 'os, repeated statement, masked', durability: 'os', clients: 16, statements: 100_000, next: () => same },
	{
		name: 'os, repeated statement, one parameter',
		durability: 'os',
		clients: 16,
		statements: 100_000,
		next: () => repeated,
	},
	{
		name: 'os, allowed, other literals each time',
		durability: 'os',
		clients: 16,
		statements: 100_000,
		next: (count) => ofShape(plain, count),
	},
	{
		name: 'os, qualified, other literals each time',
		durability: 'os',
		clients: 16,
		statements: 100_000,
		next: (count) => ofShape(qualified, count),
	},
	{
		name: 'os, masked, other literals each time',
		durability: 'os',
		clients: 16,
		statements: 100_000,
		next: (count) => ofShape(same, count),
	},
	{
		name: 'os, every statement of another shape',
		durability: 'os',
		clients: 16,
		statements: 100_000,
		next: (count) =>
			record({ decision: decision({ sql: `select ${count}`, rewritten: `select ${count}` }), parameters: [] }),
	},
	{ name: 'os, one client', durability: 'os', clients: 1, statements: 100_000, next: () => same },
	{ name: 'disk, repeated statement', durability: 'disk', clients: 16, statements: 10_000, next: () => same },
];

/** Each client does one statement at a time: accept, then (in a later turn) its outcome and the next. */
async function run(log: typeof nothing, of: Case, statements: number): Promise<void> {
	let started = 0;
	let running = 0;
	await new Promise<void>((resolve, reject) => {
		const go = () => {
			if (started === statements) {
				if (running === 0) resolve();
				return;
			}
			started += 1;
			running += 1;
			log.accept(of.next(started), (error, receipt) => {
				running -= 1;
				if (receipt === null) {
					reject(error ?? new Error('no receipt'));
					return;
				}
				log.outcome(receipt, {
					status: 'success',
					sqlstate: null,
					tag: 'SELECT 1',
					rows: 1,
					bytes: 120,
					durationMs: 0.4,
				});
				go();
			});
		};
		for (let client = 0; client < of.clients; client += 1) go();
	});
}

interface Measured {
	readonly userUs: number;
	readonly systemUs: number;
	readonly bytes: number;
	readonly perSecond: number;
	readonly recordsPerWrite: number;
}

async function measure(log: AuditLog, of: Case): Promise<Measured> {
	const idle = process.cpuUsage();
	await run(nothing, of, of.statements);
	const own = process.cpuUsage(idle);
	const before = { cpu: process.cpuUsage(), stats: log.stats, ms: performance.now() };
	await run(log, of, of.statements);
	const cpu = process.cpuUsage(before.cpu);
	const { stats } = log;
	return {
		userUs: (cpu.user - own.user) / of.statements,
		systemUs: (cpu.system - own.system) / of.statements,
		bytes: (stats.bytes - before.stats.bytes) / of.statements,
		perSecond: (of.statements / (performance.now() - before.ms)) * 1000,
		recordsPerWrite: (stats.records - before.stats.records) / (stats.writes - before.stats.writes),
	};
}

/** Of so many rounds the one that others on the machine disturbed least. */
const rounds = 5;

for (const of of cases) {
	const path = fs.mkdtempSync(join(os.tmpdir(), 'portcullis-bench-'));
	const log = await AuditLog.open({ path, durability: of.durability });
	await run(log, of, of.statements / 4);
	const measured: Measured[] = [];
	for (let round = 0; round < rounds; round += 1) measured.push(await measure(log, of));
	await log.close();
	fs.rmSync(path, { recursive: true });
	const sum = (one: Measured) => one.userUs + one.systemUs;
	const [best] = measured.toSorted((left, right) => sum(left) - sum(right));
	if (best === undefined) continue;
	console.log(
		`${of.name.padEnd(42)} ${sum(best).toFixed(2)} us CPU (${best.userUs.toFixed(2)} user, ${best.systemUs.toFixed(2)} system), ` +
			`${best.bytes.toFixed(0)} bytes, ${Math.round(best.perSecond)}/s, ${best.recordsPerWrite.toFixed(1)} records a write`,
	);
}
