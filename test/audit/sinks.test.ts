/** Sinks: delivered at least once and in order whatever fails, over real TLS and HTTP, bounded, and resumed after a restart. */
import * as fs from 'node:fs';
import { createServer as createHttp, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Server } from 'node:net';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { createServer as createTls, type TLSSocket } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { AuditLog, AuditLogOptions } from '../../src/audit/log.ts';
import { otlpSink } from '../../src/audit/sinks/otlp.ts';
import { type Sink, SinkError, type SinkRecord } from '../../src/audit/sinks/sink.ts';
import { stdoutSink } from '../../src/audit/sinks/stdout.ts';
import { syslogFrame, syslogSink } from '../../src/audit/sinks/syslog.ts';
import { makeCertificate } from '../support/certificates.ts';
import { decision, denial, record } from './samples.ts';
import { accept, openLog, records, success, temporaryDirectory, until } from './support.ts';

const quick = { retryMinMs: 1, retryMaxMs: 5, confirmAfterMs: 20 };

/** A sink in memory that does as `behave` says. */
function memorySink(
	behave: (records: readonly SinkRecord[]) => Promise<void> | void = () => {},
): Sink & { readonly got: SinkRecord[] } {
	const got: SinkRecord[] = [];
	return {
		name: 'memory',
		acknowledges: true,
		got,
		deliver: async (batch) => {
			await behave(batch);
			got.push(...batch);
		},
		close: () => Promise.resolve(),
	};
}

function openWith(sink: Sink, more: Partial<AuditLogOptions> = {}, spoolBytesMax = 1e9) {
	return openLog({ ...more, sinks: [{ sink, spoolBytesMax, limits: quick }] });
}

async function write(log: AuditLog, count: number): Promise<void> {
	for (let n = 0; n < count; n += 1) {
		log.outcome(await accept(log, record({ decision: decision({ sql: `select ${n}` }) })), success);
	}
}

const sequences = (got: readonly SinkRecord[]) => got.map((one) => one.sequence);
const range = (count: number) => Array.from({ length: count }, (_nothing, index) => index);

