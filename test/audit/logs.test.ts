/** Several logs of one gateway: what they say of each other, what is found when one is touched or gone, and reading them as one. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { AuditLog, AuditLogOptions } from '../../src/audit/log.ts';
import { listLogs, logPlace, ownLogName, workerLogName } from '../../src/audit/logs.ts';
import { reportLogs } from '../../src/audit/report.ts';
import { listSegments } from '../../src/audit/segment.ts';
import { searchLogs } from '../../src/audit/search-logs.ts';
import { holdsSeveral, splitCheckpoints, verifyLogs } from '../../src/audit/verify-logs.ts';
import { decision, record } from './samples.ts';
import { accept, openLog, records, success, temporaryDirectory, testKey } from './support.ts';

const small = { segmentBytesMax: 8_000 };

/** The log of one worker of so many; `.` is that of a gateway without. */
async function openOf(folder: string, name: string, workers: number, more: Partial<AuditLogOptions> = {}) {
	const { directory, worker } = logPlace(folder, name);
	const family = { folder, name, worker, workers };
	return (await openLog({ key: testKey, ...more, path: directory, family })).log;
}

async function write(log: AuditLog, sql: string): Promise<void> {
	log.outcome(await accept(log, record({ decision: decision({ sql, rewritten: sql }) })), success);
}

/** A gateway with so many workers runs once, and each records so many statements. */
async function run(folder: string, workers: number, statements = 2, more: Partial<AuditLogOptions> = {}) {
	const names = workers === 1 ? [ownLogName] : Array.from({ length: workers }, (_, at) => workerLogName(at + 1));
	const logs = await Promise.all(names.map((name) => openOf(folder, name, workers, more)));
	for (let n = 0; n < statements; n += 1)
		for (const [at, log] of logs.entries()) await write(log, `select ${n} from ${names[at]}`);
	await Promise.all(logs.map((log) => log.close()));
}

function checkpointOf(folder: string, name: string): string {
	return fs.readFileSync(join(logPlace(folder, name).directory, 'checkpoint'), 'utf8');
}

/** Changes one record of the first segment. */
function change(folder: string, name: string): void {
	const { directory } = logPlace(folder, name);
	const file = join(directory, listSegments(directory)[0]?.name ?? '');
	fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('select 0', 'select 9'));
}

const brief = (report: Awaited<ReturnType<typeof verifyLogs>>) =>
	report.findings.map(
		({ log, kind, records: range }) => `${log} ${kind}${range === null ? '' : ` ${range.join('-')}`}`,
	);

describe('the logs of a gateway', () => {
	it('are told apart by name, origin and the uids of their records', async () => {
		const folder = temporaryDirectory();
		await run(folder, 3);
		const places = listLogs(folder);
		expect(places.map(({ name, worker }) => [name, worker])).toEqual([
			['worker-1', 1],
			['worker-2', 2],
			['worker-3', 3],
		]);
		const uids = places.flatMap(({ directory }) => records(directory).map(({ metadata }) => metadata.uid));
		expect(new Set(uids).size).toBe(uids.length);
		const origins = places.map(({ name }) => checkpointOf(folder, name).split('\n')[0]);
		expect(new Set(origins).size).toBe(3);
		for (const { directory } of places) expect(fs.statSync(directory).mode & 0o077).toBe(0);
	});

	it('of one worker say nothing of others', async () => {
		const folder = temporaryDirectory();
		await run(folder, 1);
		expect(Object.keys(records(folder)[0]?.['unmapped'] as object)).not.toContain('workers');
		expect(await holdsSeveral(folder)).toBe(false);
	});

	it('say in each header how far the others were', async () => {
		const folder = temporaryDirectory();
		await run(folder, 2);
		await run(folder, 2, 1);
		const { directory } = logPlace(folder, 'worker-1');
		const headers = records(directory).filter(({ metadata }) => metadata.event_code === 'segment');
		const [origin, size, root] = checkpointOf(folder, 'worker-2').split('\n');
		expect(headers.map(({ unmapped }) => unmapped)).toMatchObject([
			{ worker: 1, workers: 2 },
			{ worker: 1, workers: 2, logs: [{ log: 'worker-2', origin }] },
		]);
		expect([Number(size), root]).not.toEqual([0, '']);
	});

	it('verify, also while they are written, and over changes of the number of workers', async () => {
		const folder = temporaryDirectory();
		await run(folder, 1);
		await run(folder, 4);
		await run(folder, 2);
		const log = await openOf(folder, '.', 1);
		await write(log, 'select 7');
		expect(await holdsSeveral(folder)).toBe(true);
		const checkpoints = ['.', 'worker-1', 'worker-4'].map((name) => checkpointOf(folder, name));
		const report = await verifyLogs(folder, { checkpoints: splitCheckpoints(checkpoints.join('\n')) });
		expect(brief(report)).toEqual([]);
		expect(report.logs.map(({ log: name, ok, checked }) => [name, ok, checked])).toEqual([
			['.', true, true],
			['worker-1', true, true],
			['worker-2', true, false],
			['worker-3', true, false],
			['worker-4', true, true],
		]);
	});
});

