/** Sessions and failed logins that workers count together. */
import { expect, test } from 'vitest';
import { SharedCounts } from '../../../src/cli/workers/counts.ts';
import { SharedFailures } from '../../../src/cli/workers/failures.ts';
import { GatewayError } from '../../../src/errors.ts';
import { Admission } from '../../../src/session/admission.ts';
import { joinedBuses } from '../../support/workers.ts';

/** Longer than a message takes. */
async function delivered(): Promise<void> {
	for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

function refusal(act: () => unknown): string {
	try {
		act();
		return '';
	} catch (error) {
		return error instanceof GatewayError ? `${error.sqlstate} ${error.message}: ${error.detail}` : String(error);
	}
}

const limits = { perUser: () => 2, perDatabase: () => 3 };

test('sessions of one user and of one database are limited over all workers', async () => {
	const { buses } = joinedBuses(2);
	const [one, two] = buses.map((bus) => new Admission(limits, new SharedCounts(bus)));
	if (one === undefined || two === undefined) throw new Error('two of them');
	const leave = one.enter('ana', 'shop');
	two.enter('ana', 'shop');
	await delivered();
	expect([one.elsewhere, two.elsewhere]).toEqual([1, 1]);
	const full = '53300 too many connections for user "ana": The gateway allows this user 2 sessions at a time.';
	expect(refusal(() => one.enter('ana', 'other'))).toBe(full);
	expect(refusal(() => two.enter('ana', 'other'))).toBe(full);
	two.enter('ben', 'shop');
	await delivered();
	expect(refusal(() => one.enter('eve', 'shop'))).toMatch('too many connections for database "shop"');
	leave();
	// Once.
	leave();
	await delivered();
	expect(refusal(() => two.enter('ana', 'shop'))).toBe('');
	await delivered();
	expect(refusal(() => one.enter('ana', 'other'))).toBe(full);
});

test('sessions of a worker that died count no more, and who comes back hears of those that are there', async () => {
	const { buses, leave, join } = joinedBuses(2);
	const [one, two] = buses.map((bus) => new SharedCounts(bus));
	one?.tell('ana', 'shop', 1);
	two?.tell('ana', 'shop', 1);
	two?.tell('ben', 'shop', 1);
	await delivered();
	expect([one?.ofUser('ana'), one?.inDatabase('shop'), one?.all]).toEqual([1, 2, 2]);
	leave(2);
	expect([one?.ofUser('ana'), one?.inDatabase('shop'), one?.all]).toEqual([0, 0, 0]);
	join(2);
	await delivered();
	expect([two?.ofUser('ana'), two?.inDatabase('shop'), two?.all]).toEqual([1, 1, 1]);
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
