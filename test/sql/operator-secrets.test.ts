/** Settings that may hold a password of the operator's: nobody is shown them, by whatever way settings are read. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Bench } from './bench.ts';
import { check, type Row } from './check.ts';
import { openPeople, RULES, SETUP } from './people.ts';

let bench: Bench;
beforeAll(async () => {
	bench = await openPeople({ setup: SETUP, rules: RULES });
});
afterAll(async () => {
	await bench?.close();
});

const REFUSED = { error: ['42501', 'permission denied to examine'] } as const;

describe('a secret setting', () => {
	const rows: readonly Row[] = [
		{ sql: 'show primary_conninfo', want: REFUSED },
		{ sql: 'SHOW "Primary_ConnInfo"', want: REFUSED },
		{ sql: 'show archive_command', want: REFUSED },
		{ sql: "select current_setting('ssl_passphrase_command')", want: REFUSED },
		{ sql: "select current_setting('RESTORE_COMMAND'::text, true)", want: REFUSED },
		{ sql: "select pg_catalog.current_setting('archive_cleanup_command')", want: REFUSED },
		{
			sql: "select name, current_setting(name) from pg_settings where name in ('archive_command', 'array_nulls') order by 1",
			want: {
				rows: [
					['archive_command', ''],
					['array_nulls', 'on'],
				],
			},
		},
		{
			sql: "select name, setting, reset_val from pg_settings where name in ('archive_command', 'array_nulls') order by 1",
			want: {
				rows: [
					['archive_command', '', ''],
					['array_nulls', 'on', 'on'],
				],
			},
		},
		{ sql: "select current_setting('archive_command_x'::varchar(15))", want: { rows: [['']] } },
		{ sql: "select current_setting('archive_commandx'::char(15)::text)", want: { rows: [['']] } },
		{ sql: "select current_setting('archive_command'::varchar)", want: REFUSED },
		{ sql: 'select pg_show_all_settings()', want: { error: ['42501', 'permission denied for function'] } },
		{
			sql: "select s.name, setting from pg_catalog.pg_show_all_settings() as s where s.name = 'archive_command'",
			want: { rows: [['archive_command', '']] },
		},
	];
	test.each(rows)('$sql', (row) => check(bench, row));

	test('is left out of SHOW ALL', async () => {
		const answer = await bench.run('show all');
		const bare = await bench.direct('show all');
		if (answer.kind === 'error' || bare.kind === 'error') throw new Error('an error');
		expect(answer.names).toEqual(bare.names);
		const told = answer.rows.filter((row, i) => row[1] !== bare.rows[i]?.[1]).map(([name]) => name);
		expect(answer.rows.map(([name]) => name)).toEqual(bare.rows.map(([name]) => name));
		expect(['archive_command', undefined]).toContain(told[0]);
		expect(told.length).toBeLessThan(2);
	});
});

describe('other settings', () => {
	const rows: readonly Row[] = [
		{ sql: 'show work_mem', want: { same: true } },
		{
			sql: "select set_config('bytea_output', 'hex', false) from pg_show_all_settings() where name = 'bytea_output'",
			want: { same: true },
		},
		{ sql: "select n, v from pg_show_all_settings() as s (n, v) where s.n like 'work%'", want: { same: true } },
		{ sql: "select current_setting('work' || '_mem'), current_setting('no.such', true)", want: { same: true } },
		{ sql: 'select count(*) from pg_settings', want: { same: true } },
		{ sql: "select name, setting, unit from pg_settings where name like 'work%'", want: { same: true } },
	];
	test.each(rows)('$sql', (row) => check(bench, row));
});
