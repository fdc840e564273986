/** Notices between gateways: what they lead to, what they cannot lead to, and that whoever differs is told of. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { formatNotice, type Notice, readNotice } from '../../src/policy/watcher/notice.ts';
import { type LineEvents, PolicyWatcher, type WatcherEvent } from '../../src/policy/watcher/watcher.ts';

const mine = '1111111111111111';
const theirs = '2222222222222222';

/** A channel that takes and gives text, with everything that is heard in one turn. */
class Channel {
	readonly #lines = new Set<LineEvents>();
	readonly said: string[] = [];
	broken = false;

	readonly open = (events: LineEvents) => {
		this.#lines.add(events);
		return {
			publish: async (text: string) => {
				if (this.broken) throw new Error('broken');
				this.said.push(text);
				for (const line of this.#lines) line.heard(text);
			},
			close: async () => {
				this.#lines.delete(events);
			},
		};
	};

	say(notice: Partial<Notice> | string): void {
		const text =
			typeof notice === 'string'
				? notice
				: formatNotice({ kind: 'state', gateway: 'other', instance: 'f'.repeat(16), revision: theirs, ...notice });
		for (const line of this.#lines) line.heard(text);
	}

	up(): void {
		for (const line of this.#lines) line.up();
	}

	down(): void {
		for (const line of this.#lines) line.down('cut');
	}

	notices(): (Notice | null)[] {
		return this.said.map(readNotice);
	}
}

interface Gateway {
	readonly watcher: PolicyWatcher;
	readonly events: WatcherEvent[];
	readonly look: ReturnType<typeof vi.fn<() => void>>;
	revision: string;
}

let channel: Channel;
const watchers: PolicyWatcher[] = [];
beforeEach(() => {
	vi.useFakeTimers();
	channel = new Channel();
});
afterEach(async () => {
	for (const watcher of watchers.splice(0)) await watcher.close();
	vi.useRealTimers();
});

function gateway(name: string, revision = mine, limits = {}): Gateway {
	const events: WatcherEvent[] = [];
	const look = vi.fn<() => void>();
	const instance = Buffer.from(name.padEnd(8).slice(0, 8)).toString('hex');
	const made: Gateway = {
		watcher: new PolicyWatcher({
			gateway: name,
			instance,
			revision: () => made.revision,
			open: channel.open,
			differAfterMs: 5_000,
			onEvent: (event) => events.push(event),
			clock: () => Date.now(),
			limits,
		}),
		events,
		look,
		revision,
	};
	made.watcher.setUpdateCallback(look);
	watchers.push(made.watcher);
	return made;
}

const turn = (ms = 0): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

describe('a notice', () => {
	test('says what it was given', () => {
		const notice = { kind: 'ask', gateway: 'gw-1.example:6432/2', instance: 'a'.repeat(16), revision: mine } as const;
		expect(readNotice(formatNotice(notice))).toEqual(notice);
		expect(formatNotice(notice)).not.toMatch(/['\\]/);
	});

	const good = { v: 1, kind: 'state', gateway: 'gw', instance: 'a'.repeat(16), revision: mine };
	test.each([
		{ name: 'nothing', text: '' },
		{ name: 'no JSON', text: '{' },
		{ name: 'null', text: 'null' },
		{ name: 'a list', text: '[]' },
		{ name: 'another version', text: JSON.stringify({ ...good, v: 2 }) },
		{ name: 'another kind', text: JSON.stringify({ ...good, kind: 'load' }) },
		{ name: 'a name with a line feed', text: JSON.stringify({ ...good, gateway: 'a\nb' }) },
		{ name: 'a long name', text: JSON.stringify({ ...good, gateway: 'a'.repeat(101) }) },
		{ name: 'an instance that is none', text: JSON.stringify({ ...good, instance: '__proto__' }) },
		{ name: 'a revision that is none', text: JSON.stringify({ ...good, revision: 'latest' }) },
		{ name: 'more than is read', text: JSON.stringify({ ...good, more: 'x'.repeat(1_000) }) },
	])('is not $name', ({ text }) => {
		expect(readNotice(text)).toBeNull();
	});
});

describe('a change', () => {
	test('makes the others look at once, and nobody else', async () => {
		const [one, two, three] = [gateway('one'), gateway('two'), gateway('three')];
		channel.up();
		await turn(2_000);
		for (const { look } of [one, two, three]) look.mockClear();
		one.revision = theirs;
		expect(await one.watcher.update()).toBe(true);
		expect([one, two, three].map(({ look }) => look.mock.calls.length)).toEqual([0, 1, 1]);
		two.revision = theirs;
		await two.watcher.update();
		// The third has been told of that one already; the first has it.
		await turn(3_000);
		expect([one.look.mock.calls.length, two.look.mock.calls.length]).toEqual([0, 1]);
		expect(one.watcher.stats).toMatchObject({ up: true, same: 1, other: 1 });
	});

	test('that was missed is heard of once the line is there again', async () => {
		const [one, two] = [gateway('one'), gateway('two')];
		channel.up();
		await turn(2_000);
		two.look.mockClear();
		channel.broken = true;
		channel.down();
		one.revision = theirs;
		expect(await one.watcher.update()).toBe(false);
		expect(two.look).not.toHaveBeenCalled();
		channel.broken = false;
		channel.up();
		await turn(2_000);
		expect(two.look.mock.calls.length).toBeGreaterThan(0);
		expect(two.watcher.stats).toMatchObject({ same: 0, other: 1 });
		expect(one.events.map(({ type }) => type)).toEqual(['up', 'down', 'up']);
	});

	test('is told by who begins, and asked for', async () => {
		gateway('one');
		channel.up();
		await turn();
		const late = gateway('late', theirs);
		channel.up();
		await turn(2_000);
		expect(channel.notices().map((notice) => [notice?.gateway, notice?.kind])).toContainEqual(['late', 'ask']);
		expect(late.watcher.stats).toMatchObject({ same: 0, other: 1 });
	});
});

describe('forged notices', () => {
	test('lead to one look a second, however many there are', async () => {
		const one = gateway('one');
		channel.up();
		await turn(5_000);
		one.look.mockClear();
		for (let ms = 0; ms < 5_000; ms += 10) {
			channel.say({ revision: ms.toString(16).padStart(16, '0') });
			channel.say({ kind: 'ask', instance: ms.toString(16).padStart(16, '0') });
			await turn(10);
		}
		expect(one.look.mock.calls.length).toBeLessThanOrEqual(6);
		expect(one.look.mock.calls.length).toBeGreaterThanOrEqual(5);
		// Its answers are no more than that either.
		expect(channel.said.length).toBeLessThan(12);
	});

	test('are remembered up to a limit, and rubbish not at all', async () => {
		const one = gateway('one', mine, { gatewaysMax: 3 });
		channel.up();
		for (let n = 0; n < 10; n += 1) channel.say({ instance: n.toString(16).padStart(16, '0') });
		channel.say('rubbish');
		expect(one.watcher.stats).toMatchObject({ same: 0, other: 3, notices: { heard: 3, ignored: 8 } });
	});

	test('in its own name are taken for its own words', async () => {
		const one = gateway('one');
		channel.up();
		await turn(2_000);
		one.look.mockClear();
		channel.say({ instance: channel.notices()[0]?.instance ?? '' });
		expect(one.look).not.toHaveBeenCalled();
		expect(one.watcher.stats.other).toBe(0);
	});
});

describe('gateways that differ', () => {
	test('are told of once it has lasted, and so is the end of it', async () => {
		const one = gateway('one');
		channel.up();
		const instance = 'a'.repeat(16);
		channel.say({ gateway: 'gw-2', instance });
		await turn(4_900);
		expect(one.events.map(({ type }) => type)).toEqual(['up']);
		await turn(200);
		expect(one.events.at(-1)).toEqual({ type: 'differs', count: 1, others: { 'gw-2': theirs } });
		channel.say({ gateway: 'gw-2', instance, revision: mine });
		expect(one.events.at(-1)).toEqual({ type: 'agrees' });
		await turn(20_000);
		expect(one.events).toHaveLength(3);
	});

	test('for a moment are not told of', async () => {
		const one = gateway('one');
		channel.up();
		channel.say({});
		await turn(3_000);
		one.revision = theirs;
		await one.watcher.update();
		await turn(20_000);
		expect(one.events.map(({ type }) => type)).toEqual(['up']);
	});

	test('are forgotten when they say goodbye, and when they are not heard of any more', async () => {
		const one = gateway('one');
		channel.up();
		const [first, second] = ['a'.repeat(16), 'b'.repeat(16)];
		channel.say({ instance: first });
		channel.say({ instance: second });
		channel.say({ kind: 'gone', instance: first });
		expect(one.watcher.stats.other).toBe(1);
		await turn(50_000);
		expect(one.watcher.stats).toMatchObject({ same: 0, other: 0 });
	});

	test('are heard of again and again while they are there', async () => {
		const [one] = [gateway('one'), gateway('two')];
		channel.up();
		await turn(120_000);
		expect(one.watcher.stats).toMatchObject({ same: 1, other: 0 });
	});
});
