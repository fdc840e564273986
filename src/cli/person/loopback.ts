/** Waits on a loopback port for the browser to come back from the provider (RFC 8252, section 7.3). */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CodeFlow, readRedirect } from '../../auth/code-flow.ts';
import { CommandError } from '../io.ts';

const PATH = '/callback';

export interface Loopback {
	/** To be registered at the provider without its port, e.g. http://127.0.0.1/callback. */
	readonly redirectUri: string;
	/** The code of that flow. Rejects with CommandError when it came to nothing, or the signal's reason. */
	code(flow: CodeFlow, signal: AbortSignal): Promise<string>;
	close(): Promise<void>;
}

/** Listens on a free port of 127.0.0.1, for nobody else to reach. */
export async function openLoopback(): Promise<Loopback> {
	const server = createServer({ requestTimeout: 10_000 });
	await new Promise<void>((resolve, reject) => {
		server.once('error', reject);
		server.listen(0, '127.0.0.1', resolve);
	});
	const { port } = server.address() as AddressInfo;
	return {
		redirectUri: `http://127.0.0.1:${port}${PATH}`,
		code: (flow, signal) => awaitCode(server, flow, signal),
		close: async () => {
			server.closeAllConnections();
			await new Promise<void>((resolve) => {
				server.close(() => resolve());
			});
		},
	};
}

function awaitCode(server: Server, flow: CodeFlow, signal: AbortSignal): Promise<string> {
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
			if (request.method !== 'GET' || url.pathname !== PATH) {
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
