/** Guessing is slowed down by address and by user name, locks out nobody who is known, and costs bounded memory. */
import { describe, expect, test } from 'vitest';
import { FailureLimiter, networkOf } from '../../src/auth/failures.ts';

const limits = { burst: 3, forgetMs: 10_000, pauseMs: 1000, pauseMsMax: 8000 };
const generous = { ...limits, burst: 1000 };

describe('FailureLimiter', () => {
	test('the burst is free, then pauses double up to the longest', () => {
		const limiter = new FailureLimiter({ address: limits, user: generous });
		let now = 0;
		const pauses: number[] = [];
		for (let attempt = 0; attempt < 9; attempt += 1) {
			expect(limiter.check('10.0.0.1', 'ana', now)).toEqual({ allowed: true });
			limiter.fail('10.0.0.1', 'ana', now);
			const verdict = limiter.check('10.0.0.1', 'ana', now);
			pauses.push(verdict.allowed ? 0 : verdict.retryAfterMs);
			now += pauses.at(-1) ?? 0;
		}
		expect(pauses.slice(0, 3)).toEqual([0, 0, 0]);
		expect(pauses.slice(3)).toEqual([1000, 2000, 4000, 8000, 8000, 8000]);
	});

	test('failures are forgotten in time', () => {
		const limiter = new FailureLimiter({ address: limits, user: generous });
		for (let attempt = 0; attempt < 3; attempt += 1) limiter.fail('10.0.0.1', 'ana', 0);
		limiter.fail('10.0.0.1', 'ana', 20_000);
		expect(limiter.check('10.0.0.1', 'ana', 20_000)).toEqual({ allowed: true });
	});

	test('one address does not slow another, one name does from anywhere', () => {
		const limiter = new FailureLimiter({ address: limits, user: limits });
		for (let attempt = 0; attempt < 4; attempt += 1) limiter.fail('10.0.0.1', `u${attempt}`, 0);
		expect(limiter.check('10.0.0.1', 'ana', 0)).toMatchObject({ allowed: false, by: 'address' });
		expect(limiter.check('10.0.0.2', 'ana', 0)).toEqual({ allowed: true });
		for (let attempt = 0; attempt < 4; attempt += 1) limiter.fail(`10.1.0.${attempt}`, 'app', 0);
		expect(limiter.check('10.9.9.9', 'app', 0)).toMatchObject({ allowed: false, by: 'user' });
	});

	test('an address that has signed in with the name is let in while others guess, elsewhere and behind it', () => {
		const limiter = new FailureLimiter({ address: limits, user: limits });
		limiter.succeed('10.0.0.5', 'app');
		for (let attempt = 0; attempt < 9; attempt += 1) {
			limiter.fail(`10.1.0.${attempt}`, 'app', 0);
			limiter.fail('10.0.0.5', `guess${attempt}`, 0);
		}
		expect(limiter.check('10.0.0.5', 'app', 0)).toEqual({ allowed: true });
		expect(limiter.check('10.0.0.6', 'app', 0)).toMatchObject({ allowed: false, by: 'user' });
		expect(limiter.check('10.0.0.5', 'other', 0)).toMatchObject({ allowed: false, by: 'address' });
	});

	test('but is held to its own failures with that name, and a success buys no new burst', () => {
		const limiter = new FailureLimiter({ address: limits, user: limits });
		for (let attempt = 0; attempt < 4; attempt += 1) {
			limiter.succeed('10.0.0.5', 'app');
			limiter.fail('10.0.0.5', 'app', 0);
		}
		expect(limiter.check('10.0.0.5', 'app', 0)).toMatchObject({ allowed: false, by: 'user' });
		limiter.succeed('10.0.0.5', 'app');
		expect(limiter.check('10.0.0.5', 'app', 0)).toMatchObject({ allowed: false, by: 'user' });
		expect(limiter.check('10.0.0.6', 'app', 0)).toMatchObject({ allowed: false, by: 'user' });
	});

	test('a proof that cannot be guessed is held up by floods from one address only, and not for who is known', () => {
		const limiter = new FailureLimiter();
		const sure = (address: string, user: string): boolean => limiter.check(address, user, 0, false).allowed;
		for (let i = 0; i < 200; i += 1) limiter.fail(`10.0.${i}.1`, 'ana', 0);
		expect(limiter.check('192.0.2.1', 'ana', 0)).toMatchObject({ allowed: false, by: 'user' });
		expect(sure('192.0.2.1', 'ana')).toBe(true);
		limiter.succeed('192.0.2.1', 'ana');
		for (let i = 0; i < 200; i += 1) limiter.fail('192.0.2.1', 'ana', 0, false);
		expect(sure('192.0.2.1', 'ana')).toBe(true);
		expect(limiter.check('192.0.2.1', 'ben', 0, false)).toMatchObject({ allowed: false, by: 'address' });
		// Tokens that are no good say nothing about guesses at a password.
		expect(limiter.check('192.0.2.1', 'ana', 0).allowed).toBe(true);
	});

	test('remembers only so many', () => {
		const limiter = new FailureLimiter({ address: limits, user: limits, entriesMax: 10 });
		for (let attempt = 0; attempt < 4; attempt += 1) limiter.fail('10.0.0.1', 'ana', 0);
		for (let other = 0; other < 10; other += 1) limiter.fail(`10.2.0.${other}`, `u${other}`, 0);
		expect(limiter.check('10.0.0.1', 'ana', 0)).toEqual({ allowed: true });
	});

	test('tells long names apart', () => {
		const limiter = new FailureLimiter({ address: { ...limits, burst: 1000 }, user: limits });
		for (let attempt = 0; attempt < 4; attempt += 1) limiter.fail('10.0.0.1', `${'x'.repeat(5000)}a`, 0);
		expect(limiter.check('10.0.0.1', `${'x'.repeat(5000)}a`, 0)).toMatchObject({ allowed: false });
		expect(limiter.check('10.0.0.1', `${'x'.repeat(5000)}b`, 0)).toEqual({ allowed: true });
	});

	test('a clock that goes back does no harm', () => {
		const limiter = new FailureLimiter({ address: limits, user: limits });
		limiter.fail('10.0.0.1', 'ana', 1_000_000);
		limiter.fail('10.0.0.1', 'ana', 0);
		expect(limiter.check('10.0.0.1', 'ana', 0)).toEqual({ allowed: true });
	});
});

describe('networkOf', () => {
	const rows = [
		{ address: '10.0.0.1', want: '10.0.0.1' },
		{ address: '::ffff:10.0.0.1', want: '10.0.0.1' },
		{ address: '2001:db8:1:2:3:4:5:6', want: '2001:db8:1:2' },
		{ address: '2001:DB8:1:2::9', want: '2001:db8:1:2' },
		{ address: '2001:0db8:0001:0002::', want: '2001:db8:1:2' },
		{ address: '2001:db8::1', want: '2001:db8:0:0' },
		{ address: '::1', want: '0:0:0:0' },
		{ address: 'fe80::1%eth0', want: 'fe80:0:0:0' },
		{ address: 'nonsense', want: 'nonsense' },
	];
	test.each(rows)('$address: $want', ({ address, want }) => {
		expect(networkOf(address)).toBe(want);
	});
});
