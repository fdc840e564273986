/** A login in the terminal: a NOTICE shows an address and a code, and the login goes on when the person has approved it. */
import { encodeAuthenticationOk, encodeNoticeResponse } from '../wire/encode.ts';
import type { ExchangeContext } from './context.ts';
import { authorizeDevice, awaitApproval, type DeviceAuthorization } from './device-flow.ts';
import type { Exchange, LoginFailure, Step } from './exchange.ts';
import { networkOf } from './failures.ts';
import { ProviderError } from './fetch-json.ts';
import { judgeResult, requirePrivacy } from './people.ts';
import type { ProviderMetadata } from './provider.ts';
import { loginRefused } from './refusals.ts';
import type { TokenResult } from './token.ts';
import { requestTokens, type TokenSet } from './token-endpoint.ts';

/**
 * Nothing is asked of the client: AuthenticationOk goes out at once, because only after it do clients show a NOTICE
 * (tried with psql 15 and 18). Nothing else goes out before the approval, so a client that is not approved has nothing.
 */
export class DeviceExchange implements Exchange {
	readonly #context: ExchangeContext;

	constructor(context: ExchangeContext) {
		this.#context = context;
	}

	async step(): Promise<Step> {
		const { request, flows } = this.#context;
		const refused = this.#context.throttled('device') ?? (await requirePrivacy(this.#context, 'device'));
		if (refused !== null) return refused;
		const leave = flows.enter(networkOf(request.address));
		if (leave === null) {
			return this.#fail('too many logins wait for approval, try again later', 'limit of waiting device logins');
		}
		try {
			const metadata = await this.#context.provider.metadata();
			const authorization = await this.#authorize(metadata);
			const next = this.#finish(metadata, authorization).finally(leave);
			return { type: 'wait', messages: [encodeAuthenticationOk(), notice(authorization, this.#context)], next };
		} catch (error) {
			leave();
			return this.#providerFailed(error);
		}
	}

	#authorize(metadata: ProviderMetadata): Promise<DeviceAuthorization> {
		const { deps, issuer, request } = this.#context;
		return authorizeDevice(deps, metadata, issuer, request.signal);
	}

	async #finish(metadata: ProviderMetadata, authorization: DeviceAuthorization): Promise<Step> {
		const { deps, issuer, request } = this.#context;
		try {
			const outcome = await awaitApproval(deps, metadata, issuer, authorization, request.signal);
			switch (outcome.type) {
				case 'approved':
					return await this.#judge(metadata, outcome.tokens);
				case 'denied':
					return await this.#fail('the login was denied', 'the person denied the login');
				case 'expired':
					return await this.#fail('the login was not approved in time', 'nobody approved the login in time');
				case 'aborted':
					// Each begins with a question to the provider, so beginning without end is a flood like any other.
					return await this.#fail('the login was given up', 'the client left, or the login deadline passed', true);
			}
		} catch (error) {
			return this.#providerFailed(error);
		}
	}

	async #judge(metadata: ProviderMetadata, given: TokenSet): Promise<Step> {
		const { expiry, request } = this.#context;
		// The latest ones: an issuer takes those that were renewed for no good any more, at their end at the latest.
		let tokens = given;
		const ask = (): Promise<TokenResult> => this.#verify(tokens);
		const renewed = (others: TokenSet): void => {
			tokens = others;
		};
		const renew = expiry.action === 'refresh' ? this.#renewal(metadata, given, renewed) : undefined;
		const failed = loginRefused(`device login failed for user "${request.user}"`);
		const judged = judgeResult(this.#context, { result: await ask(), ask, renew }, 'device', failed);
		if (!judged.ok) return this.#context.fail(judged.refusal);
		return { type: 'done', messages: [], identity: judged.identity, standing: judged.standing };
	}

	/** The access token, where the gateway is its audience; else the ID token, whose audience is our own client. */
	async #verify({ accessToken, idToken }: TokenSet): Promise<TokenResult> {
		const { tokens, issuer } = this.#context;
		const none: TokenResult = { ok: false, reason: 'the provider gave no token', fault: 'token' };
		const expect = { issuer: issuer.issuer };
		const result = accessToken === null ? none : await tokens.verify(accessToken, 'device', expect);
		if (result.ok || idToken === null) return result;
		const second = await tokens.verify(idToken, 'device', { ...expect, audience: issuer.clientId });
		if (second.ok) return second;
		return { ...second, reason: `access token: ${result.reason}; ID token: ${second.reason}` };
	}

	/** Renews by the refresh token, which is a new one after each time with most providers. `renewed` is told tokens that are good. */
	#renewal(
		metadata: ProviderMetadata,
		{ refreshToken }: TokenSet,
		renewed: (tokens: TokenSet) => void,
	): (() => Promise<TokenResult>) | undefined {
		if (refreshToken === null) return undefined;
		const { deps, issuer } = this.#context;
		let current = refreshToken;
		return async () => {
			try {
				const grant = { grant_type: 'refresh_token', refresh_token: current };
				const answer = await requestTokens(deps.fetch, metadata, issuer, grant);
				if (!answer.ok) return { ok: false, reason: answer.words, fault: 'token' };
				current = answer.tokens.refreshToken ?? current;
				const result = await this.#verify(answer.tokens);
				if (result.ok) renewed(answer.tokens);
				return result;
			} catch (error) {
				return { ok: false, reason: error instanceof Error ? error.message : String(error), fault: 'provider' };
			}
		};
	}

	#providerFailed(error: unknown): Promise<LoginFailure> {
		const reason = error instanceof ProviderError ? error.message : `internal error: ${String(error)}`;
		return this.#fail('the identity provider does not let the gateway start a login, try again later', reason);
	}

	#fail(message: string, reason: string, guess = false): Promise<LoginFailure> {
		return this.#context.fail({ error: loginRefused(message), reason, method: 'device', guess });
	}
}

function notice(authorization: DeviceAuthorization, { deps, request }: ExchangeContext): Buffer {
	const { userCode, verificationUri, verificationUriComplete, expiresAtMs } = authorization;
	const minutes = Math.max(1, Math.floor((expiresAtMs - deps.now()) / 60_000));
	const text = `sign in as ${request.user}: open ${verificationUriComplete ?? verificationUri} and confirm the code ${userCode}`;
	return encodeNoticeResponse(
		new Map([
			['S', 'NOTICE'],
			['V', 'NOTICE'],
			['C', '00000'],
			['M', text],
			['H', `The login waits for ${minutes} minutes. Confirm only a code that you asked for yourself.`],
		]),
	);
}

/** How many device logins wait, altogether and by address: each holds a connection and polls the provider. */
export class DeviceFlows {
	readonly #perAddress = new Map<string, number>();
	readonly #max: number;
	readonly #perAddressMax: number;
	#waiting = 0;

	constructor(max: number, perAddressMax: number) {
		this.#max = max;
		this.#perAddressMax = perAddressMax;
	}

	/** Null when there is no place; else what to call once at the end. */
	enter(address: string): (() => void) | null {
		const mine = this.#perAddress.get(address) ?? 0;
		if (this.#waiting >= this.#max || mine >= this.#perAddressMax) return null;
		this.#waiting += 1;
		this.#perAddress.set(address, mine + 1);
		return () => {
			this.#waiting -= 1;
			const left = (this.#perAddress.get(address) ?? 1) - 1;
			if (left === 0) this.#perAddress.delete(address);
			else this.#perAddress.set(address, left);
		};
	}
}
