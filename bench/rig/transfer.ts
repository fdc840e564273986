/** Reads a whole result as fast as a client can, throwing it away: only the bytes are counted. */
import { connectBackend } from '../../src/backend/connection.ts';
import { encodeQuery } from '../../src/wire/encode.ts';
import { DATABASE, type Stage, type Target } from './stage.ts';
import { ROLE } from './tables.ts';

/** ReadyForQuery, outside of a transaction. */
const lastBytes = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);
const errorResponse = 0x45;

/** Runs one Query. Answers the bytes of its replies. Throws Error when it fails. */
export async function drainQuery(stage: Stage, target: Target, sql: string): Promise<number> {
	const { password } = stage;
	const place = { host: '127.0.0.1', port: target.port, dbname: DATABASE, user: ROLE };
	const connection = await connectBackend(
		{ ...place, password: () => password, tls: { mode: 'disable' } },
		{ application_name: 'bench' },
		{ readBuffer: Buffer.allocUnsafe(256 * 1024) },
	);
	try {
		return await new Promise<number>((resolve, reject) => {
			let bytes = 0;
			let tail: Buffer = Buffer.alloc(0);
			connection.attach({
				data: (chunk) => {
					if (bytes === 0 && chunk[0] === errorResponse) reject(new Error(chunk.toString('latin1')));
					bytes += chunk.length;
					// A copy: the chunk's memory is read into again.
					tail = Buffer.concat([tail, chunk.subarray(-lastBytes.length)]).subarray(-lastBytes.length);
					if (tail.equals(lastBytes)) resolve(bytes);
				},
				closed: (error) => reject(error ?? new Error('the connection ended')),
			});
			connection.socket.write(encodeQuery(sql));
		});
	} finally {
		await connection.close();
	}
}