describe('delivery', () => {
	it('brings every record in order, over segments, with what the log has of it', async () => {
		const sink = memorySink();
		const { log, path } = await openWith(sink, { limits: { segmentBytesMax: 10_000 } });
		await write(log, 30);
		await accept(log, record({ decision: denial() }));
		await log.close();
		const lines = records(path);
		expect(sequences(sink.got)).toEqual(range(lines.length));
		for (const [index, one] of sink.got.entries()) {
			expect(JSON.parse(one.line)).toEqual(lines[index]);
			expect(one).toMatchObject({
				uid: lines[index]?.metadata.uid,
				code: lines[index]?.metadata.event_code,
				timeMs: lines[index]?.time,
			});
		}
		expect(sink.got.find((one) => one.code === 'statement' && one.severity === 3)).toBeDefined();
	});

	it('goes on after failures, without a gap', async () => {
		let calls = 0;
		const sink = memorySink(() => {
			calls += 1;
			if (calls % 3 !== 0) throw new Error('planted');
		});
		const troubles: (string | null)[] = [];
		const { log, path } = await openWith(sink, { onTrouble: (_what, error) => troubles.push(error?.message ?? null) });
		await write(log, 40);
		await until(() => log.stats.sinks[0]?.lagRecords === 0);
		await log.close();
		expect(sequences(sink.got)).toEqual(range(records(path).length));
		expect(troubles.slice(0, 2)).toEqual(['planted', null]);
	});

	it('makes smaller batches for a receiver that cannot take them', async () => {
		const sizes: number[] = [];
		const sink = memorySink((batch) => {
			sizes.push(batch.length);
			if (batch.length > 5) throw new SinkError('too large', { tooLarge: true });
		});
		const { log, path } = await openWith(sink);
		await Promise.all(range(100).map(() => accept(log, record())));
		await until(() => log.stats.sinks[0]?.lagRecords === 0);
		await log.close();
		expect(sequences(sink.got)).toEqual(range(records(path).length));
		expect(Math.max(...sizes)).toBeGreaterThan(5);
	});

	it('resumes after a restart where the sink got to', async () => {
		let open = true;
		const sink = memorySink(async (batch) => {
			if (!open || batch.some((one) => one.sequence > 20)) {
				open = false;
				throw new Error('down');
			}
		});
		const first = await openWith(sink, { limits: { segmentBytesMax: 10_000, closeGraceMs: 20 } });
		await write(first.log, 20);
		await first.log.close();
		expect(sink.got.length).toBeLessThan(records(first.path).length);
		const again = memorySink();
		const second = await openWith(again, { path: first.path });
		await until(() => second.log.stats.sinks[0]?.lagRecords === 0);
		await second.log.close();
		const all = new Set([...sequences(sink.got), ...sequences(again.got)]);
		expect([...all].toSorted((a, b) => a - b)).toEqual(range(records(first.path).length));
		// Nothing that was acknowledged comes again.
		expect(sequences(again.got).filter((sequence) => sequences(sink.got).includes(sequence))).toEqual([]);
	});

	it('does not count as delivered what went over a connection that broke while the process was held up', async () => {
		const given: string[] = [];
		let watched = '';
		let tell: (error: Error) => void = () => {};
		const holdUp = (): void => {
			const end = performance.now() + 2 * quick.confirmAfterMs;
			while (performance.now() < end);
			// The time is up, and what the socket has to say comes behind the timers.
			setImmediate(() => tell(new Error('connection lost')));
		};
		const { log } = await openWith({
			name: 'late',
			acknowledges: false,
			deliver: (batch) => {
				const uids = batch.map(({ uid }) => uid);
				if (watched === 'next') {
					watched = uids[0] ?? '';
					setTimeout(holdUp);
				}
				given.push(...uids);
				return Promise.resolve();
			},
			onBroken: (broken) => {
				tell = broken;
			},
			close: () => Promise.resolve(),
		});
		await until(() => log.stats.sinks[0]?.lagRecords === 0);
		watched = 'next';
		await accept(log, record());
		await until(() => given.filter((uid) => uid === watched).length > 1);
	});

	it('takes a record that is longer than a batch', async () => {
		const sink = memorySink();
		const { log, path } = await openWith(sink);
		const sql = `select '${'x'.repeat(3_000_000)}'`;
		await accept(log, record({ decision: decision({ sql, rewritten: sql }) }));
		await log.close();
		expect(sequences(sink.got)).toEqual(range(records(path).length));
	});

	it('that is too far behind refuses statements, and lets them go on when it has caught up', async () => {
		let down = true;
		const sink = memorySink(() => {
			if (down) throw new Error('down');
		});
		const limits = { checkpointIntervalMs: 10, retryIntervalMs: 10, closeGraceMs: 10 };
		const { log } = await openWith(sink, { limits }, 20_000);
		let refused: unknown = null;
		while (refused === null) {
			await accept(log, record()).catch((error: unknown) => {
				refused = error;
			});
		}
		expect(refused).toMatchObject({ sqlstate: '53100', message: expect.stringContaining('memory') });
		expect(log.stats.sinks[0]).toMatchObject({ sink: 'memory', lastError: 'down' });
		expect(log.stats.sinks[0]?.lagBytes).toBeGreaterThan(20_000);
		down = false;
		await until(() => log.stats.blockedBy === null);
		await accept(log, record());
	});

	it('of a sink that was not configured for long tells what it will never get', async () => {
		const { log, path } = await openWith(memorySink());
		await write(log, 3);
		await log.close();
		const without = await openLog({ path, retention: { compress: true } });
		await until(() => fs.readdirSync(path).some((name) => name.endsWith('.gz')));
		await without.log.close();
		const cursor = join(path, 'sinks', 'memory.cursor');
		fs.writeFileSync(cursor, JSON.stringify({ segment: 1, offset: 0, sequence: 4 }));
		const sink = memorySink();
		const again = await openWith(sink, { path });
		await again.log.close();
		expect(sink.got.find((one) => one.code === 'audit-gap')?.line).toContain('"sink":"memory","first":4,"last":');
	});
});

describe('standard output', () => {
	it('has a line for each record', async () => {
		const stream = new PassThrough();
		let text = '';
		stream.on('data', (bytes: Buffer) => {
			text += bytes.toString();
		});
		const { log, path } = await openWith(stdoutSink(stream));
		await write(log, 2);
		await log.close();
		expect(
			text
				.trimEnd()
				.split('\n')
				.map((line) => JSON.parse(line) as unknown),
		).toEqual(records(path));
	});
});

interface Receiver {
	readonly port: number;
	readonly messages: string[];
	readonly sockets: Set<TLSSocket>;
	readonly server: Server;
}

