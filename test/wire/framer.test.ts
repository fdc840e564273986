/** The framer: every message cut at every byte, limits before bodies, long messages in slices, nothing copied needlessly. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GatewayError } from '../../src/errors.ts';
import { backendCodes, frontendCodes } from '../../src/wire/codes.ts';
import { encodeBackend, encodeDataRow, encodeFrontend, encodeQuery, encodeSync } from '../../src/wire/encode.ts';
import { backendRules, Framer, type FrameRules, frontendRules, loginRules } from '../../src/wire/framer.ts';
import { backendLengthMax, frontendLengthMax } from '../../src/wire/limits.ts';
import { MessageBudget } from '../../src/wire/message-budget.ts';
import { anyBackend, anyFrontend, backendKinds, frontendKinds } from './arbitraries.ts';
import { cut, type Frames, walk } from './walk.ts';

const passing = new Set<number>([backendCodes.DataRow, backendCodes.CopyData, backendCodes.FunctionCallResponse]);

/** Walks the messages as cut, and compares; messages of types that do not pass must come in one piece. */
function check(framer: Frames, messages: readonly Buffer[], cuts: readonly number[]): void {
	const seen = walk(framer, cut(Buffer.concat(messages), cuts));
	expect(framer.between).toBe(true);
	expect(seen.map((one) => one.bytes)).toEqual(messages);
	for (const one of seen) if (!passing.has(one.type)) expect(one.frames).toBe(1);
}

function sample<T>(arbitrary: fc.Arbitrary<T>, count: number): T[] {
	return fc.sample(arbitrary, { numRuns: count, seed: 7 });
}

describe('messages cut at every byte', () => {
	it.each(backendKinds)('backend %s', (_name, fields) => {
		const before = encodeBackend({ type: 'ParseComplete' });
		const after = encodeDataRow(['1', null]);
		for (const message of sample(fields, 5).map(encodeBackend)) {
			const messages = [before, message, after, after];
			const length = Buffer.concat(messages).length;
			for (let at = 0; at <= length; at++) check(new Framer(backendRules()), messages, [at]);
			const everyByte = Array.from({ length: length - 1 }, (_, i) => i + 1);
			check(new Framer(backendRules()), messages, everyByte);
		}
	});

	it.each(frontendKinds)('frontend %s', (_name, fields) => {
		for (const message of sample(fields, 5).map(encodeFrontend)) {
			const messages = [encodeSync(), message, message];
			const length = Buffer.concat(messages).length;
			for (let at = 0; at <= length; at++) check(new Framer(frontendRules()), messages, [at]);
		}
	});

	it('every pair of cuts in a short answer', () => {
		const messages = [
			encodeDataRow(['a']),
			encodeDataRow([null]),
			encodeBackend({ type: 'NoData' }),
			encodeDataRow([]),
		];
		const length = Buffer.concat(messages).length;
		for (let i = 0; i <= length; i++) {
			for (let j = i; j <= length; j++) check(new Framer(backendRules()), messages, [i, j]);
		}
	});
});

describe('any messages in any chunks', () => {
	const cuts = fc.array(fc.nat(2000), { maxLength: 20 }).map((list) => list.sort((a, b) => a - b));
	const within = (messages: readonly Buffer[], list: readonly number[]): number[] => {
		const length = Buffer.concat(messages).length;
		return list.filter((at) => at <= length);
	};

	it('from a server', () => {
		fc.assert(
			fc.property(fc.array(anyBackend), cuts, (list, at) => {
				const messages = list.map(encodeBackend);
				check(new Framer(backendRules()), messages, within(messages, at));
			}),
		);
	});

	it('from a client', () => {
		fc.assert(
			fc.property(fc.array(anyFrontend), cuts, (list, at) => {
				const messages = list.map(encodeFrontend);
				check(new Framer(frontendRules()), messages, within(messages, at));
			}),
		);
	});

	it('any bytes at all: frames or one GatewayError, and never again a frame after it', () => {
		fc.assert(
			fc.property(fc.uint8Array({ maxLength: 60 }), fc.boolean(), (bytes, client) => {
				const framer = new Framer(client ? frontendRules() : backendRules());
				const failure = failureOf(() => walk(framer, [Buffer.from(bytes)]));
				if (failure !== null) expect(failureOf(() => framer.next())).toBe(failure);
			}),
			{ numRuns: 1000 },
		);
	});
});

