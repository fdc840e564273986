/** Serves one PostgreSQL of each version asked for to all test files of a run, and stops them when the run ends. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestProject } from 'vitest/node';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/cli/demo/postgres.ts';

declare module 'vitest' {
	interface ProvidedContext {
		/** URL that answers with the coordinates of a running PostgreSQL; the first request starts it. */
		readonly postgresBroker: string;
	}
}

/** Unit tests alone never pay for a server, so it is started by the first request and not here. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
	const servers = new Map<string, Promise<EmbeddedPostgres>>();
	const broker = createServer((request, response) => {
		const native = new URL(request.url ?? '/', 'http://broker').searchParams.get('native') ?? '';
		let server = servers.get(native);
		if (server === undefined) {
			server = startEmbeddedPostgres({ settings: SETTINGS, ...(native === '' ? {} : { native }) });
			servers.set(native, server);
		}
		server.then(
			(running) => response.end(JSON.stringify(running)),
			(error: unknown) => response.writeHead(500).end(String(error)),
		);
	});
	await new Promise<void>((resolve) => {
		broker.listen(0, '127.0.0.1', resolve);
	});
	project.provide('postgresBroker', `http://127.0.0.1:${(broker.address() as AddressInfo).port}`);
	return async () => {
		broker.close();
		broker.closeAllConnections();
		const started = await Promise.allSettled(servers.values());
		await Promise.all(started.map(async (start) => start.status === 'fulfilled' && start.value.stop()));
	};
}

const SETTINGS = {
	max_connections: '300',
	max_prepared_transactions: '10',
	wal_level: 'logical',
	max_wal_senders: '50',
};
