/** Searching the log by each filter, and summing up a period. */
import { describe, expect, it } from 'vitest';
import { reportLog } from '../../src/audit/report.ts';
import { type Hit, type SearchFilter, searchLog, statementOf } from '../../src/audit/search.ts';
import type { StatementRecord } from '../../src/audit/event.ts';
import type { StatementDecision } from '../../src/stages.ts';
import { decision, denial, identity, record, session, use } from './samples.ts';
import { accept, openLog, success } from './support.ts';

const hour = 3_600_000;
const start = Date.UTC(2030, 0, 1);
const ben = { ...session, id: 'session-of-ben', identity: { ...identity, name: 'ben' } };

/** Ada at 1:00 and 2:00 (masked, denied), Ben at 3:00 and 4:00 (in the clear by an unmask rule, and a plain read). */
async function sampleLog(): Promise<string> {
	let now = start;
	const { log, path } = await openLog({ now: () => now, limits: { segmentBytesMax: 4000 } });
	const run = async (at: number, more: Parameters<typeof record>[0], rows: number | null) => {
		now = start + at * hour;
		const receipt = await accept(log, record(more));
		if (rows !== null) log.outcome(receipt, { ...success, rows });
	};
	await run(1, {}, 5);
	await run(2, { decision: denial() }, null);
	const unmask = { file: 'policy.csv', line: 20, text: 'p, role:auditor, shop.hr.employees.*, select, unmask' };
	const clear = use({ columns: ['id', 'ssn'], masks: {}, filters: [], hidden: [], rules: [unmask] });
	await run(
		3,
		{ session: ben, decision: decision({ effect: 'allow', sql: 'select ssn', objects: [clear], rules: [unmask] }) },
		7,
	);
	const plain = use({
		schema: 'sales',
		name: 'orders',
		columns: ['total'],
		masks: {},
		filters: [],
		hidden: [],
		rules: [],
	});
	await run(
		4,
		{ session: ben, decision: decision({ effect: 'allow', sql: 'select total', objects: [plain], rules: [] }) },
		1,
	);
	now = start + 5 * hour;
	log.event({
		type: 'login-failed',
		session: { ...session, identity: null },
		user: 'eve',
		reason: 'expired',
		sqlstate: '28000',
	});
	log.event({
		type: 'policy-reload',
		ok: false,
		revision: 'a',
		previousRevision: 'a',
		trigger: 'signal',
		problems: ['policy.csv:1: x'],
	});
	log.event({ type: 'guard-breach', session: ben, receipt: null, object: 'hr.employees.ssn', reason: 'raw' });
	await log.close();
	return path;
}

async function hits(path: string, filter: SearchFilter): Promise<Hit[]> {
	const found: Hit[] = [];
	await searchLog(path, filter, (hit) => found.push(hit));
	return found;
}

describe('search', () => {
	const [masked, denied, clear, plain] = [
		'select id, name, ssn from hr.employees where id = $1',
		'select * from hr.secrets',
		'select ssn',
		'select total',
	];
	const rows: readonly { name: string; filter: SearchFilter; want: unknown[] }[] = [
		{ name: 'everything', filter: {}, want: [masked, denied, clear, plain] },
		{ name: 'a person', filter: { user: 'ben' }, want: [clear, plain] },
		{ name: 'a person with odd characters', filter: { user: 'ada@example.com' }, want: [masked, denied] },
		{ name: 'nobody', filter: { user: 'be' }, want: [] },
		{ name: 'a relation', filter: { relation: 'hr.employees' }, want: [masked, clear] },
		{ name: 'a relation in any schema', filter: { relation: 'secrets' }, want: [denied] },
		{ name: 'a column', filter: { column: 'ssn' }, want: [masked, clear] },
		{ name: 'a column of another relation', filter: { relation: 'sales.orders', column: 'ssn' }, want: [] },
		{ name: 'masked', filter: { decision: 'mask' }, want: [masked] },
		{ name: 'denied', filter: { decision: 'deny' }, want: [denied] },
		{ name: 'a period', filter: { fromMs: start + 2 * hour, untilMs: start + 4 * hour }, want: [denied, clear] },
		{ name: 'a session', filter: { session: 'session-of-ben' }, want: [clear, plain] },
		{ name: 'a database', filter: { database: 'shop', user: 'ben' }, want: [clear, plain] },
		{ name: 'another database', filter: { database: 'shops' }, want: [] },
		{ name: 'text', filter: { text: 'select total' }, want: [plain] },
		{
			name: 'a fingerprint',
			filter: { fingerprint: '28550ea0fc43bed7', user: 'ada@example.com' },
			want: [masked, denied],
		},
		{ name: 'another fingerprint', filter: { fingerprint: '28550ea0fc43bed8' }, want: [] },
		{ name: 'another kind of record', filter: { code: 'login-failed' }, want: [''] },
	];
	it.each(rows)('by $name', async ({ filter, want }) => {
		expect((await hits(await sampleLog(), filter)).map((hit) => statementOf(hit.record))).toEqual(want);
	});

	it('joins each statement with its outcome, over files', async () => {
		const found = await hits(await sampleLog(), {});
		expect(found.map((hit) => (hit.outcome?.unmapped as { rows?: number } | undefined)?.rows)).toEqual([
			5,
			undefined,
			7,
			1,
		]);
	});
});

