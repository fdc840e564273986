/** The gateway's own queries against a server that answers what it is told to: split anywhere, malformed, endless. */
import { createServer, type Socket } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type BackendConnection, connectBackend } from '../../src/backend/connection.ts';
import { query, type Rows } from '../../src/backend/query.ts';
import { GatewayError } from '../../src/errors.ts';
import {
	encodeAuthenticationOk,
	encodeBackendKeyData,
	encodeParameterStatus,
	encodeReadyForQuery,
} from '../../src/wire/encode.ts';

const WELCOME = Buffer.concat([
	encodeAuthenticationOk(),
	...Object.entries({
		server_version: '18.0',
		standard_conforming_strings: 'on',
		server_encoding: 'UTF8',
		client_encoding: 'UTF8',
	}).map(([name, value]) => encodeParameterStatus(name, value)),
	encodeBackendKeyData(7, Buffer.alloc(4)),
	encodeReadyForQuery('I'),
]);

/** A server that lets everybody in; `answer` is called with the socket and the bytes of each message after that. */
async function connect(answer: (socket: Socket, bytes: Buffer) => void): Promise<BackendConnection> {
	const server = createServer((socket) => {
		socket.setNoDelay(true);
		socket.on('error', () => undefined);
		socket.once('data', () => {
			socket.write(WELCOME);
			socket.on('data', (bytes) => answer(socket, bytes));
		});
	});
	await new Promise<void>((resolve) => {
		server.listen(0, '127.0.0.1', resolve);
	});
	const { port } = server.address() as { port: number };
	const target = {
		host: '127.0.0.1',
		port,
		dbname: 'd',
		user: 'u',
		password: () => null,
		tls: { mode: 'disable' },
	} as const;
	const connection = await connectBackend(target, {});
	onTestFinished(async () => {
		await connection.close();
		server.close();
	});
	return connection;
}

function frame(type: string, ...parts: readonly (Buffer | string)[]): Buffer {
	const body = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)));
	const head = Buffer.alloc(5);
	head.write(type, 0, 'latin1');
	head.writeInt32BE(body.length + 4, 1);
	return Buffer.concat([head, body]);
}

const int16 = (value: number): Buffer => Buffer.from([(value >> 8) & 0xff, value & 0xff]);
const int32 = (value: number): Buffer => {
	const bytes = Buffer.alloc(4);
	bytes.writeInt32BE(value);
	return bytes;
};

const described = (...names: readonly string[]): Buffer =>
	frame('T', int16(names.length), ...names.flatMap((name) => [`${name}\0`, Buffer.alloc(18)]));
const row = (...values: readonly (string | null)[]): Buffer =>
	frame(
		'D',
		int16(values.length),
		...values.flatMap((value) => (value === null ? [int32(-1)] : [int32(Buffer.byteLength(value)), value])),
	);
const ready = frame('Z', 'I');
const notice = frame('N', 'SNOTICE\0', 'VNOTICE\0', 'C00000\0', 'Mhello\0', '\0');
const error = frame('E', 'SFEHLER\0', 'VERROR\0', 'C42P01\0', 'Mno such table\0', 'Ddetail\0', 'Hhint\0', '\0');

const ANSWER = Buffer.concat([
	notice,
	described('a', 'b'),
	row('1', null),
	row('\u00fc\u{1f600}', ''),
	frame('S', 'TimeZone\0', 'UTC\0'),
	frame('A', int32(9), 'channel\0', 'payload\0'),
	frame('C', 'SELECT 2\0'),
	ready,
]);
const ROWS: Rows = [
	['1', null],
	['\u00fc\u{1f600}', ''],
];

