/** The auth bridge: decides how a client has to sign in, and leads it through; one Exchange for each login. */
import { randomBytes as systemRandomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { GatewayError, unreachable } from '../errors.ts';
import type { ExchangeContext, Refusal } from './context.ts';
import type { Exchange, LoginRequest, Step } from './exchange.ts';
import { FailureLimiter } from './failures.ts';
import type { Fetch } from './fetch-json.ts';
import { AUTH_LIMITS } from './limits.ts';
import { takeLogin } from './options.ts';
import { ScramExchange } from './scram-exchange.ts';
import { type AuthSettings, authProblems, type LoginKind } from './settings.ts';
import { TokenVerifier } from './token.ts';
import { TokenExchange } from './token-exchange.ts';
import { Accounts } from './users.ts';

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
	readonly #accounts: Accounts;
	readonly #tokens: TokenVerifier;
	readonly #failures: FailureLimiter;
	readonly #login: LoginKind;
	readonly #hasIssuers: boolean;
	readonly #now: () => number;
	readonly #randomBytes: (bytes: number) => Buffer;
	readonly #delay: (ms: number, signal?: AbortSignal) => Promise<void>;

	/** Throws GatewayError F0000 that names the key for settings that `authProblems` finds fault with. */
	constructor(settings: AuthSettings, deps: AuthDeps = {}) {
		const [problem] = authProblems(settings);
		if (problem !== undefined) throw new GatewayError('F0000', problem);
		this.#now = deps.now ?? Date.now;
		this.#randomBytes = deps.randomBytes ?? systemRandomBytes;
		this.#delay = deps.delay ?? wait;
		this.#failures = deps.failures ?? new FailureLimiter();
		this.#login = settings.login ?? 'password';
		this.#hasIssuers = (settings.issuers ?? []).length > 0;
		this.#accounts = new Accounts(settings.users ?? [], this.#randomBytes(32));
		this.#tokens = new TokenVerifier(settings.issuers ?? [], { now: this.#now, fetch: deps.fetch ?? globalThis.fetch });
	}

	/** Asks every provider for its metadata and keys once, so that a wrong issuer shows at start. One line per problem. */
	async probe(): Promise<string[]> {
		const asked = await Promise.allSettled(this.#tokens.providers.map((provider) => provider.metadata()));
		return asked.flatMap((answer) => (answer.status === 'rejected' ? [messageOf(answer.reason)] : []));
	}

	/** Starts one login. A name in `users` is asked for SCRAM, whatever the client wishes; so is everybody without issuers. */
	begin(request: LoginRequest): Exchange {
		const context = this.#context(request);
		const wish = takeLogin(request.options ?? '');
		if (wish.invalid !== null) {
			const words = `invalid value for parameter "portcullis.login": "${wish.invalid}"`;
			const hint = 'Available values: password, oauthbearer, device.';
			const error = new GatewayError('22023', words, { severity: 'FATAL', hint });
			return refused(context, { error, reason: words, method: null, guess: false });
		}
		const isAccount = this.#accounts.get(request.user) !== undefined;
		if (isAccount || !this.#hasIssuers) return new ScramExchange(context);
		const kind = wish.login ?? this.#login;
		switch (kind) {
			case 'password':
				return new TokenExchange(context);
			case 'oauthbearer':
			case 'device': {
				const error = new GatewayError('0A000', `login by ${kind} is not supported`, { severity: 'FATAL' });
				return refused(context, { error, reason: `login by ${kind} is not built yet`, method: kind, guess: false });
			}
			default:
				return unreachable(kind);
		}
	}

	#context(request: LoginRequest): ExchangeContext {
		const { address, user, signal } = request;
		return {
			request,
			accounts: this.#accounts,
			tokens: this.#tokens,
			randomBytes: this.#randomBytes,
			throttled: (method) => {
				const verdict = this.#failures.check(address, user, this.#now());
				if (verdict.allowed) return null;
				const seconds = Math.ceil(verdict.retryAfterMs / 1000);
				const error = new GatewayError('28000', 'too many failed logins, try again later', { severity: 'FATAL' });
				const reason = `too many failed logins of this ${verdict.by}: refused for ${seconds} s more`;
				return { type: 'fail', messages: [], error, reason, method };
			},
			fail: async ({ error, reason, method, guess }) => {
				if (guess) this.#failures.fail(address, user, this.#now());
				await this.#delay(AUTH_LIMITS.failureDelayMs, signal);
				return { type: 'fail', messages: [], error, reason, method };
			},
			succeeded: () => this.#failures.succeed(address, user),
		};
	}
}

/** An exchange that ends at its first step. */
function refused(context: ExchangeContext, refusal: Refusal): Exchange {
	return { step: (): Promise<Step> => context.fail(refusal) };
}

async function wait(ms: number, signal?: AbortSignal): Promise<void> {
	await sleep(ms, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
}

function messageOf(error: unknown): string {
	return error instanceof Error ? error.message : String(error);
}
