/** A process that writes a log as fast as it can until it is killed: part of the tests. Receipts go to a file of their own. */
import * as fs from 'node:fs';
import { AuditLog } from '../../src/audit/log.ts';
import { type AuditFs, nodeFs } from '../../src/audit/segment.ts';
import { decision, record } from './samples.ts';
import { success, testKey } from './constants.ts';

export interface WriterJob {
	readonly path: string;
	readonly receipts: string;
	readonly durability: 'os' | 'disk';
	/** Kills itself in this write, after half of its bytes; 0 for never. */
	readonly dieInWrite: number;
	readonly limits: object;
	/** Ends by itself at the first refusal and prints its SQLSTATE, instead of being killed. */
	readonly untilRefused: boolean;
}

const job = JSON.parse(process.argv[2] ?? '{}') as WriterJob;
const receipts = fs.openSync(job.receipts, 'a');
let writes = 0;
const files: AuditFs = {
	...nodeFs,
	writeSync: (fd, buffer, offset, length) => {
		writes += 1;
		if (writes !== job.dieInWrite) return nodeFs.writeSync(fd, buffer, offset, length);
		nodeFs.writeSync(fd, buffer, offset, Math.ceil(length / 2));
		process.kill(process.pid, 'SIGKILL');
		return length;
	},
};

const log = await AuditLog.open({
	path: job.path,
	durability: job.durability,
	key: testKey,
	limits: job.limits,
	files,
});
let count = 0;

function go(): void {
	count += 1;
	const sql = `select ${count}, '${'x'.repeat(count % 500)}'`;
	log.accept(record({ statement: count, decision: decision({ sql, rewritten: sql }) }), (error, receipt) => {
		if (receipt === null) {
			if (!job.untilRefused) throw error ?? new Error('no receipt');
			fs.writeSync(1, error?.sqlstate ?? '');
			process.exit(0);
		}
		fs.writeSync(receipts, `${receipt.id}\n`);
		log.outcome(receipt, success);
		go();
	});
}
for (let client = 0; client < 4; client += 1) go();
process.stdout.write('started\n');