describe('what is found', () => {
	const rows: readonly {
		readonly name: string;
		readonly tamper: (folder: string, early: string) => Promise<void> | void;
		/** Names of logs whose newest checkpoint was kept elsewhere. */
		readonly kept?: readonly string[];
		readonly want: readonly string[];
	}[] = [
		{ name: 'nothing, where nothing was done', tamper: () => undefined, kept: ['worker-1', 'worker-3'], want: [] },
		{
			name: 'a record changed',
			tamper: (folder) => change(folder, 'worker-2'),
			want: ['worker-2 changed 2-2'],
		},
		{
			name: 'a folder removed, of which the others tell',
			tamper: (folder) => fs.rmSync(logPlace(folder, 'worker-2').directory, { recursive: true }),
			want: ['worker-2 missing-log'],
		},
		{
			name: 'all folders but one removed',
			tamper: (folder) => {
				for (const name of ['worker-1', 'worker-2']) fs.rmSync(logPlace(folder, name).directory, { recursive: true });
			},
			want: ['worker-1 missing-log', 'worker-2 missing-log'],
		},
		{
			name: 'a folder emptied',
			tamper: (folder) => {
				const { directory } = logPlace(folder, 'worker-3');
				for (const name of fs.readdirSync(directory)) fs.rmSync(join(directory, name), { recursive: true });
			},
			want: ['worker-3 missing-log'],
		},
		{
			name: 'a log set back to an older copy, with its checkpoint, of which others had seen more',
			tamper: (folder, early) => {
				const { directory } = logPlace(folder, 'worker-2');
				fs.rmSync(directory, { recursive: true });
				fs.cpSync(join(early, 'worker-2'), directory, { recursive: true });
			},
			want: ['worker-2 cut-off 8-12'],
		},
		{
			name: 'a log made anew',
			tamper: async (folder) => {
				fs.rmSync(logPlace(folder, 'worker-2').directory, { recursive: true });
				const log = await openOf(folder, 'worker-2', 3);
				await log.close();
			},
			want: ['worker-2 other-log'],
		},
		{
			name: 'a log put in the place of another',
			tamper: (folder) => {
				fs.rmSync(logPlace(folder, 'worker-2').directory, { recursive: true });
				fs.cpSync(logPlace(folder, 'worker-1').directory, logPlace(folder, 'worker-2').directory, { recursive: true });
			},
			want: ['worker-2 other-log', 'worker-2 other-log', 'worker-2 other-log'],
		},
		{
			name: 'the end of one cut off, by a checkpoint kept elsewhere',
			tamper: (folder) => {
				const { directory } = logPlace(folder, 'worker-3');
				const last = listSegments(directory).at(-1)?.name ?? '';
				fs.rmSync(join(directory, last));
				fs.rmSync(join(directory, `${last}.leaves`));
				fs.rmSync(join(directory, 'checkpoint'));
			},
			kept: ['worker-3'],
			want: ['worker-3 cut-off 14-20'],
		},
	];

	it.each(rows)('$name', async ({ tamper, kept = [], want }) => {
		const folder = temporaryDirectory();
		await run(folder, 3);
		const early = temporaryDirectory();
		fs.cpSync(folder, early, { recursive: true });
		await run(folder, 3, 1);
		await run(folder, 3, 2);
		const checkpoints = kept.map((name) => checkpointOf(folder, name));
		await tamper(folder, early);
		const report = await verifyLogs(folder, { checkpoints });
		expect(brief(report)).toEqual(want);
		expect(report.ok).toBe(want.length === 0);
	});

	it('a removed folder that no other log tells of, by a checkpoint kept elsewhere', async () => {
		const folder = temporaryDirectory();
		await run(folder, 1);
		const other = await openOf(folder, 'worker-2', 2);
		await other.close();
		const kept = checkpointOf(folder, 'worker-2');
		const origin = kept.split('\n')[0] ?? '';
		fs.rmSync(logPlace(folder, 'worker-2').directory, { recursive: true });
		const report = await verifyLogs(folder, { checkpoints: [kept] });
		expect(report.findings).toMatchObject([{ kind: 'missing-log', log: origin }]);
	});

	it('a log that another key has signed, where the key is given', async () => {
		const folder = temporaryDirectory();
		await run(folder, 2);
		const header = records(logPlace(folder, 'worker-1').directory)[0]?.['unmapped'] as { public_key: string };
		const report = await verifyLogs(folder, { publicKey: header.public_key });
		expect(report.findings.map(({ log, kind }) => [log, kind])).toContainEqual(['worker-2', 'checkpoint']);
		expect(report.findings.filter(({ log }) => log === 'worker-1')).toEqual([]);
	});
});

