/** Which statements become spans, and what the spans say. */
import { describe, expect, test } from 'vitest';
import { operationOf } from '../../../src/admin/trace/span.ts';
import { Tracer } from '../../../src/admin/trace/tracer.ts';
import type { RecordSink } from '../../../src/admin/meters.ts';
import type { Outcome, StatementRecord } from '../../../src/audit/event.ts';
import { GatewayError } from '../../../src/errors.ts';
import type { AuditReceipt, ObjectUse, StatementDecision } from '../../../src/stages.ts';
import { testSession } from '../session.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';
const comment = (flags: string): string => `/*traceparent='00-${TRACE}-${SPAN}-${flags}'*/`;

const receipt = { id: 'log-7', sequence: 7 } as AuditReceipt;

/** A sink that takes everything, or refuses with `error`. */
function sinkOf(error: GatewayError | null = null): RecordSink {
	return {
		accept: (_record, done) => (error === null ? done(null, receipt) : done(error, null)),
		outcome: () => undefined,
		event: () => undefined,
	};
}

interface Seen {
	readonly traceId: string;
	readonly parentSpanId?: string;
	readonly name: string;
	readonly startTimeUnixNano: string;
	readonly endTimeUnixNano: string;
	readonly status?: object;
	readonly attributes: Readonly<Record<string, string>>;
}

const relation = (name: string): ObjectUse => ({ kind: 'relation', schema: 'hr', name }) as ObjectUse;

function recordOf(decision: Partial<StatementDecision>, more: Partial<StatementRecord> = {}): StatementRecord {
	const whole = { effect: 'allow', node: 'SelectStmt', sql: 'select 1', objects: [], ...decision } as StatementDecision;
	return {
		session: testSession().info,
		transaction: 1,
		statement: 1,
		protocol: 'simple',
		phase: 'execute',
		decision: whole,
		policyRevision: 'p',
		...more,
	};
}

const success: Outcome = { status: 'success', sqlstate: null, tag: 'SELECT 3', rows: 3, bytes: 9, durationMs: 2 };

/** Runs one statement through a tracer; the spans that come out of it. */
function trace(
	record: StatementRecord,
	outcome: Outcome | null = success,
	options: { readonly sampleRatio?: number; readonly statementText?: boolean; readonly error?: GatewayError } = {},
): Seen[] {
	const spans: Seen[] = [];
	let now = 1_700_000_000_000.25;
	const tracer = new Tracer({
		exporter: {
			add: (span) => {
				const { attributes, ...rest } = span as Omit<Seen, 'attributes'> & {
					attributes: { key: string; value: Record<string, string> }[];
				};
				const values = attributes.map(({ key, value }) => [key, Object.values(value)[0] ?? '']);
				spans.push({ ...rest, attributes: Object.fromEntries(values) as Record<string, string> });
			},
		},
		sampleRatio: options.sampleRatio ?? 0,
		statementText: options.statementText ?? false,
		now: () => (now += 1.5),
		random: () => 0.5,
		randomBytes: (bytes) => Buffer.alloc(bytes, 0xab),
	});
	const sink = tracer.tracing(sinkOf(options.error ?? null));
	sink.accept(record, (_error, given) => {
		if (given === null || outcome === null) return;
		sink.outcome(given, outcome);
		// The first one counts.
		sink.outcome(given, outcome);
	});
	return spans;
}

describe('a statement becomes a span', () => {
	const rows: readonly {
		readonly name: string;
		readonly record: StatementRecord;
		readonly ratio?: number;
		readonly want: number;
	}[] = [
		{ name: 'with a caller that samples', record: recordOf({}, { text: `select 1 ${comment('01')}` }), want: 1 },
		{ name: 'whose text has no other place', record: recordOf({ sql: `select 1 ${comment('01')}` }), want: 1 },
		{
			name: 'not with a caller that does not',
			record: recordOf({}, { text: `select 1 ${comment('00')}` }),
			ratio: 1,
			want: 0,
		},
		{ name: 'not without a caller', record: recordOf({}), want: 0 },
		{ name: 'by lot', record: recordOf({}), ratio: 0.51, want: 1 },
		{ name: 'not by lot', record: recordOf({}), ratio: 0.5, want: 0 },
		{ name: 'not when it is only prepared', record: recordOf({}, { phase: 'prepare' }), ratio: 1, want: 0 },
	];
	test.each(rows)('$name', ({ record, ratio, want }) => {
		expect(trace(record, success, { sampleRatio: ratio ?? 0 })).toHaveLength(want);
	});

	test('not when it cannot be recorded: then it does not run', () => {
		expect(trace(recordOf({}), success, { sampleRatio: 1, error: new GatewayError('53100', 'full') })).toEqual([]);
	});
});

