/** From the claims of a verified token to an Identity: user name, groups, and the attributes that policies may use. */
import type { ClaimValue, Identity, LoginMethod } from '../stages.ts';
import type { JsonObject } from './fetch-json.ts';
import { isObject } from './fetch-json.ts';
import { AUTH_LIMITS } from './limits.ts';
import type { IssuerSettings } from './settings.ts';

export type ClaimsResult =
	| { readonly ok: true; readonly identity: Identity }
	| { readonly ok: false; readonly reason: string };

/** The last moment that a Date can be: what lies beyond would never come. */
const EXPIRY_S_MAX = 8.64e12 - AUTH_LIMITS.clockToleranceSeconds;

/**
 * Maps claims. Refuses what would make a name worth less than it looks: a missing or odd user name, an e-mail address
 * that the provider says nobody has verified, too many groups. A claim of another shape than policies can use is left
 * out, which makes a filter that needs it false and a mask null. `reserved`: what names of others begin with.
 */
export function identityFromClaims(
	claims: JsonObject,
	settings: IssuerSettings,
	method: LoginMethod,
	reserved: readonly string[] = [],
): ClaimsResult {
	const named = nameOf(claims, settings, reserved);
	if (!named.ok) return named;
	const groups = settings.groups === undefined ? [] : readGroups(claimAt(claims, settings.groups));
	if (groups === null) return refuse(`claim ${settings.groups ?? ''} is no list of names`);
	if (groups.length > AUTH_LIMITS.groupsMax) return refuse(`more than ${AUTH_LIMITS.groupsMax} groups`);
	const expiresAtS = claims['exp'];
	if (typeof expiresAtS === 'number' && !(expiresAtS <= EXPIRY_S_MAX)) return refuse('claim exp is no time');
	return {
		ok: true,
		identity: {
			name: named.name,
			roles: [],
			groups: groups.map((group) => `${settings.prefix ?? ''}${group}`),
			claims: pickClaims(claims, settings.claims ?? []),
			method,
			issuer: settings.issuer,
			...stringClaim(claims, 'sub', 'subject'),
			...stringClaim(claims, 'jti', 'tokenId'),
			// The tolerance that let the token in also applies to its end.
			...(typeof expiresAtS === 'number'
				? { expiresAtMs: (expiresAtS + AUTH_LIMITS.clockToleranceSeconds) * 1000 }
				: {}),
		},
	};
}

type Named = { readonly ok: true; readonly name: string } | { readonly ok: false; readonly reason: string };

function nameOf(claims: JsonObject, settings: IssuerSettings, reserved: readonly string[]): Named {
	const { username, prefix = '', workloads } = settings;
	if (isWorkload(claims, settings)) return withPrefix(workloads?.prefix ?? '', claims['sub'], 'sub');
	const named = withPrefix(prefix, claimAt(claims, username), username);
	if (!named.ok) return named;
	if (username === 'email' && claims['email_verified'] === false) {
		return refuse('the e-mail address is not verified (email_verified is false)');
	}
	const taken = reserved.find((other) => other !== prefix && named.name.startsWith(other));
	return taken === undefined ? named : refuse(`the name begins with ${taken}, as names of others do`);
}

/** Somebody who got a token without a name, for want of a scope, is still a person: then `sub` is no client's id. */
function isWorkload(claims: JsonObject, { username, workloads }: IssuerSettings): boolean {
	if (workloads === undefined || (username !== 'sub' && claimAt(claims, username) !== undefined)) return false;
	const id = claimAt(claims, workloads.username);
	return typeof id === 'string' && id !== '' && id === claims['sub'];
}

function withPrefix(prefix: string, value: unknown, claim: string): Named {
	if (typeof value !== 'string' || value === '') return refuse(`no claim ${claim} with the user name`);
	const name = prefix + value;
	if (/\p{Cc}/u.test(name) || Buffer.byteLength(name) > AUTH_LIMITS.userNameBytesMax) {
		return refuse(`claim ${claim} is no usable user name`);
	}
	return { ok: true, name };
}

/** The first of `required` that claim `scope` (RFC 9068) or `scp` does not have; null when it has all. */
export function missingScope(claims: JsonObject, required: readonly string[]): string | null {
	if (required.length === 0) return null;
	const { scope = claims['scp'] } = claims;
	const has: readonly unknown[] = typeof scope === 'string' ? scope.split(' ') : Array.isArray(scope) ? scope : [];
	return required.find((one) => !has.includes(one)) ?? null;
}

function refuse(reason: string): { readonly ok: false; readonly reason: string } {
	return { ok: false, reason };
}

/** A claim by its name, or by a path of names (`realm_access.roles`); the whole name wins. */
export function claimAt(claims: JsonObject, path: string): unknown {
	if (Object.hasOwn(claims, path)) return claims[path];
	let value: unknown = claims;
	for (const part of path.split('.')) {
		if (!isObject(value) || !Object.hasOwn(value, part)) return undefined;
		value = value[part];
	}
	return value;
}

/** A missing claim is no groups; null for a shape that is neither a list of strings nor a string. */
function readGroups(value: unknown): string[] | null {
	if (value === undefined || value === null) return [];
	if (typeof value === 'string') return value.split(/[\s,]+/).filter((group) => group !== '');
	if (!Array.isArray(value) || !value.every((group) => typeof group === 'string')) return null;
	return value.filter((group) => group !== '');
}

function pickClaims(claims: JsonObject, names: readonly string[]): Record<string, ClaimValue> {
	const picked: [string, ClaimValue][] = [];
	for (const name of names) {
		const value = claimAt(claims, name);
		if (isClaimValue(value)) picked.push([name, value]);
	}
	return Object.fromEntries(picked);
}

function isClaimValue(value: unknown): value is ClaimValue {
	if (typeof value === 'string' || typeof value === 'boolean') return true;
	if (typeof value === 'number') return Number.isFinite(value);
	return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function stringClaim<K extends 'subject' | 'tokenId'>(claims: JsonObject, name: string, as: K): { [P in K]?: string } {
	const value = claims[name];
	return (typeof value === 'string' ? { [as]: value } : {}) as { [P in K]?: string };
}
