/** The auth bridge: decides how a client has to sign in, and leads it through; one Exchange for each login. */
import { randomBytes as systemRandomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { GatewayError, unreachable } from '../errors.ts';
import type { LoginMethod } from '../stages.ts';
import { CertificateExchange } from './certificate-exchange.ts';
import type { BaseContext, ExchangeContext, Refusal } from './context.ts';
import { DeviceExchange, DeviceFlows } from './device-exchange.ts';
import type { DeviceFlowDeps } from './device-flow.ts';
import type { Exchange, LoginRequest, Step } from './exchange.ts';
import { FailureLimiter } from './failures.ts';
import type { Fetch } from './fetch-json.ts';
import { withoutToken } from './jwt.ts';
import { AUTH_LIMITS } from './limits.ts';
import { BearerExchange } from './oauth-exchange.ts';
import { readLoginWish } from './options.ts';
import { ScramExchange } from './scram-exchange.ts';
import { type AuthSettings, authProblems, LOGIN_KINDS, type LoginKind } from './settings.ts';
import { LiveStanding } from './standing.ts';
import { TokenExchange } from './token-exchange.ts';
import { TokenVerifier } from './token.ts';
import { type Account, Accounts } from './users.ts';

/** Clock, randomness and network, passed in so that tests hold them; the defaults are the real ones. */
export interface AuthDeps {
	/** Milliseconds since the epoch. */
	readonly now?: (() => number) | undefined;
	readonly fetch?: Fetch | undefined;
	readonly randomBytes?: ((bytes: number) => Buffer) | undefined;
	/** Waits; resolves early when the signal aborts. */
	readonly delay?: ((ms: number, signal?: AbortSignal) => Promise<void>) | undefined;
	readonly failures?: FailureLimiter | undefined;
}

export class AuthBridge {
	readonly #settings: AuthSettings;
	readonly #accounts: Accounts;
	readonly #tokens: TokenVerifier;
	readonly #failures: FailureLimiter;
	readonly #flows = new DeviceFlows(AUTH_LIMITS.deviceFlowsMax, AUTH_LIMITS.deviceFlowsPerAddressMax);
	readonly #deps: DeviceFlowDeps;
	readonly #randomBytes: (bytes: number) => Buffer;

	/** Throws GatewayError F0000 that names the key for settings that `authProblems` finds fault with. */
	constructor(settings: AuthSettings, deps: AuthDeps = {}) {
		const [problem] = authProblems(settings);
		if (problem !== undefined) throw new GatewayError('F0000', problem);
		this.#settings = settings;
		this.#deps = {
			now: deps.now ?? Date.now,
			fetch: deps.fetch ?? globalThis.fetch,
			delay: deps.delay ?? wait,
		};
		this.#randomBytes = deps.randomBytes ?? systemRandomBytes;
		this.#failures = deps.failures ?? new FailureLimiter();
		this.#accounts = new Accounts(settings.users ?? [], this.#randomBytes(32));
		this.#tokens = new TokenVerifier(settings.issuers ?? [], this.#deps);
	}

	/** Asks every provider for its metadata and keys once, so that a wrong issuer shows at start. One line per problem. */
	async probe(): Promise<string[]> {
		const asked = await Promise.allSettled(this.#tokens.providers.map((provider) => provider.metadata()));
		return asked.flatMap((answer) => (answer.status === 'rejected' ? [messageOf(answer.reason)] : []));
	}

	/**
	 * Starts one login. A name in `users` is asked for SCRAM, whatever the client wishes, unless its certificate will do;
	 * so is everybody without issuers.
	 */
	begin(request: LoginRequest): Exchange {
		const context = this.#context(request);
		const wish = readLoginWish(request.options ?? '');
		if (wish.invalid !== null) {
			return misconfigured(context, 'portcullis.login', wish.invalid, `Available values: ${LOGIN_KINDS.join(', ')}.`);
		}
		const issuers = this.#settings.issuers ?? [];
		const [first] = issuers;
		const account = this.#accounts.get(request.user);
		if (account !== undefined) return accountExchange(context, account);
		if (first === undefined) return new ScramExchange(context);
		const issuer = wish.issuer === null ? first : issuers.find((one) => one.issuer === wish.issuer);
		const provider = issuer === undefined ? undefined : this.#tokens.provider(issuer.issuer);
		if (issuer === undefined || provider === undefined) {
			return misconfigured(context, 'portcullis.issuer', wish.issuer ?? '', 'No such issuer is configured.');
		}
		const { expiry = {} } = this.#settings;
		const own = { issuer, provider, tokens: this.#tokens, flows: this.#flows, deps: this.#deps, expiry };
		return exchangeFor(wish.login ?? this.#settings.login ?? 'password', { ...context, ...own });
	}

	#context(request: LoginRequest): BaseContext {
		const { address, user, signal } = request;
		const { now, delay } = this.#deps;
		return {
			request,
			accounts: this.#accounts,
			randomBytes: this.#randomBytes,
			throttled: (method) => {
				const verdict = this.#failures.check(address, user, now(), isGuessable(method));
				if (verdict.allowed) return null;
				const seconds = Math.ceil(verdict.retryAfterMs / 1000);
				const error = new GatewayError('28000', 'too many failed logins, try again later', { severity: 'FATAL' });
				const reason = `too many failed logins of this ${verdict.by}: refused for ${seconds} s more`;
				return { type: 'fail', messages: [], error, reason, method };
			},
			fail: async ({ error, reason, method, guess, discovery = false }) => {
				if (guess) this.#failures.fail(address, user, now(), isGuessable(method));
				if (!discovery) await delay(AUTH_LIMITS.failureDelayMs, signal);
				return { type: 'fail', messages: [], error, reason, method };
			},
			succeeded: () => this.#failures.succeed(address, user),
			standing: (identity, evidence = {}) =>
				new LiveStanding(identity, this.#settings.expiry ?? {}, evidence, this.#deps),
		};
	}
}

function exchangeFor(kind: LoginKind, context: ExchangeContext): Exchange {
	switch (kind) {
		case 'password':
			return new TokenExchange(context);
		case 'oauthbearer':
			return new BearerExchange(context);
		case 'device':
			return new DeviceExchange(context);
		default:
			return unreachable(kind);
	}
}

/** By certificate where it is trusted and names the account; else by SCRAM, which an account without password never passes. */
function accountExchange(context: BaseContext, account: Account): Exchange {
	if (!account.certificate) return new ScramExchange(context);
	const certificate = context.request.tls?.clientCertificate;
	if (certificate === undefined) return new ScramExchange(context, 'no client certificate was shown');
	const { names, problem, fingerprint } = certificate;
	if (names.includes(context.request.user)) return new CertificateExchange(context, account, certificate);
	const why = problem ?? `it names ${names.map((name) => JSON.stringify(name)).join(', ')}`;
	return new ScramExchange(context, `client certificate ${fingerprint}: ${why}`);
}

/** An exchange that ends at its first step, with PostgreSQL's error for a bad setting. */
function misconfigured(context: BaseContext, name: string, value: string, hint: string): Exchange {
	const words = `invalid value for parameter "${name}": "${withoutToken(value)}"`;
	const error = new GatewayError('22023', words, { severity: 'FATAL', hint });
	const refusal: Refusal = { error, reason: words, method: null, guess: false };
	return { step: (): Promise<Step> => context.fail(refusal) };
}

/** A password can be guessed; a token that somebody has signed, or one of its length, cannot. */
function isGuessable(method: LoginMethod | null): boolean {
	return method === null || method === 'scram-sha-256' || method === 'scram-sha-256-plus';
}

async function wait(ms: number, signal?: AbortSignal): Promise<void> {
	await sleep(ms, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
}

function messageOf(error: unknown): string {
	return error instanceof Error ? error.message : String(error);
}
