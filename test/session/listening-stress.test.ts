/** Many that listen, unlisten, notify and roll back at random on two server connections: nothing is lost, doubled, or heard by the wrong one. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Backend } from '../../src/wire/backend.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestGateway, type TestGateway } from './gateway.ts';
import { WireClient } from './wire-client.ts';

const clientsAtATime = 200;
const steps = Number(process.env['PORTCULLIS_LISTEN_STEPS'] ?? 8);
const channels = Array.from({ length: 10 }, (_, n) => `c${n}`);

let database: TestDatabase;
let gateway: TestGateway;

beforeAll(async () => {
	database = await createDatabase();
	gateway = await startTestGateway(database, {
		poolSize: 2,
		pooled: { queueTimeoutMs: 300_000 },
		hears: { waitMs: 300_000, timeoutMs: 300_000 },
	});
});

afterAll(async () => {
	await gateway?.close();
	await database?.drop();
});

/** A commit: from when it was sent to when the client had its ReadyForQuery. Moments are numbers of events in this process. */
interface Span {
	readonly sent: number;
	readonly done: number;
}

interface Change extends Span {
	readonly listens: boolean;
}

interface Notified extends Span {
	readonly channel: string;
	readonly payload: string;
}

let moment = 0;
const notified: Notified[] = [];

/** Numbers that look random, and are the same for the same seed. */
function dice(seed: number): (below: number) => number {
	let state = seed * 2_654_435_761 + 1;
	return (below) => {
		state = (Math.imul(state ^ (state >>> 15), 2_246_822_519) + 0x9e3779b9) | 0;
		return ((state ^ (state >>> 13)) >>> 0) % below;
	};
}

class Player {
	readonly name: string;
	readonly heard: string[] = [];
	/** By channel. */
	readonly changes = new Map<string, Change[]>(channels.map((channel) => [channel, []]));
	/** When it had heard all that it will. */
	until = 0;
	readonly #client: WireClient;
	readonly #roll: (below: number) => number;
	#numbers = 0;

	constructor(client: WireClient, name: string, roll: (below: number) => number) {
		this.#client = client;
		this.name = name;
		this.#roll = roll;
	}

	async step(): Promise<void> {
		const channel = this.#channel();
		switch (this.#roll(8)) {
			case 0:
			case 1:
				return this.#change(channel, true, [`listen ${channel}`]);
			case 2:
				return this.#change(channel, false, [`unlisten ${channel}`]);
			case 3:
				return this.#inTransaction(channel);
			case 4:
				await this.#run('begin');
				await this.#run(`listen ${channel}`);
				await this.#run(`notify ${this.#channel()}, 'never'`);
				await this.#run('rollback');
				return;
			default:
				return this.#notify(channel);
		}
	}

	/** A question at the end: whatever was notified before it has come before its answer. */
	async leave(): Promise<void> {
		const begun = (moment += 1);
		await this.#run('select 1');
		this.until = begun;
		this.#client.destroy();
	}

	#channel(): string {
		return channels[this.#roll(channels.length)] as string;
	}

	async #inTransaction(channel: string): Promise<void> {
		const other = this.#channel();
		await this.#run('begin');
		await this.#run('savepoint s');
		await this.#run(`listen ${other}`);
		await this.#run('rollback to s');
		await this.#run(`listen ${channel}`);
		const payload = this.#payload();
		await this.#run(`notify ${channel}, '${payload}'`);
		const span = await this.#timed('commit');
		this.changes.get(channel)?.push({ ...span, listens: true });
		notified.push({ ...span, channel, payload });
	}

	async #change(channel: string, listens: boolean, sql: readonly string[]): Promise<void> {
		for (const one of sql) this.changes.get(channel)?.push({ ...(await this.#timed(one)), listens });
	}

	async #notify(channel: string): Promise<void> {
		const payload = this.#payload();
		notified.push({ ...(await this.#timed(`notify ${channel}, '${payload}'`)), channel, payload });
	}

	#payload(): string {
		this.#numbers += 1;
		return `${this.name}/${this.#numbers}`;
	}

	async #timed(sql: string): Promise<Span> {
		const sent = (moment += 1);
		await this.#run(sql);
		moment += 1;
		return { sent, done: moment };
	}

	async #run(sql: string): Promise<void> {
		for (const message of await this.#client.query(sql)) this.#note(message, sql);
	}

	#note(message: Backend, sql: string): void {
		if (message.type === 'NotificationResponse') this.heard.push(`${message.channel} ${message.payload}`);
		if (message.type === 'ErrorResponse') throw new Error(`${sql}: ${message.fields.get('M')}`);
	}
}

