/** A login with a token given as the password (protocol, AuthenticationCleartextPassword), for every client there is. */
import { GatewayError, unreachable } from '../errors.ts';
import { encodeAuthenticationCleartextPassword, encodeAuthenticationOk } from '../wire/encode.ts';
import { decodePasswordMessage } from '../wire/frontend.ts';
import type { ExchangeContext } from './context.ts';
import type { Exchange, LoginFailure, Step } from './exchange.ts';
import { loginRefused, passwordFailed, protocolFailed } from './refusals.ts';
import { isLoopback } from './settings.ts';
import type { TokenRefusal } from './token.ts';

export class TokenExchange implements Exchange {
	readonly #context: ExchangeContext;

	constructor(context: ExchangeContext) {
		this.#context = context;
	}

	step(input: Buffer | null): Step | Promise<Step> {
		return input === null ? this.#ask() : this.#check(input);
	}

	/** Over plaintext the question itself would make the client send its token for all to read. */
	#ask(): Step | Promise<Step> {
		const { tls, address } = this.#context.request;
		const throttled = this.#context.throttled('token');
		if (throttled !== null) return throttled;
		if (tls === null && !isLoopback(address)) {
			return this.#context.fail({
				error: loginRefused('a token can only be sent over TLS', 'Connect with sslmode=require or better.'),
				reason: 'token login over plaintext from another machine',
				method: 'token',
				guess: false,
			});
		}
		return { type: 'send', messages: [encodeAuthenticationCleartextPassword()] };
	}

	async #check(input: Buffer): Promise<Step> {
		const { request, tokens } = this.#context;
		let token: string;
		try {
			token = decodePasswordMessage(input);
		} catch (error) {
			return this.#malformed(error);
		}
		if (token === '') return this.#refuse('empty password');
		const result = await tokens.verify(token, 'token');
		if (!result.ok) return this.#refuseToken(result);
		const problem = nameProblem(this.#context, result.identity.name);
		if (problem !== null) {
			const error = loginRefused(`the token does not belong to user "${request.user}"`);
			return this.#context.fail({ error, reason: problem, method: 'token', guess: false });
		}
		const throttled = this.#context.throttled('token');
		if (throttled !== null) return throttled;
		this.#context.succeeded();
		return { type: 'done', messages: [encodeAuthenticationOk()], identity: result.identity };
	}

	/** Only a genuine token's holder hears more than that it failed; neither expiry nor an outage counts as a guess. */
	#refuseToken({ reason, fault }: TokenRefusal): Promise<LoginFailure> {
		const { user } = this.#context.request;
		switch (fault) {
			case 'token':
				return this.#refuse(reason);
			case 'expired':
				return this.#context.fail({
					error: passwordFailed(user, 'The token has expired.'),
					reason,
					method: 'token',
					guess: false,
				});
			case 'provider': {
				const error = loginRefused('the identity provider cannot be reached, try again later');
				return this.#context.fail({ error, reason, method: 'token', guess: false });
			}
			default:
				return unreachable(fault);
		}
	}

	#refuse(reason: string): Promise<LoginFailure> {
		const error = passwordFailed(this.#context.request.user);
		return this.#context.fail({ error, reason, method: 'token', guess: true });
	}

	#malformed(error: unknown): Promise<LoginFailure> {
		const reason = error instanceof GatewayError ? error.message : 'malformed password message';
		return this.#context.fail({
			error: protocolFailed('malformed password message'),
			reason,
			method: 'token',
			guess: false,
		});
	}
}

/**
 * The name that a client asks for must be the one that its token says, so that nobody wears another's name in a log;
 * and it must not be a service account's, whose rules would then apply to a person. Null when all is well.
 */
export function nameProblem({ request, accounts }: ExchangeContext, name: string): string | null {
	if (accounts.get(name) !== undefined) return `the token's user name ${JSON.stringify(name)} is a service account's`;
	if (name !== request.user) return `the token belongs to user ${JSON.stringify(name)}`;
	return null;
}
