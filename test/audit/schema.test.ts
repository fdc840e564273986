/** Every kind of record there is, and every shape of a statement's, is as the schema's own definition (OCSF) has it. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { EventCode } from '../../src/audit/lines.ts';
import { type AuditFs, listSegments, nodeFs } from '../../src/audit/segment.ts';
import { GatewayError } from '../../src/errors.ts';
import type { Action, StatementDecision } from '../../src/stages.ts';
import { ocsfProblems } from './ocsf/validate.ts';
import { decision, denial, record, session, use } from './samples.ts';
import { accept, openLog, records, success, temporaryDirectory, testKey, until } from './support.ts';

/** Complete by type: a new kind of record does not compile until it is made below. */
const everyCode: Readonly<Record<EventCode, true>> = {
	statement: true,
	outcome: true,
	login: true,
	'login-failed': true,
	logout: true,
	cancel: true,
	'guard-breach': true,
	'policy-reload': true,
	config: true,
	segment: true,
	'audit-start': true,
	'audit-stop': true,
	'audit-gap': true,
	'audit-retention': true,
	checkpoint: true,
};

it('every kind of record', async () => {
	let full = false;
	const files: AuditFs = {
		...nodeFs,
		writeSync: (fd, buffer, offset, length) => {
			if (full) throw Object.assign(new Error('planted'), { code: 'ENOSPC' });
			return nodeFs.writeSync(fd, buffer, offset, length);
		},
	};
	const limits = { segmentBytesMax: 6000, queueRecordsMax: 2, checkpointIntervalMs: 5, retryIntervalMs: 60_000 };
	const { log, path } = await openLog({ key: testKey, files, limits });
	const receipt = await accept(log, record());
	log.outcome(receipt, success);
	const ok = { revision: 'b', previousRevision: 'a', trigger: 'signal' } as const;
	for (const event of [
		{ type: 'login', session },
		{ type: 'login-failed', session, user: 'eve', reason: 'no', sqlstate: '28000' },
		{ type: 'logout', session, reason: 'terminate', durationMs: 3 },
		{ type: 'cancel', session, clientAddress: '10.0.0.1', clientPort: 1 },
		{ type: 'guard-breach', session, receipt, object: 'a.b.c', reason: 'raw' },
		{ type: 'policy-reload', ok: true, problems: [], ...ok },
		{ type: 'policy-reload', ok: false, problems: ['policy.csv:3: no'], ...ok },
		{ type: 'config', ok: true, trigger: 'start', changes: ['a'] },
	] as const) {
		await new Promise((resolve) => log.event(event, resolve));
	}
	full = true;
	for (let n = 0; n < 4; n += 1) log.event({ type: 'logout', session, reason: 'x', durationMs: 1 });
	await until(() => log.stats.lost > 0);
	full = false;
	await log.close();
	const seen = new Set(records(path).map((line) => line.metadata.event_code));
	// A torn line and a changed record are told at the next start, which removes the oldest segments as well.
	const last = join(path, listSegments(path).at(-1)?.name ?? '');
	fs.appendFileSync(last, '{"meta');
	const damaged = fs.readFileSync(last, 'utf8').replace('"severity_id":1', '"severity_id":2');
	fs.writeFileSync(last, damaged);
	const again = await openLog({ path, key: testKey, limits, retention: { keepBytes: 9000 } });
	await until(() => records(path).some((line) => line.metadata.event_code === 'audit-retention'));
	await again.log.close();
	for (const line of records(path)) seen.add(line.metadata.event_code);
	expect([...seen].sort()).toEqual(Object.keys(everyCode).sort());
});

const error = new GatewayError('54000', 'too long');
const actions: readonly Action[] = [
	'select',
	'insert',
	'update',
	'delete',
	'create',
	'drop',
	'grant',
	'truncate',
	'call',
];

const decisions: readonly { readonly name: string; readonly of: StatementDecision }[] = [
	{ name: 'cut', of: decision({ effect: 'deny', error, sql: 'x'.repeat(100_000) }) },
	{ name: 'without a fingerprint', of: { ...denial(), node: 'Unparsable', objects: [], rules: [] } },
	{ name: 'a call', of: decision({ node: 'FunctionCall', objects: [use({ kind: 'function', action: 'execute' })] }) },
	...['CopyStmt', 'InsertStmt', 'DropStmt', 'BaseBackupCmd', 'StartReplicationCmd', 'CreateReplicationSlotCmd'].map(
		(node) => ({ name: node, of: decision({ node }) }),
	),
	...actions.map((action) => ({ name: action, of: decision({ node: 'X', objects: [use({ action })] }) })),
];

it.each(decisions)('a statement: $name', async ({ of }) => {
	const path = temporaryDirectory();
	const { log } = await openLog({ path });
	for (const protocol of ['simple', 'extended', 'function-call'] as const) {
		const receipt = await accept(log, record({ decision: of, protocol, parameters: [] }));
		if (of.effect !== 'deny') log.outcome(receipt, { ...success, status: 'failure', sqlstate: '22012', tag: null });
	}
	await log.close();
	for (const line of records(path)) expect(ocsfProblems(line)).toEqual([]);
});
