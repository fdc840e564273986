/** A statement's text as it stands in one place of many records: of what its texts have in common at both ends the bytes are kept. */
import { holdsSecretWord, mayHoldSecretWord, withoutSecrets } from '../secrets.ts';
import type { Batch } from './batch.ts';
import { toJson } from './json.ts';

/** With less in common than so many characters, a text is written as cheaply from its beginning. */
const commonMin = 16;

/** Writes the JSON text of a statement without its secrets. */
export function writeShown(to: Batch, sql: string): void {
	if (!to.plain(sql)) to.text(toJson(withoutSecrets(sql)));
}

/** What all texts so far begin and end with; it only ever gets less. */
interface Common {
	readonly head: string;
	readonly tail: string;
	/** What is written up to the end of the head, and from the beginning of the tail on. */
	readonly headBytes: Buffer;
	readonly tailBytes: Buffer;
	/** Part of a word that leads to a secret stands in it: the rest may complete it. */
	readonly wary: boolean;
}

/** Statements of one shape differ in their literals alone, so most of a text need not be looked at character by character. */
export class SharedText {
	readonly #before: Buffer;
	readonly #after: Buffer;
	#first: string | null = null;
	/** False: there is nothing in common. */
	#common: Common | null | false = null;

	/** `before` and `after`: what is written around the text. */
	constructor(before: Buffer, after: Buffer) {
		this.#before = before;
		this.#after = after;
	}

	/** Writes the text, and what stands around it. What is written depends on nothing that came before. */
	write(to: Batch, text: string): void {
		if (this.#spliced(to, text)) return;
		to.piece(this.#before);
		writeShown(to, text);
		to.piece(this.#after);
	}

	/** False: it has to be written from its beginning, and nothing was. */
	#spliced(to: Batch, text: string): boolean {
		const common = this.#commonWith(text);
		if (common === null || (common.wary && holdsSecretWord(text))) return false;
		const { head, tail, headBytes, tailBytes } = common;
		return to.spliced(headBytes, text, head.length, text.length - tail.length, tailBytes);
	}

	#commonWith(text: string): Common | null {
		const known = this.#common;
		if (known === false) return null;
		if (known !== null && fits(known, text)) return known;
		if (this.#first === null) {
			this.#first = text;
			return null;
		}
		const head = known?.head ?? this.#first;
		const tail = known?.tail ?? this.#first;
		const made = this.#narrowed(head.slice(0, commonStart(head, text)), tail, text);
		this.#common = made ?? false;
		return made;
	}

	/** Null when so little is common, or it is no plain text. */
	#narrowed(head: string, formerTail: string, text: string): Common | null {
		const room = Math.min(text.length, this.#first?.length ?? 0) - head.length;
		const tail = formerTail.slice(formerTail.length - commonEnd(formerTail, text, room));
		const [headJson, tailJson] = [plainJson(head), plainJson(tail)];
		if (headJson === null || tailJson === null || head.length + tail.length < commonMin) return null;
		return {
			head,
			tail,
			headBytes: Buffer.concat([this.#before, Buffer.from(`"${headJson}`)]),
			tailBytes: Buffer.concat([Buffer.from(`${tailJson}"`), this.#after]),
			wary: mayHoldSecretWord(head) || mayHoldSecretWord(tail),
		};
	}
}

function fits({ head, tail }: Common, text: string): boolean {
	// Comparing slices is several times cheaper than startsWith and endsWith.
	return (
		text.length >= head.length + tail.length &&
		text.slice(0, head.length) === head &&
		text.slice(text.length - tail.length) === tail
	);
}

function commonStart(left: string, right: string): number {
	const most = Math.min(left.length, right.length);
	let length = 0;
	while (length < most && left.charCodeAt(length) === right.charCodeAt(length)) length += 1;
	return length;
}

function commonEnd(left: string, right: string, most: number): number {
	const [leftEnd, rightEnd] = [left.length - 1, right.length - 1];
	const all = Math.min(most, left.length);
	let length = 0;
	while (length < all && left.charCodeAt(leftEnd - length) === right.charCodeAt(rightEnd - length)) length += 1;
	return length;
}

/** JSON text without its quotation marks; null for what is not printable ASCII with tabs and line feeds. */
function plainJson(text: string): string | null {
	return /^[ -~\t\n]*$/.test(text) ? JSON.stringify(text).slice(1, -1) : null;
}
