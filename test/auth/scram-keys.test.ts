/** The keys of an account are worked out once, and anew when anything about the account is another. */
import { describe, expect, it } from 'vitest';
import { ScramKeyCache } from '../../src/auth/scram-keys.ts';
import { type ScramKeys, scramKeys } from '../../src/auth/verifier.ts';

const salt = Buffer.from('salt');

describe('remembered keys', () => {
	it('are those that the rounds make', async () => {
		const cache = new ScramKeyCache();
		const want = await scramKeys('secret', salt, 5);
		expect(await cache.keys('secret', salt, 5)).toEqual(want);
		expect(await cache.keys('secret', salt, 5)).toEqual(want);
	});

	it.each([
		{ name: 'password', next: ['other', salt, 5] },
		{ name: 'salt', next: ['secret', Buffer.from('pepper'), 5] },
		{ name: 'count', next: ['secret', salt, 6] },
		{ name: 'split between them', next: ['secre', Buffer.from('tsalt'), 5] },
	] as const)('are not those of another $name', async ({ next }) => {
		const cache = new ScramKeyCache();
		const first = await cache.keys('secret', salt, 5);
		const [password, otherSalt, iterations] = next;
		expect(await cache.keys(password, otherSalt, iterations)).toEqual(await scramKeys(password, otherSalt, iterations));
		expect(await cache.keys(password, otherSalt, iterations)).not.toEqual(first);
		expect(await cache.keys('secret', salt, 5)).toEqual(first);
	});

	it('are worked out once, by several connections at a time too', async () => {
		let times = 0;
		const cache = new ScramKeyCache((...of) => {
			times += 1;
			return scramKeys(...of);
		});
		await Promise.all([1, 2, 3].map(() => cache.keys('secret', salt, 5)));
		await cache.keys('secret', salt, 5);
		expect(times).toBe(1);
	});

	it('that could not be worked out are tried again', async () => {
		const results: (() => Promise<ScramKeys>)[] = [
			() => Promise.reject(new Error('busy')),
			() => scramKeys('secret', salt, 5),
		];
		const cache = new ScramKeyCache(() => results.shift()?.() ?? Promise.reject(new Error('no more')));
		await expect(cache.keys('secret', salt, 5)).rejects.toThrow('busy');
		expect(await cache.keys('secret', salt, 5)).toEqual(await scramKeys('secret', salt, 5));
	});
});
