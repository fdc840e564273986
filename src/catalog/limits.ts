/** Every limit and time of the catalogue, in one place. Times are milliseconds. */

export const CATALOG_LIMITS = {
	/** One query of a load, on the server and as awaited here. */
	queryTimeoutMs: 60_000,
	/** How long a question through a client's own session waits for a lock. */
	lockTimeoutMs: 1000,
	/**
	 * How long a load waits for one before it lets go of its own and begins again. Short beside deadlock_timeout (1 s): printing
	 * views takes locks on what they read, and a client's DROP that waits for them must not be taken for the one to give in.
	 */
	loadLockTimeoutMs: 150,
	/** Between two looks for DDL made elsewhere, at least. */
	pollMinMs: 1000,
	/** And at most, however long a look takes. */
	pollMaxMs: 30_000,
	/** Looking costs the server at most one part in this many of its time. */
	pollCostFactor: 100,
	/** Loading costs it at most one part in this many, when something changes at every look. */
	loadCostFactor: 5,
	/** A snapshot is trusted for this long beyond the time at which it should have been looked at again. */
	staleGraceMs: 15_000,
	/**
	 * How often a look begins again that lost a race with DDL: what it was about to read is gone, or locked. When a lock is still
	 * there the last time, definitions of views are left out.
	 */
	racesMax: 5,
	/** Names of fields that are gone and remembered; beyond that many, every name counts as one. */
	lostFieldsMax: 20_000,
	/** How long a statement waits for a catalogue that is not known, before it is refused, and VACUUM for a look under way. */
	knownWaitMs: 5000,
	/** How long the catalogue keeps away from a database that is to be dropped; the server waits for 5 s until nobody is in it. */
	restMs: 6000,
	/** Between two attempts to connect again; doubles up to `pollMaxMs`. */
	reconnectMinMs: 250,
} as const;