describe('an answer', () => {
	test('is read the same however it is split', async () => {
		let cut = 0;
		const connection = await connect((socket) => {
			socket.write(ANSWER.subarray(0, cut), () => socket.write(ANSWER.subarray(cut)));
		});
		for (cut = 0; cut <= ANSWER.length; cut++) expect([cut, await query(connection, 'select 1')]).toEqual([cut, ROWS]);
	});

	test('byte by byte', async () => {
		const connection = await connect((socket) => {
			const left = [...ANSWER];
			const next = (): void => {
				const byte = left.shift();
				if (byte !== undefined) socket.write(Buffer.from([byte]), () => setImmediate(next));
			};
			next();
		});
		expect(await query(connection, 'select 1')).toEqual(ROWS);
	});

	test('ends at ReadyForQuery: what came behind it is left for the next reader', async () => {
		const behind = frame('A', int32(9), 'channel\0', 'payload\0');
		const connection = await connect((socket) => socket.write(Buffer.concat([ANSWER, behind])));
		await query(connection, 'select 1');
		const got: Buffer[] = [];
		await new Promise<void>((resolve) => {
			connection.attach({
				data: (chunk) => {
					got.push(Buffer.from(chunk));
					if (Buffer.concat(got).length >= behind.length) resolve();
				},
				closed: () => undefined,
			});
		});
		expect(Buffer.concat(got)).toEqual(behind);
	});

	test('with an error is that error, in any language of the server', async () => {
		const connection = await connect((socket) => socket.write(Buffer.concat([row('1'), error, ready])));
		const failure: unknown = await query(connection, 'select 1').catch((reason: unknown) => reason);
		expect(failure).toBeInstanceOf(GatewayError);
		const want = { sqlstate: '42P01', message: 'no such table', detail: 'detail', hint: 'hint', severity: 'ERROR' };
		expect(failure).toMatchObject(want);
		expect(connection.alive).toBe(true);
	});
});

describe('what was sent', () => {
	test('is one Query message', async () => {
		const sent: Buffer[] = [];
		const connection = await connect((socket, bytes) => {
			sent.push(bytes);
			socket.write(ready);
		});
		await query(connection, "select '\u00fc'");
		expect(Buffer.concat(sent)).toEqual(frame('Q', "select '\u00fc'\0"));
		await expect(query(connection, 'select 1\0Q')).rejects.toThrow(/zero byte/);
		expect(sent).toHaveLength(1);
	});

	test('a COPY that nobody wanted is failed', async () => {
		const sent: Buffer[] = [];
		const connection = await connect((socket, bytes) => {
			sent.push(bytes);
			socket.write(sent.length === 1 ? frame('G', Buffer.from([0]), int16(0)) : Buffer.concat([error, ready]));
		});
		await expect(query(connection, 'copy t from stdin')).rejects.toMatchObject({ sqlstate: '42P01' });
		expect(sent[1]).toEqual(frame('f', 'not supported by the gateway\0'));
	});
});

describe('a server that breaks the protocol', () => {
	const rows: { name: string; answer: Buffer; sqlstate: string; bytesMax?: number }[] = [
		{ name: 'an unknown message', answer: frame('!', 'x'), sqlstate: '08P01' },
		{ name: 'a length below four', answer: Buffer.from([0x44, 0, 0, 0, 1]), sqlstate: '08P01' },
		{ name: 'a row longer than any may be', answer: Buffer.from([0x44, 0x7f, 0, 0, 0]), sqlstate: '08P01' },
		{ name: 'an error without an end', answer: frame('E', 'SERROR\0', 'C42P01\0'), sqlstate: '08P01' },
		{ name: 'a notice without an end', answer: frame('N', 'S'), sqlstate: '08P01' },
		{ name: 'a row without a count', answer: frame('D', Buffer.from([0])), sqlstate: '08P01' },
		{ name: 'a row with fewer values', answer: frame('D', int16(2), int32(1), 'a'), sqlstate: '08P01' },
		{ name: 'a row with more bytes', answer: frame('D', int16(1), int32(1), 'ab'), sqlstate: '08P01' },
		{ name: 'a value beyond its row', answer: frame('D', int16(1), int32(9), 'a'), sqlstate: '08P01' },
		{ name: 'a value of length -2', answer: frame('D', int16(1), int32(-2)), sqlstate: '08P01' },
		{ name: 'a negative count', answer: frame('D', int16(-1)), sqlstate: '08P01' },
		{ name: 'a description cut short', answer: frame('T', int16(1), 'name\0', int32(0)), sqlstate: '08P01' },
		{ name: 'ready without a status', answer: frame('Z'), sqlstate: '08P01' },
		{
			name: 'rows without end',
			answer: Buffer.concat(Array.from({ length: 40 }, () => row('x'.repeat(100)))),
			sqlstate: '54000',
			bytesMax: 1000,
		},
	];
	test.each(rows)('$name: $sqlstate, and the connection is gone', async ({ answer, sqlstate, bytesMax }) => {
		const connection = await connect((socket) => socket.write(answer));
		await expect(query(connection, 'select 1', bytesMax)).rejects.toMatchObject({ sqlstate, severity: 'FATAL' });
		expect(connection.alive).toBe(false);
	});

	test('one that leaves: 08006', async () => {
		const connection = await connect((socket) => socket.end(ANSWER.subarray(0, 30)));
		await expect(query(connection, 'select 1')).rejects.toMatchObject({ sqlstate: '08006' });
	});
});
