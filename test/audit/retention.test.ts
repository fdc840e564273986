/** Packing and removing old segments: recorded before it happens, verified after it, and never before a sink has read them. */
import * as fs from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { AuditLogOptions } from '../../src/audit/log.ts';
import { proveRecord } from '../../src/audit/prove.ts';
import { searchLog } from '../../src/audit/search.ts';
import { listSegments } from '../../src/audit/segment.ts';
import type { Sink } from '../../src/audit/sinks/sink.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { record } from './samples.ts';
import { accept, logText, openLog, testKey, until } from './support.ts';

const small = { segmentBytesMax: 8_000 };

async function fill(options: Partial<AuditLogOptions>, count = 30) {
	const opened = await openLog({ key: testKey, limits: small, ...options });
	for (let n = 0; n < count; n += 1) await accept(opened.log, record({ statement: n + 1 }));
	return opened;
}

const stuck: Sink = {
	name: 'stuck',
	acknowledges: true,
	deliver: () => Promise.reject(new Error('down')),
	close: () => Promise.resolve(),
};

describe('compression', () => {
	it('packs every closed segment, and they are read as before', async () => {
		const { log, path } = await fill({ retention: { compress: true } });
		await until(() => listSegments(path).filter((segment) => !segment.compressed).length === 1);
		await log.close();
		const report = await verifyLog(path);
		expect(report).toMatchObject({ ok: true, findings: [] });
		expect(report.segments).toBeGreaterThan(3);
		for (const name of fs.readdirSync(path))
			expect([name, fs.statSync(`${path}/${name}`).mode & 0o077]).toEqual([name, 0]);
		let found = 0;
		await searchLog(path, {}, () => {
			found += 1;
		});
		expect(found).toBe(30);
		expect(await proveRecord(path, 3)).toContain('\nindex 3\n');
		const again = await openLog({ path, key: testKey });
		await again.log.close();
		expect(await verifyLog(path)).toMatchObject({ ok: true });
	});

	it('that was interrupted is done again', async () => {
		const { log, path } = await fill({});
		await log.close();
		const [first, second] = listSegments(path);
		fs.writeFileSync(`${path}/${first?.name}.gz.new`, 'half');
		const again = await openLog({ path, key: testKey, retention: { compress: true } });
		await until(() => listSegments(path).filter((segment) => !segment.compressed).length === 1);
		await again.log.close();
		expect(listSegments(path)[0]?.name).toBe(`${first?.name}.gz`);
		expect(listSegments(path)[1]?.name).toBe(`${second?.name}.gz`);
		expect(fs.readdirSync(path).filter((name) => name.endsWith('.new'))).toEqual([]);
		expect(await verifyLog(path)).toMatchObject({ ok: true });
	});

	it('waits for sinks', async () => {
		const { log, path } = await fill({
			retention: { compress: true },
			limits: { ...small, checkpointIntervalMs: 5, closeGraceMs: 1 },
			sinks: [{ sink: stuck, spoolBytesMax: 1e9 }],
		});
		await log.close();
		expect(listSegments(path).filter((segment) => segment.compressed)).toEqual([]);
	});
});

describe('retention', () => {
	it('by size removes the oldest, says so in the log before, and what is left verifies', async () => {
		const { log, path } = await fill({ retention: { keepBytes: 30_000 } });
		await until(() => (listSegments(path)[0]?.number ?? 1) > 1);
		await log.close();
		expect(logText(path)).toContain('"event_code":"audit-retention"');
		const report = await verifyLog(path);
		expect(report).toMatchObject({ ok: true, findings: [] });
		expect(report.first).toBeGreaterThan(0);
		expect(await proveRecord(path, report.first + 2)).toContain(`\nindex ${report.first + 2}\n`);
		const left = listSegments(path).map((segment) => segment.name);
		expect(fs.readdirSync(path).filter((name) => name.endsWith('.leaves'))).toEqual(
			left.map((name) => `${name}.leaves`),
		);
	});

	it('by age removes what nobody wrote to for that long', async () => {
		let ahead = 0;
		const { log, path } = await fill({
			retention: { keepMs: 86_400_000 },
			now: () => Date.now() + ahead,
			limits: { ...small, checkpointIntervalMs: 5 },
		});
		expect(listSegments(path)[0]?.number).toBe(1);
		ahead = 2 * 86_400_000;
		await accept(log, record());
		await until(() => (listSegments(path)[0]?.number ?? 1) > 1);
		await log.close();
		expect(await verifyLog(path)).toMatchObject({ ok: true });
	});

	it('waits for sinks', async () => {
		const { log, path } = await fill({
			retention: { keepBytes: 10_000 },
			limits: { ...small, checkpointIntervalMs: 5, closeGraceMs: 1 },
			sinks: [{ sink: stuck, spoolBytesMax: 1e9 }],
		});
		await log.close();
		expect(listSegments(path)[0]?.number).toBe(1);
	});
});
