/** The proof that a record is in the log, and the one place that makes one. */
import type { AuditReceipt } from '../stages.ts';
import type { StatementRecord } from './event.ts';

/** What stands behind an AuditReceipt. The record is private, so that nobody prints it by accident. */
export class Receipt {
	readonly sequence: number;
	readonly #logId: string;
	/** Null for an event. */
	readonly #record: StatementRecord | null;
	#settled = false;

	constructor(logId: string, sequence: number, record: StatementRecord | null) {
		this.#logId = logId;
		this.sequence = sequence;
		this.#record = record;
	}

	/** The record's uid; made when it is asked for, which of a statement's nobody does as a rule. */
	get id(): string {
		return `${this.#logId}-${this.sequence}`;
	}

	/** The record whose outcome is told, once: null after the first time. Throws TypeError for what has no outcome in the log. */
	static settle(receipt: unknown, logId: string): StatementRecord | null {
		if (!(receipt instanceof Receipt) || receipt.#record === null || receipt.#logId !== logId) {
			throw new TypeError('not the receipt of a statement of this log');
		}
		if (receipt.#settled) return null;
		receipt.#settled = true;
		return receipt.#record;
	}

	/** The brand of AuditReceipt is a type only, and given here alone. */
	asReceipt(): AuditReceipt {
		return this as unknown as AuditReceipt;
	}
}
