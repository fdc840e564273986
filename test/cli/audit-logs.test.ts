/** The audit commands over the logs of several workers, by folder or configuration, and the keeping of logs that nobody writes. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { AuditLog } from '../../src/audit/log.ts';
import { listLogs, logPlace } from '../../src/audit/logs.ts';
import { listSegments } from '../../src/audit/segment.ts';
import { keepFormerLogs, openAudit, withFormer } from '../../src/cli/audit-log.ts';
import { auditCheckProof, auditProve, auditReport, auditSearch } from '../../src/cli/audit.ts';
import { auditVerify } from '../../src/cli/audit-verify.ts';
import type { CommandIo } from '../../src/cli/io.ts';
import type { AuditConfig } from '../../src/config/config.ts';
import { decision, record } from '../audit/samples.ts';
import { accept, records, success, temporaryDirectory, testKey, until } from '../audit/support.ts';

function capture(stdin = ''): { io: CommandIo; out: () => string; err: () => string } {
	let [out, err] = ['', ''];
	const io: CommandIo = {
		out: (text) => {
			out += text;
		},
		err: (text) => {
			err += text;
		},
		stdin: Readable.from([Buffer.from(stdin)]),
		env: {},
		color: false,
		columns: 0,
	};
	return { io, out: () => out, err: () => err };
}

const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined } as never;

function configOf(path: string, more: Partial<AuditConfig> = {}): AuditConfig {
	return {
		path,
		durability: 'os',
		key: null,
		parameters: 'on',
		segmentBytesMax: 64 * 1024,
		segmentAgeMaxMs: 86_400_000,
		compress: false,
		keepMs: null,
		keepBytes: null,
		sinks: [],
		...more,
	};
}

function around(worker: number, workers: number) {
	const stdout = new PassThrough();
	let text = '';
	stdout.on('data', (chunk: Buffer) => {
		text += chunk.toString();
	});
	return { surroundings: { log: quiet, now: Date.now, stdout, worker, workers }, printed: () => text };
}

/** The logs of a gateway with so many workers, each with one statement of its own. */
async function run(folder: string, workers: number, more: Partial<AuditConfig> = {}): Promise<void> {
	for (let worker = 1; worker <= workers; worker += 1) {
		const log = await openAudit(configOf(folder, more), around(worker, workers).surroundings);
		const sql = `select ${worker} from workers`;
		log.outcome(await accept(log, record({ decision: decision({ sql, rewritten: sql }) })), success);
		await log.close();
	}
}

function configFile(folder: string): string {
	const file = join(temporaryDirectory(), 'portcullis.yaml');
	// An auditor has neither the secrets that are named here nor the databases.
	fs.writeFileSync(file, `audit:\n  path: ${folder}\n  key: { env: NOT_SET }\ndatabases: { shop: { host: db } }\n`);
	return file;
}

