/** Reads clients' sockets into memory that all of them share, and copies what came: Node makes 64 kB for each read otherwise. */
import { Socket } from 'node:net';
import { Duplex } from 'node:stream';

/** What one read takes at most, as in Node. */
export const readBytes = 64 * 1024;

/** A read of so many bytes is handed on as it is, and the socket reads into memory of its own until there is less to read. */
const ownFromBytes = readBytes / 2;

/** What Node has beneath a socket. It is no part of its interface: where it looks different, sockets stay as they are. */
interface Handle {
	readStart(): unknown;
	readStop(): unknown;
}

interface Accepted {
	_handle?: Partial<Handle> | null;
}

/**
 * The same connection as a socket that reads into `shared`, at least `readBytes` long. Everything else is as with `accepted`, which
 * must be fresh from a server with `pauseOnConnect`, and is of no more use; or it is `accepted`, where Node does not offer that.
 */
export function readingInto(shared: Buffer, accepted: Socket): Socket {
	const beneath = accepted as unknown as Accepted;
	const { _handle: handle } = beneath;
	if (typeof handle?.readStart !== 'function' || typeof handle.readStop !== 'function') return accepted;
	// One that is not shared: what is read into it belongs to whoever gets it.
	let own: Buffer | null = null;
	const callback = (bytes: number): boolean => {
		const read = own;
		own = bytes >= ownFromBytes ? Buffer.allocUnsafeSlow(readBytes) : null;
		const whole = read !== null && bytes >= ownFromBytes;
		const chunk = whole ? read.subarray(0, bytes) : Buffer.from((read ?? shared).subarray(0, bytes));
		try {
			if (socket.readableFlowing !== true || socket.readableLength > 0) return socket.push(chunk);
			// The stream would do the same, on a longer way.
			socket.emit('data', chunk);
			return true;
		} catch (error) {
			// Node would go on reading into what has been handed on.
			socket.destroy();
			throw error;
		}
	};
	const onread = { buffer: () => own ?? shared, callback };
	const options = { handle, onread, allowHalfOpen: accepted.allowHalfOpen };
	beneath._handle = null;
	const socket = new Socket(options);
	// Node's own would not hear of a client that has gone, as long as it is not read.
	socket.pause = () => Duplex.prototype.pause.call(socket) as Socket;
	// The server counts what it has accepted.
	socket.once('close', () => accepted.destroy());
	return socket;
}
