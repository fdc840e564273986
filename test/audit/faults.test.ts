/** The audit log under kill -9, torn lines, failing writes, full disks and a clock that runs backwards. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { AuditLog } from '../../src/audit/log.ts';
import { type AuditFs, leavesName, listSegments, nodeFs } from '../../src/audit/segment.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { record, session } from './samples.ts';
import {
	accept,
	codes,
	lastStart,
	logText,
	openLog,
	only,
	records,
	success,
	temporaryDirectory,
	testKey,
} from './support.ts';
import type { WriterJob } from './writer.ts';

const writer = fileURLToPath(new URL('./writer.ts', import.meta.url));
const node = [process.execPath, '--import', 'tsx', writer] as const;
/** More for a night: PORTCULLIS_KILLS=100. */
const kills = Number(process.env.PORTCULLIS_KILLS ?? 8);

function jobIn(more: Partial<WriterJob> = {}): WriterJob {
	const root = temporaryDirectory();
	const limits = { segmentBytesMax: 64 * 1024, checkpointIntervalMs: 5 };
	return {
		path: join(root, 'audit'),
		receipts: join(root, 'receipts'),
		durability: 'os',
		dieInWrite: 0,
		limits,
		untilRefused: false,
		...more,
	};
}

function receiptsOf(job: WriterJob): string[] {
	return fs
		.readFileSync(job.receipts, 'utf8')
		.split('\n')
		.filter((line) => line !== '');
}

/** Runs the writer until it has handed out `count` receipts, then kills it with SIGKILL. */
async function killAfter(job: WriterJob, count: number): Promise<void> {
	const child = spawn(node[0], [...node.slice(1), JSON.stringify(job)], { stdio: ['ignore', 'pipe', 'inherit'] });
	onTestFinished(() => {
		child.kill('SIGKILL');
	});
	const exited = new Promise<NodeJS.Signals | null>((resolve) => child.on('exit', (_code, signal) => resolve(signal)));
	await new Promise((resolve) => child.stdout.once('data', resolve));
	const watch = setInterval(() => {
		// A receipt is at most 16 + 1 + 6 characters and a line feed.
		if (fs.statSync(job.receipts).size > count * 24) child.kill('SIGKILL');
	}, 1);
	expect(await exited).toBe('SIGKILL');
	clearInterval(watch);
}

