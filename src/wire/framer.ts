/** Cuts a byte stream into messages where they lie: nothing is copied or decoded that does not straddle two chunks. */
import type { GatewayError } from '../errors.ts';
import { backendName } from './backend.ts';
import { backendCodes, frontendCodes } from './codes.ts';
import { protocolViolation } from './errors.ts';
import { frontendName } from './frontend.ts';
import { backendLengthMax, frontendLengthMax } from './limits.ts';
import { type MessageShare, uncountedBytesMax } from './message-budget.ts';

const headerBytes = 5;

/** Room for a message that straddles chunks, at first; it doubles up to the declared length as bytes really come. */
const heldBytesFirst = 4096;

/** What a Framer accepts: complete by type byte. Make one with `frontendRules`, `loginRules` or `backendRules`. */
export interface FrameRules {
	/** Largest declared length by type byte; 0 where the byte is no message. */
	readonly lengthMax: Float64Array;
	/** 1 where bodies pass through in slices; 0 where a message is held until it is whole. */
	readonly passes: Uint8Array;
	/** Name of a message for error texts. */
	readonly nameOf: (code: number) => string | undefined;
	/** Who sends these: for error texts. */
	readonly sender: 'client' | 'server';
}

/** What a signed-in client may send; CopyData passes in slices. `lengthMax` replaces single limits. */
export function frontendRules(lengthMax: Partial<Record<keyof typeof frontendCodes, number>> = {}): FrameRules {
	const limits = { ...frontendLengthMax, ...lengthMax };
	return rules('client', frontendName, frontendCodes, limits, ['CopyData']);
}

/** What a client may send while it signs in: the `p` family, and Terminate. */
export function loginRules(): FrameRules {
	const codes = { Password: frontendCodes.Password, Terminate: frontendCodes.Terminate };
	return rules('client', frontendName, codes, frontendLengthMax, []);
}

/**
 * What a server may send; DataRow, CopyData and FunctionCallResponse pass in slices. `whole` lists those of them that
 * shall be held as a whole all the same (then a smaller `lengthMax` is in order).
 */
export function backendRules(
	lengthMax: Partial<Record<keyof typeof backendCodes, number>> = {},
	whole: readonly (keyof typeof backendCodes)[] = [],
): FrameRules {
	const limits = { ...backendLengthMax, ...lengthMax };
	const passing = (['DataRow', 'CopyData', 'FunctionCallResponse'] as const).filter((name) => !whole.includes(name));
	return rules('server', backendName, backendCodes, limits, passing);
}

/**
 * Walks the bytes of one direction of one connection. `push` a chunk, then call `next` until it is false; every `push`
 * must be walked to its end before the following one.
 *
 * After `next()` is true, bytes [start, end) of `buffer` are one frame:
 * - one whole message (`first` and `last`), or
 * - for types that pass in slices, a run of consecutive messages of that one type, of which the first may have begun
 *   earlier (`first` is false) and the last may go on in the next chunk (`last` is false).
 *
 * `buffer` is the pushed chunk itself wherever the frame lies in it, so that neighbouring frames can be forwarded as
 * one slice; otherwise it is a buffer of the framer's own that holds nothing else, which the framer does not touch again.
 */
export class Framer {
	/** Type byte of the frame. */
	type = 0;
	/** What `start` and `end` point into. */
	buffer: Buffer;
	start = 0;
	end = 0;
	/** Messages that begin in this frame: 1, or more for a run, or 0 for a mere continuation. */
	count = 0;
	/** False when the frame's first byte is inside a message that began in an earlier frame. */
	first = true;
	/** False when the frame's last message goes on in the next frame. */
	last = true;

	#rules: FrameRules;
	#chunk: Buffer;
	#position = 0;
	/** Bytes of the passing message that are still to come. */
	#passing = 0;
	/** Beginning of a message that straddles chunks. */
	#held: Buffer;
	#heldBytes = 0;
	/** Whole size of the held message; 0 until its header is complete. */
	#heldTotal = 0;
	#failure: GatewayError | null = null;
	readonly #share: MessageShare | null;
	/** Of the share, for the message that is held or was handed out last. */
	#counted = 0;

	/** `share`: out of which long messages take their room; null: it is not counted. */
	constructor(frameRules: FrameRules, share: MessageShare | null = null) {
		this.#rules = frameRules;
		this.#share = share;
		this.#chunk = nothing;
		this.#held = nothing;
		this.buffer = nothing;
	}

