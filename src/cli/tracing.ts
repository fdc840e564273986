/** Puts the tracing of statements together from the configuration. */
import { SpanExporter } from '../admin/trace/exporter.ts';
import { Tracer } from '../admin/trace/tracer.ts';
import type { Config } from '../config/config.ts';
import type { SessionLog } from '../session/services.ts';
import { version } from './version.ts';

export interface Tracing {
	readonly tracer: Tracer;
	readonly exporter: SpanExporter;
}

/** Null: nothing is traced. A collector that cannot be reached costs spans, and nothing else. */
export function startTracing({ tracing }: Config, log: SessionLog): Tracing | null {
	if (tracing === null) return null;
	const { endpoint, authorization, sampleRatio, statementText } = tracing;
	const exporter = new SpanExporter({
		url: endpoint,
		version: version(),
		...(authorization === null ? {} : { authorization: () => authorization.current() }),
		onTrouble: (error) => {
			if (error === null) log.info({}, 'traces are taken again');
			else log.warn({ problem: causeOf(error) }, 'traces cannot be sent: they are dropped');
		},
	});
	const now = (): number => performance.timeOrigin + performance.now();
	return { exporter, tracer: new Tracer({ exporter, sampleRatio, statementText: statementText === 'on', now }) };
}

/** What fetch says is in its cause. */
function causeOf(error: Error): string {
	return error.cause instanceof Error ? error.cause.message : error.message;
}
