/** The authorization code grant of a native app (RFC 8252) with PKCE (RFC 7636): the address to open, and what comes back. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { ProviderError } from './fetch-json.ts';
import type { ProviderMetadata } from './provider.ts';
import { endpointProblem } from './settings.ts';

export interface CodeFlow {
	/** For the browser. */
	readonly url: string;
	readonly redirectUri: string;
	readonly state: string;
	readonly nonce: string;
	/** code_verifier; never leaves this process before the code is exchanged. */
	readonly verifier: string;
	/** Issuer that the answer must be of (RFC 9207). */
	readonly issuer: string;
}

export interface CodeRequest {
	readonly clientId: string;
	readonly scopes: readonly string[];
	readonly redirectUri: string;
	/** More parameters for the provider, such as `resource`; those of the flow itself cannot be replaced. */
	readonly parameters: Readonly<Record<string, string>>;
}

export type RedirectResult =
	| { readonly type: 'code'; readonly code: string }
	/** The provider says that it came to nothing. */
	| { readonly type: 'refused'; readonly words: string }
	/** Not the answer to this flow; whoever sent it, the flow goes on. */
	| { readonly type: 'foreign' };

/** Throws ProviderError when the provider has no usable authorization endpoint. */
export function beginCodeFlow(
	metadata: ProviderMetadata,
	{ clientId, scopes, redirectUri, parameters }: CodeRequest,
	randomBytes: (bytes: number) => Buffer,
): CodeFlow {
	const endpoint = metadata.authorizationEndpoint;
	if (endpoint === null) throw new ProviderError(`${metadata.issuer}: has no authorization_endpoint`);
	const problem = endpointProblem(endpoint);
	if (problem !== null) throw new ProviderError(`${endpoint}: ${problem}`);
	const [state, nonce, verifier] = [24, 24, 32].map((bytes) => randomBytes(bytes).toString('base64url')) as [
		string,
		string,
		string,
	];
	const url = new URL(endpoint);
	const query = {
		...parameters,
		response_type: 'code',
		client_id: clientId,
		redirect_uri: redirectUri,
		scope: scopes.join(' '),
		state,
		nonce,
		code_challenge: createHash('sha256').update(verifier).digest('base64url'),
		code_challenge_method: 'S256',
	};
	for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
	return { url: url.href, redirectUri, state, nonce, verifier, issuer: metadata.issuer };
}

/** Reads the query of a request to the redirect URI. */
export function readRedirect(flow: CodeFlow, query: URLSearchParams): RedirectResult {
	const single = (name: string): string | null => {
		const values = query.getAll(name);
		return values.length === 1 ? (values[0] ?? null) : null;
	};
	if (!same(single('state') ?? '', flow.state)) return { type: 'foreign' };
	// Missing from providers that do not know RFC 9207.
	if (query.has('iss') && single('iss') !== flow.issuer) return { type: 'foreign' };
	const error = single('error');
	if (error !== null) {
		const words = [error, single('error_description')].filter((word) => word !== null).join(': ');
		return { type: 'refused', words: words.replaceAll(/\p{Cc}/gu, '?').slice(0, 300) };
	}
	const code = single('code');
	return code === null || code === '' ? { type: 'foreign' } : { type: 'code', code };
}

function same(a: string, b: string): boolean {
	const [left, right] = [Buffer.from(a), Buffer.from(b)];
	return left.length === right.length && timingSafeEqual(left, right);
}
