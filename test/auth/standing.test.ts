/** Whether a sign-in still holds: expiry, revocation, renewal, and an issuer that does not answer, on a clock of the test's. */
import { describe, expect, test } from 'vitest';
import { type Evidence, type ExpiryAction, type Lapse, LiveStanding, lapseOf } from '../../src/auth/standing.ts';
import type { TokenResult } from '../../src/auth/token.ts';
import type { Identity } from '../../src/stages.ts';

const startMs = 1_700_000_000_000;
const minute = 60_000;
const toleranceMs = 30_000;

/** A person whose token ends after so many milliseconds, tolerance included. */
function person(lifetimeMs: number, changes: Partial<Identity> = {}): Identity {
	return {
		name: 'ana',
		roles: [],
		groups: ['a', 'b'],
		claims: { tenant: 'acme' },
		method: 'token',
		issuer: 'https://id.example.com',
		subject: 'u1',
		expiresAtMs: startMs + lifetimeMs,
		...changes,
	};
}

const good = (identity: Identity): TokenResult => ({ ok: true, identity });
const revoked: TokenResult = { ok: false, reason: 'not active', fault: 'token' };
const silent: TokenResult = { ok: false, reason: 'no answer', fault: 'provider' };

/** A clock that goes on by the waits of whoever waits, up to `untilMs`; then the session is over. */
class World {
	nowMs = startMs;
	readonly waits: number[] = [];
	readonly ended: { atMs: number; lapse: Lapse }[] = [];
	readonly #untilMs: number;

	constructor(lengthMs: number) {
		this.#untilMs = startMs + lengthMs;
	}

