/** Every limit of the audit log, with its default, in one place. */

export interface AuditLimits {
	/** A segment (log file) is closed and a new one begun once it is this long. */
	readonly segmentBytesMax: number;
	/** ... or once it is this old. */
	readonly segmentAgeMaxMs: number;
	/** A checkpoint is written this long after the first record that none covers yet. */
	readonly checkpointIntervalMs: number;
	/** Records waiting to be written; a statement beyond it is refused. */
	readonly queueRecordsMax: number;
	/** Bytes that one write carries, unless a single record is longer. */
	readonly batchBytesMax: number;
	/** A bind parameter longer than this is cut; the record then carries its length and SHA-256. */
	readonly parameterBytesMax: number;
	/** Parameters of one record show no more than this together; those beyond it are cut to nothing, with length and digest. */
	readonly parametersBytesMax: number;
	/** The text of a denied statement that is longer (UTF-16 units) is cut; its length and SHA-256 go with it. What runs is recorded whole. */
	readonly deniedTextMax: number;
	/** What a decision serialises to is kept with it up to this many bytes. */
	readonly cachedPartBytesMax: number;
	/** With durability `disk`: an outcome that no statement follows is written this much later, unless so many records wait. */
	readonly outcomeDelayMs: number;
	readonly outcomesMax: number;
	/** While the log cannot be written, how often it is tried again without a statement asking for it. */
	readonly retryIntervalMs: number;
	/** How long closing waits for sinks to take what is left; they get the rest after the next start. */
	readonly closeGraceMs: number;
	/** Longest record that readers (verify, search, sinks) take into memory. */
	readonly recordBytesMax: number;
}

export const auditLimits: AuditLimits = Object.freeze({
	segmentBytesMax: 128 * 1024 * 1024,
	segmentAgeMaxMs: 24 * 60 * 60 * 1000,
	checkpointIntervalMs: 5_000,
	queueRecordsMax: 65_536,
	batchBytesMax: 1024 * 1024,
	parameterBytesMax: 64 * 1024,
	parametersBytesMax: 1024 * 1024,
	deniedTextMax: 64 * 1024,
	cachedPartBytesMax: 64 * 1024,
	outcomeDelayMs: 5,
	outcomesMax: 512,
	retryIntervalMs: 1_000,
	closeGraceMs: 5_000,
	recordBytesMax: 512 * 1024 * 1024,
});