/** Reads octet-counted frames. */
async function syslogReceiver(certificate: { cert: string; key: string }): Promise<Receiver> {
	const messages: string[] = [];
	const sockets = new Set<TLSSocket>();
	const server = createTls({ cert: certificate.cert, key: certificate.key }, (socket) => {
		sockets.add(socket);
		let rest = Buffer.alloc(0);
		socket.on('error', () => {});
		socket.on('close', () => sockets.delete(socket));
		socket.on('data', (bytes: Buffer) => {
			rest = Buffer.concat([rest, bytes]);
			for (;;) {
				const space = rest.indexOf(0x20);
				const length = Number(rest.toString('latin1', 0, Math.max(space, 0)));
				if (space < 1 || rest.length < space + 1 + length) return;
				messages.push(rest.toString('utf8', space + 1, space + 1 + length));
				rest = rest.subarray(space + 1 + length);
			}
		});
	});
	const port = await listening(server);
	onTestFinished(() => {
		for (const socket of sockets) socket.destroy();
	});
	return { port, messages, sockets, server };
}

async function listening(server: Server): Promise<number> {
	await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
	onTestFinished(() => {
		server.close();
	});
	return (server.address() as AddressInfo).port;
}

describe('syslog (RFC 5424 over TLS, RFC 5425)', () => {
	const authority = makeCertificate({ name: 'Test CA', authority: true });
	const server = makeCertificate({ name: 'syslog', hosts: ['127.0.0.1'], issuer: authority });

	it('frames a record', () => {
		const one: SinkRecord = {
			sequence: 7,
			uid: 'ab-7',
			code: 'login-failed',
			timeMs: 0,
			severity: 3,
			line: '{"a":"ä"}',
		};
		const want = `<108>1 1970-01-01T00:00:00.000Z gw portcullis ${process.pid} login-failed [meta sequenceId="8"][portcullis@32473 uid="ab-7"] {"a":"ä"}`;
		expect(syslogFrame(one, { hostname: 'gw' }).toString()).toBe(`${Buffer.byteLength(want)} ${want}`);
		expect(syslogFrame(one, { hostname: 'a b\n' }).toString()).toContain(' ab portcullis ');
	});

	it('brings every record', async () => {
		const receiver = await syslogReceiver(server);
		const sink = syslogSink({ host: '127.0.0.1', port: receiver.port, tls: { ca: authority.cert } });
		const { log, path } = await openWith(sink);
		await write(log, 20);
		await log.close();
		await until(() => receiver.messages.length === records(path).length);
		expect(receiver.messages.map((message) => JSON.parse(message.slice(message.indexOf('{'))) as unknown)).toEqual(
			records(path),
		);
	});

	it('sends again what a broken connection may have lost', async () => {
		const receiver = await syslogReceiver(server);
		const sink = syslogSink({ host: '127.0.0.1', port: receiver.port, tls: { ca: authority.cert } });
		const { log, path } = await openWith(sink);
		for (let round = 0; round < 5; round += 1) {
			await write(log, 10);
			await until(() => receiver.sockets.size > 0);
			for (const socket of receiver.sockets) socket.destroy();
		}
		await until(() => log.stats.sinks[0]?.lagRecords === 0);
		await log.close();
		await until(() => new Set(receiver.messages.map(uidOf)).size === records(path).length);
		expect(new Set(receiver.messages.map(uidOf))).toEqual(new Set(records(path).map((line) => line.metadata.uid)));
	});

	it('keeps its connection when the time for a delivery is over that opened it, and ends it in order', async () => {
		const receiver = await syslogReceiver(server);
		let connections = 0;
		receiver.server.on('secureConnection', (socket: TLSSocket) => {
			connections += 1;
			socket.on('end', () => ends.push('in order')).on('error', () => ends.push('broken'));
		});
		const ends: string[] = [];
		const sink = syslogSink({ host: '127.0.0.1', port: receiver.port, tls: { ca: authority.cert } });
		const one = (sequence: number): SinkRecord => ({
			sequence,
			uid: `ab-${sequence}`,
			code: 'login',
			timeMs: 0,
			severity: 1,
			line: '{}',
		});
		for (const sequence of [0, 1, 2]) {
			const time = new AbortController();
			await sink.deliver([one(sequence)], time.signal);
			time.abort();
		}
		await until(() => receiver.messages.length === 3);
		await sink.close();
		await until(() => ends.length > 0);
		expect([connections, ends]).toEqual([1, ['in order']]);
	});

	it('does not talk to a server whose certificate it does not trust', async () => {
		const receiver = await syslogReceiver(server);
		const sink = syslogSink({ host: '127.0.0.1', port: receiver.port, tls: {} });
		const { log } = await openWith(sink, { limits: { closeGraceMs: 10 } });
		await until(() => log.stats.sinks[0]?.lastError !== null);
		expect(log.stats.sinks[0]?.lastError).toMatch(/certificate/);
		expect(receiver.messages).toEqual([]);
	});
});

