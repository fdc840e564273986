/** What is counted, by whom it is asked and under which labels; and that counting passes everything on. */
import { describe, expect, test } from 'vitest';
import { loginResult, Meters, type RecordSink } from '../../src/admin/meters.ts';
import type { SessionEvent, StatementRecord } from '../../src/audit/event.ts';
import type { AuditReceipt, StatementDecision } from '../../src/stages.ts';
import { testSession } from './session.ts';

const { info } = testSession();

/** A sink that keeps what it is given, by kind. */
function recorder(): { readonly sink: RecordSink; readonly seen: unknown[][] } {
	const seen: unknown[][] = [];
	return {
		seen,
		sink: {
			accept: (...all) => void seen.push(['accept', ...all]),
			outcome: (...all) => void seen.push(['outcome', ...all]),
			event: (...all) => void seen.push(['event', ...all]),
		},
	};
}

function recordOf(
	effect: StatementDecision['effect'],
	phase: 'prepare' | 'execute',
	database = 'shop',
): StatementRecord {
	const decision = { effect } as StatementDecision;
	return {
		session: { ...info, database },
		transaction: 1,
		statement: 1,
		protocol: 'simple',
		phase,
		decision,
		policyRevision: 'p',
	};
}

test('statements count for their database, by effect; those of an unknown one for none', () => {
	const meters = new Meters(['shop', 'crm']);
	const { sink, seen } = recorder();
	const counting = meters.counting(sink, 'shop');
	const done = (): void => undefined;
	const records = [
		recordOf('allow', 'execute'),
		recordOf('mask', 'execute'),
		recordOf('mask', 'execute', 'crm'),
		recordOf('deny', 'prepare'),
		recordOf('deny', 'execute', 'elsewhere'),
	];
	for (const record of records) counting.accept(record, done);
	expect(meters.of('shop').effects).toEqual({ allow: 1, mask: 1, deny: 0 });
	expect(meters.of('shop').prepared).toEqual({ allow: 0, mask: 0, deny: 1 });
	expect(meters.of('crm').effects).toEqual({ allow: 0, mask: 1, deny: 0 });
	expect([...meters.databases.keys()]).toEqual(['shop', 'crm']);
	expect(seen).toEqual(records.map((record) => ['accept', record, done]));
});

test('outcomes count with rows, bytes and time', () => {
	const meters = new Meters(['shop']);
	const { sink, seen } = recorder();
	const counting = meters.counting(sink, 'shop');
	const receipt = {} as AuditReceipt;
	const outcome = { status: 'success', sqlstate: null, tag: 'SELECT 5', rows: 5, bytes: 400, durationMs: 3 } as const;
	counting.outcome(receipt, outcome);
	counting.outcome(receipt, { ...outcome, status: 'failure', rows: null, bytes: 0 });
	const { outcomes, rows, resultBytes, durations } = meters.of('shop');
	expect({ outcomes, rows, resultBytes, count: durations.count, sum: durations.sum }).toEqual({
		outcomes: { success: 1, failure: 1, denied: 0, cancelled: 0, unknown: 0 },
		rows: 5,
		resultBytes: 400,
		count: 2,
		sum: 0.006,
	});
	expect(seen).toHaveLength(2);
});

describe('events', () => {
	const failed = (sqlstate: string, more: Partial<SessionEvent> = {}): SessionEvent =>
		({
			type: 'login-failed',
			session: { ...info, identity: null },
			user: 'x',
			reason: 'r',
			sqlstate,
			...more,
		}) as SessionEvent;
	const rows: readonly {
		readonly name: string;
		readonly event: SessionEvent;
		readonly want: (meters: Meters) => unknown;
	}[] = [
		{
			name: 'login',
			event: { type: 'login', session: info },
			want: (m) => [m.logins.get('token success'), m.of('shop').sessions],
		},
		{
			name: 'refused',
			event: failed('28P01', { method: 'scram-sha-256' }),
			want: (m) => [m.logins.get('scram-sha-256 refused'), 1],
		},
		{
			name: 'no way in chosen',
			event: failed('22023', { method: null }),
			want: (m) => [m.logins.get('none error'), 1],
		},
		{
			name: 'logout',
			event: { type: 'logout', session: info, reason: 'idle', durationMs: 1 },
			want: (m) => [m.of('shop').ends.get('idle'), 1],
		},
		{
			name: 'an end that nobody foresaw',
			event: { type: 'logout', session: info, reason: 'struck by lightning', durationMs: 1 },
			want: (m) => [m.of('shop').ends.get('other'), m.of('shop').ends.size],
		},
		{
			name: 'breach',
			event: { type: 'guard-breach', session: info, receipt: null, object: 'a.b.c', reason: 'r' },
			want: (m) => [m.of('shop').breaches, 1],
		},
		{
			name: 'cancel',
			event: { type: 'cancel', session: null, clientAddress: '', clientPort: 1 },
			want: (m) => [m.cancels.unmatched, 1],
		},
		{
			name: 'reload',
			event: { type: 'policy-reload', ok: true, revision: 'r', previousRevision: null, trigger: 't', problems: [] },
			want: (m) => [m.reloads.success, 1],
		},
	];
	test.each(rows)('$name', ({ event, want }) => {
		const meters = new Meters(['shop']);
		const { sink, seen } = recorder();
		meters.counting(sink, 'shop').event(event);
		expect(want(meters)).toEqual([1, 1]);
		expect(seen).toEqual([['event', event]]);
	});
});

test.each([
	{ sqlstate: '28P01', signedIn: false, want: 'refused' },
	{ sqlstate: '28000', signedIn: false, want: 'refused' },
	{ sqlstate: '42501', signedIn: true, want: 'denied' },
	{ sqlstate: '3D000', signedIn: true, want: 'denied' },
	{ sqlstate: '55000', signedIn: true, want: 'denied' },
	{ sqlstate: '53300', signedIn: true, want: 'full' },
	{ sqlstate: '57014', signedIn: false, want: 'timeout' },
	{ sqlstate: '08006', signedIn: false, want: 'left' },
	{ sqlstate: '08006', signedIn: true, want: 'backend' },
	{ sqlstate: '08001', signedIn: true, want: 'backend' },
	{ sqlstate: '57P03', signedIn: true, want: 'backend' },
	{ sqlstate: '0A000', signedIn: true, want: 'backend' },
	{ sqlstate: '08P01', signedIn: false, want: 'error' },
	{ sqlstate: 'XX000', signedIn: false, want: 'error' },
])('a login that ends with $sqlstate (signed in: $signedIn) was $want', ({ sqlstate, signedIn, want }) => {
	expect(loginResult(sqlstate, signedIn)).toBe(want);
});

test('bytes of sessions that have ended are kept', () => {
	const meters = new Meters(['shop']);
	meters.ended(testSession());
	meters.ended(testSession());
	const { fromClient, toClient, fromBackend, toBackend } = meters.of('shop');
	expect([fromClient, toClient, fromBackend, toBackend]).toEqual([2, 40, 600, 8_000]);
});
