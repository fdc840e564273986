/** How a person at the command line gets tokens: in the browser, by a device code, or anew from a refresh token. */
import { decodeJwt } from 'jose';
import { claimAt } from '../../auth/claims.ts';
import { beginCodeFlow } from '../../auth/code-flow.ts';
import { authorizeDevice, awaitApproval, type DeviceFlowDeps } from '../../auth/device-flow.ts';
import type { JsonObject } from '../../auth/fetch-json.ts';
import { checkJwt } from '../../auth/jwt.ts';
import { Provider } from '../../auth/provider.ts';
import { requestTokens, type TokenSet } from '../../auth/token-endpoint.ts';
import { unreachable } from '../../errors.ts';
import { CommandError } from '../io.ts';
import { DEFAULT_REDIRECT, openLoopback } from './loopback.ts';
import { type Profile, readProfile, type Tokens, withLock, writeProfile } from './profile.ts';

/** Network, clock, randomness and browser, passed in so that tests hold them. */
export interface PersonDeps extends DeviceFlowDeps {
	readonly randomBytes: (bytes: number) => Buffer;
	/** True when a browser was asked to open the page. */
	readonly openBrowser: (url: string) => boolean;
}

/** A token that is nearer to its end than this is renewed before it is used. */
const RENEW_BEFORE_MS = 60_000;

/** How long a person may take in the browser. */
const BROWSER_WAIT_MS = 5 * 60_000;

/** Claims that usually have the name, the best first. */
const USUAL_NAMES = ['preferred_username', 'email', 'sub'];

/** Who to ask, and what for. */
type Where = Omit<Profile, 'tokens'>;

/** By the authorization code flow. `say`: a line for the person. Throws CommandError or ProviderError. */
export async function signInByBrowser(where: Where, deps: PersonDeps, say: (line: string) => void): Promise<Tokens> {
	const provider = new Provider(where.issuer, deps);
	const metadata = await provider.metadata();
	const { clientId } = where;
	const scopes = scopesOf(where, metadata.scopesSupported);
	// Without the question for consent a provider gives no refresh token (OpenID Connect Core, section 11).
	const prompt = scopes.includes('offline_access') ? { prompt: 'consent' } : {};
	const parameters = { ...prompt, ...where.parameters };
	const loopback = await openLoopback(where.redirect ?? DEFAULT_REDIRECT);
	try {
		const { redirectUri } = loopback;
		const flow = beginCodeFlow(metadata, { clientId, scopes, redirectUri, parameters }, deps.randomBytes);
		const opened = deps.openBrowser(flow.url);
		say(`${opened ? 'Your browser opens to sign in. If it does not, open' : 'Sign in here:'} ${flow.url}`);
		if (!opened) say('The browser has to run on this machine; where none does: portcullis login --device');
		const code = await loopback.code(flow, tooLate());
		const { redirectUri: redirect_uri, verifier: code_verifier, nonce } = flow;
		const grant = { grant_type: 'authorization_code', code, redirect_uri, code_verifier };
		const answer = await requestTokens(deps.fetch, metadata, client(where), grant);
		if (!answer.ok) throw new CommandError(`the provider refused the sign-in: ${answer.words}`);
		return await keep(where, provider, answer.tokens, deps, nonce);
	} finally {
		await loopback.close();
	}
}

/** By the device flow: for a terminal without a browser beside it. Throws CommandError or ProviderError. */
export async function signInByDevice(where: Where, deps: PersonDeps, say: (line: string) => void): Promise<Tokens> {
	const provider = new Provider(where.issuer, deps);
	const metadata = await provider.metadata();
	const asking = {
		...client(where),
		issuer: where.issuer,
		scopes: scopesOf(where, metadata.scopesSupported),
		parameters: where.parameters,
	};
	const authorization = await authorizeDevice(deps, metadata, asking);
	const { userCode, verificationUri, verificationUriComplete } = authorization;
	say(`Open ${verificationUriComplete ?? verificationUri} on any device and confirm the code ${userCode}`);
	const outcome = await awaitApproval(deps, metadata, asking, authorization);
	switch (outcome.type) {
		case 'approved':
			return keep(where, provider, outcome.tokens, deps, null);
		case 'denied':
			throw new CommandError('the sign-in was denied');
		case 'expired':
		case 'aborted':
			throw new CommandError('the sign-in was not approved in time');
		default:
			return unreachable(outcome);
	}
}

export interface SignedIn {
	readonly profile: Profile;
	readonly tokens: Tokens;
}

/** The token to use now, renewed if it is about to end. Throws CommandError that says to sign in where that cannot be. */
export async function currentSignIn(file: string, deps: PersonDeps): Promise<SignedIn> {
	const profile = await readProfile(file);
	if (profile?.tokens == null) throw nobody();
	const held = stillGood(profile, deps);
	return held ?? withLock(file, { now: deps.now, delay: (ms) => deps.delay(ms) }, () => renew(file, deps));
}