const uidOf = (message: string) => /uid="([^"]+)"/.exec(message)?.[1];

interface Collected {
	readonly url: string;
	readonly lines: string[];
	readonly headers: IncomingMessage['headers'][];
}

async function collector(
	answer: (count: number, records: number) => { status: number; headers?: Record<string, string>; body?: string },
): Promise<Collected> {
	const lines: string[] = [];
	const headers: IncomingMessage['headers'][] = [];
	let count = 0;
	const handle = (request: IncomingMessage, response: ServerResponse) => {
		const chunks: Buffer[] = [];
		request.on('data', (chunk: Buffer) => chunks.push(chunk));
		request.on('end', () => {
			const body = JSON.parse(Buffer.concat(chunks).toString()) as {
				resourceLogs: { scopeLogs: { logRecords: { body: { stringValue: string } }[] }[] }[];
			};
			const got = body.resourceLogs.flatMap((resource) =>
				resource.scopeLogs.flatMap((scope) => scope.logRecords.map((one) => one.body.stringValue)),
			);
			count += 1;
			headers.push(request.headers);
			const { status, headers: extra = {}, body: text = '{}' } = answer(count, got.length);
			if (status === 200 && text === '{}') lines.push(...got);
			response.writeHead(status, { 'content-type': 'application/json', ...extra }).end(text);
		});
	};
	const server = createHttp(handle);
	const port = await listening(server);
	return { url: `http://127.0.0.1:${port}/v1/logs`, lines, headers };
}

describe('OTLP/HTTP', () => {
	it('brings every record, with the headers', async () => {
		const got = await collector(() => ({ status: 200 }));
		const { log, path } = await openWith(otlpSink({ url: got.url, headers: { authorization: 'Bearer x' } }));
		await write(log, 10);
		await log.close();
		expect(got.lines.map((line) => JSON.parse(line) as unknown)).toEqual(records(path));
		expect(got.headers[0]).toMatchObject({ authorization: 'Bearer x', 'content-type': 'application/json' });
	});

	const failures: readonly { name: string; answer: Parameters<typeof collector>[0]; error: RegExp }[] = [
		{
			name: '503 with Retry-After',
			answer: (count) => (count === 1 ? { status: 503, headers: { 'retry-after': '0' } } : { status: 200 }),
			error: /503/,
		},
		{ name: '401', answer: (count) => ({ status: count < 3 ? 401 : 200 }), error: /401/ },
		{ name: '413 until batches are small', answer: (_count, size) => ({ status: size > 3 ? 413 : 200 }), error: /413/ },
		{
			name: 'a partial success',
			answer: (count) => ({
				status: 200,
				body: count === 1 ? '{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"full"}}' : '{}',
			}),
			error: /2 records were rejected: full/,
		},
		{
			name: 'a redirect',
			answer: (count) => (count === 1 ? { status: 302, headers: { location: '/elsewhere' } } : { status: 200 }),
			error: /./,
		},
	];
	it.each(failures)('tries again after $name', async ({ answer, error }) => {
		const got = await collector(answer);
		const seen: string[] = [];
		const { log, path } = await openWith(otlpSink({ url: got.url }), {
			onTrouble: (_what, trouble) => seen.push(trouble?.message ?? ''),
		});
		await Promise.all(range(8).map(() => accept(log, record())));
		await until(() => log.stats.sinks[0]?.lagRecords === 0);
		await log.close();
		expect(got.lines.map((line) => (JSON.parse(line) as { metadata: { sequence: number } }).metadata.sequence)).toEqual(
			range(records(path).length),
		);
		expect(seen[0]).toMatch(error);
	});

	it('that nobody answers is behind, and says so', async () => {
		const url = `http://127.0.0.1:${await closedPort()}/v1/logs`;
		const { log } = await openWith(otlpSink({ url }), { limits: { closeGraceMs: 10 } });
		await until(() => log.stats.sinks[0]?.lastError !== null);
		expect(log.stats.sinks[0]?.lagRecords).toBeGreaterThan(0);
	});
});

async function closedPort(): Promise<number> {
	const server = createHttp();
	await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
	const { port } = server.address() as AddressInfo;
	await new Promise((resolve) => server.close(resolve));
	return port;
}

it('keeps its place in a file for the owner alone', async () => {
	const path = join(temporaryDirectory(), 'audit');
	const { log } = await openWith(memorySink(), { path });
	await log.close();
	expect(fs.statSync(join(path, 'sinks')).mode & 0o777).toBe(0o700);
	expect(fs.statSync(join(path, 'sinks', 'memory.cursor')).mode & 0o777).toBe(0o600);
});
