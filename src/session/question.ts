/** The gateway's own question to a client's backend, asked between the client's messages; the client sees nothing of it. */
import { GatewayError } from '../errors.ts';
import type { ResponseFields } from '../wire/backend.ts';
import { decodeBackend } from '../wire/backend.ts';
import {
	encodeBind,
	encodeClose,
	encodeExecute,
	encodeFlush,
	encodeParse,
	encodeQuery,
	encodeSync,
} from '../wire/encode.ts';
import { backendRules, Framer } from '../wire/framer.ts';
import { portalName, statementName } from '../wire/frontend.ts';
import { Expected, type ExpectedKind } from './replies.ts';

/** Answers are descriptions of a few relations at most: more than this is not kept. */
const answerBytesMax = 16 * 1024 * 1024;

/** For rows that are whole. */
const wholeRows = backendRules({ DataRow: answerBytesMax }, ['DataRow']);

const statement = statementName('portcullis question');
const portal = portalName('portcullis question');

/** SHOW takes no snapshot, so it disturbs no transaction that has yet to set its isolation level. */
const showSearchPath = 'show search_path';

/** Rows of text, null for NULL, of the last statement that had any. */
export type AnswerRows = (string | null)[][];

export class Question {
	#parts: Buffer[] = [];
	#bytes = 0;
	#error: GatewayError | null = null;
	#finished = false;
	readonly #tell: (rows: AnswerRows | null, error: GatewayError | null) => void;

	/** `tell` is called once, with the rows or with what went wrong. */
	constructor(tell: (rows: AnswerRows | null, error: GatewayError | null) => void) {
		this.#tell = tell;
	}

	/** RowDescription: the rows of another statement follow. */
	restart(): void {
		this.#parts = [];
		this.#bytes = 0;
	}

	/** DataRows, or parts of them, in the order of the stream. */
	row(part: Buffer): void {
		this.#bytes += part.length;
		if (this.#bytes <= answerBytesMax) this.#parts.push(Buffer.from(part));
		else this.#error ??= new GatewayError('54000', 'the answer to a question of the gateway is too long');
	}

	/** ErrorResponse. */
	fail(fields: ResponseFields): void {
		this.#error ??= new GatewayError(fields.get('C') ?? 'XX000', fields.get('M') ?? 'the question failed');
	}

	/** All replies have come. */
	finish(): void {
		if (this.#finished) return;
		this.#finished = true;
		if (this.#error === null) this.#tell(this.#rows(), null);
		else this.#tell(null, this.#error);
	}

	/** No reply will come any more. */
	abandon(): void {
		this.#error ??= new GatewayError('08006', 'the session ended before the question was answered');
		this.finish();
	}

	#rows(): AnswerRows {
		const framer = new Framer(wholeRows);
		const rows: AnswerRows = [];
		framer.push(Buffer.concat(this.#parts));
		while (framer.next()) {
			const message = decodeBackend(framer.buffer.subarray(framer.start, framer.end));
			if (message.type !== 'DataRow') continue;
			rows.push(message.values.map((value) => (value === null ? null : value.toString('utf8'))));
		}
		return rows;
	}
}

/** What to send, and what will be answered. */
export interface Asked {
	readonly bytes: Buffer;
	readonly expected: readonly Expected[];
}

/**
 * Asks for search_path. `end`: `sync` between two segments of the client's, `flush` inside of one. Close comes first
 * too, because a question that was cancelled may have left its statement.
 */
export function askSearchPath(question: Question, segment: number, end: 'sync' | 'flush'): Asked {
	return askWithin(question, segment, showSearchPath, end);
}

/** The same for any one statement. */
export function askWithin(question: Question, segment: number, sql: string, end: 'sync' | 'flush'): Asked {
	const close = encodeClose({ kind: 'S', name: statement });
	const bytes = Buffer.concat([
		close,
		encodeParse(statement, sql),
		encodeBind({ portal, statement, paramFormats: [], params: [], resultFormats: [] }),
		encodeExecute(portal, 0),
		encodeClose({ kind: 'P', name: portal }),
		close,
		end === 'sync' ? encodeSync() : encodeFlush(),
	]);
	const kinds: ExpectedKind[] = ['close', 'parse', 'bind', 'execute', 'close', 'close'];
	if (end === 'sync') kinds.push('sync');
	return { bytes, expected: kinds.map((kind) => swallowed(question, segment, kind)) };
}

/** The same where there is no extended protocol: on a replication connection, between two segments. */
export function askSearchPathSimply(question: Question, segment: number): Asked {
	return askText(question, segment, showSearchPath);
}

/** Asks by the simple protocol. Only between two segments: it would end one, and it drops the unnamed statement and portal. */
export function askText(question: Question, segment: number, sql: string): Asked {
	return { bytes: encodeQuery(sql), expected: [swallowed(question, segment, 'query')] };
}

function swallowed(question: Question, segment: number, kind: ExpectedKind): Expected {
	const expected = new Expected(kind, segment);
	expected.question = question;
	expected.swallow = true;
	return expected;
}
