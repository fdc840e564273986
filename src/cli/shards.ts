/** Which shard of a database a session goes to, decided once, at its login: by what it asks for, who it is, or a claim. */
import type { ShardsConfig } from '../config/config.ts';
import { GatewayError, unreachable } from '../errors.ts';
import type { Identity } from '../stages.ts';

/**
 * Name of the shard. `asked`: what the client asked for. FATAL GatewayError: 22023 for a shard that there is not, and for a
 * person who has none; 42501 for one who asks for another than their own.
 */
export function shardFor(
	{ shards, by }: ShardsConfig,
	database: string,
	identity: Identity,
	asked: string | null,
): string {
	const value = valueOf(by, identity, asked);
	const mapped = value === null ? by.default : shardOf(by, value);
	if (mapped === null) throw refused('22023', noShard(by, database, value), hintOf(by, shards));
	// By name, whatever the names are: one that is not in the list must not reach what objects have of themselves.
	if (!Object.hasOwn(shards, mapped))
		throw refused('22023', `database "${database}" has no shard "${mapped}"`, hintOf(by, shards));
	if (by.by !== 'parameter' && asked !== null && asked !== mapped)
		throw refused('42501', `permission denied for shard "${asked}" of database "${database}"`);
	return mapped;
}

function valueOf(by: ShardsConfig['by'], { name, claims }: Identity, asked: string | null): string | null {
	switch (by.by) {
		case 'parameter':
			return asked;
		case 'user':
			return name;
		case 'claim': {
			const claim = by.claim !== null && Object.hasOwn(claims, by.claim) ? claims[by.claim] : undefined;
			// Several values name no one shard.
			return typeof claim === 'string' || typeof claim === 'number' || typeof claim === 'boolean'
				? String(claim)
				: null;
		}
		default:
			return unreachable(by.by);
	}
}

/** Without a map the value is the name. Who is not in the map gets the default, but not for a name that they made up. */
function shardOf({ by, map, default: fallback }: ShardsConfig['by'], value: string): string | null {
	if (map === null) return value;
	const mapped = Object.hasOwn(map, value) ? map[value] : undefined;
	return mapped ?? (by === 'parameter' ? null : fallback);
}

function noShard({ by, claim }: ShardsConfig['by'], database: string, value: string | null): string {
	if (by === 'parameter')
		return value === null
			? `database "${database}" is sharded, and no shard was asked for`
			: `database "${database}" has no shard for "${value}"`;
	return by === 'user'
		? `database "${database}" has no shard for this user`
		: `database "${database}" has no shard for this user: the claim ${claim ?? ''} does not name one`;
}

/** Only who may choose is told what there is to choose from. */
function hintOf({ by }: ShardsConfig['by'], shards: ShardsConfig['shards']): string | undefined {
	if (by !== 'parameter') return undefined;
	return `Connect with options=-c portcullis.shard=NAME; there are: ${Object.keys(shards).join(', ')}.`;
}

function refused(sqlstate: string, message: string, hint?: string): GatewayError {
	return new GatewayError(sqlstate, message, { severity: 'FATAL', ...(hint === undefined ? {} : { hint }) });
}
