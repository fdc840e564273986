/** Limits of time, look by look, on a clock that the test holds. */
import { describe, expect, test } from 'vitest';
import {
	cancelGraceMs,
	lookEveryMs,
	type Sight,
	type TimeLimits,
	type Verdict,
	Watch,
} from '../../src/session/watch.ts';

const off: TimeLimits = {
	queryTimeoutMs: 0,
	transactionTimeoutMs: 0,
	idleTransactionTimeoutMs: 0,
	backendLifetimeMs: 0,
};

const idle: Sight = { head: undefined, index: 0, inTransaction: false, transaction: 1, heardMs: 0, leasedMs: 0 };
const first = { name: 'first' };
const second = { name: 'second' };

/** Times of looks with what is seen then; the words of each verdict that is not `in order`, with its time. */
function check(limits: Partial<TimeLimits>, looks: readonly (readonly [number, Partial<Sight>])[]): string[] {
	const watch = new Watch({ ...off, ...limits });
	return looks.flatMap(([nowMs, sight]) => describeVerdict(nowMs, watch.look({ ...idle, ...sight }, nowMs)));
}

function describeVerdict(nowMs: number, verdict: Verdict): string[] {
	if (verdict.type === 'in order') return [];
	return [`${nowMs} ${verdict.type} ${verdict.error.sqlstate} ${verdict.error.severity}`];
}

const running = (head: object, index = 0): Partial<Sight> => ({ head, index, inTransaction: true });
const waiting = (heardMs: number, transaction = 1): Partial<Sight> => ({ inTransaction: true, heardMs, transaction });

interface Row {
	readonly name: string;
	readonly limits: Partial<TimeLimits>;
	readonly looks: readonly (readonly [number, Partial<Sight>])[];
	readonly want: readonly string[];
}

const rows: readonly Row[] = [
	{
		name: 'nothing is limited',
		limits: {},
		looks: [
			[0, running(first)],
			[1e9, running(first)],
			[2e9, waiting(0)],
			[4e9, idle],
		],
		want: [],
	},
	{
		name: 'a statement that runs too long is cancelled once',
		limits: { queryTimeoutMs: 100 },
		looks: [
			[0, running(first)],
			[99, running(first)],
			[100, running(first)],
			[110, running(first)],
			[120, idle],
		],
		want: ['100 cancel 57014 ERROR'],
	},
	{
		name: 'a server that does not obey loses its connection',
		limits: { queryTimeoutMs: 100 },
		looks: [
			[0, running(first)],
			[100, running(first)],
			[100 + cancelGraceMs - 1, running(first)],
			[100 + cancelGraceMs, running(first)],
		],
		want: ['100 cancel 57014 ERROR', `${100 + cancelGraceMs} end 57014 FATAL`],
	},
	{
		name: 'each message has its own time, however many follow each other',
		limits: { queryTimeoutMs: 100 },
		looks: [
			[0, running(first)],
			[90, running(second)],
			[180, running(first)],
			[270, running(second)],
			[370, running(second)],
		],
		want: ['370 cancel 57014 ERROR'],
	},
	{
		name: 'each statement of one message has its own time',
		limits: { queryTimeoutMs: 100 },
		looks: [
			[0, running(first, 0)],
			[90, running(first, 1)],
			[180, running(first, 2)],
			[280, running(first, 2)],
		],
		want: ['280 cancel 57014 ERROR'],
	},
	{
		name: 'a client that is silent inside of a transaction',
		limits: { idleTransactionTimeoutMs: 100 },
		looks: [
			[0, waiting(0)],
			[90, waiting(0)],
			[100, waiting(0)],
		],
		want: ['100 end 25P03 FATAL'],
	},
	{
		name: 'the time of the statement before does not count as silence',
		limits: { idleTransactionTimeoutMs: 100 },
		looks: [
			[0, running(first)],
			[500, running(first)],
			[510, waiting(0)],
			[600, waiting(0)],
			[610, waiting(0)],
		],
		want: ['610 end 25P03 FATAL'],
	},
	{
		name: 'a client that has said something since begins anew',
		limits: { idleTransactionTimeoutMs: 100 },
		looks: [
			[0, waiting(0)],
			[90, waiting(80)],
			[180, waiting(170)],
		],
		want: [],
	},
	{
		name: 'outside of a transaction silence is nobody’s business',
		limits: { idleTransactionTimeoutMs: 100, transactionTimeoutMs: 100 },
		looks: [
			[0, idle],
			[1000, idle],
		],
		want: [],
	},
	{
		name: 'a transaction that lasts too long, at work or not',
		limits: { transactionTimeoutMs: 100 },
		looks: [
			[0, waiting(0)],
			[50, running(first)],
			[90, waiting(90)],
			[100, waiting(90)],
		],
		want: ['100 end 25P04 FATAL'],
	},
	{
		name: 'transactions that follow each other between two looks are several',
		limits: { transactionTimeoutMs: 100 },
		looks: [
			[0, waiting(0, 1)],
			[90, waiting(80, 2)],
			[180, waiting(170, 3)],
		],
		want: [],
	},
	{
		name: 'an old server connection is given up when the session is idle, not before',
		limits: { backendLifetimeMs: 100 },
		looks: [
			[0, idle],
			[200, running(first)],
			[300, waiting(0)],
			[310, idle],
		],
		want: ['310 end 57P01 FATAL'],
	},
	{
		name: 'a young one is kept',
		limits: { backendLifetimeMs: 100 },
		looks: [[1099, { ...idle, leasedMs: 1000 }]],
		want: [],
	},
];

describe('a session that is looked at', () => {
	test.each(rows)('$name', ({ limits, looks, want }) => {
		expect(check(limits, looks)).toEqual(want);
	});
});

test.each([
	{ limits: [], want: null },
	{ limits: [0, 0], want: null },
	{ limits: [0, 5_000, 60_000], want: 500 },
	{ limits: [1], want: 20 },
	{ limits: [3_600_000], want: 1_000 },
])('sessions are looked at often enough for $limits', ({ limits, want }) => {
	expect(lookEveryMs(limits)).toBe(want);
});
