/** Waits on a loopback port for the browser to come back from the provider (RFC 8252, section 7.3). */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CodeFlow, readRedirect } from '../../auth/code-flow.ts';
import { CommandError } from '../io.ts';

/** What is registered at most providers, which have to let any port do (RFC 8252, section 7.3). */
export const DEFAULT_REDIRECT = 'http://127.0.0.1/callback';

/** Host of a redirect, and the addresses that a browser may come by. */
const HOSTS: ReadonlyMap<string, readonly string[]> = new Map([
	['127.0.0.1', ['127.0.0.1']],
	['[::1]', ['::1']],
	['localhost', ['127.0.0.1', '::1']],
]);

export interface Loopback {
	/** With its port. */
	readonly redirectUri: string;
	/** The code of that flow. Rejects with CommandError when it came to nothing, or the signal's reason. */
	code(flow: CodeFlow, signal: AbortSignal): Promise<string>;
	close(): Promise<void>;
}

/** Why the browser cannot be sent back to `redirect`; null when it can. */
export function redirectProblem(redirect: string): string | null {
	const url = URL.canParse(redirect) ? new URL(redirect) : null;
	if (url?.protocol !== 'http:' || !HOSTS.has(url.hostname)) return 'must be http://127.0.0.1 or http://localhost';
	if (url.search !== '' || url.hash !== '' || url.username !== '' || url.password !== '')
		return 'must have a port and a path only';
	return null;
}

/** For nobody else to reach. `redirect`: as the provider knows it; without a port any free one is taken. Throws CommandError. */
export async function openLoopback(redirect: string): Promise<Loopback> {
	const url = new URL(redirect);
	const servers: Server[] = [];
	for (const host of HOSTS.get(url.hostname) ?? []) {
		const server = await listen(host, Number(url.port)).catch((error: NodeJS.ErrnoException) => {
			// A machine without IPv6 has no browser that would come by it.
			if (servers.length > 0 && error.code !== 'EADDRINUSE') return null;
			for (const open of servers) open.close();
			throw new CommandError(`${redirect}: the browser could not come back to it: ${error.message}`);
		});
		if (server === null) continue;
		servers.push(server);
		url.port = String((server.address() as AddressInfo).port);
	}
	return {
		redirectUri: url.href,
		code: (flow, signal) => Promise.race(servers.map((server) => awaitCode(server, url.pathname, flow, signal))),
		close: async () => {
			await Promise.all(servers.map(close));
		},
	};
}

async function listen(host: string, port: number): Promise<Server> {
	const server = createServer({ requestTimeout: 10_000 });
	await new Promise<void>((resolve, reject) => {
		server.once('error', reject);
		server.listen(port, host, resolve);
	});
	return server;
}

async function close(server: Server): Promise<void> {
	server.closeAllConnections();
	await new Promise<void>((resolve) => {
		server.close(() => resolve());
	});
}

function awaitCode(server: Server, path: string, flow: CodeFlow, signal: AbortSignal): Promise<string> {
	return new Promise((resolve, reject) => {
		const give = (): void => reject(signal.reason instanceof Error ? signal.reason : new CommandError('cancelled'));
		if (signal.aborted) give();
		signal.addEventListener('abort', give, { once: true });
		server.on('request', (request, response) => {
			const url = new URL(request.url ?? '/', 'http://127.0.0.1');
			const answer = (status: number, words: string, then?: () => void): void => {
				// Whoever waits closes everything, so that comes after the page is out.
				response.writeHead(status, HEADERS).end(page(words), then);
			};
			if (request.method !== 'GET' || url.pathname !== path) {
				answer(404, 'There is nothing here.');
				return;
			}
			const result = readRedirect(flow, url.searchParams);
			switch (result.type) {
				case 'foreign':
					answer(400, 'This is not the answer to a sign-in that was asked for here.');
					return;
				case 'refused':
					answer(400, 'The sign-in came to nothing. The terminal says why.', () =>
						reject(new CommandError(`the provider refused the sign-in: ${result.words}`)),
					);
					return;
				case 'code':
					answer(200, 'The sign-in is under way: the terminal says how it went. You can close this page.', () =>
						resolve(result.code),
					);
			}
		});
	});
}

const HEADERS = {
	'content-type': 'text/html; charset=utf-8',
	'cache-control': 'no-store',
	'referrer-policy': 'no-referrer',
	'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'",
	connection: 'close',
};

/** `words` are our own: nothing that came in the request is shown. */
function page(words: string): string {
	return `<!doctype html><meta charset="utf-8"><title>Portcullis</title>
<p style="font-family:system-ui;margin:4em auto;max-width:28em">${words}</p>\n`;
}