/** Every receipt is in the log; it can be gone on with, and then verifies. */
async function checkSurvivors(job: WriterJob): Promise<{ receipts: number; torn: readonly unknown[] }> {
	const receipts = receiptsOf(job);
	const written = new Set([...logText(job.path).matchAll(/"sequence":\d+,"uid":"([^"]+)"/g)].map((match) => match[1]));
	expect(receipts.filter((id) => !written.has(id))).toEqual([]);
	const log = await AuditLog.open({ path: job.path, durability: 'os', key: testKey });
	await accept(log, record());
	await log.close();
	const whole = new Set(records(job.path).map((line) => line.metadata.uid));
	expect(receipts.filter((id) => !whole.has(id))).toEqual([]);
	const start = lastStart(job.path);
	expect(start).toMatchObject({ previous_closed: false, problems: [] });
	expect(await verifyLog(job.path)).toMatchObject({ ok: true, findings: [] });
	return { receipts: receipts.length, torn: start.torn };
}

describe('kill -9', () => {
	it.each(Array.from({ length: kills }, (_nothing, index) => 50 + index * 137))(
		'after about %i receipts: every one of them is in the log, which verifies after the restart',
		async (count) => {
			const job = jobIn();
			await killAfter(job, count);
			expect((await checkSurvivors(job)).receipts).toBeGreaterThanOrEqual(count);
		},
	);

	it('twice in the same directory', async () => {
		const job = jobIn();
		await killAfter(job, 100);
		await killAfter(job, 300);
		await checkSurvivors(job);
	});

	it('with durability disk', async () => {
		const job = jobIn({ durability: 'disk' });
		await killAfter(job, 50);
		await checkSurvivors(job);
	});

	// 1 is the first header, 2 the start, then groups, leaf hashes, checkpoints, and the headers of later segments.
	it.each([1, 2, 3, 4, 9, 40, 77, 78, 79, 80, 81, 120])(
		'in the middle of write %i: what was half written is put aside',
		async (dieInWrite) => {
			const job = jobIn({ dieInWrite });
			const { signal } = spawnSync(node[0], [...node.slice(1), JSON.stringify(job)], {
				stdio: ['ignore', 'ignore', 'inherit'],
			});
			expect(signal).toBe('SIGKILL');
			if (dieInWrite === 1) {
				// Not even a header: there was no log yet.
				const log = await AuditLog.open({ path: job.path, durability: 'os' });
				await log.close();
				expect(only(job.path, 'audit-start')).toMatchObject({
					unmapped: { torn: [{ keptAs: expect.stringMatching(/\.torn$/) }] },
				});
				expect(await verifyLog(job.path)).toMatchObject({ ok: true });
				return;
			}
			await checkSurvivors(job);
		},
	);
});

describe('a torn last line', () => {
	it('is recovered wherever it is torn: kept aside, recorded, and the log goes on', async () => {
		const { log, path } = await openLog({ key: testKey });
		await accept(log, record());
		await log.close();
		const [segment] = listSegments(path);
		const bytes = fs.readFileSync(join(path, segment?.name ?? ''));
		const lastLine = bytes.lastIndexOf('\n', bytes.length - 2) + 1;
		for (let end = lastLine + 1; end < bytes.length; end += 37) {
			const copy = temporaryDirectory();
			fs.writeFileSync(join(copy, segment?.name ?? ''), bytes.subarray(0, end));
			const again = await AuditLog.open({ path: copy, durability: 'os', key: testKey });
			await again.close();
			const start = lastStart(copy);
			expect(start).toMatchObject({ torn: [{ file: segment?.name, bytes: end - lastLine }], problems: [] });
			const [torn] = start.torn;
			expect(fs.readFileSync(join(copy, torn?.keptAs ?? ''))).toEqual(bytes.subarray(lastLine, end));
			expect(await verifyLog(copy)).toMatchObject({ ok: true });
		}
	});

	it('of a segment that has not even a header leaves the one before in force', async () => {
		const { log, path } = await openLog();
		await log.close();
		fs.writeFileSync(join(path, 'audit-00000002-20300101T000000Z.jsonl'), '{"meta');
		const again = await openLog({ path });
		await again.log.close();
		expect(listSegments(path).map((segment) => segment.number)).toEqual([1, 3]);
		expect(await verifyLog(path)).toMatchObject({ ok: true });
	});
});

describe('a log that was tampered with before the start', () => {
	it('is gone on with, and the start says what does not fit', async () => {
		const { log, path } = await openLog({ key: testKey });
		await accept(log, record());
		await log.close();
		const file = join(path, listSegments(path)[0]?.name ?? '');
		fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('ada@', 'eve@'));
		const again = await openLog({ path, key: testKey });
		await again.log.close();
		const start = records(path).findLast((line) => line.metadata.event_code === 'audit-start');
		expect(start).toMatchObject({ severity_id: 4, status_id: 2 });
		const { problems } = lastStart(path);
		expect(problems.join('\n')).toMatch(/checkpoint 4 does not fit.*\n.*leaves does not fit/);
		expect((await verifyLog(path)).findings[0]).toMatchObject({ kind: 'changed' });
	});
});

/** Files that fail on demand. */
function faultyFs(): {
	files: AuditFs;
	fail: (what: 'write' | 'sync' | 'truncate' | 'open', code: string | null, after?: number) => void;
} {
	const faults = new Map<string, { code: string; after: number }>();
	const check = (what: string) => {
		const fault = faults.get(what);
		if (fault === undefined) return;
		if (fault.after > 0) {
			fault.after -= 1;
			return;
		}
		throw Object.assign(new Error(`${fault.code}: planted`), { code: fault.code });
	};
	const files: AuditFs = {
		...nodeFs,
		openSync: (path, flags, mode) => {
			check('open');
			return nodeFs.openSync(path, flags, mode);
		},
		writeSync: (fd, buffer, offset, length) => {
			check('write');
			// As a full disk does it: a part is written, the next call fails.
			return nodeFs.writeSync(fd, buffer, offset, faults.has('write') ? Math.ceil(length / 2) : length);
		},
		ftruncateSync: (fd, length) => {
			check('truncate');
			nodeFs.ftruncateSync(fd, length);
		},
		fdatasync: (fd, done) => {
			try {
				check('sync');
			} catch (error) {
				setImmediate(() => done(error as NodeJS.ErrnoException));
				return;
			}
			nodeFs.fdatasync(fd, done);
		},
	};
	return {
		files,
		fail: (what, code, after = 0) => {
			if (code === null) faults.delete(what);
			else faults.set(what, { code, after });
		},
	};
}