	/** Runs a session of that length to its end. */
	async run(identity: Identity, evidence: Evidence, action?: ExpiryAction): Promise<LiveStanding> {
		let over: () => void = () => undefined;
		const done = new Promise<void>((resolve) => {
			over = resolve;
		});
		const standing: LiveStanding = new LiveStanding(identity, { action }, evidence, {
			now: () => this.nowMs,
			delay: async (ms) => {
				this.waits.push(ms);
				this.nowMs += ms;
				await Promise.resolve();
				if (this.nowMs < this.#untilMs) return;
				this.nowMs = this.#untilMs;
				standing.close();
				over();
			},
		});
		standing.watch((lapse) => {
			this.ended.push({ atMs: this.nowMs, lapse });
			over();
		});
		// Where there is nothing to wait for, the session just goes by.
		await Promise.race([done, new Promise((resolve) => setImmediate(resolve))]);
		this.nowMs = Math.max(this.nowMs, this.ended.length > 0 ? this.nowMs : this.#untilMs);
		return standing;
	}
}

describe('a token that expires', () => {
	test.each(['refuse', 'refresh', undefined] as const)(
		'%s: is found when the session asks, without a timer',
		async (action) => {
			const world = new World(30 * minute);
			const standing = await world.run(person(10 * minute), {}, action);
			expect(world.waits).toEqual([]);
			expect(world.ended).toEqual([]);
			expect(standing.lapse(startMs + 10 * minute - 1)).toBeNull();
			expect(standing.lapse(startMs + 10 * minute)).toMatchObject({
				reason: 'token expired',
				sinceMs: startMs + 10 * minute,
				error: { sqlstate: '28000', severity: 'FATAL' },
			});
			expect(standing.graceMs).toBe(5 * minute);
		},
	);

	test('end: the session is told at that moment, once, also hours later', async () => {
		for (const lifetimeMs of [10 * minute, 3.5 * 60 * minute]) {
			const world = new World(4 * 60 * minute);
			const standing = await world.run(person(lifetimeMs), {}, 'end');
			expect(world.ended).toMatchObject([{ atMs: startMs + lifetimeMs, lapse: { reason: 'token expired' } }]);
			expect(standing.graceMs).toBe(0);
			expect(Math.max(...world.waits)).toBeLessThanOrEqual(60 * minute);
		}
	});

	test('end: an account without an end is left alone', async () => {
		const { expiresAtMs: _none, ...account } = person(0);
		const world = new World(60 * minute);
		const standing = await world.run(account, {}, 'end');
		expect(world.waits).toEqual([]);
		expect(standing.lapse(Number.MAX_SAFE_INTEGER)).toBeNull();
	});

	test('a session that is over is told nothing', async () => {
		const world = new World(5 * minute);
		await world.run(person(10 * minute), {}, 'end');
		expect(world.ended).toEqual([]);
	});
});

describe('an issuer that is asked again', () => {
	const recheck = (answers: readonly TokenResult[]): Evidence => {
		const left = [...answers];
		return { recheck: { everyMs: minute, ask: () => Promise.resolve(left.shift() ?? revoked) } };
	};
	const ana = person(60 * minute);

	const rows: { name: string; answers: TokenResult[]; atMinutes: number; reason: RegExp }[] = [
		{
			name: 'says that the token is revoked',
			answers: [good(ana), revoked],
			atMinutes: 2,
			reason: /revoked: not active/,
		},
		{
			name: 'says that it has expired',
			answers: [{ ok: false, reason: 'the token has expired', fault: 'expired' }],
			atMinutes: 1,
			reason: /revoked: the token has expired/,
		},
		{ name: 'is silent, then says it', answers: [silent, silent, revoked], atMinutes: 3, reason: /not active/ },
		{
			name: 'says that the person is in other groups',
			answers: [good(person(60 * minute, { groups: ['a'] }))],
			atMinutes: 1,
			reason: /other groups or claims/,
		},
		{
			name: 'says that the person has another claim',
			answers: [good(person(60 * minute, { claims: { tenant: 'globex' } }))],
			atMinutes: 1,
			reason: /other groups or claims/,
		},
		{
			name: 'says that it is somebody else',
			answers: [good(person(60 * minute, { subject: 'u2' }))],
			atMinutes: 1,
			reason: /other groups or claims/,
		},
	];
	test.each(rows)('$name', async ({ answers, atMinutes, reason }) => {
		const world = new World(10 * minute);
		await world.run(ana, recheck(answers), 'end');
		expect(world.ended).toHaveLength(1);
		const [ended] = world.ended;
		expect(ended?.atMs).toBe(startMs + atMinutes * minute);
		expect(ended?.lapse.reason).toMatch(reason);
		expect(ended?.lapse.error).toMatchObject({
			sqlstate: '28000',
			message: 'the sign-in no longer holds: sign in again',
		});
		// The same answers, and a session that is to find out by itself.
		const other = new World(10 * minute);
		const standing = await other.run(ana, recheck(answers), 'refuse');
		expect(other.ended).toEqual([]);
		expect(standing.lapse(other.nowMs)?.reason).toMatch(reason);
	});

	test('the order of groups does not matter', async () => {
		const world = new World(3 * minute);
		const same = good(person(60 * minute, { groups: ['b', 'a'] }));
		const standing = await world.run(ana, recheck([same, same, same, same]), 'end');
		expect(world.ended).toEqual([]);
		expect(standing.lapse(world.nowMs)).toBeNull();
	});

	test('its silence takes nothing back before the end of the token', async () => {
		const world = new World(90 * minute);
		await world.run(ana, recheck(Array<TokenResult>(90).fill(silent)), 'end');
		expect(world.ended).toMatchObject([{ atMs: startMs + 60 * minute, lapse: { reason: 'token expired' } }]);
	});
});

describe('a token that is renewed', () => {
	test('before its end, again and again', async () => {
		const world = new World(60 * minute);
		let times = 0;
		const renew = (): Promise<TokenResult> => {
			times += 1;
			return Promise.resolve(good(person(world.nowMs - startMs + 10 * minute + toleranceMs)));
		};
		const standing = await world.run(person(10 * minute + toleranceMs), { renew }, 'refresh');
		expect(standing.lapse(world.nowMs)).toBeNull();
		expect(world.waits[0]).toBe(8 * minute);
		expect(times).toBe(7);
	});

	test('five minutes before the end of a long one', async () => {
		const world = new World(9 * 60 * minute);
		const renewedAt: number[] = [];
		const renew = (): Promise<TokenResult> => {
			renewedAt.push(world.nowMs - startMs);
			return Promise.resolve(good(person(20 * 60 * minute)));
		};
		await world.run(person(8 * 60 * minute + toleranceMs), { renew }, 'refresh');
		expect(renewedAt).toEqual([(8 * 60 - 5) * minute]);
	});

	test('is not, when the provider refuses: the token holds until its own end, and the reason is known', async () => {
		const world = new World(60 * minute);
		let times = 0;
		const renew = (): Promise<TokenResult> => {
			times += 1;
			return Promise.resolve({ ok: false, reason: 'invalid_grant', fault: 'token' });
		};
		const standing = await world.run(person(10 * minute), { renew }, 'refresh');
		expect(times).toBe(1);
		expect(standing.lapse(startMs + 10 * minute - 1)).toBeNull();
		expect(standing.lapse(startMs + 10 * minute)?.reason).toBe('token expired, and was not renewed: invalid_grant');
	});

	test('is tried again while the provider does not answer', async () => {
		const world = new World(20 * minute);
		const answers: TokenResult[] = [silent, silent, good(person(60 * minute))];
		const standing = await world.run(
			person(10 * minute),
			{ renew: () => Promise.resolve(answers.shift() ?? revoked) },
			'refresh',
		);
		expect(standing.lapse(world.nowMs)).toBeNull();
		expect(world.waits.slice(1, 3)).toEqual([30_000, 30_000]);
	});

	test('for somebody with other rights ends the sign-in', async () => {
		const world = new World(60 * minute);
		const renew = (): Promise<TokenResult> => Promise.resolve(good(person(60 * minute, { groups: [] })));
		const standing = await world.run(person(10 * minute), { renew }, 'refresh');
		expect(standing.lapse(world.nowMs)?.reason).toMatch(/other groups or claims/);
	});
});

test('a login without a Standing holds as long as its identity says', () => {
	expect(lapseOf(undefined, person(minute), startMs + minute - 1)).toBeNull();
	expect(lapseOf(undefined, person(minute), startMs + minute)).toMatchObject({ reason: 'token expired' });
	const { expiresAtMs: _none, ...account } = person(0);
	expect(lapseOf(undefined, account, startMs)).toBeNull();
});