describe('the audit commands over several logs', () => {
	it('verify each, by the folder or the configuration', async () => {
		const folder = temporaryDirectory();
		await run(folder, 2);
		for (const path of [folder, configFile(folder)]) {
			const { io, out } = capture();
			expect(await auditVerify(io, path)).toBe(0);
			expect(out()).toMatch(/^worker-1\n {2}log {7}portcullis\/\w+\n {2}records {3}6 in 1 segment\n/);
			expect(out()).toMatch(/\nworker-2\n/);
			expect(out()).toMatch(/\nnote {6}worker-1, worker-2: without a checkpoint kept elsewhere/);
			expect(out()).toMatch(/\nok .* in 2 logs, and none is missing that others tell of\n$/);
		}
	});

	it('verify says which log a finding is in, with checkpoints of several kept in one file', async () => {
		const folder = temporaryDirectory();
		await run(folder, 2);
		const kept = join(temporaryDirectory(), 'kept');
		const copies = listLogs(folder).map(({ directory }) => fs.readFileSync(join(directory, 'checkpoint'), 'utf8'));
		fs.writeFileSync(kept, copies.join(''));
		const good = capture();
		expect(await auditVerify(good.io, folder, { checkpoint: kept })).toBe(0);
		expect(good.out()).not.toMatch(/kept elsewhere/);
		const { directory } = logPlace(folder, 'worker-2');
		const file = join(directory, listSegments(directory)[0]?.name ?? '');
		fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('select 2', 'select 9'));
		const bad = capture();
		expect(await auditVerify(bad.io, folder, { checkpoint: [kept] })).toBe(1);
		expect(bad.out()).toMatch(/^found {2}worker-2: audit-0\S+\.jsonl:3: record 2 was changed \(changed\)\n/);
		fs.rmSync(directory, { recursive: true });
		const gone = capture();
		expect(await auditVerify(gone.io, folder, { checkpoint: [kept], json: true })).toBe(1);
		expect(JSON.parse(gone.out())).toMatchObject({ ok: false, logs: [{ log: 'worker-1', ok: true }] });
		expect(gone.out()).toMatch(/"missing-log"/);
	});

	it('verify the log of one worker by itself, whatever it says of others', async () => {
		const folder = temporaryDirectory();
		await run(folder, 2);
		const { io, out } = capture();
		expect(await auditVerify(io, join(folder, 'worker-2'))).toBe(0);
		expect(out()).toMatch(/^log {7}portcullis/);
	});

	it('search and report on all of them', async () => {
		const folder = temporaryDirectory();
		await run(folder, 2);
		const found = capture();
		expect(await auditSearch(found.io, folder, {})).toBe(0);
		expect(found.out().split('\n').slice(1, 3)).toEqual([
			expect.stringMatching(/ worker-1\/2 .* select 1 from workers$/),
			expect.stringMatching(/ worker-2\/2 .* select 2 from workers$/),
		]);
		const json = capture();
		await auditSearch(json.io, folder, { json: true, limit: '1' });
		expect(JSON.parse(json.out())).toMatchObject({ log: 'worker-1', outcome: {} });
		const report = capture();
		expect(await auditReport(report.io, configFile(folder), {})).toBe(0);
		expect(report.out()).toMatch(/^2 statements by 1 person, the beginning to now, from 2 logs \(times in UTC\)/);
	});

	it('prove a record of one of them, by its log or its uid', async () => {
		const folder = temporaryDirectory();
		await run(folder, 2);
		const wanted = records(logPlace(folder, 'worker-2').directory)[2];
		for (const which of ['worker-2/2', wanted?.metadata.uid ?? '']) {
			const made = capture();
			expect(await auditProve(made.io, folder, which)).toBe(0);
			const checked = capture(made.out());
			expect(await auditCheckProof(checked.io, '-', {})).toBe(0);
			expect(JSON.parse(checked.out())).toEqual(wanted);
		}
		await expect(auditProve(capture().io, folder, '2')).rejects.toThrow(/several logs.*worker-2\/2/);
		await expect(auditProve(capture().io, folder, '0123456789abcdef-2')).rejects.toThrow(/no log here/);
		await expect(auditProve(capture().io, folder, 'worker-9/2')).rejects.toThrow(/no log here/);
	});

	it('refuse a file that is no configuration, and one whose folder is not there', async () => {
		const file = join(temporaryDirectory(), 'portcullis.yaml');
		const mistakes = [
			{ text: 'audit: { path: 7 }', want: /audit\.path/ },
			{ text: 'audit: { path: ./none }', want: /the audit\.path of .* is not a directory/ },
			{ text: '{', want: /portcullis\.yaml/ },
		];
		for (const { text, want } of mistakes) {
			fs.writeFileSync(file, text);
			await expect(auditReport(capture().io, file, {})).rejects.toThrow(want);
		}
		const other = join(temporaryDirectory(), 'audit.jsonl');
		fs.writeFileSync(other, '');
		await expect(auditReport(capture().io, other, {})).rejects.toThrow(/nor a configuration/);
	});
});

const toStdout: AuditConfig['sinks'] = [
	{ type: 'stdout', tls: null, spoolBytesMax: 1e9 } as AuditConfig['sinks'][number],
];

