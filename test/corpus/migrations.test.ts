/** Migrations as tools write them, each sent as one text, do what they do on the server: by somebody who owns a schema and sees less of others. */
import { readdirSync, readFileSync } from 'node:fs';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { defaultSqlLimits, parse } from '../../src/sql/parse.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';

/** May everything in the schemas of the application, and what concerns the database as a whole; not everything there is. */
const RULES = `
p, *, shop, connect, allow
p, role:writer, shop, *, allow
${['app', 'public', 'made', 'shop'].map((schema) => `p, role:writer, shop.${schema}.*, *, allow\np, role:writer, shop.${schema}.*(*), *, allow`).join('\n')}
p, role:writer, shop.hr.employees, select, allow
p, role:writer, shop.hr.employees.ssn, select, mask, nothing
`;

const SETUP = `
do $$ begin execute format('grant create on database %I to gateway', current_database()); end $$;
grant create on schema public to gateway;
create schema app authorization gateway;
`;

interface Migration {
	readonly name: string;
	readonly sql: string;
}

/** Those of a file in their order; each begins with a line `-- migration: name`. */
function migrationsOf(file: string): readonly Migration[] {
	const text = readFileSync(new URL(`./migrations/${file}`, import.meta.url), 'utf8');
	return text
		.split(/^-- migration: /m)
		.slice(1)
		.map((part) => ({ name: part.slice(0, part.indexOf('\n')), sql: part.slice(part.indexOf('\n') + 1) }));
}

let gateway: TestGateway;
let client: pg.Client;
beforeAll(async () => {
	gateway = await startGateway({
		policies: { 'policy.csv': RULES, 'masks.yaml': 'masks:\n  nothing: "null"\n' },
		setup: SETUP,
	});
	client = await gateway.connect('app');
});
afterAll(async () => {
	await client?.end();
	await gateway?.stop();
});

describe.each(readdirSync(new URL('./migrations/', import.meta.url)))('%s', (file) => {
	beforeAll(async () => {
		await client.query('drop schema if exists app cascade; create schema app');
	});

	test.each(migrationsOf(file))('$name', async ({ sql }) => {
		const results: unknown = await client.query(sql);
		const { statements } = parse(sql, defaultSqlLimits);
		expect(Array.isArray(results) ? results.length : 1).toBe(statements.length);
	});
});

test('what a migration makes of protected rows holds what its author sees', async () => {
	await client.query(
		'create table app.copied as select id, ssn from hr.employees; create policy p on app.copied using (id > 0)',
	);
	expect((await client.query('select count(*)::int as n, count(ssn)::int as ssns from app.copied')).rows).toEqual([
		{ n: 480, ssns: 0 },
	]);
});