describe('writes that fail', () => {
	const codesOf: readonly { code: string; sqlstate: string }[] = [
		{ code: 'ENOSPC', sqlstate: '53100' },
		{ code: 'EDQUOT', sqlstate: '53100' },
		{ code: 'EFBIG', sqlstate: '53100' },
		{ code: 'EIO', sqlstate: '58030' },
	];
	it.each(codesOf)('$code refuses statements with $sqlstate until a write succeeds', async ({ code, sqlstate }) => {
		const { files, fail } = faultyFs();
		const { log, path } = await openLog({ files, key: testKey });
		const receipt = await accept(log, record({ statement: 1 }));
		fail('write', code, 1);
		await expect(accept(log, record({ statement: 2 }))).rejects.toMatchObject({ sqlstate });
		expect(log.stats).toMatchObject({ healthy: false, failures: 1 });
		await expect(accept(log, record({ statement: 3 }))).rejects.toMatchObject({ sqlstate });
		log.outcome(receipt, success);
		log.event({ type: 'logout', session, reason: 'x', durationMs: 1 });
		fail('write', null);
		await accept(log, record({ statement: 4 }));
		expect(log.stats.healthy).toBe(true);
		await log.close();
		// What was refused left no trace, the outcome and the event were kept.
		expect(codes(path)).toEqual([
			'segment',
			'audit-start',
			'statement',
			'outcome',
			'logout',
			'statement',
			'audit-stop',
			'checkpoint',
		]);
		expect(await verifyLog(path)).toMatchObject({ ok: true });
	});

	it('that cannot even be taken back keep the log refusing until they can', async () => {
		const { files, fail } = faultyFs();
		const { log, path } = await openLog({ files });
		fail('write', 'ENOSPC', 1);
		fail('truncate', 'EIO');
		await expect(accept(log, record())).rejects.toMatchObject({ sqlstate: '53100' });
		fail('write', null);
		await expect(accept(log, record())).rejects.toMatchObject({ sqlstate: '58030' });
		fail('truncate', null);
		await accept(log, record());
		await log.close();
		expect(await verifyLog(path)).toMatchObject({ ok: true });
	});

	it('at the beginning of a new segment are no loss: the next try begins it', async () => {
		const { files, fail } = faultyFs();
		const { log, path } = await openLog({ files, limits: { segmentBytesMax: 4000 } });
		await accept(log, record());
		fail('open', 'EMFILE');
		// This one still fits; the segment is full behind it.
		await accept(log, record());
		await expect(accept(log, record())).rejects.toMatchObject({ sqlstate: '58030' });
		fail('open', null);
		fail('write', 'ENOSPC');
		await expect(accept(log, record())).rejects.toMatchObject({ sqlstate: '53100' });
		fail('write', null);
		for (let n = 0; n < 5; n += 1) await accept(log, record());
		await log.close();
		expect(codes(path).filter((code) => code === 'statement')).toHaveLength(7);
		expect(await verifyLog(path)).toMatchObject({ ok: true });
		for (const segment of listSegments(path)) expect(fs.existsSync(join(path, leavesName(segment.name)))).toBe(true);
	});

	it('a sync that fails refuses its group, leaves nothing of it, and goes on in a new segment', async () => {
		const { files, fail } = faultyFs();
		const { log, path } = await openLog({ files, durability: 'disk' });
		await accept(log, record({ statement: 1 }));
		fail('sync', 'EIO');
		const failed = [accept(log, record({ statement: 2 })), accept(log, record({ statement: 3 }))];
		for (const one of failed) await expect(one).rejects.toMatchObject({ sqlstate: '58030' });
		fail('sync', null);
		await accept(log, record({ statement: 4 }));
		await log.close();
		expect(
			records(path).flatMap((line) =>
				line.metadata.event_code === 'statement' ? [(line.unmapped as { statement: number }).statement] : [],
			),
		).toEqual([1, 4]);
		expect(listSegments(path)).toHaveLength(2);
		expect(await verifyLog(path)).toMatchObject({ ok: true });
	});

	it('a queue that is full refuses at once, and what could not be kept is counted and told', async () => {
		const { files, fail } = faultyFs();
		const { log, path } = await openLog({ files, limits: { queueRecordsMax: 3, retryIntervalMs: 60_000 } });
		fail('write', 'ENOSPC');
		for (let n = 0; n < 5; n += 1) log.event({ type: 'logout', session, reason: `${n}`, durationMs: 1 });
		await expect(accept(log, record())).rejects.toMatchObject({ sqlstate: '53000' });
		expect(log.stats.lost).toBe(2);
		fail('write', null);
		await log.close();
		expect(only(path, 'audit-gap')).toMatchObject({ unmapped: { lost: 2 }, severity_id: 4 });
		expect(codes(path).filter((code) => code === 'logout')).toHaveLength(3);
	});

	it('a callback that throws does not keep the others from their answer', async () => {
		const { log } = await openLog();
		const thrown = new Promise((resolve) => {
			const others = process.listeners('uncaughtException');
			process.removeAllListeners('uncaughtException');
			process.once('uncaughtException', (error) => {
				for (const other of others) process.on('uncaughtException', other);
				resolve(error.message);
			});
		});
		log.accept(record(), () => {
			throw new Error('planted');
		});
		expect((await accept(log, record())).sequence).toBe(3);
		expect(await thrown).toBe('planted');
	});

	it('a record that no line can be made of is refused alone', async () => {
		const { log, path } = await openLog();
		const odd = record({ policyRevision: 1n as unknown as string });
		const answers = await Promise.allSettled([accept(log, record()), accept(log, odd), accept(log, record())]);
		expect(answers.map((answer) => answer.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
		await log.close();
		expect(await verifyLog(path)).toMatchObject({ ok: true });
	});
});

describe('a disk that is really full', () => {
	it('by the file size limit of the process', () => {
		const job = jobIn({ untilRefused: true, limits: {} });
		const command = `trap '' XFSZ; ulimit -f 100; exec "$@"`;
		const { stdout } = spawnSync('bash', ['-c', command, 'bash', ...node, JSON.stringify(job)], {
			encoding: 'utf8',
			stdio: ['ignore', 'pipe', 'inherit'],
		});
		expect(stdout.replace('started\n', '')).toBe('53100');
		const uids = new Set(records(job.path).map((line) => line.metadata.uid));
		expect(receiptsOf(job).length).toBeGreaterThan(10);
		expect(receiptsOf(job).filter((id) => !uids.has(id))).toEqual([]);
	});

	it('by a small file system, and refuses only until there is room again', async ({ skip }) => {
		const path = temporaryDirectory();
		try {
			execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', path], { stdio: 'ignore' });
		} catch {
			return skip('a tmpfs cannot be mounted here');
		}
		onTestFinished(() => {
			execFileSync('umount', [path]);
		});
		const filler = join(path, 'filler');
		fs.writeFileSync(filler, Buffer.alloc(128 * 1024));
		const { log } = await openLog({ path: join(path, 'audit'), key: testKey });
		const receipts: string[] = [];
		let refused = '';
		while (refused === '') {
			await accept(log, record()).then(
				(receipt) => receipts.push(receipt.id),
				(error: { sqlstate: string }) => {
					refused = error.sqlstate;
				},
			);
		}
		expect(refused).toBe('53100');
		await expect(accept(log, record())).rejects.toMatchObject({ sqlstate: '53100' });
		fs.rmSync(filler);
		receipts.push((await accept(log, record())).id);
		await log.close();
		const uids = new Set(records(join(path, 'audit')).map((line) => line.metadata.uid));
		expect(receipts.filter((id) => !uids.has(id))).toEqual([]);
		expect(await verifyLog(join(path, 'audit'))).toMatchObject({ ok: true });
	});
});

describe('a clock that goes backwards', () => {
	it('changes neither the order of records nor that of files', async () => {
		let now = Date.UTC(2030, 5, 1);
		const { log, path } = await openLog({
			key: testKey,
			limits: { segmentBytesMax: 3000 },
			now: () => {
				now -= 86_400_000;
				return now;
			},
		});
		for (let n = 1; n <= 6; n += 1) await accept(log, record({ statement: n }));
		await log.close();
		expect(records(path).map((line) => line.metadata.sequence)).toEqual(records(path).map((_line, index) => index));
		const names = listSegments(path).map((segment) => segment.name);
		expect(names.length).toBeGreaterThan(2);
		expect(names).toEqual(names.toSorted());
		expect(await verifyLog(path)).toMatchObject({ ok: true });
	});
});
