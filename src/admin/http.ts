/** The admin port: /healthz, /readyz and /metrics over HTTP. No state, no secrets, nothing that changes anything. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { GatewayError } from '../errors.ts';
import type { Crew } from './crew/crew.ts';
import { exposition, expositionType, type Family } from './exposition.ts';
import { families } from './families.ts';
import { readiness } from './readiness.ts';
import type { GatewayView } from './view.ts';

export interface AdminOptions {
	readonly host: string;
	/** 0: any free port. */
	readonly port: number;
	/** Told why a request could not be answered (500), for the operator's log. */
	readonly onTrouble?: (path: string, error: unknown) => void;
}

interface Answer {
	readonly status: number;
	readonly type: string;
	readonly body: string;
	readonly headers?: Readonly<Record<string, string>>;
}

/** Whoever scrapes needs one connection; more than a few is a mistake. */
const connectionsMax = 50;
const requestTimeoutMs = 5_000;
const headerBytesMax = 8 * 1024;

export class AdminServer {
	readonly #server: Server;
	readonly #view: GatewayView;
	readonly #crew: Crew | null;
	readonly #trouble: AdminOptions['onTrouble'];

	/** `crew`: the workers that it answers for; null: there is one. Listens. Rejects with GatewayError 55006 when the port is taken, 42501 when it may not be opened, else 58000. */
	static async listen(options: AdminOptions, view: GatewayView, crew: Crew | null = null): Promise<AdminServer> {
		const admin = new AdminServer(view, crew, options.onTrouble);
		const server = admin.#server;
		await new Promise<void>((resolve, reject) => {
			server.once('error', (error) => reject(listenError(error, options)));
			server.listen({ host: options.host, port: options.port }, resolve);
		});
		server.removeAllListeners('error');
		server.on('error', () => undefined);
		return admin;
	}

	private constructor(view: GatewayView, crew: Crew | null, trouble: AdminOptions['onTrouble']) {
		this.#trouble = trouble;
		this.#view = view;
		this.#crew = crew;
		this.#server = createServer(
			{
				maxHeaderSize: headerBytesMax,
				requestTimeout: requestTimeoutMs,
				headersTimeout: requestTimeoutMs,
				keepAliveTimeout: requestTimeoutMs,
				connectionsCheckingInterval: requestTimeoutMs,
			},
			(request, response) => void this.#handle(request, response),
		);
		this.#server.maxConnections = connectionsMax;
	}

	get port(): number {
		return (this.#server.address() as AddressInfo).port;
	}

	/** Ends every connection. */
	async close(): Promise<void> {
		const closed = new Promise<void>((resolve) => {
			this.#server.close(() => resolve());
		});
		this.#server.closeAllConnections();
		await closed;
	}

	async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
		request.resume();
		const { status, type, body, headers } = await this.#answer(request).catch((error: unknown) => {
			this.#trouble?.(request.url ?? '', error);
			return json(500, { error: 'internal error' });
		});
		response.writeHead(status, {
			'content-type': type,
			'content-length': Buffer.byteLength(body),
			'cache-control': 'no-store',
			...headers,
		});
		response.end(request.method === 'HEAD' ? undefined : body);
	}

	async #answer({ method, url = '/' }: IncomingMessage): Promise<Answer> {
		const at = url.indexOf('?');
		const path = at < 0 ? url : url.slice(0, at);
		const route = this.#route(path, new URLSearchParams(at < 0 ? '' : url.slice(at + 1)));
		if (route === null) return json(404, { error: 'not found', paths: ['/healthz', '/readyz', '/metrics'] });
		if (method === 'GET' || method === 'HEAD') return route();
		return { ...json(405, { error: 'only GET and HEAD' }), headers: { allow: 'GET, HEAD' } };
	}

	#route(path: string, query: URLSearchParams): (() => Answer | Promise<Answer>) | null {
		const view = this.#view;
		const crew = this.#crew;
		switch (path) {
			case '/healthz':
				return () => json(200, { status: 'ok', version: view.version, uptimeSeconds: uptimeSeconds(view) });
			case '/readyz':
				return () => ready(view, crew, query.get('database'));
			case '/metrics':
				return async () => page(crew === null ? families(view) : await crew.families());
			default:
				return null;
		}
	}
}

function page(of: readonly Family[]): Answer {
	return { status: 200, type: expositionType, body: exposition(of) };
}

async function ready(view: GatewayView, crew: Crew | null, database: string | null): Promise<Answer> {
	if (database !== null && !view.databases.some(({ name }) => name === database)) {
		return json(404, { error: `database "${database}" does not exist` });
	}
	const found = crew === null ? { ...readiness(view, database), silent: [] } : await crew.readiness(database);
	const { ready: isReady, checks, silent } = found;
	return json(isReady ? 200 : 503, {
		status: isReady ? 'ready' : 'not ready',
		checks: Object.fromEntries(checks.map(({ name, ok, reason }) => [name, ok ? 'ok' : reason])),
		...(silent.length === 0 ? {} : { silent: silent.map((worker) => `worker ${worker}`) }),
	});
}

function uptimeSeconds({ startedMs }: GatewayView): number {
	return Math.round((Date.now() - startedMs) / 1000);
}

function json(status: number, value: object): Answer {
	return { status, type: 'application/json; charset=utf-8', body: `${JSON.stringify(value)}\n` };
}

function listenError(error: NodeJS.ErrnoException, { host, port }: AdminOptions): GatewayError {
	switch (error.code) {
		case 'EADDRINUSE':
			return new GatewayError('55006', `admin.port: port ${port} on ${host} is in use already`, { cause: error });
		case 'EACCES':
			return new GatewayError('42501', `admin.port: port ${port} on ${host} may not be opened by this user`, {
				cause: error,
			});
		default:
			return new GatewayError('58000', `admin: cannot listen on ${host}:${port}: ${error.message}`, { cause: error });
	}
}