/** The GatewayError that `run` throws, or null; anything else thrown fails the test. */
function failureOf(run: () => unknown): GatewayError | null {
	try {
		run();
		return null;
	} catch (error) {
		expect(error).toBeInstanceOf(GatewayError);
		return error as GatewayError;
	}
}

describe('what may be forwarded at once', () => {
	const row = encodeDataRow(['some value', null]);
	const rows = Buffer.concat(Array.from({ length: 1000 }, () => row));

	it('rows in one chunk are one frame in the chunk itself', () => {
		const framer = new Framer(backendRules());
		framer.push(rows);
		expect(framer.next()).toBe(true);
		expect(framer.buffer).toBe(rows);
		expect([framer.start, framer.end, framer.count]).toEqual([0, rows.length, 1000]);
		expect([framer.first, framer.last, framer.next()]).toEqual([true, true, false]);
	});

	it('neighbouring messages lie in the chunk side by side', () => {
		const done = encodeBackend({ type: 'CommandComplete', tag: 'SELECT 1000' });
		const ready = encodeBackend({ type: 'ReadyForQuery', status: 'I' });
		const chunk = Buffer.concat([rows, done, ready]);
		const framer = new Framer(backendRules());
		framer.push(chunk);
		let end = 0;
		for (let frames = 0; framer.next(); frames++) {
			expect(framer.buffer).toBe(chunk);
			expect(framer.start).toBe(end);
			expect(frames).toBeLessThan(3);
			end = framer.end;
		}
		expect(end).toBe(chunk.length);
	});

	it('a row of two gigabytes passes without being held', () => {
		const framer = new Framer(backendRules());
		const header = Buffer.from([backendCodes.DataRow, 0x7f, 0xff, 0xff, 0xff]);
		const chunk = Buffer.alloc(1 << 20);
		framer.push(Buffer.concat([header, chunk]));
		expect(framer.next()).toBe(true);
		expect([framer.count, framer.first, framer.last, framer.next()]).toEqual([1, true, false, false]);
		for (let i = 0; i < 2046; i++) {
			framer.push(chunk);
			expect(framer.next()).toBe(true);
			expect(framer.buffer).toBe(chunk);
			expect(framer.next()).toBe(false);
		}
		framer.push(Buffer.concat([chunk.subarray(0, (1 << 20) - 5), encodeBackend({ type: 'NoData' })]));
		expect([framer.next(), framer.last, framer.count, framer.first]).toEqual([true, true, 0, false]);
		expect([framer.next(), framer.type, framer.next()]).toEqual([true, backendCodes.NoData, false]);
	});

	it('a row may be asked for as a whole', () => {
		const framer = new Framer(backendRules({}, ['DataRow']));
		const seen = walk(framer, cut(rows, [3, 100, 101, 5000]));
		expect(seen).toHaveLength(1000);
		expect(seen.every((one) => one.frames === 1)).toBe(true);
	});

	it('a held message is not touched again by the framer', () => {
		const framer = new Framer(frontendRules());
		const queries = ['select 1', 'select 2'].map(encodeQuery);
		const kept: Buffer[] = [];
		for (const chunk of cut(Buffer.concat(queries), [4, 9, 17, 25])) {
			framer.push(chunk);
			while (framer.next()) kept.push(framer.buffer.subarray(framer.start, framer.end));
		}
		expect(kept).toEqual(queries);
	});
});