describe('logs that nobody writes any more', () => {
	it('give their sinks what these have not got, and are packed', async () => {
		const folder = temporaryDirectory();
		await run(folder, 1);
		await run(folder, 3);
		// The sinks were there when the workers were, and had got nothing.
		for (const { directory } of listLogs(folder)) {
			fs.mkdirSync(join(directory, 'sinks'), { recursive: true });
			const cursor = JSON.stringify({ segment: 1, offset: 0, sequence: 0 });
			fs.writeFileSync(join(directory, 'sinks', 'stdout.cursor'), cursor);
		}
		const { surroundings, printed } = around(1, 2);
		const former = keepFormerLogs(configOf(folder, { compress: true, sinks: toStdout }), surroundings);
		onTestFinished(() => former.close());
		await until(() => former.stats.length === 2 && former.stats.every(({ sinks }) => sinks[0]?.lagRecords === 0));
		expect(printed()).toContain('select 3 from workers');
		expect(printed().match(/"query_string":"select 1 from workers"/g)).toHaveLength(1);
		expect(printed()).not.toContain('select 2 from workers');
		const packed = (name: string): boolean =>
			listSegments(logPlace(folder, name).directory).some(({ compressed }) => compressed);
		await until(() => packed('worker-3') && packed('.'));
		expect(packed('worker-1')).toBe(false);
		await former.close();
		expect(await auditVerify(capture().io, folder)).toBe(0);
	});

	it('are removed by age, as the log itself tells', async () => {
		const folder = temporaryDirectory();
		await run(folder, 2);
		const { directory } = logPlace(folder, 'worker-2');
		const old = listSegments(directory)[0]?.name ?? '';
		const long = new Date(Date.now() - 10 * 86_400_000);
		fs.utimesSync(join(directory, old), long, long);
		await run(folder, 1);
		const former = keepFormerLogs(configOf(folder, { keepMs: 86_400_000 }), around(1, 1).surroundings);
		onTestFinished(() => former.close());
		await until(() => !fs.existsSync(join(directory, old)));
		await former.close();
		const { io, out } = capture();
		expect(await auditVerify(io, folder)).toBe(0);
		expect(out()).toMatch(/worker-2\n.*\n {2}records {3}\d+ \(6 to \d+; older ones went by retention\)/);
	});

	it('are left as they are where nothing is to be done with them', async () => {
		const folder = temporaryDirectory();
		await run(folder, 2);
		const former = keepFormerLogs(configOf(folder), around(1, 1).surroundings);
		await former.close();
		expect(listSegments(logPlace(folder, 'worker-2').directory)).toHaveLength(1);
	});

	it('that another process has are no reason not to start', async () => {
		const folder = temporaryDirectory();
		await run(folder, 2);
		const other = await AuditLog.open({ path: logPlace(folder, 'worker-2').directory, durability: 'os', key: testKey });
		const warned: string[] = [];
		const log = { ...(quiet as object), warn: (_fields: object, words: string) => warned.push(words) } as never;
		const config = configOf(folder, { keepMs: 86_400_000 });
		const former = keepFormerLogs(config, { ...around(1, 1).surroundings, log });
		await until(() => warned.length === 1);
		await former.close();
		await other.close();
		expect(warned).toEqual(['an audit log that no worker writes any more cannot be kept']);
	});

	it('count in what the sinks have still to get', async () => {
		const folder = temporaryDirectory();
		await run(folder, 1);
		const log = await openAudit(configOf(folder, { sinks: toStdout }), around(1, 1).surroundings);
		const own = log.stats;
		await log.close();
		const behind = own.sinks.map((sink) => ({ ...sink, lagRecords: 7, lagBytes: 70, lastError: 'down' }));
		const [sink] = withFormer(own, [{ ...own, sinks: behind }]).sinks;
		expect(sink).toMatchObject({ lagRecords: 7 + (own.sinks[0]?.lagRecords ?? 0), lastError: 'down' });
		expect(withFormer(own, [])).toBe(own);
	});
});
