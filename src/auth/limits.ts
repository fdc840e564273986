/** Every limit and default time of signing in, in one place. Times are milliseconds unless the name says otherwise. */

export const AUTH_LIMITS = {
	/** Longest SCRAM message taken from a client; libpq's stay under 200 bytes. */
	scramMessageBytesMax: 4096,
	/** PBKDF2 rounds that a backend may ask of the gateway: about 3 s of one core. */
	scramIterationsMax: 5_000_000,
	/** Rounds of a new verifier, as PostgreSQL's scram_iterations. */
	scramIterationsDefault: 4096,
	/** Salt of a new verifier, as PostgreSQL. */
	scramSaltBytes: 16,
	/** Longest password that is hashed. */
	passwordBytesMax: 1024,
	/** Longest token, as password or in OAUTHBEARER. */
	tokenBytesMax: 65_536,
	/** Longest user name that a claim may give. */
	userNameBytesMax: 256,
	/** Values taken from a groups claim; a token with more is refused. */
	groupsMax: 2000,
	/** Every failed login is answered this long after the failure. */
	failureDelayMs: 250,

	/** Difference of clocks that exp, nbf and iat may show. */
	clockToleranceSeconds: 30,
	/** One fetch from an identity provider, body included. */
	fetchTimeoutMs: 5000,
	/** Largest document taken from an identity provider. */
	fetchBytesMax: 512 * 1024,
	/** Keys older than this are fetched again, in the background, while the old ones work. */
	keysFreshMs: 10 * 60_000,
	/** Keys that could not be fetched again work this long after the last success: an outage of the provider. */
	keysStaleMs: 60 * 60_000,
	/** An unknown key id, or a failed fetch, leads to at most one fetch in this time. */
	keysCooldownMs: 30_000,
	/** Keys in one set. */
	keysMax: 100,

	/** How often an issuer is asked again about a token of a session, where it can be asked. */
	recheckMs: 5 * 60_000,
	/** How long a transaction may go on after the sign-in has ended. */
	transactionGraceMs: 5 * 60_000,
	/** A token is renewed after four fifths of its time, but no earlier than this before its end. */
	renewBeforeMsMax: 5 * 60_000,
	/** Pause after a renewal to which the provider gave no answer. */
	renewRetryMs: 30_000,

	/** A device login waits this long at most, whatever the provider allows. */
	deviceWaitMsMax: 15 * 60_000,
	/** Pause between polls where the provider names none (RFC 8628, section 3.2). */
	deviceIntervalMs: 5000,
	/** However often the provider lets itself be asked. */
	deviceIntervalMsMin: 1000,
	deviceIntervalMsMax: 60_000,
	/** Device logins that wait for approval. */
	deviceFlowsMax: 500,
	deviceFlowsPerAddressMax: 20,

	/** Addresses and user names whose failures are remembered; the least recently seen are forgotten first. */
	failureEntriesMax: 20_000,
} as const;

/** How fast failures of one address, or for one user name, are slowed down (see failures.ts). */
export interface FailureLimits {
	/** Failures that cost nothing. */
	readonly burst: number;
	/** One failure is forgotten in this time. */
	readonly forgetMs: number;
	/** Pause after the first failure beyond the burst; doubles with each one more. */
	readonly pauseMs: number;
	readonly pauseMsMax: number;
}

export const ADDRESS_FAILURES: FailureLimits = { burst: 30, forgetMs: 10_000, pauseMs: 1000, pauseMsMax: 60_000 };
export const USER_FAILURES: FailureLimits = { burst: 10, forgetMs: 30_000, pauseMs: 1000, pauseMsMax: 30_000 };