describe('a search over several logs', () => {
	/** Logs whose statements come in turns, a second apart. */
	async function inTurns(folder: string, workers: number, each: number): Promise<void> {
		let clock = 1_700_000_000_000;
		const now = (): number => clock;
		const names = Array.from({ length: workers }, (_, at) => workerLogName(at + 1));
		const logs = await Promise.all(names.map((name) => openOf(folder, name, workers, { now })));
		for (let n = 0; n < each; n += 1)
			for (const [at, log] of logs.entries()) {
				clock += 1_000;
				await write(log, `select ${n} from t${at + 1}`);
			}
		await Promise.all(logs.map((log) => log.close()));
	}

	it('gives hits in the order of time, each with its log and outcome', async () => {
		const folder = temporaryDirectory();
		await inTurns(folder, 3, 5);
		const found: (readonly [string, number])[] = [];
		await searchLogs(listLogs(folder), {}, ({ log, timeMs, outcome }) => {
			expect(outcome).not.toBeNull();
			found.push([log, timeMs]);
		});
		expect(found.map(([log]) => log)).toEqual(
			Array.from({ length: 5 }, () => ['worker-1', 'worker-2', 'worker-3']).flat(),
		);
		expect(found.map(([, timeMs]) => timeMs)).toEqual(found.map(([, timeMs]) => timeMs).toSorted((a, b) => a - b));
	});

	it('does not read on in one log while another has still to give its first hit', async () => {
		const folder = temporaryDirectory();
		const busy = await openOf(folder, 'worker-1', 2);
		for (let n = 0; n < 3_000; n += 1) busy.event({ type: 'config', ok: true, trigger: 'start', changes: [`${n}`] });
		await write(busy, 'select 1');
		await busy.close();
		const quiet = await openOf(folder, 'worker-2', 2);
		await write(quiet, 'select 2');
		await quiet.close();
		const codes: string[] = [];
		await searchLogs(listLogs(folder), { code: null }, ({ log, code }) => codes.push(`${log} ${code}`));
		expect(codes.filter((code) => code.startsWith('worker-1'))).toHaveLength(3_005);
		expect(codes.filter((code) => code.startsWith('worker-2'))).toHaveLength(5);
	});

	it('waits for a slow reader', async () => {
		const folder = temporaryDirectory();
		await inTurns(folder, 2, 20);
		let waits = 0;
		let found = 0;
		await searchLogs(listLogs(folder), {}, () => (found += 1), {
			drained: () => {
				waits += 1;
				return new Promise((resolve) => setImmediate(resolve));
			},
		});
		expect([found, waits]).toEqual([40, 40]);
	});

	it('ends with the error of a log that cannot be read, whatever the others have', async () => {
		const folder = temporaryDirectory();
		await inTurns(folder, 3, 3);
		const { directory } = logPlace(folder, 'worker-2');
		const [segment] = listSegments(directory);
		fs.rmSync(join(directory, segment?.name ?? ''));
		fs.writeFileSync(join(directory, `${segment?.name}.gz`), 'nothing that was packed');
		await expect(searchLogs(listLogs(folder), {}, () => undefined)).rejects.toThrow(/header/);
	});
});

