/** Lines on their way to the file: one buffer that is used again and again, from which the leaf hashes are taken too. */
import { copyPlain, plainBytesMax } from '../secrets.ts';
import { type Hash, prefixedLeafHash } from './merkle.ts';

const lineFeed = 0x0a;
const quotationMark = 0x22;
const zero = 0x30;
/** Whole numbers below are written digit by digit, with 32-bit arithmetic. */
const smallNumbers = 1_000_000_000;
const smallBytes = 64 * 1024;
/** A buffer that one long statement made grow is given back. */
const keptBytesMax = 4 * 1024 * 1024;

/**
 * The buffer holds a line feed, then the lines, each with its own. So every line has a byte before it that can be made the 0x00
 * of a leaf while it is hashed, and the line need not be copied for it.
 */
export class Batch {
	#buffer: Buffer;
	#end = 1;
	#lineStart = 1;
	readonly #starts: number[] = [];

	/** `room`: bytes to begin with; it grows. */
	constructor(room = smallBytes) {
		this.#buffer = Buffer.allocUnsafe(Math.max(1, room));
		this.#buffer[0] = lineFeed;
	}

	/** Number of lines. */
	get length(): number {
		return this.#starts.length;
	}

	/** What goes to the file. Valid until something is added or cleared. */
	get bytes(): Buffer {
		return this.#buffer.subarray(1, this.#end);
	}

	get byteLength(): number {
		return this.#end - 1;
	}

	/** Adds to the line that `endLine` ends. */
	text(text: string): void {
		// At most three bytes for each UTF-16 unit; counted exactly only when that does not fit.
		if (this.#end + text.length * 3 > this.#buffer.length) this.#reserve(Buffer.byteLength(text));
		this.#end += this.#buffer.write(text, this.#end);
	}

	/** The same for bytes of UTF-8. */
	piece(bytes: Uint8Array): void {
		if (this.#end + bytes.length > this.#buffer.length) this.#reserve(bytes.length);
		this.#buffer.set(bytes, this.#end);
		this.#end += bytes.length;
	}

	/** The same for a number, as JSON has it. Cheaper than a text for the small whole ones. */
	number(value: number): void {
		if (!(value >= 0 && value < smallNumbers) || !Number.isInteger(value)) {
			this.text(String(value));
			return;
		}
		let length = 1;
		for (let above = 10; above <= value; above *= 10) length += 1;
		if (this.#end + length > this.#buffer.length) this.#reserve(length);
		let left = value;
		for (let at = this.#end + length - 1; at >= this.#end; at -= 1) {
			const tens = (left / 10) | 0;
			this.#buffer[at] = zero + left - tens * 10;
			left = tens;
		}
		this.#end += length;
	}

	/** The same for a statement, as a JSON string. False for one that is not plain (`copyPlain`): then nothing was added. */
	plain(text: string): boolean {
		const most = text.length * plainBytesMax + 2;
		if (this.#end + most > this.#buffer.length) this.#reserve(most);
		const end = copyPlain(text, this.#buffer, this.#end + 1);
		if (end === -1) return false;
		this.#buffer[this.#end] = quotationMark;
		this.#buffer[end] = quotationMark;
		this.#end = end + 1;
		return true;
	}

	/**
	 * The same for a statement of which `head` and `tail` are the JSON text of all but [from, until), and of what is around it. False
	 * when that part is not plain.
	 */
	spliced(head: Uint8Array, text: string, from: number, until: number, tail: Uint8Array): boolean {
		const most = head.length + (until - from) * plainBytesMax + tail.length;
		if (this.#end + most > this.#buffer.length) this.#reserve(most);
		this.#buffer.set(head, this.#end);
		const end = copyPlain(text, this.#buffer, this.#end + head.length, from, until);
		if (end === -1) return false;
		this.#buffer.set(tail, end);
		this.#end = end + tail.length;
		return true;
	}

	endLine(): void {
		if (this.#end === this.#buffer.length) this.#reserve(1);
		this.#starts.push(this.#lineStart);
		this.#buffer[this.#end] = lineFeed;
		this.#end += 1;
		this.#lineStart = this.#end;
	}

	/** Takes back what was added since the last `endLine`. */
	dropLine(): void {
		this.#end = this.#lineStart;
	}

	/** Leaf hash of the line with that index: the line without its line feed. */
	leaf(index: number): Hash {
		const start = this.#starts[index];
		if (start === undefined) throw new RangeError(`no line ${index}`);
		const end = (this.#starts[index + 1] ?? this.#end) - 1;
		this.#buffer[start - 1] = 0;
		const leaf = prefixedLeafHash(this.#buffer.subarray(start - 1, end));
		this.#buffer[start - 1] = lineFeed;
		return leaf;
	}

	clear(): void {
		this.#starts.length = 0;
		this.#end = 1;
		this.#lineStart = 1;
		if (this.#buffer.length > keptBytesMax) {
			this.#buffer = Buffer.allocUnsafe(smallBytes);
			this.#buffer[0] = lineFeed;
		}
	}

	#reserve(more: number): void {
		if (this.#end + more <= this.#buffer.length) return;
		const bigger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#end + more));
		this.#buffer.copy(bigger, 0, 0, this.#end);
		this.#buffer = bigger;
	}
}
