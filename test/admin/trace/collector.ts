/** A collector for tests: takes traces over HTTP, answers as it is told, and keeps what it got. */
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ReceivedSpan {
	readonly traceId: string;
	readonly spanId: string;
	readonly parentSpanId?: string;
	readonly name: string;
	readonly kind: number;
	readonly startTimeUnixNano: string;
	readonly endTimeUnixNano: string;
	readonly status?: { readonly code: number };
	/** By key; integers as numbers. */
	readonly attributes: Readonly<Record<string, string | number>>;
}

export interface Collector {
	readonly url: string;
	readonly spans: ReceivedSpan[];
	/** Of each request. */
	readonly headers: IncomingHttpHeaders[];
	/** Status of each request from now on, in order; 200 when none is left. */
	readonly answers: number[];
	stop(): Promise<void>;
}

interface Body {
	readonly resourceSpans: readonly { readonly scopeSpans: readonly { readonly spans: readonly RawSpan[] }[] }[];
}

type RawSpan = Omit<ReceivedSpan, 'attributes'> & {
	readonly attributes: readonly { readonly key: string; readonly value: { stringValue?: string; intValue?: string } }[];
};

export async function startCollector(): Promise<Collector> {
	const spans: ReceivedSpan[] = [];
	const headers: IncomingHttpHeaders[] = [];
	const answers: number[] = [];
	const server = createServer((request, response) => {
		let text = '';
		request.on('data', (chunk) => {
			text += String(chunk);
		});
		request.on('end', () => {
			headers.push(request.headers);
			const status = answers.shift() ?? 200;
			if (status === 200) spans.push(...spansOf(JSON.parse(text) as Body));
			response.writeHead(status, { 'content-type': 'application/json' }).end('{}');
		});
	});
	await new Promise<void>((resolve) => {
		server.listen(0, '127.0.0.1', resolve);
	});
	return {
		url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/traces`,
		spans,
		headers,
		answers,
		stop: async () => {
			const closed = new Promise<void>((resolve) => {
				server.close(() => resolve());
			});
			server.closeAllConnections();
			await closed;
		},
	};
}

function spansOf(body: Body): ReceivedSpan[] {
	return body.resourceSpans.flatMap(({ scopeSpans }) =>
		scopeSpans.flatMap(({ spans }) =>
			spans.map(({ attributes, ...span }) => ({
				...span,
				attributes: Object.fromEntries(
					attributes.map(({ key, value }) => [key, value.stringValue ?? Number(value.intValue)]),
				),
			})),
		),
	);
}
