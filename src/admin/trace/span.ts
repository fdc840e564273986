/** One statement as a span, with the stable names of OpenTelemetry's conventions for databases (semantic-conventions/database). */
import type { Outcome, StatementRecord } from '../../audit/event.ts';
import { withoutSecrets } from '../../secrets.ts';
import type { ObjectUse } from '../../stages.ts';
import type { TraceContext } from './context.ts';

/** A statement that was put on record and is to be traced. */
export interface Traced {
	readonly record: StatementRecord;
	readonly context: TraceContext;
	/** 16 hexadecimal digits. */
	readonly spanId: string;
	/** Milliseconds since the epoch, with fractions. */
	readonly startMs: number;
	/** Id of the record in the audit log. */
	readonly recordId: string;
}

export interface SpanOptions {
	/** The text as the client wrote it; it may hold values that the client wrote into it. */
	readonly statementText: boolean;
}

type Attribute = {
	readonly key: string;
	readonly value: { readonly stringValue: string } | { readonly intValue: string };
};

/** SpanKind and StatusCode of OTLP. */
const client = 3;
const failed = 2;

const summaryMax = 255;
const textMax = 8 * 1024;

/** `outcome` null: refused, it never ran. A span as in OTLP's JSON. */
export function spanOf(traced: Traced, outcome: Outcome | null, endMs: number, options: SpanOptions): object {
	const { record, context, spanId, startMs } = traced;
	const { decision } = record;
	const sqlstate = outcome === null ? (decision.error?.sqlstate ?? '42501') : outcome.sqlstate;
	const relations = decision.objects.filter(({ kind }) => kind === 'relation');
	const operation = operationOf(decision.node, outcome?.tag ?? null);
	const summary = [operation, ...new Set(relations.map(nameOf))].join(' ').slice(0, summaryMax);
	const ok = outcome?.status === 'success' || outcome?.status === 'unknown';
	return {
		traceId: context.traceId,
		spanId,
		...(context.parentId === null ? {} : { parentSpanId: context.parentId }),
		flags: 1,
		name: summary,
		kind: client,
		startTimeUnixNano: nanoseconds(startMs),
		endTimeUnixNano: nanoseconds(Math.max(startMs, endMs)),
		attributes: [
			...databaseAttributes(record, operation, summary, relations),
			...text('db.query.text', options.statementText ? withoutSecrets(decision.sql).slice(0, textMax) : undefined),
			...(sqlstate === null ? [] : [...text('db.response.status_code', sqlstate), ...text('error.type', sqlstate)]),
			...number('db.response.returned_rows', outcome?.rows ?? undefined),
			...text('portcullis.effect', decision.effect),
			...text('portcullis.audit.record', traced.recordId),
			...text('portcullis.session', record.session.id),
		],
		...(ok ? {} : { status: { code: failed, ...(sqlstate === null ? {} : { message: sqlstate }) } }),
	};
}

function databaseAttributes(
	{ session, backend }: StatementRecord,
	operation: string,
	summary: string,
	relations: readonly ObjectUse[],
): Attribute[] {
	const [only, ...more] = new Set(relations.map(nameOf));
	const server = /^\[?(.*?)\]?:(\d+)$/.exec(backend?.address ?? session.backendAddress ?? '');
	return [
		...text('db.system.name', 'postgresql'),
		...text('db.namespace', session.database),
		...text('db.operation.name', operation),
		...text('db.query.summary', summary),
		...text('db.collection.name', more.length === 0 ? only : undefined),
		...text('server.address', server?.[1]),
		...number('server.port', server === null ? undefined : Number(server[2])),
		...text('client.address', session.clientAddress),
		...number('client.port', session.clientPort),
	];
}

function nameOf({ schema, name }: ObjectUse): string {
	return `${schema}.${name}`;
}

/** As the server's tag has it, without its numbers (`INSERT 0 5` is INSERT); without a tag by the node of the grammar. */
export function operationOf(node: string, tag: string | null): string {
	const words = tag?.replace(/( \d+)+$/, '') ?? '';
	if (words !== '') return words;
	return node
		.replace(/Stmt$/, '')
		.replaceAll(/(?<=[a-z])(?=[A-Z])/g, ' ')
		.toUpperCase();
}

function text(key: string, value: string | undefined): Attribute[] {
	return value === undefined || value === '' ? [] : [{ key, value: { stringValue: value } }];
}

/** 64-bit integers are decimal strings in JSON (protobuf's mapping). */
function number(key: string, value: number | undefined): Attribute[] {
	return value === undefined ? [] : [{ key, value: { intValue: String(value) } }];
}

function nanoseconds(ms: number): string {
	return String(BigInt(Math.round(ms * 1000)) * 1000n);
}