/** must: it listened before the notification was sent, and until it was done. may: it began or ended meanwhile. */
function hears(player: Player, { channel, sent, done }: Notified): 'must' | 'may' | 'must not' {
	let listens: 'must' | 'may' | 'must not' = 'must not';
	for (const change of player.changes.get(channel) ?? []) {
		if (change.sent > done) break;
		const certain = change.done < sent;
		const after = change.listens ? 'must' : 'must not';
		listens = certain || listens === after ? after : 'may';
	}
	return listens === 'must' && done >= player.until ? 'may' : listens;
}

/** One line for each thing that is wrong. */
function wrongs(players: readonly Player[]): string[] {
	const wrong: string[] = [];
	const known = new Map(notified.map((one) => [`${one.channel} ${one.payload}`, one]));
	for (const player of players) {
		const heard = new Set(player.heard);
		if (heard.size !== player.heard.length) wrong.push(`${player.name} heard something twice`);
		for (const one of heard) if (!known.has(one)) wrong.push(`${player.name} heard ${one}, which was never sent`);
		for (const [words, one] of known) {
			const verdict = hears(player, one);
			if (verdict === 'must' && !heard.has(words)) wrong.push(`${player.name} did not hear ${words}`);
			if (verdict === 'must not' && heard.has(words)) wrong.push(`${player.name} heard ${words}`);
		}
		for (const [before, after] of pairs(player.heard.flatMap((words) => known.get(words) ?? [])))
			if (after.done < before.sent) wrong.push(`${player.name} heard ${after.payload} after ${before.payload}`);
	}
	return wrong;
}

function pairs<T>(all: readonly T[]): [T, T][] {
	return all.slice(1).map((one, i) => [all[i] as T, one]);
}

test(`${clientsAtATime} that listen on 2 server connections`, { timeout: 600_000 }, async () => {
	const open = async (name: string, seed: number): Promise<Player> =>
		new Player(await WireClient.open({ port: gateway.port }), name, dice(seed));
	const players: Player[] = [];
	const play = async (seat: number): Promise<void> => {
		const roll = dice(seat + 7_777);
		let player = await open(`p${seat}`, seat);
		for (let step = 0; step < steps; step += 1) {
			await player.step();
			if (roll(10) > 0) continue;
			await player.leave();
			players.push(player);
			player = await open(`p${seat}.${step}`, seat * 1_000 + step);
		}
		await player.leave();
		players.push(player);
	};
	await Promise.all(Array.from({ length: clientsAtATime }, (_, seat) => play(seat)));
	const heard = players.reduce((sum, player) => sum + player.heard.length, 0);
	process.stdout.write(`${JSON.stringify({ sessions: players.length, notified: notified.length, heard })}\n`);
	expect(wrongs(players)).toEqual([]);
	expect(heard).toBeGreaterThan(players.length);
	expect(gateway.pool.stats.pinned).toMatchObject({ listen: 0 });
	while (gateway.hearing?.stats.hearers !== 0) await new Promise((resolve) => setImmediate(resolve));
	expect(gateway.hearing.stats).toMatchObject({ channels: 0, losses: 0, overflows: 0 });
});

test('the check finds what is lost, doubled, sent to the wrong one or out of order', () => {
	const player = new Player({} as WireClient, 'p', dice(1));
	player.until = 100;
	player.changes.get('c0')?.push({ sent: 1, done: 2, listens: true }, { sent: 20, done: 21, listens: false });
	const one = (channel: string, payload: string, sent: number): Notified => ({
		channel,
		payload,
		sent,
		done: sent + 1,
	});
	notified.splice(0, notified.length, one('c0', 'a', 5), one('c0', 'b', 8), one('c1', 'c', 9), one('c0', 'd', 30));
	const check = (...heard: string[]): string[] => {
		player.heard.splice(0, player.heard.length, ...heard);
		return wrongs([player]);
	};
	expect(check('c0 a', 'c0 b')).toEqual([]);
	expect(check('c0 a')).toEqual(['p did not hear c0 b']);
	expect(check('c0 a', 'c0 b', 'c0 b')).toEqual(['p heard something twice']);
	expect(check('c0 b', 'c0 a')).toEqual(['p heard a after b']);
	expect(check('c0 a', 'c0 b', 'c1 c')).toEqual(['p heard c1 c']);
	expect(check('c0 a', 'c0 b', 'c0 d')).toEqual(['p heard c0 d']);
	expect(check('c0 a', 'c0 b', 'c0 x')).toEqual(['p heard c0 x, which was never sent']);
});
