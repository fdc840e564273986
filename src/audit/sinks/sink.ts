/** What a sink is: somewhere else that records are delivered to. Types and the error that tells how to go on; no I/O. */

/** A record on its way, as it stands in the log. */
export interface SinkRecord {
	readonly sequence: number;
	/** Unique and stable: whoever receives a record twice knows it by this. */
	readonly uid: string;
	/** metadata.event_code. */
	readonly code: string;
	readonly timeMs: number;
	/** OCSF severity_id: 1 informational to 5 critical. */
	readonly severity: number;
	/** The JSON text, without line feed. */
	readonly line: string;
}

export interface Sink {
	/** For metrics, errors and the file that says how far it got: letters, digits, dots and hyphens. */
	readonly name: string;
	/**
	 * True when `deliver` resolves only once the receiver has answered for the records. Otherwise (syslog) a record counts as
	 * delivered when the connection has stayed up for a while after it; what may have been lost with a connection is sent again.
	 */
	readonly acknowledges: boolean;
	/** Resolves when they are handed over. Rejects with whatever went wrong: then they are given again, in the same order. */
	deliver(records: readonly SinkRecord[], signal: AbortSignal): Promise<void>;
	/** Called with a function to call when a connection broke while nothing was being delivered. */
	onBroken?(broken: (error: Error) => void): void;
	/** Rejects when what was handed over last may not have arrived: it is given again after the next start. */
	close(): Promise<void>;
}

/** A failure of which the receiver has said more. */
export class SinkError extends Error {
	/** Not to be tried again before. */
	readonly retryAfterMs: number | null;
	/** Fewer records at a time may get through. */
	readonly tooLarge: boolean;

	constructor(message: string, more: { readonly retryAfterMs?: number | null; readonly tooLarge?: boolean } = {}) {
		super(message);
		this.name = 'SinkError';
		this.retryAfterMs = more.retryAfterMs ?? null;
		this.tooLarge = more.tooLarge ?? false;
	}
}