describe('a report over several logs', () => {
	it('sums what each has, and has a change once that all took up', async () => {
		const folder = temporaryDirectory();
		const logs = await Promise.all(['worker-1', 'worker-2'].map((name) => openOf(folder, name, 2)));
		for (const log of logs) {
			const revision = { revision: 'b', previousRevision: 'a', trigger: 'signal' };
			log.event({ type: 'policy-reload', ok: true, problems: [], ...revision });
			await write(log, 'select 1');
		}
		logs[0]?.event({ type: 'config', ok: false, trigger: 'signal', changes: ['wrong'] });
		await Promise.all(logs.map((log) => log.close()));
		const report = await reportLogs(listLogs(folder), {});
		expect(report).toMatchObject({ statements: 2, people: 1 });
		expect(report.reads.find(({ column }) => column === 'hr.employees.ssn')).toMatchObject({ count: 2 });
		expect(report.changes.map(({ what, logs: count }) => [what, count])).toEqual([
			['policy', 2],
			['configuration', 1],
		]);
		expect(report.alarms).toEqual([]);
	});

	it('says of an alarm which log has it', async () => {
		const folder = temporaryDirectory();
		await run(folder, 2);
		const { directory } = logPlace(folder, 'worker-2');
		const last = listSegments(directory).at(-1)?.name ?? '';
		const lines = fs.readFileSync(join(directory, last), 'utf8').trimEnd().split('\n');
		fs.writeFileSync(join(directory, last), `${lines.slice(0, -2).join('\n')}\n`);
		fs.rmSync(join(directory, `${last}.leaves`));
		await run(folder, 2, 0);
		const report = await reportLogs(listLogs(folder), {});
		expect(report.alarms.map(({ detail }) => detail)).toEqual(['worker-2: the process before it did not end in order']);
	});
});

describe('retention by size', () => {
	it('is of all logs together: only who has more than an equal part gives something up', async () => {
		const folder = temporaryDirectory();
		await run(folder, 2, 1);
		const keep = { retention: { keepBytes: 40_000 }, limits: small };
		const [big, little] = await Promise.all(['worker-1', 'worker-2'].map((name) => openOf(folder, name, 2, keep)));
		if (big === undefined || little === undefined) throw new Error('no logs');
		for (let n = 0; n < 30; n += 1) await write(big, `select ${n}`);
		const first = (name: string): number => listSegments(logPlace(folder, name).directory)[0]?.number ?? 0;
		for (let n = 0; first('worker-1') === 1; n += 1) {
			await write(big, `select ${n}`);
			await new Promise((resolve) => setTimeout(resolve, 5));
		}
		await write(little, 'select 1');
		await Promise.all([big.close(), little.close()]);
		expect(first('worker-2')).toBe(1);
		expect(brief(await verifyLogs(folder))).toEqual([]);
	});
});