describe('a log with much in it', () => {
	const of = (sql: string): StatementRecord => record({ decision: decision({ sql }) });

	it('text is found as it was sent, whatever JSON makes of it', async () => {
		const { log, path } = await openLog();
		const sql = 'select "Odd\tName" \u202e from t\n\\';
		await accept(log, of(sql));
		await log.close();
		for (const text of ['"Odd\tName"', '\u202e from', 't\n\\']) {
			expect((await hits(path, { text })).map((hit) => statementOf(hit.record))).toEqual([sql]);
		}
	});

	it('a statement that runs for long has its outcome, and holds back no others', async () => {
		const { log, path } = await openLog();
		const long = await accept(log, of('long'));
		for (let round = 0; round < 11; round += 1) {
			const receipts = await Promise.all(Array.from({ length: 1000 }, () => accept(log, of('short'))));
			for (const receipt of receipts) log.outcome(receipt, success);
		}
		log.outcome(long, { ...success, rows: 1_000_000 });
		await log.close();
		let before = 0;
		let seen: Hit | null = null;
		await searchLog(path, {}, (hit) => {
			if (statementOf(hit.record) === 'long') seen = hit;
			else if (seen === null) before += 1;
		});
		expect(before).toBeGreaterThan(5_000);
		expect(seen).toMatchObject({ outcome: { unmapped: { rows: 1_000_000 } } });
		const report = await reportLog(path, {});
		expect(report.reads.find(({ column }) => column.endsWith('.ssn'))?.rows).toBe(
			1_000_000 + 11_000 * (success.rows ?? 0),
		);
	});

	it('what is fetched from a cursor counts as read from what the cursor was declared over', async () => {
		const { log, path } = await openLog();
		const run = async (of: Partial<StatementDecision>, id: string, rows: number | null): Promise<void> => {
			const own = { ...session, id };
			log.outcome(await accept(log, record({ session: own, decision: decision(of) })), { ...success, rows });
		};
		const other = use({ name: 'other', masks: { a: 'm' }, columns: ['a'] });
		const fetch = { node: 'FetchStmt', sql: 'fetch 10 from c', objects: [], effect: 'allow' } as const;
		await run({ node: 'DeclareCursorStmt', cursor: 'c', sql: 'declare', objects: [other] }, 's1', null);
		await run({ node: 'DeclareCursorStmt', cursor: 'c', sql: 'declare' }, 's1', null);
		await run({ ...fetch, cursor: 'c' }, 's1', 10);
		await run({ ...fetch, cursor: 'c' }, 's2', 99);
		await run({ ...fetch, cursor: 'd' }, 's1', 99);
		await log.close();
		const found = await hits(path, { relation: 'hr.employees' });
		expect(found.map((hit) => [statementOf(hit.record), hit.outcome?.unmapped])).toMatchObject([
			['declare', {}],
			['fetch 10 from c', { rows: 10 }],
		]);
		const report = await reportLog(path, {});
		expect(report.reads).toMatchObject([{ column: 'hr.employees.ssn', mask: 'ssn_last4', count: 1, rows: 10 }]);
	});

	it('what had no outcome when the process was killed waits for none', async () => {
		const { log, path } = await openLog();
		await accept(log, of('before'));
		await log.close();
		const again = await openLog({ path });
		again.log.outcome(await accept(again.log, of('after')), success);
		await again.log.close();
		const found = await hits(path, {});
		expect(found.map((hit) => [statementOf(hit.record), hit.outcome === null])).toEqual([
			['before', true],
			['after', false],
		]);
	});

	it('a slow reader is waited for', async () => {
		const { log, path } = await openLog();
		for (let n = 0; n < 400; n += 1) await accept(log, of('x'.repeat(1000)));
		await log.close();
		let [waiting, waits] = [0, 0];
		await searchLog(path, {}, () => (waiting += 1), {
			drained: async () => {
				await new Promise((resolve) => setImmediate(resolve));
				waiting = 0;
				waits += 1;
			},
		});
		expect(waits).toBeGreaterThan(2);
	});
});

describe('report', () => {
	it('says who read which protected column and how, what was denied, what changed and what went wrong', async () => {
		const report = await reportLog(await sampleLog(), {});
		expect(report).toMatchObject({ statements: 4, people: 2 });
		expect(report.reads.map(({ user, column, mask, rows }) => [user, column, mask, rows])).toEqual([
			['ben', 'hr.employees.id', null, 7],
			['ada@example.com', 'hr.employees.ssn', 'ssn_last4', 5],
			['ben', 'hr.employees.ssn', null, 7],
		]);
		expect(report.denials).toMatchObject([
			{ user: 'ada@example.com', reason: expect.stringContaining('policy.csv:16'), count: 1 },
		]);
		expect(report.failedLogins).toMatchObject([{ user: 'eve', address: '127.0.0.1', reason: 'expired' }]);
		expect(report.changes).toMatchObject([
			{ what: 'policy', ok: false, detail: expect.stringContaining('policy.csv:1: x') },
		]);
		expect(report.alarms).toMatchObject([{ what: 'guard-breach', detail: 'ben: hr.employees.ssn: raw' }]);
	});

	it('keeps to its period', async () => {
		const report = await reportLog(await sampleLog(), { fromMs: start + 2 * hour, untilMs: start + 3 * hour });
		expect(report).toMatchObject({
			statements: 1,
			reads: [],
			denials: [{ count: 1 }],
			failedLogins: [],
			changes: [],
			alarms: [],
		});
	});
});