	/** Other rules from the next message on: after login, or for a COPY. */
	set rules(frameRules: FrameRules) {
		this.#rules = frameRules;
	}

	/** True when the stream so far ends at the end of a message. */
	get between(): boolean {
		return this.#position === this.#chunk.length && this.#passing === 0 && this.#heldBytes === 0;
	}

	/** The next bytes of the stream. Empty chunks are fine. The framer refers to `chunk` until it is walked to its end. */
	push(chunk: Buffer): void {
		if (this.#position !== this.#chunk.length) throw new Error('push before the last chunk was walked to its end');
		this.#chunk = chunk;
		this.#position = 0;
	}

	/** Takes back what has not been walked: an incomplete message's beginning and the rest of the chunk. Ends at a frame. */
	takeRest(): Buffer {
		const rest = this.#chunk.subarray(this.#position);
		const all = this.#heldBytes === 0 ? rest : Buffer.concat([this.#held.subarray(0, this.#heldBytes), rest]);
		this.#position = this.#chunk.length;
		this.drop();
		return all;
	}

	/** Forgets a message that is not whole, and gives back its room. Nothing is walked after that. */
	drop(): void {
		this.#release();
		this.#giveBack();
	}

	/**
	 * Moves to the next frame; false when the chunk has no more. Raises 08P01 FATAL for an unknown type or a declared
	 * length beyond its limit, as soon as the header is there, and again at every later call.
	 */
	next(): boolean {
		if (this.#failure !== null) throw this.#failure;
		// Whoever goes on is done with the last one.
		if (this.#counted > 0 && this.#heldBytes === 0) this.#giveBack();
		if (this.#passing > 0) return this.#pass(this.#position, 0);
		if (this.#heldBytes > 0) return this.#resume();
		const chunk = this.#chunk;
		const start = this.#position;
		if (chunk.length - start < headerBytes) return this.#hold();
		const type = chunk[start] as number;
		const total = this.#total(chunk, start);
		if (this.#rules.passes[type] === 1) {
			this.type = type;
			this.#passing = total;
			return this.#pass(start, 1);
		}
		if (total > chunk.length - start) return this.#hold();
		this.type = type;
		this.#whole(chunk, start, start + total);
		this.#position = start + total;
		return true;
	}

	#whole(buffer: Buffer, start: number, end: number): void {
		this.buffer = buffer;
		this.start = start;
		this.end = end;
		this.count = 1;
		this.first = true;
		this.last = true;
	}

	/** A run of `type` messages from `start`, of which `begun` (0 or 1) begins there and has `#passing` bytes left. */
	#pass(start: number, begun: number): boolean {
		const chunk = this.#chunk;
		const available = chunk.length;
		if (start === available) return false;
		const type = this.type;
		let count = begun;
		let end = start + this.#passing;
		while (available - end >= headerBytes && chunk[end] === type) {
			const length = declaredLength(chunk, end);
			// One that is refused is refused by the next call, after what came before it was passed on.
			if (!this.#accepts(type, length)) break;
			count++;
			end += length + 1;
		}
		this.buffer = chunk;
		this.start = start;
		this.count = count;
		this.first = begun === 1;
		if (end > available) {
			this.#passing = end - available;
			end = available;
			this.last = false;
		} else {
			this.#passing = 0;
			this.last = true;
		}
		this.end = end;
		this.#position = end;
		return true;
	}

	/** Keeps the beginning of a message that goes on in the next chunk. */
	#hold(): boolean {
		const rest = this.#chunk.length - this.#position;
		if (rest === 0) {
			// Read buffers are shared among sessions: one that rests keeps none of them.
			this.#chunk = this.buffer = nothing;
			this.#position = 0;
			return false;
		}
		if (rest >= headerBytes) this.#heldTotal = this.#total(this.#chunk, this.#position);
		this.#keep(rest);
		return false;
	}

	/** Goes on with a held message: first its header, then its body. */
	#resume(): boolean {
		if (this.#heldTotal === 0) {
			this.#keep(Math.min(headerBytes - this.#heldBytes, this.#chunk.length - this.#position));
			if (this.#heldBytes < headerBytes) return false;
			const total = this.#total(this.#held, 0);
			const type = this.#held[0] as number;
			if (this.#rules.passes[type] === 1) return this.#passHeader(type, total);
			this.#heldTotal = total;
		}
		this.#keep(Math.min(this.#heldTotal - this.#heldBytes, this.#chunk.length - this.#position));
		if (this.#heldBytes < this.#heldTotal) return false;
		this.type = this.#held[0] as number;
		this.#whole(this.#held, 0, this.#heldTotal);
		this.#release();
		return true;
	}

	/** A passing message whose header straddled chunks: the header is a frame by itself. */
	#passHeader(type: number, total: number): boolean {
		this.type = type;
		this.#whole(this.#held, 0, headerBytes);
		this.#passing = total - headerBytes;
		this.last = this.#passing === 0;
		this.#release();
		return true;
	}

	#keep(length: number): void {
		const needed = this.#heldBytes + length;
		if (needed > this.#held.length) {
			const wanted = Math.max(needed, 2 * this.#held.length, heldBytesFirst);
			const room = this.#heldTotal === 0 ? headerBytes : Math.min(wanted, this.#heldTotal);
			this.#count(room);
			const larger = Buffer.allocUnsafeSlow(room);
			this.#held.copy(larger, 0, 0, this.#heldBytes);
			this.#held = larger;
		}
		this.#chunk.copy(this.#held, this.#heldBytes, this.#position, this.#position + length);
		this.#heldBytes = needed;
		this.#position += length;
	}

	/** Takes room for a message that needs so much now. */
	#count(bytes: number): void {
		if (this.#share === null || bytes <= uncountedBytesMax) return;
		try {
			this.#share.take(bytes - this.#counted);
			this.#counted = bytes;
		} catch (error) {
			this.#failure = error as GatewayError;
			throw error;
		}
	}

	#giveBack(): void {
		if (this.#counted === 0) return;
		this.#share?.give(this.#counted);
		this.#counted = 0;
	}

	#release(): void {
		this.#held = nothing;
		this.#heldBytes = 0;
		this.#heldTotal = 0;
	}

	/** Size of the message whose header is at `at`, type byte included, if it may be so long. */
	#total(bytes: Buffer, at: number): number {
		const type = bytes[at] as number;
		const length = declaredLength(bytes, at);
		if (!this.#accepts(type, length)) throw this.#fail(type, length);
		return length + 1;
	}

	#accepts(type: number, length: number): boolean {
		return length >= 4 && length <= (this.#rules.lengthMax[type] as number);
	}

	#fail(type: number, length: number): GatewayError {
		const { lengthMax, nameOf, sender } = this.#rules;
		const limit = lengthMax[type] as number;
		if (limit === 0) this.#failure = protocolViolation(wordsOfUnknown(type, sender));
		else if (length < 4) this.#failure = protocolViolation(`invalid length ${length} of ${nameOf(type)} message`);
		else {
			const words = `${nameOf(type)} message of ${length} bytes from the ${sender}: at most ${limit} are accepted`;
			this.#failure = protocolViolation(words);
		}
		return this.#failure;
	}
}

const nothing = Buffer.alloc(0);

/** The Int32 after the type byte at `at`: the size of the message without that byte. */
function declaredLength(bytes: Buffer, at: number): number {
	return (
		((bytes[at + 1] as number) << 24) |
		((bytes[at + 2] as number) << 16) |
		((bytes[at + 3] as number) << 8) |
		(bytes[at + 4] as number)
	);
}

function rules<Name extends string>(
	sender: FrameRules['sender'],
	nameOf: FrameRules['nameOf'],
	codes: Readonly<Record<Name, number>>,
	limits: Readonly<Record<NoInfer<Name>, number>>,
	passing: readonly NoInfer<Name>[],
): FrameRules {
	const lengthMax = new Float64Array(256);
	const passes = new Uint8Array(256);
	// Several messages may share a type byte (Authentication*): the largest limit holds for the frame.
	for (const name of Object.keys(codes) as Name[]) {
		lengthMax[codes[name]] = Math.max(lengthMax[codes[name]] as number, limits[name]);
	}
	for (const name of passing) passes[codes[name]] = 1;
	return { lengthMax, passes, nameOf, sender };
}

function wordsOfUnknown(type: number, sender: FrameRules['sender']): string {
	return sender === 'client'
		? `invalid frontend message type ${type}`
		: `unexpected message type ${type} from the server`;
}