describe('limits hold on the declared length, before any of the body', () => {
	/** Pushes only a header. */
	function declare(rules: FrameRules, type: number, length: number): GatewayError | null {
		const header = Buffer.alloc(5);
		header[0] = type;
		header.writeUInt32BE(length, 1);
		const inPieces = new Framer(rules);
		const pieces = failureOf(() => walk(inPieces, cut(header, [1, 2, 3, 4])));
		const framer = new Framer(rules);
		framer.push(header);
		const whole = failureOf(() => {
			while (framer.next());
		});
		expect(pieces?.message).toBe(whole?.message);
		return whole;
	}

	const limits: [string, number, number, FrameRules][] = [
		...Object.entries(frontendLengthMax).map(([name, max]): [string, number, number, FrameRules] => [
			`frontend ${name}`,
			frontendCodes[name as keyof typeof frontendCodes],
			max,
			frontendRules(),
		]),
		...Object.entries(backendLengthMax)
			.filter(([name]) => !name.startsWith('Authentication'))
			.map(([name, max]): [string, number, number, FrameRules] => [
				`backend ${name}`,
				backendCodes[name as keyof typeof backendCodes],
				max,
				backendRules(),
			]),
	];

	it.each(limits)('%s', (_name, type, max, rules) => {
		for (const length of [4, max]) expect(declare(rules, type, length)).toBeNull();
		for (const length of [0, 3, max + 1, 0x8000_0000, 0xffff_ffff]) {
			expect(declare(rules, type, length)).toMatchObject({ sqlstate: '08P01', severity: 'FATAL' });
		}
	});

	const refused: { name: string; rules: FrameRules; type: number; length: number; want: RegExp }[] = [
		{
			name: 'a type that is none',
			rules: frontendRules(),
			type: 0x21,
			length: 4,
			want: /^invalid frontend message type 33$/,
		},
		{
			name: 'HTTP',
			rules: frontendRules(),
			type: 0x47,
			length: 0x4554202f,
			want: /^invalid frontend message type 71$/,
		},
		{
			name: 'a server message from a client',
			rules: frontendRules(),
			type: 0x5a,
			length: 5,
			want: /^invalid frontend message type 90$/,
		},
		{
			name: 'a query before login',
			rules: loginRules(),
			type: 0x51,
			length: 10,
			want: /^invalid frontend message type 81$/,
		},
		{ name: 'a huge password', rules: loginRules(), type: 0x70, length: 65537, want: /at most 65536 are accepted/ },
		{
			name: 'a lowered limit',
			rules: frontendRules({ Query: 99 }),
			type: 0x51,
			length: 100,
			want: /Query.*at most 99/,
		},
		{
			name: 'a length without itself',
			rules: backendRules(),
			type: 0x5a,
			length: 3,
			want: /invalid length 3 of Ready/,
		},
	];
	it.each(refused)('$name', ({ rules, type, length, want }) => {
		expect(declare(rules, type, length)?.message).toMatch(want);
	});

	it('all Authentication messages share a type byte: the largest limit holds', () => {
		expect(declare(backendRules(), 0x52, backendLengthMax.AuthenticationSASLFinal)).toBeNull();
		expect(declare(backendRules(), 0x52, backendLengthMax.AuthenticationSASLFinal + 1)).not.toBeNull();
	});

	it('good messages before a bad one come first', () => {
		const row = encodeDataRow(['x']);
		const bad = Buffer.from([backendCodes.DataRow, 0, 0, 0, 3]);
		const framer = new Framer(backendRules());
		framer.push(Buffer.concat([row, row, bad]));
		expect([framer.next(), framer.count, framer.end]).toEqual([true, 2, 2 * row.length]);
		expect(failureOf(() => framer.next())?.sqlstate).toBe('08P01');
	});

	it('memory grows with what comes, not with what is declared', () => {
		const before = process.memoryUsage().arrayBuffers;
		const framers = Array.from({ length: 50 }, () => new Framer(frontendRules()));
		const header = Buffer.alloc(10);
		header[0] = frontendCodes.Bind;
		header.writeInt32BE(frontendLengthMax.Bind, 1);
		for (const framer of framers) walk(framer, [header]);
		expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 << 20);
		expect(framers.every((framer) => !framer.between)).toBe(true);
	});
});

