/** How much memory a proxy takes for connections that do nothing. */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { DATABASE, type Stage, type Target } from './stage.ts';
import { ROLE } from './tables.ts';

export interface IdleMemory {
	/** Bytes for each connection that has signed in and said nothing since. */
	readonly signedIn: number;
	/** The same after each has run a statement, so that each has a connection to the server behind it. */
	readonly used: number;
}

/** Logins at a time. */
const abreast = 16;
/** Time for memory to settle. */
const settleMs = 2_000;

export async function idleMemory(stage: Stage, target: Target, connections: number): Promise<IdleMemory> {
	const { proxy } = target;
	if (proxy === null) throw new Error('there is no proxy to measure');
	const { password } = stage;
	const options = { host: '127.0.0.1', port: target.port, user: ROLE, password, database: DATABASE };
	const clients = Array.from({ length: connections }, () => new pg.Client(options));
	for (const client of clients) client.on('error', () => undefined);
	try {
		const before = proxy.memoryBytes();
		await inTurn(clients, (client) => client.connect());
		await sleep(settleMs);
		const signedIn = proxy.memoryBytes();
		await inTurn(clients, (client) => client.query('select 1'));
		await sleep(settleMs);
		const used = proxy.memoryBytes();
		return { signedIn: (signedIn - before) / connections, used: (used - before) / connections };
	} finally {
		await inTurn(clients, async (client) => client.end().catch(() => undefined));
	}
}

async function inTurn(clients: readonly pg.Client[], work: (client: pg.Client) => Promise<unknown>): Promise<void> {
	const waiting = [...clients];
	const one = async (): Promise<void> => {
		for (let client = waiting.pop(); client !== undefined; client = waiting.pop()) await work(client);
	};
	await Promise.all(Array.from({ length: abreast }, one));
}
