/** Transaction mode: what becomes of a client's message while the session has no backend. */
import { GatewayError } from '../errors.ts';
import { frontendCodes as code } from '../wire/codes.ts';
import { encodeGatewayError, encodeReadyForQuery } from '../wire/encode.ts';
import type { Frontend } from '../wire/frontend.ts';
import type { Conversation, Progress } from './conversation.ts';
import type { Loans } from './loans.ts';
import { moveShard } from './shards.ts';

/** Null: there is a backend now, and the message can be handled. */
export function beforeLease(conversation: Conversation, loans: Loans, message: Frontend): Progress | null {
	switch (message.type) {
		case 'Terminate':
		case 'Password':
			return null;
		case 'Flush':
		case 'CopyData':
		case 'CopyDone':
		case 'CopyFail':
			// Between two transactions these do nothing.
			return 'done';
		case 'Sync':
			// The end of what was refused, or a Sync of nothing.
			conversation.client.write(encodeReadyForQuery('I'));
			conversation.endSegment();
			return 'done';
		default:
	}
	loans.follow();
	const failure = moveShard(conversation, loans, message) ?? loans.takeFailure();
	if (failure !== null) {
		refuseUnleased(conversation, message.raw[0] as number, failure);
		return 'done';
	}
	return loans.borrow() ? null : 'again';
}

/** Answers the message with `error` as the server would outside of a transaction. `type`: the message's first byte. */
export function refuseUnleased(conversation: Conversation, type: number, error: GatewayError): void {
	if (error.sqlstate === '57P01') {
		conversation.fail(error, conversation.database.pool.retired === error ? 'configuration' : 'shutdown');
		return;
	}
	const { sqlstate, message, detail, hint } = error;
	const more = { ...(detail === undefined ? {} : { detail }), ...(hint === undefined ? {} : { hint }), cause: error };
	const told = encodeGatewayError(new GatewayError(sqlstate, message, more));
	if (type === code.Query || type === code.FunctionCall) {
		conversation.client.write(Buffer.concat([told, encodeReadyForQuery('I')]));
		conversation.endSegment();
		return;
	}
	conversation.client.write(told);
	// What follows is skipped up to the Sync.
	conversation.doomed = true;
}
