/** Every limit and default time of the way to the backends, in one place. Times are milliseconds. */

export const BACKEND_LIMITS = {
	/** TCP, TLS and login together. */
	connectTimeoutMs: 10_000,
	/** A CancelRequest: dialling, sending, and the server's closing of the connection. */
	cancelTimeoutMs: 5000,
	/** How long the end of a connection is awaited before it is cut. */
	closeTimeoutMs: 1000,
	/** What a session reads of its backend at a time, at most. Memory of that size belongs to each session, as far as it is touched. */
	readBytes: 64 * 1024,
	/** Waiting for a free place in a pool. */
	queueTimeoutMs: 5000,
	/** Clients waiting for one pool; the next is refused at once. */
	queueMax: 1000,
	/** Result of one of the gateway's own queries, all rows together. */
	queryBytesMax: 512 * 1024 * 1024,
	/** One row of such a result. */
	queryRowBytesMax: 64 * 1024 * 1024,
	/** Oldest major version of PostgreSQL, as server_version_num. */
	serverVersionMin: 140_000,
} as const;
