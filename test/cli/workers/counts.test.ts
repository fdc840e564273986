/** Sessions and failed logins that workers count together. */
import { expect, test } from 'vitest';
import type { LinkedBus } from '../../../src/cli/workers/bus.ts';
import { SharedCounts, type SessionsLink } from '../../../src/cli/workers/counts.ts';
import { SharedFailures } from '../../../src/cli/workers/failures.ts';
import { SessionBook, type SessionsFromWorker, type SessionsToWorker } from '../../../src/cli/workers/session-book.ts';
import { GatewayError } from '../../../src/errors.ts';
import { Admission } from '../../../src/session/admission.ts';
import { joinedBuses } from '../../support/workers.ts';

/** Longer than a message takes. */
async function delivered(): Promise<void> {
	for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

async function refusal(act: Promise<unknown>): Promise<string> {
	try {
		await act;
		return '';
	} catch (error) {
		return error instanceof GatewayError ? `${error.sqlstate} ${error.message}: ${error.detail}` : String(error);
	}
}

/** Counts of as many workers, at one supervisor's book. */
function counted(workers: number) {
	const joined = joinedBuses(workers);
	const book = new SessionBook();
	const linkOf = (worker: number): SessionsLink => {
		let hear: (message: SessionsToWorker) => void = () => undefined;
		return {
			send: (message) =>
				setImmediate(() => {
					const answer = book.receive(worker, message);
					if (answer !== null) setImmediate(() => hear(answer));
				}),
			onMessage: (handler) => {
				hear = handler;
			},
		};
	};
	const counts = joined.buses.map((bus) => new SharedCounts(bus, linkOf(bus.worker)));
	return { ...joined, book, counts };
}

const limits = { perUser: () => 2, perDatabase: () => 3 };

test('sessions of one user and of one database are limited over all workers', async () => {
	const { counts } = counted(2);
	const [one, two] = counts.map((each) => new Admission(limits, each));
	if (one === undefined || two === undefined) throw new Error('two of them');
	const leave = await one.enter('ana', 'shop');
	await two.enter('ana', 'shop');
	await delivered();
	expect([one.elsewhere, two.elsewhere]).toEqual([1, 1]);
	const full = '53300 too many connections for user "ana": The gateway allows this user 2 sessions at a time.';
	expect(await refusal(one.enter('ana', 'other'))).toBe(full);
	expect(await refusal(two.enter('ana', 'other'))).toBe(full);
	await two.enter('ben', 'shop');
	expect(await refusal(one.enter('eve', 'shop'))).toMatch('too many connections for database "shop"');
	leave();
	// Once.
	leave();
	await delivered();
	expect([one.elsewhere, two.elsewhere]).toEqual([2, 0]);
	expect(await refusal(two.enter('ana', 'shop'))).toBe('');
	expect(await refusal(one.enter('ana', 'other'))).toBe(full);
});

test('of those that ask for the last place at the same moment, at several workers, one gets it', async () => {
	const { counts } = counted(4);
	const houses = counts.map((each) => new Admission({ perUser: () => 0, perDatabase: () => 3 }, each));
	for (let turn = 0; turn < 20; turn += 1) {
		const entered = await Promise.allSettled(
			houses.flatMap((house) => [house.enter('ana', 'shop'), house.enter('ben', 'shop')]),
		);
		const leaves = entered.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
		expect(leaves).toHaveLength(3);
		for (const leave of leaves) leave();
	}
	const some = counts.map((each) => new Admission({ perUser: () => 0, perDatabase: () => 0, all: 5 }, each));
	const entered = await Promise.allSettled(some.flatMap((house) => [house.enter('ana', 'a'), house.enter('ben', 'b')]));
	const refused = entered.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
	expect(refused).toHaveLength(3);
	expect(refused[0]).toMatchObject({
		sqlstate: '53300',
		message: 'sorry, too many clients already',
		severity: 'FATAL',
	});
});

test('sessions of a worker that died count no more, and who comes back hears of those that are there', async () => {
	const { counts, book, leave, join } = counted(2);
	const [one, two] = counts.map((each) => new Admission({ perUser: () => 1, perDatabase: () => 0 }, each));
	await one?.enter('ana', 'shop');
	await two?.enter('ben', 'shop');
	await delivered();
	expect([one?.elsewhere, two?.elsewhere]).toEqual([1, 1]);
	leave(2);
	book.left(2);
	expect(one?.elsewhere).toBe(0);
	await one?.enter('ben', 'shop');
	join(2);
	await delivered();
	expect(two?.elsewhere).toBe(2);
});

test('nobody is let in when nobody can count, and what is counted too late is given back', async () => {
	const { buses } = joinedBuses(1);
	const sent: SessionsFromWorker[] = [];
	let hear: (message: SessionsToWorker) => void = () => undefined;
	const link: SessionsLink = {
		send: (message) => sent.push(message),
		onMessage: (handler) => {
			hear = handler;
		},
	};
	const house = new Admission(
		{ perUser: () => 0, perDatabase: () => 0 },
		new SharedCounts(buses[0] as LinkedBus, link, 1),
	);
	expect(await refusal(house.enter('ana', 'shop'))).toMatch(/^57P03 the gateway cannot tell/);
	hear({ type: 'sessions-answer', id: 1, full: null });
	expect(sent.at(-1)).toEqual({ type: 'sessions-leave', user: 'ana', database: 'shop' });
	expect(house.users.size).toBe(0);
});

test('a guesser has no more tries for more workers', async () => {
	const { buses } = joinedBuses(2);
	const now = (): number => 1_000_000;
	const [one, two] = buses.map((bus) => new SharedFailures(bus, now));
	if (one === undefined || two === undefined) throw new Error('two of them');
	let tries = 0;
	for (; tries < 100; tries += 1) {
		const limiter = tries % 2 === 0 ? one : two;
		if (!limiter.check('192.0.2.1', 'ana', now()).allowed) break;
		limiter.fail('192.0.2.1', 'ana', now());
		await delivered();
	}
	const [lone] = joinedBuses(1).buses.map((bus) => new SharedFailures(bus, now));
	let alone = 0;
	while (alone < 100 && lone?.check('192.0.2.1', 'ana', now()).allowed === true) {
		lone.fail('192.0.2.1', 'ana', now());
		alone += 1;
	}
	expect(tries).toBe(alone);
	// Who has signed in at one of them is known at the other.
	one.succeed('192.0.2.1', 'ana');
	await delivered();
	expect(two.check('192.0.2.1', 'ana', now())).toEqual(one.check('192.0.2.1', 'ana', now()));
});
