/** A login by OAUTHBEARER (RFC 7628) in the message flow of PostgreSQL 18, which libpq 18 speaks by itself. */
import { GatewayError } from '../errors.ts';
import { encodeAuthenticationOk, encodeAuthenticationSASL, encodeAuthenticationSASLContinue } from '../wire/encode.ts';
import { decodeSASLInitialResponse } from '../wire/frontend.ts';
import type { ExchangeContext, Refusal } from './context.ts';
import type { Exchange, LoginFailure, Step } from './exchange.ts';
import { bearerFailure, isFailureAcknowledged, readBearerMessage } from './oauthbearer.ts';
import { judgeToken, requirePrivacy } from './people.ts';
import { bearerFailed, protocolFailed } from './refusals.ts';

type State =
	| { readonly expects: 'start' }
	| { readonly expects: 'initial-response' }
	/** The client sent its response without data, and was given an empty challenge. */
	| { readonly expects: 'response' }
	/** The client has the reason in JSON and has to acknowledge it; then it is told `refusal`. */
	| { readonly expects: 'acknowledgement'; readonly refusal: Refusal };

export class BearerExchange implements Exchange {
	readonly #context: ExchangeContext;
	#state: State = { expects: 'start' };

	constructor(context: ExchangeContext) {
		this.#context = context;
	}

	step(input: Buffer | null): Step | Promise<Step> {
		const state = this.#state;
		if (state.expects === 'start') return this.#start();
		if (input === null) throw new Error('OAUTHBEARER exchange stepped without input');
		switch (state.expects) {
			case 'initial-response':
				return this.#initial(input);
			case 'response':
				return this.#check(input);
			case 'acknowledgement':
				if (!isFailureAcknowledged(input)) return this.#malformed('no acknowledgement of the failure');
				return this.#context.fail(state.refusal);
		}
	}

	#start(): Step | Promise<Step> {
		const refused = this.#context.throttled('oauthbearer') ?? requirePrivacy(this.#context, 'oauthbearer');
		if (refused !== null) return refused;
		this.#state = { expects: 'initial-response' };
		return { type: 'send', messages: [encodeAuthenticationSASL(['OAUTHBEARER'])] };
	}

	#initial(input: Buffer): Step | Promise<Step> {
		let first: ReturnType<typeof decodeSASLInitialResponse>;
		try {
			first = decodeSASLInitialResponse(input);
		} catch (error) {
			return this.#malformed(error instanceof Error ? error.message : 'SASLInitialResponse');
		}
		if (first.mechanism !== 'OAUTHBEARER') return this.#malformed('another SASL mechanism');
		if (first.data !== null) return this.#check(first.data);
		this.#state = { expects: 'response' };
		return { type: 'send', messages: [encodeAuthenticationSASLContinue(Buffer.alloc(0))] };
	}

	async #check(input: Buffer): Promise<Step> {
		const message = readBearerMessage(input);
		if (!message.ok) {
			const error = new GatewayError(message.sqlstate, message.message, { severity: 'FATAL' });
			return this.#context.fail({ error, reason: message.reason, method: 'oauthbearer', guess: false });
		}
		const error = bearerFailed(this.#context.request.user);
		if (message.token === '') {
			const reason = 'no token yet: the client asked where to get one';
			return this.#explain({ error, reason, method: 'oauthbearer', guess: false, discovery: true });
		}
		const judged = await judgeToken(this.#context, message.token, 'oauthbearer', error);
		if (judged.ok) {
			const { identity, standing } = judged;
			return { type: 'done', messages: [encodeAuthenticationOk()], identity, standing };
		}
		// A new token can only help where this one was at fault.
		return judged.renewable ? this.#explain(judged.refusal) : this.#context.fail(judged.refusal);
	}

	#explain(refusal: Refusal): Step {
		this.#state = { expects: 'acknowledgement', refusal };
		return { type: 'send', messages: [encodeAuthenticationSASLContinue(bearerFailure(this.#context.issuer))] };
	}

	#malformed(reason: string): Promise<LoginFailure> {
		const error = protocolFailed('malformed OAUTHBEARER message');
		return this.#context.fail({ error, reason, method: 'oauthbearer', guess: false });
	}
}
