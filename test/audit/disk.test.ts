/** With durability `disk`: how often the disk is waited for. */
import { describe, expect, it } from 'vitest';
import { type AuditFs, nodeFs } from '../../src/audit/segment.ts';
import { record } from './samples.ts';
import { accept, codes, openLog, success, until } from './support.ts';

const never = 60 * 60 * 1000;

/** Counts how often the disk is asked. */
function countingFs(): { readonly files: AuditFs; readonly syncs: () => number } {
	let count = 0;
	const files: AuditFs = {
		...nodeFs,
		fdatasync: (fd, done) => {
			count += 1;
			nodeFs.fdatasync(fd, done);
		},
	};
	return { files, syncs: () => count };
}

describe('a client alone', () => {
	it('waits for the disk once for each statement: the outcome before it goes along', async () => {
		const { files, syncs } = countingFs();
		const { log, path } = await openLog({ files, durability: 'disk', limits: { outcomeDelayMs: never } });
		for (let statement = 1; statement <= 5; statement += 1) {
			log.outcome(await accept(log, record({ statement })), success);
		}
		expect(syncs()).toBe(5);
		await log.close();
		const pairs = Array.from({ length: 5 }, () => ['statement', 'outcome']).flat();
		expect(codes(path)).toEqual(['segment', 'audit-start', ...pairs, 'audit-stop', 'checkpoint']);
	});

	it('leaves an outcome that no statement comes after, and it is written all the same', async () => {
		const { files } = countingFs();
		const { log, path } = await openLog({ files, durability: 'disk', limits: { outcomeDelayMs: 1 } });
		log.outcome(await accept(log, record()), success);
		expect(log.stats.queued).toBe(1);
		await until(() => log.stats.queued === 0);
		expect(codes(path)).toEqual(['segment', 'audit-start', 'statement', 'outcome']);
	});

	it('leaves no more than so many outcomes waiting', async () => {
		const { files } = countingFs();
		const limits = { outcomeDelayMs: never, outcomesMax: 2 };
		const { log } = await openLog({ files, durability: 'disk', limits });
		const receipts = await Promise.all([1, 2].map((statement) => accept(log, record({ statement }))));
		for (const receipt of receipts) log.outcome(receipt, success);
		await until(() => log.stats.queued === 0);
	});
});
