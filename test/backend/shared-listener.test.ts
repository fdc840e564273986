/** The listener that sessions share, on a connection whose server says what the test says. */
import { describe, expect, it } from 'vitest';
import type { BackendConnection, ByteSink } from '../../src/backend/connection.ts';
import { type Hearer, SharedListener } from '../../src/backend/shared-listener.ts';
import type { GatewayError } from '../../src/errors.ts';
import {
	encodeBackend,
	encodeCommandComplete,
	encodeErrorResponse,
	encodeReadyForQuery,
} from '../../src/wire/encode.ts';

/** Answers each command at once, unless told otherwise. */
class Server {
	/** Texts of the commands. */
	readonly asked: string[] = [];
	/** Commands that are not answered yet; null: each is at once. */
	owed: string[] | null = null;
	/** Commands that fail. */
	readonly refused = new Set<string>();
	readonly #sink: { current: ByteSink | null } = { current: null };
	#alive = true;

	get connection(): BackendConnection {
		const isAlive = (): boolean => this.#alive;
		return {
			address: 'db:5432',
			pid: 4711,
			socket: { write: (bytes: Buffer) => this.#take(bytes.toString('utf8', 5, bytes.length - 1)) },
			channel: { destroy: () => this.hangUp() },
			get alive() {
				return isAlive();
			},
			attach: (sink: ByteSink) => {
				this.#sink.current = sink;
			},
			close: () => {
				this.#alive = false;
				return Promise.resolve();
			},
		} as unknown as BackendConnection;
	}

	notify(channel: string, payload: string): void {
		this.#say(encodeBackend({ type: 'NotificationResponse', pid: 7, channel, payload }));
	}

	answer(): void {
		const sql = this.owed?.shift();
		if (sql !== undefined) this.#answer(sql);
	}

	hangUp(): void {
		this.#alive = false;
		this.#sink.current?.closed(null);
	}

	#take(sql: string): void {
		this.asked.push(sql);
		if (this.owed === null) queueMicrotask(() => this.#answer(sql));
		else this.owed.push(sql);
	}

	#answer(sql: string): void {
		if (!this.#alive) return;
		const error = new Map([
			['S', 'ERROR'],
			['V', 'ERROR'],
			['C', '25006'],
			['M', 'not now'],
		]) as Parameters<typeof encodeErrorResponse>[0];
		const said = this.refused.has(sql) ? encodeErrorResponse(error) : encodeCommandComplete('OK');
		this.#say(Buffer.concat([said, encodeReadyForQuery('I')]));
	}

	#say(bytes: Buffer): void {
		// Byte by byte, as the network may have it.
		for (const byte of bytes) this.#sink.current?.data(Buffer.from([byte]));
	}
}

function hearer(): Hearer & { readonly heard: string[]; losses: number } {
	const heard: string[] = [];
	return {
		heard,
		losses: 0,
		hear(channel) {
			heard.push(channel);
		},
		lost() {
			this.losses += 1;
		},
	};
}

const setting = 'set idle_session_timeout = 0';

function listenerOn(...servers: Server[]): SharedListener {
	const connect = (): Promise<BackendConnection> => Promise.resolve((servers.shift() as Server).connection);
	return new SharedListener({ role: 'r', connect });
}

describe('joining', () => {
	it('listens once to what several want, by names that are quoted', async () => {
		const server = new Server();
		const listener = listenerOn(server);
		const [one, two] = [hearer(), hearer()];
		await Promise.all([listener.join(one, ['a"b', 'c']), listener.join(two, ['c'])]);
		expect(server.asked.filter((sql) => sql !== '')).toEqual([setting, 'listen "a""b"', 'listen "c"']);
		server.notify('c', '');
		server.notify('a"b', '');
		server.notify('d', '');
		expect([one.heard, two.heard]).toEqual([['c', 'a"b'], ['c']]);
		await listener.close();
	});

	it('tells what the server says, and keeps what was joined before', async () => {
		const server = new Server();
		server.refused.add('listen "b"');
		const listener = listenerOn(server);
		const one = hearer();
		await listener.join(one, ['a']);
		await expect(listener.join(one, ['a', 'b'])).rejects.toMatchObject({
			sqlstate: '25006',
		} satisfies Partial<GatewayError>);
		server.notify('a', '');
		expect(one.heard).toEqual(['a']);
		expect(listener.stats).toMatchObject({ channels: 1, hearers: 1 });
		await listener.close();
	});

	it('begins anew where the connection is lost on the way', async () => {
		const [first, second] = [new Server(), new Server()];
		const listener = listenerOn(first, second);
		const [one, two] = [hearer(), hearer()];
		await listener.join(two, ['b']);
		first.owed = [];
		const joined = listener.join(one, ['a']);
		while (first.owed.length === 0) await Promise.resolve();
		first.hangUp();
		await joined;
		expect(second.asked.filter((sql) => sql !== '')).toEqual([setting, 'listen "a"']);
		second.notify('a', '');
		second.notify('b', '');
		expect([one.heard, two.heard, two.losses]).toEqual([['a'], [], 1]);
		await listener.close();
	});

	it('listens again to what was unlistened meanwhile', async () => {
		const server = new Server();
		const listener = listenerOn(server);
		const [one, two] = [hearer(), hearer()];
		await listener.join(one, ['a']);
		listener.part(one, 'a');
		listener.part(one, 'a');
		await listener.join(two, ['a']);
		expect(server.asked.filter((sql) => sql !== '')).toEqual([setting, 'listen "a"', 'unlisten "a"', 'listen "a"']);
		server.notify('a', '');
		expect([one.heard, two.heard]).toEqual([[], ['a']]);
		await listener.close();
	});
});

describe('the question whether everything was told', () => {
	it('is asked again for those who ask while one is under way, once for all of them', async () => {
		const server = new Server();
		const listener = listenerOn(server);
		await listener.join(hearer(), ['a']);
		const before = server.asked.length;
		server.owed = [];
		const done: string[] = [];
		for (const name of ['first', 'second', 'third']) void listener.caughtUp().then(() => done.push(name));
		expect(server.asked.length).toBe(before + 1);
		server.answer();
		while (server.owed.length === 0) await Promise.resolve();
		expect(done).toEqual(['first']);
		server.answer();
		while (done.length < 3) await Promise.resolve();
		expect([done, server.asked.length]).toEqual([['first', 'second', 'third'], before + 2]);
		await listener.close();
	});

	it('is answered by the end of the connection too, and where there is none', async () => {
		const server = new Server();
		const listener = listenerOn(server);
		await listener.caughtUp();
		await listener.join(hearer(), ['a']);
		server.owed = [];
		const both = [listener.caughtUp(), listener.caughtUp()];
		server.hangUp();
		await Promise.all(both);
		await listener.close();
	});
});

it('nobody joins what is closed', async () => {
	const listener = listenerOn(new Server());
	await listener.join(hearer(), ['a']);
	await listener.close();
	await expect(listener.join(hearer(), ['a'])).rejects.toMatchObject({ sqlstate: '57P01' });
	expect(listener.stats).toMatchObject({ connection: null, channels: 0 });
});
