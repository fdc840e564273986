/** Decodes whole messages of a backend with pg-protocol, after the checks that it does not make itself. */
import { Readable } from 'node:stream';
import { type DatabaseError, parse } from 'pg-protocol';
import type { BackendMessage, DataRowMessage } from 'pg-protocol/dist/messages.js';
import { decodeBackend, type ResponseFields } from '../wire/backend.ts';
import { backendCodes } from '../wire/codes.ts';
import { protocolViolation } from '../wire/errors.ts';

/** What a query of the gateway's own acts on; `length` as on the wire, without the type byte. */
export type PgMessage =
	| { readonly name: 'rowDescription' | 'copyInResponse' | 'readyForQuery' | 'other' }
	| { readonly name: 'dataRow'; readonly length: number; readonly fields: (string | null)[] }
	| { readonly name: 'error'; readonly fields: ResponseFields };

/** Given whole messages only, pg-protocol's parser keeps nothing between them. */
export class PgReader {
	readonly #source = new Readable({ read: () => undefined });
	#message: PgMessage = { name: 'other' };

	constructor() {
		void parse(this.#source, (message) => {
			this.#message = translate(message);
		});
	}

	/** Throws GatewayError 08P01, FATAL, for a message that is not well-formed. */
	read(bytes: Buffer): PgMessage {
		// pg-protocol reads on beyond the end of a malformed message, in an ErrorResponse for ever.
		if (bytes[0] === backendCodes.DataRow) checkRow(bytes);
		else decodeBackend(bytes);
		// Its parser listens to the event, and a stream proper would deliver it at some later time.
		this.#source.emit('data', bytes);
		return this.#message;
	}
}

function translate(message: BackendMessage): PgMessage {
	switch (message.name) {
		case 'rowDescription':
		case 'copyInResponse':
		case 'readyForQuery':
			return { name: message.name };
		case 'dataRow': {
			const { length, fields } = message as DataRowMessage;
			return { name: 'dataRow', length, fields: fields as (string | null)[] };
		}
		case 'error':
			return { name: 'error', fields: fieldsOf(message as DatabaseError) };
		default:
			return { name: 'other' };
	}
}

/**
 * By the letters of the protocol ("Error and Notice Message Fields"); those that the gateway looks at. pg-protocol has the
 * severity in the server's language only; one that ReadyForQuery follows is an ERROR, and after another nothing follows.
 */
function fieldsOf({ code, message, detail, hint }: DatabaseError): ResponseFields {
	const fields = { V: 'ERROR', C: code, M: message, D: detail, H: hint };
	return new Map(Object.entries(fields).filter((field): field is [string, string] => field[1] !== undefined));
}

/** The lengths of the values must add up to that of the message. */
function checkRow(bytes: Buffer): void {
	let at = 7;
	let left = bytes.length >= at ? bytes.readInt16BE(5) : -1;
	for (; left > 0 && at + 4 <= bytes.length; left -= 1) {
		const length = bytes.readInt32BE(at);
		if (length < -1) break;
		at += 4 + Math.max(length, 0);
	}
	if (left !== 0 || at !== bytes.length) throw protocolViolation('malformed DataRow message from the server');
}
