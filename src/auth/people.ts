/** What all ways in for people share: privacy of the connection, the check of a token, and whose name it gives. */
import { type GatewayError, unreachable } from '../errors.ts';
import type { Identity, LoginMethod } from '../stages.ts';
import type { ExchangeContext, Refusal } from './context.ts';
import type { LoginFailure } from './exchange.ts';
import { detailed, loginRefused } from './refusals.ts';
import { isLoopback } from './settings.ts';
import type { Evidence, Standing } from './standing.ts';
import type { TokenResult } from './token.ts';

export type Judgement =
	| { readonly ok: true; readonly identity: Identity; readonly standing: Standing }
	/** `renewable`: another token may do. */
	| { readonly ok: false; readonly refusal: Refusal; readonly renewable: boolean };

/**
 * Over plaintext the question itself would make the client send its token for all to read, and anybody could change the
 * address that a person is asked to open. So people sign in over TLS, or from this very machine.
 */
export function requirePrivacy(context: ExchangeContext, method: LoginMethod): Promise<LoginFailure> | null {
	const { tls, address } = context.request;
	if (tls !== null || isLoopback(address)) return null;
	return context.fail({
		error: loginRefused('signing in with a token needs TLS', 'Connect with sslmode=require or better.'),
		reason: `${method} login over plaintext from another machine`,
		method,
		guess: false,
	});
}

/** Verifies a token and its name. `failed` is what the client is told of a token that is not good. */
export async function judgeToken(
	context: ExchangeContext,
	token: string,
	method: LoginMethod,
	failed: GatewayError,
): Promise<Judgement> {
	const ask = (): Promise<TokenResult> => context.tokens.verify(token, method, { preferred: context.issuer.issuer });
	return judgeResult(context, { result: await ask(), ask }, method, failed);
}

/** A token's result, and how to have it checked again or get another one in its place. */
export interface Judged extends Pick<Evidence, 'renew'> {
	readonly result: TokenResult;
	readonly ask: () => Promise<TokenResult>;
}

export function judgeResult(
	context: ExchangeContext,
	{ result, ask, renew }: Judged,
	method: LoginMethod,
	failed: GatewayError,
): Judgement {
	if (!result.ok) {
		const { reason, fault } = result;
		switch (fault) {
			case 'token':
				return { ok: false, refusal: { error: failed, reason, method, guess: true }, renewable: true };
			case 'expired': {
				// Only the holder of a genuine token gets here; neither expiry nor an outage counts as a guess.
				const error = detailed(failed, 'The token has expired.');
				return { ok: false, refusal: { error, reason, method, guess: false }, renewable: true };
			}
			case 'provider': {
				const error = loginRefused('the identity provider cannot be reached, try again later');
				return { ok: false, refusal: { error, reason, method, guess: false }, renewable: false };
			}
			default:
				return unreachable(fault);
		}
	}
	const { identity, recheckMs } = result;
	const problem = nameProblem(context, identity.name);
	if (problem !== null) {
		const error = loginRefused(`the token does not belong to user "${context.request.user}"`);
		return { ok: false, refusal: { error, reason: problem, method, guess: false }, renewable: false };
	}
	// Looked at again: attempts that began before others failed gain nothing.
	const throttled = context.throttled(method);
	if (throttled !== null) {
		const { error, reason } = throttled;
		return { ok: false, refusal: { error, reason, method, guess: false }, renewable: false };
	}
	context.succeeded();
	const recheck = recheckMs === undefined ? undefined : { everyMs: recheckMs, ask };
	return { ok: true, identity, standing: context.standing(identity, { recheck, renew }) };
}

/**
 * The name that a client asks for must be the one that its token says, so that nobody wears another's name in a log;
 * and it must not be a service account's, whose rules would then apply to a person. Null when all is well.
 */
function nameProblem({ request, accounts }: ExchangeContext, name: string): string | null {
	if (accounts.get(name) !== undefined) return `the token's user name ${JSON.stringify(name)} is a service account's`;
	if (name !== request.user) return `the token belongs to user ${JSON.stringify(name)}`;
	return null;
}
