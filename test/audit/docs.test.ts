/** docs/audit.md names every kind of record and every field that the schema does not. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { denial, record, session } from './samples.ts';
import { accept, openLog, records, success, temporaryDirectory, testKey } from './support.ts';

it('names what is in the records', async () => {
	const docs = readFileSync(new URL('../../docs/audit.md', import.meta.url), 'utf8');
	const { log, path } = await openLog({ key: testKey });
	log.outcome(await accept(log, record()), { ...success, sqlstate: '00000' });
	await accept(log, record({ decision: denial() }));
	log.event({ type: 'login', session });
	log.event({ type: 'login-failed', session, user: 'x', reason: 'x', sqlstate: '28000' });
	log.event({ type: 'logout', session, reason: 'x', durationMs: 1 });
	log.event({ type: 'cancel', session: null, clientAddress: '127.0.0.1', clientPort: 1 });
	log.event({ type: 'guard-breach', session, receipt: null, object: 'x', reason: 'x' });
	log.event({ type: 'policy-reload', ok: true, revision: 'a', previousRevision: null, trigger: 'start', problems: [] });
	log.event({ type: 'config', ok: true, trigger: 'start', changes: [] });
	await log.close();
	const worker = join(temporaryDirectory(), 'worker-1');
	const family = { folder: dirname(worker), name: 'worker-1', worker: 1, workers: 2 };
	await (await openLog({ path: worker, family })).log.close();
	const lines = [...records(path), ...records(worker)];
	const missing = lines.flatMap((line) => [
		...(docs.includes(`\`${line.metadata.event_code}\``) ? [] : [line.metadata.event_code]),
		...Object.keys(line.unmapped as object).filter((name) => !docs.includes(`unmapped.${name}\``)),
	]);
	expect(lines.length).toBeGreaterThan(12);
	expect([...new Set(missing)]).toEqual([]);
	expect(docs).not.toContain('unmapped.colour');
});
