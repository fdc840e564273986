/** What a client is told when a backend cannot be reached or refuses the gateway: exact, without addresses and secrets. */
import { GatewayError } from '../errors.ts';
import type { ResponseFields } from '../wire/backend.ts';

/** FATAL, because it ends a login or a connection. `cause` keeps the whole story for the operator's log. */
export function backendFailure(sqlstate: string, message: string, cause?: unknown): GatewayError {
	return new GatewayError(sqlstate, message, { severity: 'FATAL', ...(cause === undefined ? {} : { cause }) });
}

/** 08006: the connection ended while an answer was awaited. */
export function connectionLost(error: Error | null): GatewayError {
	if (error instanceof GatewayError) return error;
	return backendFailure('08006', 'the database server closed the connection unexpectedly', error ?? undefined);
}

/** Words for the failures of connect(2) and getaddrinfo(3) that name neither host nor port. */
const DIAL_WORDS: Readonly<Record<string, string>> = {
	ECONNREFUSED: 'connection refused',
	ECONNRESET: 'connection reset',
	EHOSTUNREACH: 'no route to host',
	ENETUNREACH: 'network is unreachable',
	ENOENT: 'no such socket',
	EACCES: 'permission denied',
	ENOTFOUND: 'unknown host name',
	EAI_AGAIN: 'host name lookup failed',
	ETIMEDOUT: 'timed out',
};

/** 08001 for an error of dialling or of TLS. */
export function cannotConnect(error: unknown): GatewayError {
	if (error instanceof GatewayError) return error;
	const words = DIAL_WORDS[codeOf(error)] ?? tlsWords(error) ?? 'network error';
	return backendFailure('08001', `cannot connect to the database server: ${words}`, error);
}

/** Certificate errors of Node carry OpenSSL's words or its own; the latter may name hosts, so only the code is told. */
function tlsWords(error: unknown): string | null {
	const code = codeOf(error);
	if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return "the server's certificate is for another host name";
	if (/^ERR_(SSL|TLS|OSSL|CRYPTO)/.test(code)) return `TLS failed (${code})`;
	if (/CERT|ISSUER|SIGNATURE|CRL/.test(code)) return `the server's certificate is not trusted (${code})`;
	return null;
}

export function codeOf(error: unknown): string {
	if (error instanceof AggregateError) return codeOf(error.errors[0]);
	if (!(error instanceof Error) || !('code' in error)) return '';
	return typeof error.code === 'string' ? error.code : '';
}

/**
 * An ErrorResponse during the login. What concerns the gateway's own credential (class 28) becomes 08004 without details:
 * the client would take "password authentication failed" for its own. The rest is passed on as it is: unknown database,
 * no slot, starting up, a startup parameter that the server refuses.
 */
export function loginRejected(fields: ResponseFields): GatewayError {
	const told = serverError(fields);
	if (!told.sqlstate.startsWith('28')) return told;
	return backendFailure('08004', 'the database server rejected the login of the gateway', told);
}

/** An ErrorResponse as a GatewayError, FATAL here because it answers a conversation of the gateway's own. */
export function serverError(fields: ResponseFields): GatewayError {
	const detail = fields.get('D');
	const hint = fields.get('H');
	return new GatewayError(fields.get('C') ?? 'XX000', fields.get('M') ?? 'error of the database server', {
		severity: fields.get('V') === 'ERROR' ? 'ERROR' : 'FATAL',
		...(detail === undefined ? {} : { detail }),
		...(hint === undefined ? {} : { hint }),
	});
}

/** The server may take the next attempt: it cannot be reached, starts up, shuts down, or has no slot just now. */
export function mayPass({ sqlstate }: GatewayError): boolean {
	if (sqlstate === '08004') return false;
	return sqlstate.startsWith('08') || sqlstate.startsWith('57P') || sqlstate === '53300';
}
