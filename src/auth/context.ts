/** What the bridge gives to each exchange: the request, the stores, and how to fail. Types only. */
import type { GatewayError } from '../errors.ts';
import type { LoginMethod } from '../stages.ts';
import type { LoginFailure, LoginRequest } from './exchange.ts';
import type { TokenVerifier } from './token.ts';
import type { Accounts } from './users.ts';

export interface ExchangeContext {
	readonly request: LoginRequest;
	readonly accounts: Accounts;
	readonly tokens: TokenVerifier;
	readonly randomBytes: (bytes: number) => Buffer;
	/** Null when this login may go on to the proof; otherwise the failure to answer with (too many failures before it). */
	throttled(method: LoginMethod | null): LoginFailure | null;
	/** Resolves after the constant delay of failures; counts it as a guess where `guess` is true. */
	fail(failure: Refusal): Promise<LoginFailure>;
	/** Clears the counts that guard this user. */
	succeeded(): void;
}

export interface Refusal {
	readonly error: GatewayError;
	readonly reason: string;
	readonly method: LoginMethod | null;
	/** True for a wrong proof; false for what could not have been a guess (wrong settings, no TLS, provider down). */
	readonly guess: boolean;
}
