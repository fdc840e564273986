/** Writes the fields of one message into a buffer that grows, and its length at the end. */
import { GatewayError } from '../errors.ts';

const bytesFirst = 128;

/** Makes one message: begin with its type byte (or none, for first packets), write fields in order, `finish`. */
export class Writer {
	#buffer: Buffer;
	#position: number;
	/** Where the Int32 length stands. */
	readonly #lengthAt: number;

	/** `code`: the type byte, or null for a message without one. `bytes`: how many it may well have. */
	constructor(code: number | null, bytes: number = bytesFirst) {
		this.#buffer = Buffer.allocUnsafe(Math.max(bytes, 5));
		this.#lengthAt = code === null ? 0 : 1;
		if (code !== null) this.#buffer[0] = code;
		this.#position = this.#lengthAt + 4;
	}

	uint8(value: number): this {
		const at = this.#room(1);
		this.#buffer.writeUInt8(value, at);
		return this;
	}

	int16(value: number): this {
		const at = this.#room(2);
		this.#buffer.writeInt16BE(value, at);
		return this;
	}

	/** A count of things that follow. Raises 54000 beyond 65,535. */
	count(value: number): this {
		if (value > 0xffff) throw new GatewayError('54000', `${value} items are more than a message can hold (65535)`);
		const at = this.#room(2);
		this.#buffer.writeUInt16BE(value, at);
		return this;
	}

	int32(value: number): this {
		const at = this.#room(4);
		this.#buffer.writeInt32BE(value, at);
		return this;
	}

	uint32(value: number): this {
		const at = this.#room(4);
		this.#buffer.writeUInt32BE(value, at);
		return this;
	}

	/** Text and the NUL that ends it. Raises 22021 for text that holds a NUL itself. */
	text(value: string): this {
		if (value.includes('\0')) throw new GatewayError('22021', 'invalid byte sequence for encoding "UTF8": 0x00');
		const length = Buffer.byteLength(value);
		const at = this.#room(length + 1);
		this.#buffer.write(value, at, 'utf8');
		this.#buffer[at + length] = 0;
		return this;
	}

	bytes(value: Uint8Array): this {
		const at = this.#room(value.length);
		this.#buffer.set(value, at);
		return this;
	}

	/** An Int32 length and the bytes; -1 for null. Strings are written as UTF-8. */
	value(value: Uint8Array | string | null): this {
		if (value === null) return this.int32(-1);
		const bytes = typeof value === 'string' ? Buffer.from(value) : value;
		return this.int32(bytes.length).bytes(bytes);
	}

	int16s(values: readonly number[]): this {
		this.count(values.length);
		for (const value of values) this.int16(value);
		return this;
	}

	uint32s(values: readonly number[]): this {
		this.count(values.length);
		for (const value of values) this.uint32(value);
		return this;
	}

	/** The whole message. */
	finish(): Buffer {
		this.#buffer.writeInt32BE(this.#position - this.#lengthAt, this.#lengthAt);
		return this.#buffer.subarray(0, this.#position);
	}

	#room(bytes: number): number {
		const at = this.#position;
		const needed = at + bytes;
		if (needed > this.#buffer.length) {
			const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.#buffer.length));
			this.#buffer.copy(larger, 0, 0, at);
			this.#buffer = larger;
		}
		this.#position = needed;
		return at;
	}
}