async function renew(file: string, deps: PersonDeps): Promise<SignedIn> {
	// Another process may have done it meanwhile.
	const profile = await readProfile(file);
	const held = stillGood(profile, deps);
	if (held !== null) return held;
	if (profile?.tokens == null) throw nobody();
	const { refreshToken } = profile.tokens;
	if (refreshToken === null) throw new CommandError('the sign-in has expired: portcullis login');
	const provider = new Provider(profile.issuer, deps);
	const grant = { grant_type: 'refresh_token', refresh_token: refreshToken };
	const answer = await requestTokens(deps.fetch, await provider.metadata(), client(profile), grant);
	if (!answer.ok) throw new CommandError(`the sign-in has ended (${answer.words}): portcullis login`);
	const renewed = await keep(profile, provider, answer.tokens, deps, null);
	// Most providers give a new refresh token with each use; one that does not means the old one to go on.
	const tokens = { ...renewed, refreshToken: renewed.refreshToken ?? refreshToken };
	if (tokens.user !== profile.tokens.user) {
		throw new CommandError(
			`the provider renewed the sign-in of ${profile.tokens.user} for ${tokens.user}: portcullis login`,
		);
	}
	const next = { ...profile, tokens };
	await writeProfile(file, next);
	return { profile: next, tokens };
}

function nobody(): CommandError {
	return new CommandError('nobody is signed in: portcullis login');
}

function stillGood(profile: Profile | null, deps: PersonDeps): SignedIn | null {
	if (profile?.tokens == null) return null;
	const { tokens } = profile;
	return tokens.expiresAtMs === null || tokens.expiresAtMs - deps.now() > RENEW_BEFORE_MS ? { profile, tokens } : null;
}

function client({ clientId, clientSecret }: Where): { clientId: string; clientSecret: string | undefined } {
	return { clientId, clientSecret: clientSecret ?? undefined };
}

/** Without a wish of the person: a name to sign in by, and a refresh token where the provider knows such a thing. */
function scopesOf({ scopes, stay }: Where, supported: readonly string[]): readonly string[] {
	if (scopes.length > 0) {
		const more = stay && supported.includes('offline_access') && !scopes.includes('offline_access');
		return more ? [...scopes, 'offline_access'] : scopes;
	}
	const usual = ['openid', 'profile', 'email', 'offline_access'];
	return usual.filter((scope) => scope === 'openid' || supported.length === 0 || supported.includes(scope));
}

function tooLate(): AbortSignal {
	const late = new AbortController();
	setTimeout(() => late.abort(new CommandError('nobody signed in within five minutes')), BROWSER_WAIT_MS).unref();
	return late.signal;
}

/** Of what the provider gave, what is kept. `nonce`: what the ID token must answer; null where none was sent. */
async function keep(
	where: Where,
	provider: Provider,
	{ accessToken, idToken, refreshToken, lifetimeMs }: TokenSet,
	deps: PersonDeps,
	nonce: string | null,
): Promise<Tokens> {
	const idClaims = idToken === null ? null : await readIdToken(where, provider, idToken, deps, nonce);
	const token = where.use === 'id' ? idToken : accessToken;
	if (token === null) throw new CommandError(`the provider gave no ${where.use === 'id' ? 'ID' : 'access'} token`);
	// The gateway verifies it; here it is only read.
	const own = claimsOf(token);
	const user = nameIn(where, own) ?? nameIn(where, idClaims);
	if (user === null) {
		const looked = where.username ?? USUAL_NAMES.join(', ');
		throw new CommandError(`the token has no name (${looked}): --username says which claim has it`);
	}
	const exp = own?.['exp'];
	const guessed = lifetimeMs === null ? null : deps.now() + lifetimeMs;
	return {
		token,
		user: where.prefix + user,
		refreshToken,
		expiresAtMs: typeof exp === 'number' ? exp * 1000 : guessed,
	};
}

/** OpenID Connect Core, section 3.1.3.7. */
async function readIdToken(
	where: Where,
	provider: Provider,
	idToken: string,
	deps: PersonDeps,
	nonce: string | null,
): Promise<JsonObject> {
	const checked = await checkJwt(idToken, provider, where.clientId, deps.now());
	if (!checked.ok) throw new CommandError(`the provider gave an ID token that is not good: ${checked.reason}`);
	if (nonce !== null && checked.claims['nonce'] !== nonce) {
		throw new CommandError('the provider gave an ID token of another sign-in');
	}
	return checked.claims;
}

function claimsOf(token: string): JsonObject | null {
	try {
		return decodeJwt(token);
	} catch {
		return null;
	}
}

function nameIn({ username }: Where, claims: JsonObject | null): string | null {
	if (claims === null) return null;
	for (const claim of username === null ? USUAL_NAMES : [username]) {
		const name = claimAt(claims, claim);
		if (typeof name === 'string' && name !== '' && !/\p{Cc}/u.test(name)) return name;
	}
	return null;
}
