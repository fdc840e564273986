/** What the backend answers to a replication command, streams in both directions included; ends one whose leave has gone. */
import { lapseOf } from '../auth/standing.ts';
import type { GatewayError } from '../errors.ts';
import type { Access } from '../stages.ts';
import { backendCodes as code } from '../wire/codes.ts';
import type { Framer } from '../wire/framer.ts';
import type { Conversation } from './conversation.ts';
import type { Expected } from './replies.ts';
import { mayReplicate, notAllowed } from './replication.ts';

/** How often a stream is asked whether it may still go on. */
const recheckMs = 1_000;

/** Thrown when a stream may not go on: its sign-in has lapsed, or the policy allows it no longer. */
export class StreamRevoked extends Error {
	readonly error: GatewayError;
	readonly reason: string;

	constructor(error: GatewayError, reason: string) {
		super(reason);
		this.error = error;
		this.reason = reason;
	}
}

export class ReplicationReplies {
	readonly #conversation: Conversation;
	/** CommandComplete's of one command: several results, and the end of a stream is told twice. */
	#tag: string | null = null;
	#checkedMs = 0;
	#access: Access | null = null;
	#revoked: StreamRevoked | null = null;

	constructor(conversation: Conversation) {
		this.#conversation = conversation;
	}

	/** True: the client gets the frame as it came. Null: it is nothing of the command's own. Throws StreamRevoked. */
	reply(framer: Framer, expected: Expected): boolean | null {
		const { replies, services } = this.#conversation;
		const { run } = expected;
		if (run === null || expected.failed) return null;
		switch (framer.type) {
			case code.RowDescription:
			case code.CopyOutResponse:
			case code.CopyDone:
				return true;
			case code.CopyInResponse:
			case code.CopyBothResponse:
				replies.beginCopyIn();
				return true;
			case code.CopyData:
				this.#revoked ??= this.#recheck();
				// In the middle of a message nothing could be said to the client.
				if (this.#revoked !== null && framer.first) throw this.#revoked;
				run.rows += framer.count;
				run.bytes += framer.end - framer.start;
				return true;
			case code.DataRow:
				run.rows += framer.count;
				run.bytes += framer.end - framer.start;
				return true;
			case code.CommandComplete:
				this.#tag = framer.buffer.toString('latin1', framer.start + 5, framer.end - 1);
				replies.endCopyIn();
				return true;
			case code.ReadyForQuery:
				if (!run.ended) run.end(services.audit, 'success', null, this.#tag);
				this.#tag = null;
				return null;
			default:
				return null;
		}
	}

	/** A stream may last for months. */
	#recheck(): StreamRevoked | null {
		const { services, standing, identity, database } = this.#conversation;
		const nowMs = services.now();
		if (nowMs - this.#checkedMs < recheckMs && nowMs >= this.#checkedMs) return null;
		this.#checkedMs = nowMs;
		const lapse = lapseOf(standing, identity, nowMs);
		if (lapse !== null && nowMs >= lapse.sinceMs + (standing?.graceMs ?? 0)) {
			return new StreamRevoked(lapse.error, lapse.reason);
		}
		const access = services.accessFor(identity, database.name);
		if (access === this.#access) return null;
		const answer = mayReplicate(access);
		if (!answer.allowed) return new StreamRevoked(notAllowed(database.name, answer, 'FATAL'), 'policy');
		this.#access = access;
		return null;
	}
}
