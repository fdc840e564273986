/** Every limit and default time of the way to the backends, in one place. Times are milliseconds. */

export const BACKEND_LIMITS = {
	/** TCP, TLS and login together. */
	connectTimeoutMs: 10_000,
	/** A CancelRequest: dialling, sending, and the server's closing of the connection. */
	cancelTimeoutMs: 5000,
	/** How long the end of a connection is awaited before it is cut. */
	closeTimeoutMs: 1000,
	/** Between two looks whether the last words of a server, which has gone, are read by now. */
	hearOutEveryMs: 10,
	/** What a session reads of its backend at a time, at most. Memory of that size belongs to each session, as far as it is touched. */
	readBytes: 64 * 1024,
	/** The same of a connection that has not yet said more than that at a time: most clients never ask for more. */
	firstReadBytes: 8 * 1024,
	/** Waiting for a free place in a pool. */
	queueTimeoutMs: 5000,
	/** Clients waiting for one pool; the next is refused at once. */
	queueMax: 1000,
	/** Prepared statements that a backend of a transaction pool keeps. */
	statementsMax: 500,
	/** How long a client waits before the pool's reserve is for it too. */
	reserveAfterMs: 1000,
	/** How long nobody needs a backend of a transaction pool before it is closed. */
	idleMs: 600_000,
	/** How long such a backend is idle before it is tried at its next use. */
	checkAfterMs: 30_000,
	/** The answer to that, and to DISCARD ALL. */
	checkTimeoutMs: 5000,
	/** Between two looks at the idle backends of a pool. */
	sweepMs: 1000,
	/** Between two attempts to dial for those that wait; doubles from the one to the other. */
	redialMinMs: 50,
	redialMaxMs: 1000,
	/** How long the connection that listens stays when nobody listens any more. */
	listenerLingerMs: 10_000,
	/** Between two questions whether its server is still there. */
	listenerCheckMs: 30_000,
	/** How long it may say nothing while it owes an answer. */
	listenerTimeoutMs: 15_000,
	/** Idle backends that are looked at for one with the client's settings. */
	pickMax: 16,
	/** Result of one of the gateway's own queries, all rows together. */
	queryBytesMax: 512 * 1024 * 1024,
	/** One row of such a result. */
	queryRowBytesMax: 64 * 1024 * 1024,
	/** Hosts of one database, those that Patroni names included. */
	hostsMax: 32,
	/** Between two questions to a host that answers (its role, its position in the log). */
	hostCheckMs: 1000,
	/** A host that does not answer such a question in this time is down; connecting included. */
	hostTimeoutMs: 3000,
	/** Between two attempts to reach a host that is down; doubles from the one to the other. */
	hostRetryMinMs: 100,
	hostRetryMaxMs: 1000,
	/** Connections to a replica that has not answered for so long are ended, where others do answer. */
	hostGoneMs: 10_000,
	/** How long a lease waits for a host that is what was asked for. */
	failoverWaitMs: 60_000,
	/** Positions of the primary that a replica's lag is measured by: one for each question to it. */
	walSamplesMax: 3600,
	/** An answer of Patroni's REST interface. */
	patroniTimeoutMs: 2000,
	/** For the answers of other nodes, once one has answered. */
	patroniGraceMs: 250,
	patroniBytesMax: 1024 * 1024,
	/** Oldest major version of PostgreSQL, as server_version_num. */
	serverVersionMin: 140_000,
} as const;
