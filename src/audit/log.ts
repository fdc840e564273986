/** The audit log: records are accepted, written in groups, and only then may the statement go on. */
import type { GatewayError } from '../errors.ts';
import type { AuditReceipt } from '../stages.ts';
import type { Outcome, SessionEvent, StatementRecord } from './event.ts';

export type Accepted = (error: GatewayError | null, receipt: AuditReceipt | null) => void;

export interface AuditLogOptions {
	/** Directory; made with mode 0700 when missing. */
	readonly path: string;
	readonly durability: 'os' | 'disk';
}

export interface AuditStats {
	readonly records: number;
	readonly bytes: number;
	readonly writes: number;
	readonly failures: number;
	/** False since the last write failed: statements are refused until one succeeds. */
	readonly healthy: boolean;
}

export abstract class AuditLog {
	static open(_options: AuditLogOptions): Promise<AuditLog> {
		return Promise.reject(new Error('not yet'));
	}
	/** `done` runs once the record is in the log (then a receipt) or could not be (then an error: 53100 or 58030). */
	abstract accept(record: StatementRecord, done: Accepted): void;
	abstract outcome(receipt: AuditReceipt, outcome: Outcome): void;
	/** `done`, when given, runs as for `accept`: a login can wait for its record. */
	abstract event(event: SessionEvent, done?: Accepted): void;
	abstract get stats(): AuditStats;
	/** Writes what is pending and a last checkpoint. */
	abstract close(): Promise<void>;
}
