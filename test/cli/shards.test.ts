/** Which shard a session goes to, and who is refused: by parameter, user and claim. */
import { describe, expect, test } from 'vitest';
import { shardFor } from '../../src/cli/shards.ts';
import type { ShardsConfig } from '../../src/config/config.ts';
import type { ClaimValue, Identity } from '../../src/stages.ts';

const place = {
	host: 'h',
	port: 5432,
	hosts: [{ host: 'h', port: 5432 }],
	targetSessionAttrs: 'any' as const,
	lagMaxMs: null,
	patroni: null,
	dbname: null,
};

function sharded(by: Partial<ShardsConfig['by']>): ShardsConfig {
	return { shards: { eu: place, us: place }, by: { by: 'parameter', claim: null, map: null, default: null, ...by } };
}

function person(name: string, claims: Readonly<Record<string, ClaimValue>> = {}): Identity {
	return { name, roles: [], groups: [], claims, method: 'token' };
}

interface Row {
	readonly name: string;
	readonly by: Partial<ShardsConfig['by']>;
	readonly who?: Identity;
	readonly asked?: string;
	/** A shard, or the error. */
	readonly want: string | { readonly sqlstate: string; readonly message: string };
}

const none = (message: string) => ({ sqlstate: '22023', message });

const rows: readonly Row[] = [
	{ name: 'by parameter', by: {}, asked: 'us', want: 'us' },
	{ name: 'by parameter, none', by: {}, want: none('database "shop" is sharded, and no shard was asked for') },
	{ name: 'by parameter, none, with a default', by: { default: 'eu' }, want: 'eu' },
	{
		name: 'by parameter, unknown',
		by: { default: 'eu' },
		asked: 'uk',
		want: none('database "shop" has no shard "uk"'),
	},
	{
		name: 'a name that objects have',
		by: {},
		asked: 'constructor',
		want: none('database "shop" has no shard "constructor"'),
	},
	{ name: 'by parameter with a map', by: { map: { '17': 'us' } }, asked: '17', want: 'us' },
	{
		name: 'by parameter with a map, unknown, though there is a default',
		by: { map: { '17': 'us' }, default: 'eu' },
		asked: '18',
		want: none('database "shop" has no shard for "18"'),
	},
	{ name: 'by user', by: { by: 'user', map: { ana: 'us' } }, who: person('ana'), want: 'us' },
	{
		name: 'by user, asked for the same',
		by: { by: 'user', map: { ana: 'us' } },
		who: person('ana'),
		asked: 'us',
		want: 'us',
	},
	{
		name: 'by user, asked for another',
		by: { by: 'user', map: { ana: 'us' } },
		who: person('ana'),
		asked: 'eu',
		want: { sqlstate: '42501', message: 'permission denied for shard "eu" of database "shop"' },
	},
	{
		name: 'by user, not in the map',
		by: { by: 'user', map: { ana: 'us' } },
		who: person('bob'),
		want: none('database "shop" has no shard for this user'),
	},
	{
		name: 'by user, not in the map, with a default',
		by: { by: 'user', map: {}, default: 'eu' },
		who: person('bob'),
		want: 'eu',
	},
	{
		name: 'by user, a name that objects have',
		by: { by: 'user', map: {}, default: 'eu' },
		who: person('toString'),
		want: 'eu',
	},
	{ name: 'by claim', by: { by: 'claim', claim: 'region' }, who: person('ana', { region: 'eu' }), want: 'eu' },
	{
		name: 'by claim, a number',
		by: { by: 'claim', claim: 'region', map: { '7': 'us' } },
		who: person('ana', { region: 7 }),
		want: 'us',
	},
	{
		name: 'by claim, missing',
		by: { by: 'claim', claim: 'region' },
		who: person('ana'),
		asked: 'eu',
		want: none('database "shop" has no shard for this user: the claim region does not name one'),
	},
	{
		name: 'by claim, several values',
		by: { by: 'claim', claim: 'region' },
		who: person('ana', { region: ['eu'] }),
		want: none('database "shop" has no shard for this user: the claim region does not name one'),
	},
	{
		name: 'by claim, asked for another',
		by: { by: 'claim', claim: 'region' },
		who: person('ana', { region: 'eu' }),
		asked: 'us',
		want: { sqlstate: '42501', message: 'permission denied for shard "us" of database "shop"' },
	},
];

describe('the shard', () => {
	test.each(rows)('$name', ({ by, who = person('ana'), asked, want }) => {
		const shard = (): string => shardFor(sharded(by), 'shop', who, asked ?? null);
		if (typeof want === 'string') expect(shard()).toBe(want);
		else expect(shard).toThrow(expect.objectContaining({ ...want, severity: 'FATAL' }));
	});

	test('names are told to those who may choose, and to nobody else', () => {
		const hintOf = (by: Partial<ShardsConfig['by']>): unknown => {
			try {
				return shardFor(sharded(by), 'shop', person('ana'), null);
			} catch (error) {
				return (error as { hint?: string }).hint;
			}
		};
		expect(hintOf({})).toMatch(/there are: eu, us\.$/);
		expect(hintOf({ by: 'user' })).toBeUndefined();
	});
});
