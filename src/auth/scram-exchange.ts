/** A login by SCRAM-SHA-256 or -PLUS against a stored verifier, or against a made-up one that refuses everything. */
import { GatewayError } from '../errors.ts';
import type { LoginMethod } from '../stages.ts';
import {
	encodeAuthenticationOk,
	encodeAuthenticationSASL,
	encodeAuthenticationSASLContinue,
	encodeAuthenticationSASLFinal,
} from '../wire/encode.ts';
import { decodeSASLInitialResponse } from '../wire/frontend.ts';
import type { BaseContext } from './context.ts';
import type { Exchange, LoginFailure, Step } from './exchange.ts';
import { passwordFailed, protocolFailed } from './refusals.ts';
import {
	acceptClientFinal,
	acceptClientFirst,
	type ExpectClientFinal,
	type ScramOffer,
	type ScramRefusal,
	scramMechanisms,
} from './scram-server.ts';

/** 18 bytes, as PostgreSQL (SCRAM_RAW_NONCE_LEN). */
const NONCE_BYTES = 18;

type State =
	| { readonly expects: 'start' }
	| { readonly expects: 'client-first'; readonly offer: ScramOffer }
	| { readonly expects: 'client-final'; readonly scram: ExpectClientFinal };

export class ScramExchange implements Exchange {
	readonly #context: BaseContext;
	readonly #note: string | undefined;
	#state: State = { expects: 'start' };
	#method: LoginMethod = 'scram-sha-256';

	/** `note`: what else the operator should know if it fails. */
	constructor(context: BaseContext, note?: string) {
		this.#context = context;
		this.#note = note;
	}

	step(input: Buffer | null): Step | Promise<Step> {
		const state = this.#state;
		if (state.expects === 'start') return this.#start();
		if (input === null) throw new Error('SCRAM exchange stepped without input');
		return state.expects === 'client-first' ? this.#first(state.offer, input) : this.#final(state.scram, input);
	}

	#start(): Step {
		const { request, accounts, randomBytes } = this.#context;
		const throttled = this.#context.throttled(this.#method);
		if (throttled !== null) return throttled;
		const verifier = accounts.get(request.user)?.verifier ?? null;
		// Made up for everybody, so that a name that there is takes no less time than one that there is not.
		const madeUp = accounts.mock(request.user);
		const serverCertHash = request.tls?.serverCertHash ?? null;
		const offer: ScramOffer = {
			verifier: verifier ?? madeUp,
			mock: verifier === null,
			serverCertHash,
			serverNonce: randomBytes(NONCE_BYTES).toString('base64'),
		};
		this.#state = { expects: 'client-first', offer };
		return { type: 'send', messages: [encodeAuthenticationSASL(scramMechanisms(serverCertHash))] };
	}

	#first(offer: ScramOffer, input: Buffer): Step | Promise<Step> {
		let first: ReturnType<typeof decodeSASLInitialResponse>;
		try {
			first = decodeSASLInitialResponse(input);
		} catch (error) {
			return this.#malformed(error);
		}
		if (first.mechanism === 'SCRAM-SHA-256-PLUS') this.#method = 'scram-sha-256-plus';
		// libpq sends its first message at once; a client that sends none (RFC 4422, section 5) gets an empty challenge
		// in PostgreSQL. None is known, so it is refused.
		if (first.data === null) return this.#malformed(null);
		const scram = acceptClientFirst(offer, first.mechanism, first.data);
		if (!scram.ok) return this.#refuse(scram);
		this.#state = { expects: 'client-final', scram };
		return { type: 'send', messages: [encodeAuthenticationSASLContinue(Buffer.from(scram.reply))] };
	}

	#final(scram: ExpectClientFinal, input: Buffer): Step | Promise<Step> {
		// Looked at again here: attempts that began before the others failed gain nothing.
		const throttled = this.#context.throttled(this.#method);
		if (throttled !== null) return throttled;
		const { request, accounts } = this.#context;
		const verified = acceptClientFinal(scram, input);
		if (!verified.ok) return this.#refuse(verified);
		const account = accounts.get(request.user);
		if (account === undefined) throw new Error('a made-up verifier was accepted');
		this.#context.succeeded();
		return {
			type: 'done',
			messages: [encodeAuthenticationSASLFinal(Buffer.from(verified.reply)), encodeAuthenticationOk()],
			identity: account.identity(this.#method),
		};
	}

	#refuse(refusal: ScramRefusal): Promise<LoginFailure> {
		const guess = refusal.sqlstate === '28P01';
		const error = guess
			? passwordFailed(this.#context.request.user)
			: new GatewayError(refusal.sqlstate, refusal.message, { severity: 'FATAL' });
		const account = this.#context.accounts.get(this.#context.request.user);
		const why = guess && account?.verifier === null ? 'the account has no password' : refusal.reason;
		const reason = this.#note === undefined ? why : `${why}; ${this.#note}`;
		return this.#context.fail({ error, reason, method: this.#method, guess });
	}

	#malformed(error: unknown): Promise<LoginFailure> {
		const reason = error instanceof Error ? error.message : 'SASLInitialResponse without data';
		return this.#context.fail({
			error: protocolFailed('malformed SASL message'),
			reason,
			method: this.#method,
			guess: false,
		});
	}
}
