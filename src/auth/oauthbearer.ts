/** Messages of the OAUTHBEARER mechanism (RFC 7628), read and written as PostgreSQL 18 does: pure functions. */

import type { IssuerSettings } from './settings.ts';

/** Separates key/value pairs; alone, it is the client's answer to a failure (RFC 7628, section 3.2.3). */
const SEPARATOR = '\u0001';

export type BearerMessage =
	/** `token` is empty when the client only asks where to get one. */
	| { readonly ok: true; readonly token: string }
	| { readonly ok: false; readonly sqlstate: '08P01' | '0A000'; readonly message: string; readonly reason: string };

const GS2_HEADER = /^([nyp])(=[^,]*)?,([^,]*),/;
/** RFC 6750, section 2.1; the scheme in any case, as everywhere in HTTP. */
const BEARER = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i;

/** Reads client-initial-response: `n,,` SEP `auth=Bearer <token>` SEP SEP. Other keys (host, port) are passed over. */
export function readBearerMessage(input: Buffer): BearerMessage {
	const text = input.toString('latin1');
	const header = GS2_HEADER.exec(text);
	if (header === null) return malformed('no gs2-header');
	if (header[1] === 'p') return malformed('channel binding is not possible with OAUTHBEARER');
	if (header[2] !== undefined) return malformed('gs2-header');
	if (header[3] !== '') {
		const message = 'client uses authorization identity, but it is not supported';
		return { ok: false, sqlstate: '0A000', message, reason: 'authzid sent' };
	}
	const rest = text.slice(header[0].length);
	if (!rest.startsWith(SEPARATOR) || !rest.endsWith(SEPARATOR + SEPARATOR)) return malformed('key/value pairs');
	const pairs = rest.length === 2 ? [] : rest.slice(1, -2).split(SEPARATOR);
	let auth: string | null = null;
	for (const pair of pairs) {
		const [, key, value] = /^([A-Za-z]+)=([\x20-\x7e\t\r\n]*)$/.exec(pair) ?? [];
		if (key === undefined || value === undefined) return malformed('key/value pair');
		if (key !== 'auth') continue;
		if (auth !== null) return malformed('several auth values');
		auth = value;
	}
	if (auth === null) return malformed('no auth value');
	if (auth === '') return { ok: true, token: '' };
	const token = BEARER.exec(auth)?.[1];
	return token === undefined ? malformed('auth is no Bearer token') : { ok: true, token };
}

/**
 * The server's failure (RFC 7628, section 3.2.2), from which libpq learns where to get a token. `portcullis` is for
 * `portcullis login`, which needs to know nothing but the gateway then; libpq passes over it. It holds no secret.
 */
export function bearerFailure(settings: BearerFailureSettings): Buffer {
	const { issuer, scopes = [], clientId, parameters, username, prefix } = settings;
	const body = {
		status: 'invalid_token',
		// Appended as PostgreSQL does, also to an issuer that ends in a slash: libpq cuts it off again and compares.
		'openid-configuration': `${issuer}/.well-known/openid-configuration`,
		scope: scopes.join(' '),
		portcullis: { client_id: clientId, parameters, username, prefix },
	};
	return Buffer.from(JSON.stringify(body));
}

export type BearerFailureSettings = Pick<
	IssuerSettings,
	'issuer' | 'scopes' | 'clientId' | 'parameters' | 'username' | 'prefix'
>;

/** True for the client's answer to a failure. */
export function isFailureAcknowledged(input: Buffer): boolean {
	return input.length === 1 && input[0] === 1;
}

function malformed(reason: string): BearerMessage {
	const message = 'malformed OAUTHBEARER message';
	return { ok: false, sqlstate: '08P01', message, reason: `${message}: ${reason}` };
}
