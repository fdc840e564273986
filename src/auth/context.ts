/** What the bridge gives to each exchange: the request, the stores, and how to fail. Types only. */
import type { GatewayError } from '../errors.ts';
import type { Identity, LoginMethod } from '../stages.ts';
import type { DeviceFlows } from './device-exchange.ts';
import type { DeviceFlowDeps } from './device-flow.ts';
import type { LoginFailure, LoginRequest } from './exchange.ts';
import type { Provider } from './provider.ts';
import type { IssuerSettings } from './settings.ts';
import type { Evidence, ExpirySettings, Standing } from './standing.ts';
import type { TokenVerifier } from './token.ts';
import type { Accounts } from './users.ts';

/** For every exchange. */
export interface BaseContext {
	readonly request: LoginRequest;
	readonly accounts: Accounts;
	readonly randomBytes: (bytes: number) => Buffer;
	/** Null when this login may go on to the proof; otherwise the failure to answer with (too many failures before it). */
	throttled(method: LoginMethod | null): LoginFailure | null;
	/** Resolves after the constant delay of failures; counts it as a guess where `guess` is true. */
	fail(failure: Refusal): Promise<LoginFailure>;
	/** Makes this user known from this address. */
	succeeded(): void;
	/** What the session is given to ask whether the sign-in still holds. */
	standing(identity: Identity, evidence?: Evidence): Standing;
}

/** For the ways in for people. */
export interface ExchangeContext extends BaseContext {
	readonly tokens: TokenVerifier;
	/** Where this client is sent for a token: the issuer that it named, else the first. */
	readonly issuer: IssuerSettings;
	readonly provider: Provider;
	readonly flows: DeviceFlows;
	readonly deps: DeviceFlowDeps;
	readonly expiry: ExpirySettings;
}

export interface Refusal {
	readonly error: GatewayError;
	readonly reason: string;
	readonly method: LoginMethod | null;
	/** True for a wrong proof; false for what could not have been a guess (wrong settings, no TLS, provider down). */
	readonly guess: boolean;
	/** True for a step of OAUTHBEARER that was never meant to succeed: answered without delay. */
	readonly discovery?: boolean;
}
