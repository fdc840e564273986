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
	/** Others who tell what is notified here: they are the same server. */
	same: readonly Server[] = [];
	readonly #listens = new Set<string>();
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

	hears(channel: string): void {
		if (this.#listens.has(channel)) this.notify(channel, '');
	}

	/** Channels, but for those of the gateway's own questions. */
	get listens(): string[] {
		return [...this.#listens].filter((channel) => !channel.startsWith('portcullis_'));
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
		const [, command, channel = ''] = /^(listen|unlisten|notify) "(.*)"$/.exec(sql) ?? [];
		if (command === 'listen') this.#listens.add(channel);
		if (command === 'unlisten') this.#listens.delete(channel);
		if (command === 'notify') for (const server of [this, ...this.same]) server.hears(channel);
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

describe('a database that moves', () => {
	interface Moving {
		readonly former: SharedListener;
		readonly heir: SharedListener;
		readonly servers: readonly [Server, Server];
	}

	function moving(same: boolean): Moving {
		const servers = [new Server(), new Server()] as const;
		if (same) servers[1].same = [servers[0]];
		return { former: listenerOn(servers[0]), heir: listenerOn(servers[1]), servers };
	}

	const close = async ({ former, heir }: Moving): Promise<void> => {
		await former.close();
		await heir.close();
	};

	it('is heard of on both servers, until the former is closed', async () => {
		const all = moving(false);
		const { former, heir, servers } = all;
		const one = hearer();
		await former.join(one, ['a', 'b']);
		await former.handOver(heir);
		expect(servers.map(({ listens }) => listens)).toEqual([
			['a', 'b'],
			['a', 'b'],
		]);
		for (const server of servers) server.notify('a', '');
		expect(one.heard).toEqual(['a', 'a']);
		// Wherever the session is by now.
		heir.part(one, 'a');
		former.part(one, 'b');
		await Promise.all([former.caughtUp(), heir.caughtUp()]);
		expect(servers.map(({ listens }) => listens)).toEqual([[], []]);
		expect([former.stats.hearers, heir.stats.hearers]).toEqual([0, 0]);
		await close(all);
		expect(one.losses).toBe(0);
	});

	it('is heard of once where both are the same server, and the former may go', async () => {
		const all = moving(true);
		const { former, heir, servers } = all;
		const [one, late] = [hearer(), hearer()];
		await former.join(one, ['a']);
		await former.handOver(heir);
		for (const server of servers) server.notify('a', '');
		expect(one.heard).toEqual(['a']);
		servers[0].hangUp();
		await former.join(late, ['b']);
		servers[1].notify('b', '');
		expect([one.losses, late.heard, heir.stats.hearers]).toEqual([0, ['b'], 2]);
		await close(all);
	});

	it('is missed where the former is lost, or the heir cannot listen, and nobody is left with either', async () => {
		const all = moving(false);
		const { former, heir, servers } = all;
		const one = hearer();
		await former.join(one, ['a']);
		await former.handOver(heir);
		servers[0].hangUp();
		expect([one.losses, heir.stats.hearers, heir.stats.channels]).toEqual([1, 0, 0]);
		await close(all);

		const refused = moving(false);
		refused.servers[1].refused.add('listen "a"');
		const [two, three] = [hearer(), hearer()];
		await refused.former.join(two, ['a']);
		await refused.former.join(three, ['b']);
		await refused.former.handOver(refused.heir);
		expect([two.losses, three.losses]).toEqual([1, 1]);
		for (const { stats } of [refused.former, refused.heir]) expect([stats.hearers, stats.channels]).toEqual([0, 0]);
		// What begins to listen there later is refused in the server's words, and is not heard of.
		await expect(refused.former.join(two, ['a'])).rejects.toMatchObject({ sqlstate: '25006' });
		expect(refused.former.stats.hearers).toBe(0);
		await close(refused);
	});

	it('is told to those who have joined meanwhile, and not to those who have left', async () => {
		const all = moving(true);
		const { former, heir, servers } = all;
		const [one, left, late] = [hearer(), hearer(), hearer()];
		await former.join(one, ['a']);
		await former.join(left, ['a', 'b']);
		servers[1].owed = [];
		const over = former.handOver(heir);
		while (servers[1].owed.length === 0) await Promise.resolve();
		former.part(left, 'a');
		former.part(left, 'b');
		const joined = former.join(late, ['a']);
		servers[0].notify('a', '');
		let done = false;
		void Promise.all([over, joined]).then(() => {
			done = true;
		});
		for (let n = 0; !done && n < 10_000; n += 1) {
			servers[1].answer();
			await Promise.resolve();
		}
		servers[1].notify('a', '');
		servers[1].notify('b', '');
		expect([one.heard, left.heard, late.heard]).toEqual([['a', 'a'], [], ['a']]);
		expect([heir.stats.hearers, heir.stats.channels]).toEqual([2, 1]);
		await close(all);
	});

	it('may move again, and back', async () => {
		const servers = [new Server(), new Server(), new Server()] as const;
		const [first, second, third] = servers.map((server) => listenerOn(server)) as [
			SharedListener,
			SharedListener,
			SharedListener,
		];
		const one = hearer();
		await first.join(one, ['a']);
		await first.handOver(second);
		await second.handOver(third);
		expect(servers.map(({ listens }) => listens)).toEqual([['a'], ['a'], ['a']]);
		await first.join(one, ['b']);
		expect(servers.map(({ listens }) => listens)).toEqual([
			['a', 'b'],
			['a', 'b'],
			['a', 'b'],
		]);
		await first.close();
		third.part(one, 'a');
		await Promise.all([second.caughtUp(), third.caughtUp()]);
		expect([servers[1].listens, servers[2].listens]).toEqual([['b'], ['b']]);
		for (const listener of [second, third]) await listener.close();
		expect(one.losses).toBe(0);
	});
});
