/** The token endpoint of a provider (RFC 6749, section 3.2): what a client asks of it, and what comes back. */
import { type Fetch, fetchJson, type JsonAnswer, type JsonObject, ProviderError } from './fetch-json.ts';
import type { ProviderMetadata } from './provider.ts';

/** The client that asks. */
export interface OAuthClient {
	readonly clientId?: string | undefined;
	/** Only for a provider that wants one. */
	readonly clientSecret?: string | undefined;
}

export interface TokenSet {
	readonly accessToken: string | null;
	readonly idToken: string | null;
	readonly refreshToken: string | null;
	/** Lifetime of the access token in milliseconds; null when the provider does not say. */
	readonly lifetimeMs: number | null;
}

export type TokenAnswer =
	| { readonly ok: true; readonly tokens: TokenSet }
	/** The provider refuses (RFC 6749, section 5.2). `words`: its error code and description, printable. */
	| { readonly ok: false; readonly error: string; readonly words: string };

export interface ClientRequest {
	readonly form: Readonly<Record<string, string>>;
	readonly signal?: AbortSignal | undefined;
	/** The answer need not be JSON. */
	readonly anyBody?: boolean;
}

/**
 * Posts as the client (RFC 6749, section 2.3.1): its secret goes with the form, or by HTTP where the provider does not
 * take it so, which its metadata does not tell for one client. What is refused in that way was not looked at further,
 * so a code or refresh token is not used up. Throws ProviderError without a client, or when there is no answer.
 */
export async function postAsClient(
	fetch: Fetch,
	url: string,
	client: OAuthClient,
	{ form, ...request }: ClientRequest,
): Promise<JsonAnswer> {
	const { clientId, clientSecret } = client;
	if (clientId === undefined) throw new ProviderError(`${url}: no clientId is configured`);
	const secret = clientSecret === undefined ? {} : { client_secret: clientSecret };
	const answer = await fetchJson(fetch, url, { ...request, form: { ...form, client_id: clientId, ...secret } });
	const refused = answer.status === 401 || CLIENT_ERRORS.has(answer.body['error']);
	if (clientSecret === undefined || !refused) return answer;
	return fetchJson(fetch, url, { ...request, form, headers: { authorization: basic(clientId, clientSecret) } });
}

/** RFC 6749, section 5.2. Glewlwyd calls a client unauthorized that does not show itself as it is registered. */
const CLIENT_ERRORS: ReadonlySet<unknown> = new Set(['invalid_client', 'unauthorized_client']);

/** The value of `Authorization` (RFC 6749, section 2.3.1). */
export function basic(clientId: string, clientSecret: string): string {
	const credentials = `${formEncode(clientId)}:${formEncode(clientSecret)}`;
	return `Basic ${Buffer.from(credentials).toString('base64')}`;
}

/** application/x-www-form-urlencoded, as RFC 6749 wants it before base64. */
function formEncode(text: string): string {
	return new URLSearchParams({ x: text }).toString().slice(2);
}

/**
 * Asks for tokens by any grant; `grant` holds `grant_type` and what goes with it. Throws ProviderError when there is no
 * answer, or one of a provider that is itself in trouble (5xx, 429).
 */
export async function requestTokens(
	fetch: Fetch,
	metadata: ProviderMetadata,
	client: OAuthClient,
	grant: Readonly<Record<string, string>>,
	signal?: AbortSignal,
): Promise<TokenAnswer> {
	const url = metadata.tokenEndpoint;
	if (url === null) throw new ProviderError(`${metadata.issuer}: has no token_endpoint`);
	const { status, body } = await postAsClient(fetch, url, client, { form: grant, signal });
	if (status === 200) return { ok: true, tokens: tokensIn(body) };
	if (status >= 500 || status === 429) throw new ProviderError(`${url}: status ${status}, ${errorWords(body)}`);
	return { ok: false, error: textIn(body, 'error') ?? '', words: `${url}: status ${status}, ${errorWords(body)}` };
}

/** What went wrong, of an answer that is an error. */
export function requestProblem(url: string, { status, body }: JsonAnswer): string {
	return `${url}: status ${status}, ${errorWords(body)}`;
}

function tokensIn(body: JsonObject): TokenSet {
	return {
		accessToken: textIn(body, 'access_token'),
		idToken: textIn(body, 'id_token'),
		refreshToken: textIn(body, 'refresh_token'),
		lifetimeMs: secondsIn(body, 'expires_in'),
	};
}

/** A member that is text without control characters: it may be shown to a person, or written to a file. */
export function textIn(body: JsonObject, name: string): string | null {
	const value = body[name];
	return typeof value === 'string' && value !== '' && !/\p{Cc}/u.test(value) ? value : null;
}

/** Milliseconds. */
export function secondsIn(body: JsonObject, name: string): number | null {
	const value = body[name];
	return typeof value === 'number' && Number.isFinite(value) && value > 0 ? value * 1000 : null;
}

function errorWords(body: JsonObject): string {
	const { error, error_description: description } = body;
	const words = [error, description].filter((word) => typeof word === 'string').join(': ');
	return words === '' ? 'without an error code' : words.replaceAll(/\p{Cc}/gu, '?').slice(0, 300);
}
