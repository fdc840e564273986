/** The one error that crosses stages: it carries the SQLSTATE and the words that a client may be told. */

/** Fields of an ErrorResponse (protocol, "Error and Notice Message Fields") that the gateway may set itself. */
export interface GatewayErrorFields {
	readonly detail?: string;
	readonly hint?: string;
	/** 1-based character index into the text that the client sent, as in field `P`. */
	readonly position?: number;
	/** Where PostgreSQL raises the same: drivers know some errors by that (field `R`, sent with `F` and `L`). */
	readonly raisedBy?: string;
	/** FATAL ends the session after it is sent; ERROR ends the statement. */
	readonly severity?: 'ERROR' | 'FATAL';
	/** For the operator's log only; never sent to the client. */
	readonly cause?: unknown;
}

/** An error that is safe to show to the client as it stands. `sqlstate` is five characters (PostgreSQL, appendix A). */
export class GatewayError extends Error {
	readonly sqlstate: string;
	readonly severity: 'ERROR' | 'FATAL';
	readonly detail: string | undefined;
	readonly hint: string | undefined;
	readonly position: number | undefined;
	readonly raisedBy: string | undefined;

	constructor(sqlstate: string, message: string, fields: GatewayErrorFields = {}) {
		super(message, fields.cause === undefined ? undefined : { cause: fields.cause });
		this.name = 'GatewayError';
		this.sqlstate = sqlstate;
		this.severity = fields.severity ?? 'ERROR';
		this.detail = fields.detail;
		this.hint = fields.hint;
		this.position = fields.position;
		this.raisedBy = fields.raisedBy;
	}
}

/** Closes an exhaustive switch: a new variant that nobody handles does not compile. */
export function unreachable(value: never): never {
	throw new Error(`unreachable: ${JSON.stringify(value)}`);
}
