/** Sinks that are engines: a real NATS server with JetStream and a real PostgreSQL, each stopped or broken in the middle. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import pg from 'pg';
import { describe, expect, it, onTestFinished } from 'vitest';
import { natsSink } from '../../src/audit/sinks/nats.ts';
import { postgresSink } from '../../src/audit/sinks/postgres.ts';
import type { Sink } from '../../src/audit/sinks/sink.ts';
import { createDatabase } from '../support/postgres.ts';
import { decision, record } from './samples.ts';
import { accept, logText, openLog, records, success, temporaryDirectory, until } from './support.ts';

const limits = { retryMinMs: 5, retryMaxMs: 50 };

async function openWith(sink: Sink) {
	return openLog({ sinks: [{ sink, spoolBytesMax: 1e9, limits }], limits: { closeGraceMs: 10_000 } });
}

const hasNats = spawnSync('nats-server', ['--version']).status === 0;
if (!hasNats)
	console.warn('nats-server is not installed (Debian: nats-server): the tests of the NATS sink are left out');

/** Starts a server on a free port, or again on the same. */
async function startNats(store: string, port = -1): Promise<{ port: number; child: ChildProcess }> {
	const child = spawn('nats-server', ['-js', '-a', '127.0.0.1', '-p', String(port), '-sd', store], {
		stdio: ['ignore', 'ignore', 'pipe'],
	});
	onTestFinished(() => {
		child.kill('SIGKILL');
	});
	let text = '';
	const listening = await new Promise<number>((resolve, reject) => {
		let found = 0;
		child.stderr.on('data', (bytes: Buffer) => {
			text += bytes.toString();
			found = Number(/Listening for client connections on 127\.0\.0\.1:(\d+)/.exec(text)?.[1] ?? found);
			if (found > 0 && text.includes('Server is ready')) resolve(found);
		});
		child.on('exit', () => reject(new Error(`nats-server ended:\n${text}`)));
	});
	return { port: listening, child };
}

describe.skipIf(!hasNats)('NATS JetStream', () => {
	it('has every record once, in order, though the server is killed in between', async () => {
		const store = join(temporaryDirectory(), 'nats');
		const first = await startNats(store);
		const servers = `127.0.0.1:${first.port}`;
		const setup = await connect({ servers });
		await (await jetstreamManager(setup)).streams.add({ name: 'AUDIT', subjects: ['audit.>'] });
		await setup.close();
		const { log, path } = await openWith(natsSink({ connection: { servers }, subjectPrefix: 'audit', timeoutMs: 500 }));
		for (let n = 0; n < 30; n += 1)
			log.outcome(await accept(log, record({ decision: decision({ sql: `select ${n}` }) })), success);
		await until(() => log.stats.sinks[0]?.lagRecords === 0);
		first.child.kill('SIGKILL');
		for (let n = 0; n < 30; n += 1) log.outcome(await accept(log, record()), success);
		await until(() => log.stats.sinks[0]?.lastError !== null);
		await startNats(store, first.port);
		await until(() => log.stats.sinks[0]?.lagRecords === 0);
		await log.close();

		const nats = await connect({ servers });
		onTestFinished(() => nats.close());
		const consumer = await jetstream(nats).consumers.get('AUDIT');
		const lines: string[] = [];
		for await (const message of await consumer.fetch({ max_messages: records(path).length, expires: 5_000 }))
			lines.push(message.string());
		expect(lines).toEqual(logText(path).trimEnd().split('\n'));
		expect((await (await jetstreamManager(nats)).streams.info('AUDIT')).state.messages).toBe(lines.length);
	});

	it('without a stream is an error that says so, and nothing is lost', async () => {
		const { port } = await startNats(join(temporaryDirectory(), 'nats'));
		const sink = natsSink({ connection: { servers: `127.0.0.1:${port}` }, subjectPrefix: 'nowhere', timeoutMs: 500 });
		const { log } = await openLog({ sinks: [{ sink, spoolBytesMax: 1e9, limits }], limits: { closeGraceMs: 10 } });
		await until(() => log.stats.sinks[0]?.lastError !== null);
		expect(log.stats.sinks[0]?.lagRecords).toBe(2);
	});
});

