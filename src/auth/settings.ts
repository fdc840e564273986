/** What the auth bridge is configured with (`identity` of the configuration), and the checks that need no network. */
import type { ClaimValue } from '../stages.ts';
import type { ExpirySettings } from './standing.ts';
import { parseVerifier } from './verifier.ts';

/** How people who are not in `users` sign in. */
export type LoginKind = 'password' | 'oauthbearer' | 'device';

export const LOGIN_KINDS: readonly LoginKind[] = ['password', 'oauthbearer', 'device'];

export interface IssuerSettings {
	/** Issuer identifier, compared exactly with `iss`; https, or http on a loopback address. */
	readonly issuer: string;
	/** One of these must be in `aud`. */
	readonly audience: string | readonly string[];
	/** Client of the device flow and of OAUTHBEARER. */
	readonly clientId?: string | undefined;
	/** For a provider that wants one; never sent to clients. */
	readonly clientSecret?: string | undefined;
	readonly scopes?: readonly string[] | undefined;
	/** More parameters for the provider where a login begins, such as `resource` or `audience`. */
	readonly parameters?: Readonly<Record<string, string>> | undefined;
	/** Claim that becomes the user name; may be a path such as `profile.login`. */
	readonly username: string;
	/** Stands before each user name and group of this issuer, so that it cannot speak of another issuer's people. */
	readonly prefix?: string | undefined;
	/** How tokens are named that a program got in its own name (client credentials). */
	readonly workloads?: WorkloadSettings | undefined;
	/** Claim that becomes the groups: a list, or one string with commas or spaces; may be a path. */
	readonly groups?: string | undefined;
	/** Claims that policies may use. */
	readonly claims?: readonly string[] | undefined;
	/** Scopes that a token must have (claim `scope` or `scp`). */
	readonly requiredScopes?: readonly string[] | undefined;
	/** Lets the gateway ask about opaque tokens; with `always`, about every token of this issuer. */
	readonly introspection?: IntrospectionSettings | undefined;
}

/**
 * A token is a workload's where its `sub` equals this claim (RFC 9068, section 2.2), and it has no claim `username` of
 * people, unless that is `sub`.
 */
export interface WorkloadSettings {
	/** `client_id`, or whatever the issuer calls it (`azp`, `cid`, `oid`). */
	readonly username: string;
	/** Stands before its name; names of people never begin so. Not empty. */
	readonly prefix: string;
}

/** RFC 7662: the client that the gateway is at the introspection endpoint. */
export interface IntrospectionSettings {
	readonly clientId: string;
	readonly clientSecret: string;
	/** Ask about JSON Web Tokens too, so that a revoked one is refused before it expires. Default: only opaque ones. */
	readonly always?: boolean | undefined;
	/** Milliseconds between questions about the token of a session; 0: it is asked at sign-in only. */
	readonly everyMs?: number | undefined;
}

/** A service account: SCRAM with a stored verifier, a client certificate with its name, or either of them. */
export interface AccountSettings {
	readonly name: string;
	readonly password?: { readonly scram: string } | undefined;
	readonly certificate?: boolean | undefined;
	readonly roles?: readonly string[] | undefined;
	readonly claims?: Readonly<Record<string, ClaimValue>> | undefined;
}

export interface AuthSettings {
	/** Default: password. */
	readonly login?: LoginKind | undefined;
	readonly issuers?: readonly IssuerSettings[] | undefined;
	readonly users?: readonly AccountSettings[] | undefined;
	/** What happens to a session whose token has expired or was revoked. */
	readonly expiry?: ExpirySettings | undefined;
}

/** Problems of the settings, each naming its key under `identity`; empty when all is well. Prints no secret. */
export function authProblems(settings: AuthSettings): string[] {
	const problems: string[] = [];
	const issuers = settings.issuers ?? [];
	for (const [at, issuer] of issuers.entries()) {
		const problem = endpointProblem(issuer.issuer);
		if (problem !== null) problems.push(`identity.issuers[${at}].issuer: ${problem}`);
		if (issuers.findIndex((other) => other.issuer === issuer.issuer) !== at) {
			problems.push(`identity.issuers[${at}].issuer: ${issuer.issuer} is there twice`);
		}
	}
	problems.push(...prefixProblems(issuers));
	const users = settings.users ?? [];
	for (const [at, user] of users.entries()) {
		if (user.password === undefined && user.certificate !== true) {
			problems.push(`identity.users[${at}].password: missing`);
		}
		if (user.password !== undefined && parseVerifier(user.password.scram) === null) {
			problems.push(`identity.users[${at}].password.scram: not a verifier (see portcullis hash-password)`);
		}
		if (users.findIndex((other) => other.name === user.name) !== at) {
			problems.push(`identity.users[${at}].name: ${user.name} is there twice`);
		}
	}
	const { login = 'password' } = settings;
	const [first] = issuers;
	if (login !== 'password' && first === undefined) problems.push(`identity.login: ${login} needs an issuer`);
	if (login === 'device' && first !== undefined && first.clientId === undefined) {
		problems.push('identity.issuers[0].clientId: needed by login: device');
	}
	return problems;
}

/** What names of an issuer begin with: of people (may be empty), and of workloads. */
export function prefixesOf({ prefix = '', workloads }: IssuerSettings): readonly string[] {
	return workloads === undefined ? [prefix] : [prefix, workloads.prefix];
}

/** A prefix that another one begins with would not tell whose a name is. */
function prefixProblems(issuers: readonly IssuerSettings[]): string[] {
	const all = issuers.flatMap((issuer, at) => [
		{ key: `identity.issuers[${at}].prefix`, prefix: issuer.prefix ?? '' },
		...(issuer.workloads === undefined
			? []
			: [{ key: `identity.issuers[${at}].workloads.prefix`, prefix: issuer.workloads.prefix }]),
	]);
	return all.flatMap(({ key, prefix }, at) => {
		const other = all.find((one, index) => index !== at && one.prefix !== '' && prefix.startsWith(one.prefix));
		return other === undefined ? [] : [`${key}: ${prefix} begins as ${other.key} does`];
	});
}

/** Why `text` cannot be the URL of an identity provider or of one of its endpoints; null when it can. */
export function endpointProblem(text: string): string | null {
	let url: URL;
	try {
		url = new URL(text);
	} catch {
		return 'not a URL';
	}
	if (url.username !== '' || url.password !== '') return 'a URL with user or password';
	if (url.hash !== '') return 'a URL with a fragment';
	if (url.protocol === 'https:') return null;
	if (url.protocol === 'http:' && isLoopbackHost(url.hostname)) return null;
	return 'must be https (http only on a loopback address)';
}

/** Host of a URL. `localhost` counts: RFC 6761 has it resolve to loopback only. */
function isLoopbackHost(host: string): boolean {
	return host === 'localhost' || isLoopback(host.replace(/^\[|\]$/g, ''));
}

/** An IP address of this very machine. */
export function isLoopback(address: string): boolean {
	return /^(::ffff:)?127\.\d+\.\d+\.\d+$/i.test(address) || address === '::1';
}
