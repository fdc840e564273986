/** The one way to the backend: bytes in the order of the client's messages, statements held until their record is written. */
import type { Writable } from 'node:stream';
import type { AuditReceipt } from '../stages.ts';
import { Gather } from './gather.ts';

/** Items that have gone out are removed from the front of the queue in lots of this many. */
const compactAfter = 256;

/** A place in the order, taken before the record of the statement is known to be written. */
export interface Held {
	/** Lets the bytes go. The receipt is the proof that the record is in the log: without one this does not compile. */
	forwardStatement(receipt: AuditReceipt): void;
	/** For a statement that is refused: nothing goes to the backend, `act` runs when its turn has come. */
	answerInstead(receipt: AuditReceipt, act: () => void): void;
}

class Item implements Held {
	bytes: Buffer;
	/** Bytes behind `bytes` in the same memory that belong to the messages that follow. */
	more = 0;
	waiting: boolean;
	act: (() => void) | null = null;
	readonly #outbox: Outbox;

	constructor(outbox: Outbox, bytes: Buffer, waiting: boolean) {
		this.#outbox = outbox;
		this.bytes = bytes;
		this.waiting = waiting;
	}

	/** Takes in what lies right behind it: what follows a statement in order and in memory goes out in one slice with it. */
	extend(bytes: Buffer): boolean {
		const own = this.bytes;
		if (own.length === 0 || own.byteOffset + own.length + this.more !== bytes.byteOffset) return false;
		if (own.buffer !== bytes.buffer) return false;
		this.more += bytes.length;
		return true;
	}

	/** All of it. */
	get slice(): Buffer {
		const { bytes, more } = this;
		return more === 0 ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length + more);
	}

	forwardStatement(_receipt: AuditReceipt): void {
		this.#outbox.release(this);
	}

	answerInstead(_receipt: AuditReceipt, act: () => void): void {
		this.act = act;
		this.#outbox.release(this);
	}
}

export class Outbox {
	#socket: Writable | null;
	/** What waits, or stands behind something that waits. */
	readonly #items: Item[] = [];
	#head = 0;
	#waiting = 0;
	/** Bytes in `#items`. */
	#bytes = 0;
	/** What may go out, in order, not yet written. */
	readonly #batch = new Gather();
	#scheduled = false;
	#inMessage = false;
	#closed = false;

	/** Null: there is no backend yet. */
	constructor(socket: Writable | null) {
		this.#socket = socket;
	}

	/** Bytes that wait for a receipt or for the kernel. */
	get pendingBytes(): number {
		return this.#bytes + this.#batch.bytes + (this.#socket?.writableLength ?? 0);
	}

	/** True when the kernel takes no more; the socket will say `drain`. */
	get needsDrain(): boolean {
		return this.#socket?.writableNeedDrain === true;
	}

	/** Another backend, or none for now. Nothing waits here then. */
	point(socket: Writable | null): void {
		this.#socket = socket;
	}

	/** The backend waits for the rest of a CopyData message: anything else that it gets, it takes for that. */
	get inMessage(): boolean {
		return this.#inMessage;
	}

	/** True when nothing waits here and every message is whole; the kernel may still have to take what was written. */
	get empty(): boolean {
		return this.#head === this.#items.length && this.#batch.bytes === 0 && !this.#inMessage;
	}

	/** Takes the place of a statement. Its bytes stay here until the receipt comes. */
	holdStatement(bytes: Buffer): Held {
		const item = new Item(this, bytes, true);
		this.#items.push(item);
		this.#waiting += 1;
		this.#bytes += bytes.length;
		return item;
	}

	/** A slice of CopyData. `last`: it ends a message. */
	forwardData(bytes: Buffer, last: boolean): void {
		this.#inMessage = !last;
		this.forwardControl(bytes);
	}

	/** Messages that start nothing by themselves: Sync, Flush, Describe, Close and the gateway's own. Written by `flush`. */
	forwardControl(bytes: Buffer): void {
		const items = this.#items;
		if (this.#head === items.length) {
			this.#batch.add(bytes);
			return;
		}
		this.#bytes += bytes.length;
		const last = items[items.length - 1] as Item;
		if (last.act !== null || !last.extend(bytes)) items.push(new Item(this, bytes, false));
	}

	/** Writes what may go, at the end of a turn of whoever filled the outbox. */
	flush(): void {
		this.#scheduled = false;
		if (this.#closed) return;
		this.#advance();
		if (this.#socket !== null) this.#batch.writeTo(this.#socket);
	}

	/** Nothing goes out any more, whatever receipts still come. */
	close(): void {
		this.#closed = true;
		this.#items.length = 0;
		this.#head = 0;
		this.#batch.clear();
		this.#bytes = 0;
	}

	/** For `Item` alone. Receipts of one turn come in a row: the last of them writes, or the end of the turn does. */
	release(item: Item): void {
		if (!item.waiting || this.#closed) return;
		item.waiting = false;
		this.#waiting -= 1;
		if (this.#waiting === 0) this.flush();
		else if (!this.#scheduled) {
			this.#scheduled = true;
			queueMicrotask(() => this.flush());
		}
	}

	/** Moves what no longer waits from the front to the batch. */
	#advance(): void {
		const items = this.#items;
		while (this.#head < items.length) {
			const item = items[this.#head] as Item;
			if (item.waiting) break;
			this.#head += 1;
			this.#bytes -= item.bytes.length + item.more;
			if (item.act === null) this.#batch.add(item.slice);
			else item.act();
		}
		if (this.#head === items.length) items.length = 0;
		else if (this.#head >= compactAfter) items.splice(0, this.#head);
		else return;
		this.#head = 0;
	}
}
