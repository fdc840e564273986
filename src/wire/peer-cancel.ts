/** A CancelRequest that one gateway hands on to another: the client's key behind a mark, so that it is not handed on again. */
import { encodeCancelRequest } from './encode.ts';

/**
 * In front of a forwarded key. The whole is longer than any key that a gateway gives out (4 or 32 bytes), so that no key can be
 * taken for it, and shorter than what protocol 3.2 lets a key be.
 */
const mark = Buffer.from('portcullis:peer\u0001', 'latin1');

/** Longest text of an address that is passed along. */
const addressBytesMax = 45;

/** Lengths of the keys that a gateway gives to its clients: protocol 3.0, and 3.2. */
export const ownKeyLengths: readonly number[] = [4, 32];

/** What one gateway tells another. */
export interface ForwardedCancel {
	readonly pid: number;
	/** As the client has it. */
	readonly key: Buffer;
	/** Where the client's request came from, as the gateway that hands it on sees it; empty where it does not know. */
	readonly clientAddress: string;
	readonly clientPort: number;
}

/** After the mark: length and text of the address, the port, and the key. Raises RangeError for a key that no gateway gives out. */
export function encodeForwardedCancel({ pid, key, clientAddress, clientPort }: ForwardedCancel): Buffer {
	if (!ownKeyLengths.includes(key.length)) throw new RangeError(`a key of ${key.length} bytes is of no gateway`);
	const address = Buffer.from(isAddress(clientAddress) ? clientAddress : '', 'latin1');
	const head = Buffer.alloc(1 + address.length + 2);
	head.writeUInt8(address.length, 0);
	address.copy(head, 1);
	head.writeUInt16BE(clientPort & 0xffff, 1 + address.length);
	return encodeCancelRequest(pid, Buffer.concat([mark, head, key]));
}

/** What a CancelRequest with this key hands on; null: it is a client's own. Anybody may send one: nothing in it is proven. */
export function readForwardedCancel(pid: number, marked: Buffer): ForwardedCancel | null {
	if (!marked.subarray(0, mark.length).equals(mark)) return null;
	const addressAt = mark.length + 1;
	const addressBytes = marked[mark.length] ?? 0;
	const keyAt = addressAt + addressBytes + 2;
	if (addressBytes > addressBytesMax || !ownKeyLengths.includes(marked.length - keyAt)) return null;
	const clientAddress = marked.toString('latin1', addressAt, addressAt + addressBytes);
	if (!isAddress(clientAddress)) return null;
	return { pid, key: marked.subarray(keyAt), clientAddress, clientPort: marked.readUInt16BE(keyAt - 2) };
}

/** Of the characters that addresses are written with: it goes into records. */
function isAddress(text: string): boolean {
	return text.length <= addressBytesMax && /^[0-9a-fA-F:.]*$/.test(text);
}
