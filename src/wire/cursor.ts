/** Reads the fields of one message body, bounds-checked; values are slices of the message, never copies. */
import { isUtf8 } from 'node:buffer';
import type { GatewayError } from '../errors.ts';
import { notUtf8 } from './errors.ts';

/** Names up to this long are decoded byte by byte as long as they are ASCII; longer text goes to the native decoder. */
const shortBytes = 24;

/** A position in `buffer` that never passes `end`. Running short, or stopping short, raises what `malformed` makes. */
export class Cursor {
	readonly #buffer: Buffer;
	readonly #end: number;
	readonly #malformed: (message: string) => GatewayError;
	#position: number;

	/** `position`: where to begin, e.g. 5 to skip the header of a message. */
	constructor(buffer: Buffer, position: number, malformed: (message: string) => GatewayError) {
		this.#buffer = buffer;
		this.#position = position;
		this.#end = buffer.length;
		this.#malformed = malformed;
	}

	/** Bytes not read yet. */
	get remaining(): number {
		return this.#end - this.#position;
	}

	uint8(): number {
		return this.#buffer[this.#take(1)] as number;
	}

	int16(): number {
		return this.#buffer.readInt16BE(this.#take(2));
	}

	/** A count of things that follow: 0 to 65,535, as the server reads it (pq_getmsgint(2) into an unsigned). */
	count(): number {
		return this.#buffer.readUInt16BE(this.#take(2));
	}

	int32(): number {
		return this.#buffer.readInt32BE(this.#take(4));
	}

	/** An OID. */
	uint32(): number {
		return this.#buffer.readUInt32BE(this.#take(4));
	}

	/** `count` Int16, each a format code. */
	int16s(count: number): number[] {
		const at = this.#take(2 * count);
		const values = new Array<number>(count);
		for (let i = 0; i < count; i++) values[i] = this.#buffer.readInt16BE(at + 2 * i);
		return values;
	}

	/** `count` OIDs. */
	uint32s(count: number): number[] {
		const at = this.#take(4 * count);
		const values = new Array<number>(count);
		for (let i = 0; i < count; i++) values[i] = this.#buffer.readUInt32BE(at + 4 * i);
		return values;
	}

	/** The next `length` bytes, as a slice. */
	bytes(length: number): Buffer {
		const at = this.#take(length);
		return this.#buffer.subarray(at, at + length);
	}

	/** All that is left, as a slice. */
	rest(): Buffer {
		return this.bytes(this.remaining);
	}

	/** An Int32 length and so many bytes; -1 is NULL. Any other negative length is malformed. */
	value(): Buffer | null {
		const length = this.int32();
		if (length === -1) return null;
		if (length < 0) throw this.#malformed(`invalid value length ${length} in message`);
		return this.bytes(length);
	}

	/** A NUL-terminated string, as a slice without the NUL. */
	stringBytes(): Buffer {
		const at = this.#position;
		const nul = this.#nul();
		this.#position = nul + 1;
		return this.#buffer.subarray(at, nul);
	}

	/** A NUL-terminated string of strict UTF-8. `what` names it in the error (22021). */
	text(what: string): string {
		const at = this.#position;
		const nul = this.#nul();
		this.#position = nul + 1;
		return strictText(this.#buffer, at, nul, what);
	}

	/** A NUL-terminated string in which bytes that are not UTF-8 become U+FFFD: for what a SQL_ASCII server says. */
	looseText(): string {
		const at = this.#position;
		const nul = this.#nul();
		this.#position = nul + 1;
		return this.#buffer.toString('utf8', at, nul);
	}

	/** The message must end here. */
	finish(): void {
		if (this.#position !== this.#end) throw this.#malformed('invalid message format');
	}

	#take(length: number): number {
		const at = this.#position;
		if (length > this.#end - at) throw this.#malformed('insufficient data left in message');
		this.#position = at + length;
		return at;
	}

	#nul(): number {
		const nul = this.#buffer.indexOf(0, this.#position);
		if (nul === -1) throw this.#malformed('invalid string in message');
		return nul;
	}
}

/** Bytes [start, end) as text. Raises 22021 where they are not UTF-8. */
export function strictText(buffer: Buffer, start: number, end: number, what: string): string {
	if (start === end) return '';
	if (end - start <= shortBytes) {
		let at = start;
		while (at < end && (buffer[at] as number) < 0x80) at++;
		if (at === end) return buffer.toString('latin1', start, end);
	}
	if (!isUtf8(buffer.subarray(start, end))) throw notUtf8(what);
	return buffer.toString('utf8', start, end);
}
