/** A login with a token given as the password (protocol, AuthenticationCleartextPassword), for every client there is. */
import { GatewayError } from '../errors.ts';
import { encodeAuthenticationCleartextPassword, encodeAuthenticationOk } from '../wire/encode.ts';
import { decodePasswordMessage } from '../wire/frontend.ts';
import type { ExchangeContext } from './context.ts';
import { DeviceExchange } from './device-exchange.ts';
import type { Exchange, Step } from './exchange.ts';
import { judgeToken, requirePrivacy } from './people.ts';
import { passwordFailed, protocolFailed } from './refusals.ts';

export class TokenExchange implements Exchange {
	readonly #context: ExchangeContext;

	constructor(context: ExchangeContext) {
		this.#context = context;
	}

	step(input: Buffer | null): Step | Promise<Step> {
		return input === null ? this.#ask() : this.#check(input);
	}

	#ask(): Step | Promise<Step> {
		const refused = this.#context.throttled('token') ?? requirePrivacy(this.#context, 'token');
		return refused ?? { type: 'send', messages: [encodeAuthenticationCleartextPassword()] };
	}

	async #check(input: Buffer): Promise<Step> {
		let token: string;
		try {
			token = decodePasswordMessage(input);
		} catch (error) {
			const reason = error instanceof GatewayError ? error.message : 'malformed password message';
			const told = protocolFailed('malformed password message');
			return this.#context.fail({ error: told, reason, method: 'token', guess: false });
		}
		const error = passwordFailed(this.#context.request.user);
		if (token === '') {
			// No token: the person may approve the login in a browser, where the issuer has the device flow.
			if (this.#context.issuer.clientId !== undefined) return new DeviceExchange(this.#context).step();
			return this.#context.fail({ error, reason: 'empty password', method: 'token', guess: true });
		}
		const judged = await judgeToken(this.#context, token, 'token', error);
		if (!judged.ok) return this.#context.fail(judged.refusal);
		const { identity, standing } = judged;
		return { type: 'done', messages: [encodeAuthenticationOk()], identity, standing };
	}
}