describe('a span', () => {
	test('has the names of the conventions', () => {
		const record = recordOf({ objects: [relation('employees')] }, { text: `select 1 ${comment('01')}` });
		const [span] = trace(record);
		expect(span).toMatchObject({
			traceId: TRACE,
			parentSpanId: SPAN,
			spanId: 'abababababababab',
			name: 'SELECT hr.employees',
			kind: 3,
			startTimeUnixNano: '1700000000001750000',
			endTimeUnixNano: '1700000000003250000',
		});
		expect(span?.status).toBeUndefined();
		expect(span?.attributes).toEqual({
			'db.system.name': 'postgresql',
			'db.namespace': 'shop',
			'db.operation.name': 'SELECT',
			'db.query.summary': 'SELECT hr.employees',
			'db.collection.name': 'hr.employees',
			'db.response.returned_rows': '3',
			'server.address': '10.0.0.5',
			'server.port': '5432',
			'client.address': '10.1.2.3',
			'client.port': '40000',
			'portcullis.effect': 'allow',
			'portcullis.audit.record': 'log-7',
			'portcullis.session': 's1',
		});
	});

	test('of several relations names them in the summary, and none as the collection', () => {
		const [span] = trace(recordOf({ objects: [relation('a'), relation('b'), relation('a')] }), success, {
			sampleRatio: 1,
		});
		expect(span?.name).toBe('SELECT hr.a hr.b');
		expect(span?.attributes['db.collection.name']).toBeUndefined();
		expect(span?.parentSpanId).toBeUndefined();
	});

	test('has the text only where that is wanted', () => {
		const record = recordOf({ sql: "select 'secret'" });
		expect(trace(record, success, { sampleRatio: 1 })[0]?.attributes['db.query.text']).toBeUndefined();
		const [span] = trace(record, success, { sampleRatio: 1, statementText: true });
		expect(span?.attributes['db.query.text']).toBe("select 'secret'");
		const password = recordOf({ sql: "alter role eve password 'hunter2'" });
		const [other] = trace(password, success, { sampleRatio: 1, statementText: true });
		expect(other?.attributes['db.query.text']).toBe("alter role eve password '[redacted]'");
	});

	test('of an error has its SQLSTATE, and is one', () => {
		const failure: Outcome = { ...success, status: 'failure', sqlstate: '22012', tag: null, rows: null };
		const [span] = trace(recordOf({}), failure, { sampleRatio: 1 });
		expect(span?.status).toEqual({ code: 2, message: '22012' });
		expect(span?.attributes).toMatchObject({ 'db.response.status_code': '22012', 'error.type': '22012' });
	});

	test('of a denial ends when it is on record', () => {
		const error = new GatewayError('42501', 'no');
		const [span] = trace(recordOf({ effect: 'deny', error }), null, { sampleRatio: 1 });
		expect(span?.attributes).toMatchObject({ 'portcullis.effect': 'deny', 'db.response.status_code': '42501' });
	});
});

test.each([
	{ node: 'SelectStmt', tag: 'SELECT 5', want: 'SELECT' },
	{ node: 'InsertStmt', tag: 'INSERT 0 5', want: 'INSERT' },
	{ node: 'CreateStmt', tag: 'CREATE TABLE', want: 'CREATE TABLE' },
	{ node: 'TransactionStmt', tag: 'COMMIT', want: 'COMMIT' },
	{ node: 'SelectStmt', tag: null, want: 'SELECT' },
	{ node: 'VariableSetStmt', tag: null, want: 'VARIABLE SET' },
	{ node: 'Unparsable', tag: null, want: 'UNPARSABLE' },
])('$node that ends with $tag is $want', ({ node, tag, want }) => {
	expect(operationOf(node, tag)).toBe(want);
});
