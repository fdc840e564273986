/** The gateway's own question to a client's backend, asked between the client's messages; the client sees nothing of it. */
import { decodeBackend } from '../wire/backend.ts';
import { encodeBind, encodeClose, encodeExecute, encodeFlush, encodeParse, encodeSync } from '../wire/encode.ts';
import { portalName, statementName } from '../wire/frontend.ts';
import { Expected, type ExpectedKind } from './replies.ts';

/** The answers are short: a row longer than this is not kept. */
const answerBytesMax = 64 * 1024;

const statement = statementName('portcullis question');
const portal = portalName('portcullis question');

/** SHOW takes no snapshot, so it disturbs no transaction that has yet to set its isolation level. */
const showSearchPath = 'show search_path';

export class Question {
	#parts: Buffer[] = [];
	#bytes = 0;
	#finished = false;
	readonly #tell: (answer: string | null) => void;

	/** `tell`: the first column of the row, or null when there was no answer. Called once. */
	constructor(tell: (answer: string | null) => void) {
		this.#tell = tell;
	}

	/** A DataRow, or a part of one. */
	row(part: Buffer): void {
		this.#bytes += part.length;
		if (this.#bytes <= answerBytesMax) this.#parts.push(Buffer.from(part));
	}

	/** All replies have come, or none will. */
	finish(): void {
		if (this.#finished) return;
		this.#finished = true;
		this.#tell(this.#answer());
	}

	#answer(): string | null {
		if (this.#bytes === 0 || this.#bytes > answerBytesMax) return null;
		const row = decodeBackend(Buffer.concat(this.#parts));
		return row.type === 'DataRow' ? (row.values[0]?.toString('utf8') ?? null) : null;
	}
}

/**
 * What to send to ask for search_path, and what will be answered. `end`: `sync` between two segments of the client's,
 * `flush` inside of one. Close comes first too, because a question that was cancelled may have left its statement.
 */
export function askSearchPath(
	question: Question,
	segment: number,
	end: 'sync' | 'flush',
): { readonly bytes: Buffer; readonly expected: readonly Expected[] } {
	const close = encodeClose({ kind: 'S', name: statement });
	const bytes = Buffer.concat([
		close,
		encodeParse(statement, showSearchPath),
		encodeBind({ portal, statement, paramFormats: [], params: [], resultFormats: [] }),
		encodeExecute(portal, 0),
		encodeClose({ kind: 'P', name: portal }),
		close,
		end === 'sync' ? encodeSync() : encodeFlush(),
	]);
	const kinds: ExpectedKind[] = ['close', 'parse', 'bind', 'execute', 'close', 'close'];
	if (end === 'sync') kinds.push('sync');
	const expected = kinds.map((kind) => {
		const one = new Expected(kind, segment);
		one.question = question;
		one.swallow = true;
		return one;
	});
	return { bytes, expected };
}
