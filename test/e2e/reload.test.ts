/** The policy changes while clients are connected: a new one holds at once, a broken one changes nothing and says so. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startGateway, type TestGateway } from '../support/gateway.ts';

let gateway: TestGateway;
let ben: pg.Client;
beforeEach(async () => {
	gateway = await startGateway();
	ben = await gateway.connect('ben');
});
afterEach(async () => {
	await ben?.end();
	await gateway?.stop();
});

const QUERY = 'select ssn, salary from hr.employees where id = 1';

async function answer(): Promise<unknown> {
	// A name: the statement is prepared once and executed under whichever policy holds then.
	return ben.query({ name: 'prepared', text: QUERY }).then(
		({ rows }) => rows[0] as unknown,
		(error: pg.DatabaseError) => error.code,
	);
}

async function editPolicy(edit: (text: string) => string): Promise<void> {
	const file = join(gateway.folder, 'policies', 'policy.csv');
	await writeFile(file, edit(await readFile(file, 'utf8')));
}

async function reloads(): Promise<unknown[]> {
	const records = (await gateway.audit()).filter(
		(record) => (record['metadata'] as { event_code: string }).event_code === 'policy-reload',
	);
	return records.map((record) => record['status']);
}

test('a changed file holds for prepared statements of sessions under way, without a signal', async () => {
	expect(await answer()).toEqual({ ssn: 'XXX-XX-7907', salary: null });
	await editPolicy((text) =>
		text.replace(/^.*employees\.salary.*$/m, 'p, role:analyst, shop.hr.employees.salary, select, mask, budget_band'),
	);
	await expect.poll(answer).toEqual({ ssn: 'XXX-XX-7907', salary: '0.00' });
	await editPolicy((text) => `${text}\np, group:data-team, shop.hr.employees, select, deny\n`);
	await expect.poll(answer).toBe('42501');
});

test('a signal reads the policy at once', async () => {
	await editPolicy((text) => `${text}\np, user:ben, shop.hr.employees, select, deny\n`);
	await gateway.gateway.reload();
	expect(await answer()).toBe('42501');
	expect(await reloads()).toEqual(['Success', 'Success']);
});

test('a broken policy keeps the former in force and is reported with file, line and reason', async () => {
	await editPolicy((text) => `${text}\np, role:analyst, shop.hr.employees.ssn, select, unmsk\n`);
	await gateway.gateway.reload();
	expect(await answer()).toEqual({ ssn: 'XXX-XX-7907', salary: null });
	const line = gateway.log.find(({ level }) => level === 'error');
	expect(line?.message).toMatch(/former stays in force/);
	expect(line?.fields['problems']).toEqual([expect.stringMatching(/^policy\.csv:\d+: .*unmsk/)]);
	expect(await reloads()).toEqual(['Success', 'Failure']);

	await editPolicy((text) => text.replace('unmsk', 'unmask'));
	await gateway.gateway.reload();
	expect(await answer()).toEqual({ ssn: '937-54-7907', salary: null });
});

test('a mask that names a column which the table does not have is refused', async () => {
	const file = join(gateway.folder, 'policies', 'masks.yaml');
	await writeFile(file, (await readFile(file, 'utf8')).replace('nothing: "null"', 'nothing: "no_such_column"'));
	await gateway.gateway.reload();
	expect(await answer()).toEqual({ ssn: 'XXX-XX-7907', salary: null });
	const line = gateway.log.find(({ level }) => level === 'error');
	expect(line?.fields['problems']).toEqual(
		expect.arrayContaining([expect.stringMatching(/^masks\.yaml:\d+: .*no_such_column/)]),
	);
});
