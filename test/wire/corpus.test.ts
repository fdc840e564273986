/** Recorded conversations of real clients with PostgreSQL 18: framed, decoded, re-encoded and, seeded, spoiled. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { GatewayError } from '../../src/errors.ts';
import { decodeBackend } from '../../src/wire/backend.ts';
import { encodeBackend, encodeFrontend, encodeStartup } from '../../src/wire/encode.ts';
import { backendRules, Framer, type FrameRules, frontendRules } from '../../src/wire/framer.ts';
import { decodeFrontend } from '../../src/wire/frontend.ts';
import { decodeStartup, readStartup } from '../../src/wire/startup.ts';
import { cut, walk } from './walk.ts';

/** One connection as it was recorded: each side's bytes in the chunks in which they came. */
interface Conversation {
	readonly name: string;
	readonly startup: readonly Buffer[];
	readonly client: readonly Buffer[];
	readonly server: readonly Buffer[];
}

const folder = new URL('./corpus/', import.meta.url);

/** Files hold lines of `C hex` (client) and `S hex` (server); an empty line begins another connection. */
function load(file: string): Conversation[] {
	const parts = readFileSync(new URL(file, folder), 'latin1').trim().split('\n\n');
	return parts.map((part, i) => {
		const side = (letter: string): Buffer[] =>
			part.split('\n').flatMap((line) => (line.startsWith(letter) ? [Buffer.from(line.slice(2), 'hex')] : []));
		const startup: Buffer[] = [];
		let client = Buffer.concat(side('C'));
		let server = Buffer.concat(side('S'));
		let asks = true;
		while (asks) {
			const read = readStartup(client);
			if (read === null) throw new Error(`${file} has no startup packet`);
			startup.push(read.message.raw);
			client = Buffer.from(read.rest);
			asks = read.message.type === 'SSLRequest';
			if (asks) server = server.subarray(1); // the one byte that answers
		}
		return { name: `${file}:${i + 1}`, startup, client: [client], server: [server] };
	});
}

const corpus = readdirSync(folder).flatMap((file) => (file.endsWith('.txt') ? load(file) : []));

/** xorshift32: the same bytes are spoiled in every run. */
function random(seed: number): () => number {
	let state = seed;
	return () => {
		state ^= state << 13;
		state ^= state >>> 17;
		state ^= state << 5;
		return state >>> 0;
	};
}

/** The bytes with one to four faults: a bit turned, a byte put in or left out, a length made extreme. */
function spoil(bytes: Buffer, next: () => number): Buffer {
	let spoiled = Buffer.from(bytes);
	for (let faults = 1 + (next() % 4); faults > 0; faults--) {
		const at = next() % Math.max(1, spoiled.length);
		const kind = next() % 4;
		if (kind === 0) spoiled[at] = (spoiled[at] ?? 0) ^ (1 << (next() % 8));
		else if (kind === 1)
			spoiled = Buffer.concat([spoiled.subarray(0, at), Buffer.from([next() & 255]), spoiled.subarray(at)]);
		else if (kind === 2) spoiled = Buffer.concat([spoiled.subarray(0, at), spoiled.subarray(at + 1)]);
		else spoiled[at] = [0, 1, 0x7f, 0x80, 0xff][next() % 5] as number;
	}
	return spoiled;
}

/** What `run` answers, or null where it refuses with a GatewayError; any other error fails the test. */
function accepted<T>(run: () => T): T | null {
	try {
		return run();
	} catch (error) {
		if (error instanceof GatewayError && /^(08P01|22021|0A000)$/.test(error.sqlstate)) return null;
		throw error;
	}
}

const sides: { side: 'client' | 'server'; rules: () => FrameRules; again: (raw: Buffer) => Buffer }[] = [
	{ side: 'client', rules: frontendRules, again: (raw) => encodeFrontend(decodeFrontend(raw)) },
	{ side: 'server', rules: backendRules, again: (raw) => encodeBackend(decodeBackend(raw)) },
];

it('has conversations of every recorded client', () => {
	expect(corpus.map((one) => one.name)).toEqual([
		'pg.txt:1',
		'pgbench.txt:1',
		'pgbench.txt:2',
		'postgres-js.txt:1',
		'psql.txt:1',
	]);
});

describe.each(corpus)('$name', (conversation) => {
	it('startup packets decode and encode to the same bytes', () => {
		for (const raw of conversation.startup) expect(encodeStartup(decodeStartup(raw))).toEqual(raw);
	});

	it.each(sides)(
		'$side: the same messages in chunks of any size, and the same bytes again',
		({ side, rules, again }) => {
			const stream = Buffer.concat(conversation[side]);
			const whole = walk(new Framer(rules()), [stream]).map((one) => one.bytes);
			expect(Buffer.concat(whole)).toEqual(stream);
			for (const message of whole) expect(again(message)).toEqual(message);
			for (const size of [1, 2, 3, 5, 7, 16, 61, 1000]) {
				const cuts = Array.from({ length: Math.ceil(stream.length / size) - 1 }, (_, i) => (i + 1) * size);
				expect(walk(new Framer(rules()), cut(stream, cuts)).map((one) => one.bytes)).toEqual(whole);
			}
		},
	);

	it.each(sides)('$side: spoiled, every message is refused or is exactly what it says', ({ side, rules, again }) => {
		const messages = walk(new Framer(rules()), [...conversation[side]]).map((one) => one.bytes);
		const next = random(0x9e3779b9);
		let refusals = 0;
		for (let round = 0; round < 40; round++) {
			for (const message of messages) {
				const spoiled = spoil(message, next);
				const encoded = accepted(() => again(spoiled));
				if (encoded === null) refusals++;
				// Text of a server may be in another encoding, so only what a client says must come back byte for byte.
				else if (side === 'client') expect(encoded).toEqual(spoiled);
			}
		}
		expect(refusals).toBeGreaterThan(messages.length * 10);
	});

	it.each(sides)('$side: a spoiled stream is framed or refused, whatever its chunks', ({ side, rules }) => {
		const stream = Buffer.concat(conversation[side]);
		const next = random(0x2545f491);
		for (let round = 0; round < 100; round++) {
			const spoiled = spoil(stream, next);
			const whole = accepted(() => walk(new Framer(rules()), [spoiled]).length);
			const pieces = accepted(() => walk(new Framer(rules()), cut(spoiled, [next() % spoiled.length])).length);
			expect(pieces).toBe(whole);
		}
	});

	it('spoiled startup packets are refused or are exactly what they say', () => {
		const next = random(0x12345);
		for (let round = 0; round < 300; round++) {
			for (const raw of conversation.startup) {
				const spoiled = spoil(raw, next);
				const decoded = accepted(() => decodeStartup(spoiled));
				if (decoded !== null) expect(encodeStartup(decoded).length).toBeLessThanOrEqual(spoiled.length);
			}
		}
	});
});
