/** OpenTelemetry: records as log records over OTLP/HTTP with JSON (opentelemetry.io/docs/specs/otlp, "OTLP/HTTP"). */
import { type Sink, SinkError, type SinkRecord } from './sink.ts';

export interface OtlpOptions {
	/** The whole address, e.g. `https://collector.example.com:4318/v1/logs`. */
	readonly url: string;
	/** E.g. Authorization. Never printed. */
	readonly headers?: Readonly<Record<string, string>>;
	readonly serviceName?: string;
	readonly serviceVersion?: string;
	readonly fetch?: typeof fetch;
}

/** SeverityNumber by OCSF severity_id: INFO, INFO2, WARN, ERROR, FATAL, FATAL4. */
const severities = [
	[9, 'INFO'],
	[9, 'INFO'],
	[10, 'INFO2'],
	[13, 'WARN'],
	[17, 'ERROR'],
	[21, 'FATAL'],
	[24, 'FATAL4'],
] as const;

const attribute = (key: string, value: string) => ({ key, value: { stringValue: value } });

function logRecord(record: SinkRecord): object {
	const [severityNumber, severityText] = severities[record.severity] ?? severities[1];
	// 64-bit integers are decimal strings in JSON (protobuf's mapping).
	const timeUnixNano = `${record.timeMs}000000`;
	return {
		timeUnixNano,
		observedTimeUnixNano: timeUnixNano,
		severityNumber,
		severityText,
		eventName: `portcullis.audit.${record.code}`,
		body: { stringValue: record.line },
		attributes: [attribute('log.record.uid', record.uid), attribute('event.name', `portcullis.audit.${record.code}`)],
	};
}

/** The body of one ExportLogsServiceRequest. */
export function otlpRequest(records: readonly SinkRecord[], options: OtlpOptions): string {
	const resource = {
		attributes: [
			attribute('service.name', options.serviceName ?? 'portcullis'),
			...(options.serviceVersion === undefined ? [] : [attribute('service.version', options.serviceVersion)]),
		],
	};
	const scopeLogs = [{ scope: { name: 'portcullis.audit' }, logRecords: records.map(logRecord) }];
	return JSON.stringify({ resourceLogs: [{ resource, scopeLogs }] });
}

/** Seconds or a date (RFC 9110, 10.2.3). */
function retryAfterMs(header: string | null, nowMs: number): number | null {
	if (header === null) return null;
	const ms = /^\d{1,6}$/.test(header) ? Number(header) * 1000 : Date.parse(header) - nowMs;
	return Number.isNaN(ms) ? null : Math.max(0, ms);
}

/** A partial success is answered with 200, and must not be tried again: it is an error here, for no record may be lost unseen. */
function partialProblem(body: string): string | null {
	let answer: unknown;
	try {
		answer = JSON.parse(body === '' ? '{}' : body);
	} catch {
		return null;
	}
	const partial = (
		answer as { partialSuccess?: { rejectedLogRecords?: string | number; errorMessage?: string } } | null
	)?.partialSuccess;
	const rejected = Number(partial?.rejectedLogRecords ?? 0);
	return rejected > 0 ? `${rejected} records were rejected: ${partial?.errorMessage ?? 'no reason given'}` : null;
}

export function otlpSink(options: OtlpOptions): Sink {
	const send = options.fetch ?? fetch;
	return {
		name: 'otlp',
		acknowledges: true,
		deliver: async (records, signal) => {
			const response = await send(options.url, {
				method: 'POST',
				headers: { ...options.headers, 'content-type': 'application/json' },
				body: otlpRequest(records, options),
				signal,
				redirect: 'error',
			});
			const body = await response.text();
			if (!response.ok) {
				const after = retryAfterMs(response.headers.get('retry-after'), Date.now());
				throw new SinkError(`the collector answered ${response.status}`, {
					retryAfterMs: after,
					tooLarge: response.status === 413,
				});
			}
			const problem = partialProblem(body);
			if (problem !== null) throw new SinkError(problem);
		},
		close: () => Promise.resolve(),
	};
}
