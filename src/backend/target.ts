/** Where a backend is and how the gateway signs in there. Types only; the shape of `databases` in the configuration. */

/** libpq's sslmode words, without those that may fall back to plaintext unasked (allow, prefer). */
export type TlsMode = 'disable' | 'require' | 'verify-ca' | 'verify-full';

export interface BackendTls {
	readonly mode: TlsMode;
	/** PEM text of the certificate authorities; without it verify-full trusts the system's roots. */
	readonly ca?: string | undefined;
	/** PEM text of the client certificate and its key, for servers that ask for one. */
	readonly cert?: string | undefined;
	readonly key?: string | undefined;
}

export interface BackendTarget {
	/** Name or address; a path that starts with `/` is the folder of a Unix socket. */
	readonly host: string;
	readonly port: number;
	readonly dbname: string;
	readonly user: string;
	/** Called for each login, so that a rotated secret is taken up; null when none is configured (trust, certificate). */
	readonly password: () => Promise<string | null> | string | null;
	/** The server did not take that password: one that is kept somewhere is stale. */
	readonly passwordRefused?: (() => void) | undefined;
	readonly tls: BackendTls;
	/** Milliseconds for TCP, TLS and login together; default BACKEND_LIMITS.connectTimeoutMs. */
	readonly connectTimeoutMs?: number | undefined;
	/** Silence after which TCP asks whether the server is there; 0 or missing: when the system does. */
	readonly keepAliveMs?: number | undefined;
	/** Weak methods are refused unless listed here. */
	readonly allowPassword?: readonly ('cleartext' | 'md5')[] | undefined;
}