describe('room for long messages', () => {
	const long = encodeQuery('x'.repeat(400_000));

	/** A framer of that user that holds all of a long message but for the last byte. */
	function half(budget: MessageBudget, user: string): Framer {
		const framer = new Framer(frontendRules(), budget.shareOf(user));
		framer.push(long.subarray(0, -1));
		expect(framer.next()).toBe(false);
		return framer;
	}

	it('is taken as bytes come, and given back when the next message is asked for', () => {
		const budget = new MessageBudget(2_000_000);
		const framer = half(budget, 'ana');
		expect(budget.bytes).toBe(long.length - 1);
		framer.push(long.subarray(-1));
		expect(framer.next()).toBe(true);
		expect(framer.buffer.subarray(framer.start, framer.end)).toEqual(long);
		expect(budget.bytes).toBe(long.length);
		expect(framer.next()).toBe(false);
		expect(budget.bytes).toBe(0);
	});

	it.each([
		{ name: 'of one user is half of it', bytesMax: 1_500_000, users: ['ana', 'ana'], other: 'bob' },
		{ name: 'is for all together', bytesMax: 1_100_000, users: ['ana', 'bob'], other: null },
	])('$name', ({ bytesMax, users, other }) => {
		const budget = new MessageBudget(bytesMax);
		const [first] = [...users.slice(0, -1).map((user) => half(budget, user))];
		const framer = new Framer(frontendRules(), budget.shareOf(users.at(-1) ?? ''));
		framer.push(encodeQuery('x'.repeat(760_000)).subarray(0, -1));
		const refused = { sqlstate: '53200', severity: 'FATAL' };
		expect(() => framer.next()).toThrow(expect.objectContaining(refused));
		expect(() => framer.next()).toThrow(expect.objectContaining(refused));
		if (other !== null) half(budget, other).drop();
		first?.drop();
		framer.drop();
		expect(budget.bytes).toBe(0);
		half(budget, 'ana');
	});

	it('is not asked for by what is short, however much of that there is', () => {
		const budget = new MessageBudget(1);
		const framers = Array.from({ length: 20 }, () => new Framer(frontendRules(), budget.shareOf('ana')));
		for (const framer of framers) {
			framer.push(encodeQuery('x'.repeat(200_000)).subarray(0, -1));
			expect(framer.next()).toBe(false);
		}
	});
});

describe('use', () => {
	it('rules may change between messages', () => {
		const framer = new Framer(loginRules());
		framer.push(
			Buffer.concat([encodeFrontend({ type: 'Password', body: Buffer.from('x\0') }), encodeQuery('select 1')]),
		);
		expect([framer.next(), framer.type]).toEqual([true, frontendCodes.Password]);
		framer.rules = frontendRules();
		expect([framer.next(), framer.type]).toEqual([true, frontendCodes.Query]);
	});

	it('what is not walked can be taken back at any point', () => {
		const messages = [encodeQuery('select 1'), encodeSync(), encodeQuery('select 2')];
		const stream = Buffer.concat(messages);
		for (let at = 0; at <= stream.length; at++) {
			const framer = new Framer(frontendRules());
			const seen = walk(framer, [stream.subarray(0, at)]);
			const rest = Buffer.concat([framer.takeRest(), stream.subarray(at)]);
			expect(framer.between).toBe(true);
			expect(Buffer.concat([...seen.map((one) => one.bytes), rest])).toEqual(stream);
		}
	});

	it('a chunk must be walked before the next one is pushed', () => {
		const framer = new Framer(frontendRules());
		framer.push(Buffer.concat([encodeSync(), encodeSync()]));
		framer.next();
		expect(() => {
			framer.push(encodeSync());
		}).toThrow(/before the last chunk/);
	});

	it('empty chunks are fine', () => {
		const none = Buffer.alloc(0);
		const query = encodeQuery('select 1');
		const row = encodeDataRow(['x']);
		expect(walk(new Framer(frontendRules()), [none, query.subarray(0, 7), none, query.subarray(7), none])).toHaveLength(
			1,
		);
		expect(walk(new Framer(backendRules()), [none, row.subarray(0, 7), none, row.subarray(7), none])).toHaveLength(1);
	});
});

describe('the check itself', () => {
	const faults: { name: string; plant: (framer: Framer) => void; want: RegExp }[] = [
		{ name: 'loses a byte', plant: (framer) => framer.end--, want: /last is true|header|first is/ },
		{ name: 'doubles a byte', plant: (framer) => framer.start--, want: /./ },
		{ name: 'miscounts', plant: (framer) => framer.count++, want: /count is/ },
		{ name: 'calls a part whole', plant: (framer) => (framer.last = true), want: /last is true/ },
		{ name: 'calls a rest new', plant: (framer) => (framer.first = true), want: /first is true/ },
		{ name: 'mistakes the type', plant: (framer) => (framer.type = 1), want: /type is 1/ },
	];
	it.each(faults)('a framer that $name is found out', ({ plant, want }) => {
		const faulty = new Framer(backendRules());
		const next = faulty.next.bind(faulty);
		let frames = 0;
		faulty.next = () => {
			const more = next();
			if (more && ++frames > 1) plant(faulty);
			return more;
		};
		const messages = [
			encodeBackend({ type: 'NoData' }),
			encodeDataRow(['long enough to be cut']),
			encodeDataRow(['x']),
		];
		expect(() => {
			check(faulty, messages, [15, 25]);
		}).toThrow(want);
	});
});
