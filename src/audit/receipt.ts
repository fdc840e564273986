/** The proof that a record is in the log, and the one place that makes one. */
import type { AuditReceipt } from '../stages.ts';
import type { StatementRecord } from './event.ts';

/** What stands behind an AuditReceipt. The record is private, so that nobody prints it by accident. */
export class Receipt {
	readonly id: string;
	readonly sequence: number;
	/** Null for an event. */
	readonly #record: StatementRecord | null;
	#settled = false;

	constructor(id: string, sequence: number, record: StatementRecord | null) {
		this.id = id;
		this.sequence = sequence;
		this.#record = record;
	}

	/** The record whose outcome is told, once: null after the first time. Throws TypeError for what has no outcome. */
	static settle(receipt: unknown): { readonly id: string; readonly record: StatementRecord } | null {
		if (!(receipt instanceof Receipt) || receipt.#record === null) {
			throw new TypeError('not the receipt of a statement of this log');
		}
		if (receipt.#settled) return null;
		receipt.#settled = true;
		return { id: receipt.id, record: receipt.#record };
	}

	/** The brand of AuditReceipt is a type only, and given here alone. */
	asReceipt(): AuditReceipt {
		return this as unknown as AuditReceipt;
	}
}
