/** What a client that could not sign in is told: PostgreSQL's own words, FATAL, with nothing in them that helps guessing. */
import { GatewayError } from '../errors.ts';

/** 28P01, the same for a wrong password, a bad token and an unknown user. */
export function passwordFailed(user: string): GatewayError {
	return new GatewayError('28P01', `password authentication failed for user "${user}"`, { severity: 'FATAL' });
}

/** 28000, as PostgreSQL 18 says it. */
export function bearerFailed(user: string): GatewayError {
	return loginRefused(`OAuth bearer authentication failed for user "${user}"`);
}

/** The same error with a DETAIL. */
export function detailed(error: GatewayError, detail: string): GatewayError {
	return new GatewayError(error.sqlstate, error.message, { severity: error.severity, detail });
}

/** A message that is not what the exchange awaits, or is not well-formed. */
export function protocolFailed(message: string): GatewayError {
	return new GatewayError('08P01', message, { severity: 'FATAL' });
}

export function loginRefused(message: string, hint?: string): GatewayError {
	return new GatewayError('28000', message, { severity: 'FATAL', ...(hint === undefined ? {} : { hint }) });
}
