/** Token introspection (RFC 7662): asks the issuer about tokens that only it can read, or whether it has revoked one. */
import type { Fetch, JsonObject } from './fetch-json.ts';
import { fetchJson, ProviderError } from './fetch-json.ts';
import type { CheckedClaims, TokenRefusal } from './jwt.ts';
import { AUTH_LIMITS } from './limits.ts';
import type { ProviderMetadata } from './provider.ts';
import type { IntrospectionSettings, IssuerSettings } from './settings.ts';
import { basic } from './token-endpoint.ts';

/** One question, as the configured client (RFC 6749, section 2.3.1). Throws ProviderError when there is no usable answer. */
export async function introspect(
	fetch: Fetch,
	metadata: ProviderMetadata,
	client: IntrospectionSettings,
	token: string,
): Promise<JsonObject> {
	const url = metadata.introspectionEndpoint;
	if (url === null) throw new ProviderError(`${metadata.issuer}: has no introspection_endpoint`);
	const { status, body } = await fetchJson(fetch, url, {
		form: { token, token_type_hint: 'access_token' },
		headers: { authorization: basic(client.clientId, client.clientSecret) },
	});
	if (status !== 200) throw new ProviderError(`${url}: status ${status}`);
	if (typeof body['active'] !== 'boolean')
		throw new ProviderError(`${url}: the answer does not say whether it is active`);
	return body;
}

/**
 * The same checks as for a JSON Web Token, on the issuer's own answer. What the answer leaves out is refused, except the
 * audience of a token that was issued to our own client. `nowMs`: milliseconds since the epoch.
 */
export function checkIntrospection(body: JsonObject, settings: IssuerSettings, nowMs: number): CheckedClaims {
	const nowS = nowMs / 1000;
	const { active, iss, aud, exp, nbf, client_id: clientId, token_type: type } = body;
	if (active !== true) return refuse('the issuer says that the token is not active');
	if (iss !== undefined && iss !== settings.issuer) return refuse('claim iss is not what it must be');
	if (typeof type === 'string' && !['bearer', 'access_token'].includes(type.toLowerCase())) {
		return refuse('no bearer token');
	}
	if (body['cnf'] !== undefined) return refuse('the token is bound to a key that the client did not prove (cnf)');
	if (typeof exp !== 'number') return refuse('claim exp is missing');
	if (exp + AUTH_LIMITS.clockToleranceSeconds <= nowS) return refuse('the token has expired', 'expired');
	if (nbf !== undefined && (typeof nbf !== 'number' || nbf - AUTH_LIMITS.clockToleranceSeconds > nowS)) {
		return refuse('the token is not valid yet (nbf)');
	}
	// An issuer answers about refresh tokens too, and those have neither an audience nor a type.
	const isOwn =
		aud === undefined && typeof type === 'string' && settings.clientId !== undefined && clientId === settings.clientId;
	if (!isOwn && !isAudience(aud, settings.audience)) return refuse('claim aud is not what it must be');
	return { ok: true, claims: body };
}

function isAudience(aud: unknown, wanted: IssuerSettings['audience']): boolean {
	const has: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
	const accepted: readonly string[] = typeof wanted === 'string' ? [wanted] : wanted;
	return has.some((one) => typeof one === 'string' && accepted.includes(one));
}

function refuse(reason: string, fault: TokenRefusal['fault'] = 'token'): TokenRefusal {
	return { ok: false, reason, fault };
}