describe('a PostgreSQL table', () => {
	it('has every record once, as it stands in the log, though its connection is cut and rows were there before', async () => {
		const database = await createDatabase();
		onTestFinished(() => database.drop());
		const { log, path } = await openWith(postgresSink({ connection: { connectionString: database.url } }));
		for (let n = 0; n < 20; n += 1)
			log.outcome(await accept(log, record({ decision: decision({ sql: `select '\u0000${n}'` }) })), success);
		await until(() => log.stats.sinks[0]?.lagRecords === 0);
		await database.sql(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'portcullis-audit'
			and datname = current_database()`);
		for (let n = 0; n < 20; n += 1) log.outcome(await accept(log, record()), success);
		await log.close();
		const rows = await database.sql('select uid, sequence, event_code, line from portcullis_audit order by sequence');
		expect(rows.map((row) => row.line)).toEqual(logText(path).trimEnd().split('\n'));
		expect(rows[2]).toMatchObject({ uid: records(path)[2]?.metadata.uid, sequence: '2', event_code: 'statement' });
	});

	it('does not take the records of a log that was set back for those that it has', async () => {
		const database = await createDatabase();
		onTestFinished(() => database.drop());
		const sink = () => postgresSink({ connection: { connectionString: database.url } });
		const { log, path } = await openWith(sink());
		await accept(log, record());
		await until(() => log.stats.sinks[0]?.lagRecords === 0);
		const older = temporaryDirectory();
		cpSync(path, older, { recursive: true, filter: (name) => !name.endsWith('lock') });
		await accept(log, record({ statement: 2 }));
		await log.close();
		const again = await openLog({
			path: older,
			sinks: [{ sink: sink(), spoolBytesMax: 1e9, limits }],
			limits: { closeGraceMs: 10 },
		});
		await until(() => again.log.stats.sinks[0]?.lastError !== null);
		expect(again.log.stats.sinks[0]?.lastError).toMatch(/holds another record [0-9a-f]+-3: the log was set back/);
	});

	it('that another worker makes at the same time is nothing that fails', async () => {
		const database = await createDatabase();
		onTestFinished(() => database.drop());
		const other = new pg.Client({ connectionString: database.url });
		await other.connect();
		onTestFinished(() => other.end());
		await other.query('begin');
		await other.query(`create table portcullis_audit (uid text primary key, sequence bigint not null, time timestamptz not null,
			event_code text not null, severity smallint not null, line text not null)`);
		const sink = postgresSink({ connection: { connectionString: database.url } });
		onTestFinished(() => sink.close());
		const given = { sequence: 0, uid: 'a-0', code: 'statement', timeMs: 0, severity: 1, line: '{}' };
		const delivered = sink.deliver([given], AbortSignal.timeout(60_000));
		// It waits for what the other one makes of it.
		for (let waits = 0; waits === 0; await new Promise((resolve) => setTimeout(resolve, 10))) {
			const rows = await database.sql(`select from pg_stat_activity where application_name = 'portcullis-audit'
				and datname = current_database() and wait_event_type = 'Lock'`);
			waits = rows.length;
		}
		await other.query('commit');
		await delivered;
		expect(await database.sql('select uid from portcullis_audit')).toEqual([{ uid: 'a-0' }]);
	});

	it('that cannot be made is an error without the password in it', async () => {
		const database = await createDatabase();
		onTestFinished(() => database.drop());
		const sink = postgresSink({ connection: { connectionString: database.url }, schema: 'no_such_schema' });
		const { log } = await openLog({ sinks: [{ sink, spoolBytesMax: 1e9, limits }], limits: { closeGraceMs: 10 } });
		await until(() => log.stats.sinks[0]?.lastError !== null);
		expect(log.stats.sinks[0]?.lastError).toMatch(/no_such_schema/);
		expect(log.stats.sinks[0]?.lastError).not.toContain(database.password);
	});
});
