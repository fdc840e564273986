/** EXECUTE after policy, catalogue or names have changed: what was prepared is decided again, and runs only where the same text would. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Identity, StatementDecision } from '../../src/stages.ts';
import type { Bench } from './bench.ts';
import { ANALYST, AUDITOR, openPeople } from './people.ts';

let bench: Bench;
beforeAll(async () => {
	bench = await openPeople();
});
afterAll(async () => {
	await bench?.close();
});

/** Prepares under the search_path `hr, app` and executes under another. */
async function prepareAndExecute(
	sql: string,
	{
		who = ANALYST,
		later = who,
		path = ['hr', 'app', 'other'],
	}: { who?: Identity; later?: Identity; path?: readonly string[] } = {},
): Promise<StatementDecision | undefined> {
	const decision = await bench.decide(`prepare p as ${sql}`, { who });
	const [statement] = decision.statements;
	if (statement?.effect === 'deny' || statement === undefined) throw new Error(`not prepared: ${sql}`);
	const before = { decision, statement };
	const context = { ...bench.context({ who: later, path }), prepared: () => before };
	expect(bench.pipeline.isCurrent(decision, context)).toBe(false);
	return (await bench.pipeline.decide(context, 'execute p')).statements[0];
}

test.each(['select id from items', 'select ssn from people where id = $1', 'select 1'])('goes on: %s', async (sql) => {
	const executed = await prepareAndExecute(sql);
	expect(executed?.error?.message).toBeUndefined();
	expect(executed?.effect).toBe(sql.includes('ssn') ? 'mask' : 'allow');
	expect(executed?.touchesProtected).toBe(sql.includes('ssn'));
});

test('is refused where the names mean something else now', async () => {
	const executed = await prepareAndExecute('select * from people', { path: ['other', 'app'] });
	expect(executed?.error).toMatchObject({ sqlstate: '42501' });
});

test('is refused where more is masked now, or nothing allowed', async () => {
	const masked = await prepareAndExecute('select ssn from hr.people', { who: AUDITOR, later: ANALYST });
	expect(masked?.error).toMatchObject({ sqlstate: '42501' });
	const denied = await prepareAndExecute('select body from hr.secrets', { who: AUDITOR, later: ANALYST });
	expect(denied?.error).toMatchObject({ sqlstate: '42501' });
});

test('is refused where rows that are written would be checked anew', async () => {
	const executed = await prepareAndExecute("insert into people (id, tenant, name) values (99, 'acme', 'x')");
	expect(executed?.error).toMatchObject({ sqlstate: '42501' });
});

test('goes on for whoever may do everything, whatever the gateway knows of it', async () => {
	expect((await prepareAndExecute('select nothing_there()', { who: AUDITOR }))?.effect).toBe('allow');
});
