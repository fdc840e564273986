/** Settings: which a session may change; every one that an ordinary user can set is on a list, for every version. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
	grantableSettings,
	harmlessSettings,
	harmlessValues,
	refusedSettings,
} from '../../src/catalog/data/settings.ts';
import { settingSafety } from '../../src/catalog/setting-safety.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { LIST_QUERIES, readLists } from './lists.ts';

const harmless = harmlessSettings.split(/\s+/).filter((name) => name !== '');

describe('verdicts', () => {
	type Row = { name: string; value?: string | null; want: 'harmless' | 'refused' | 'grantable' };
	const rows: Row[] = [
		...['datestyle', 'statement_timeout', 'application_name', 'search_path', 'work_mem', 'SEED', 'IntervalStyle'].map(
			(name) => ({ name, want: 'harmless' as const }),
		),
		...[
			'role',
			'ROLE',
			'session_authorization',
			'session_preload_libraries',
			'local_preload_libraries',
			'dynamic_library_path',
		].map((name) => ({ name, value: null, want: 'refused' as const })),
		...[
			'backslash_quote',
			'transform_null_equals',
			'debug_print_plan',
			'session_replication_role',
			'lo_compat_privileges',
		].map((name) => ({ name, value: 'on', want: 'refused' as const })),
		...[
			'row_security',
			'log_statement',
			'lc_messages',
			'zero_damaged_pages',
			'no_such_setting',
			'app.tenant',
			'constructor',
		].map((name) => ({ name, value: 'x', want: 'grantable' as const })),
		...['portcullis.login', 'Portcullis.x', 'auto_explain.log_min_duration', 'plperl.on_init', 'anon.masking'].map(
			(name) => ({
				name,
				value: 'x',
				want: 'refused' as const,
			}),
		),
		{ name: 'hnsw.ef_search', value: '100', want: 'harmless' },
		{ name: 'standard_conforming_strings', value: 'on', want: 'harmless' },
		{ name: 'Standard_Conforming_Strings', value: 'TRUE', want: 'harmless' },
		{ name: 'standard_conforming_strings', value: null, want: 'harmless' },
		...['off', 'of', 'o', 'false', '0', 'no', '', ' on', undefined].map((value) => ({
			name: 'standard_conforming_strings',
			...(value === undefined ? {} : { value }),
			want: 'refused' as const,
		})),
		...['UTF8', 'utf-8', 'UTF_8', 'unicode', 'SQL_ASCII', 'sqlascii', ' utf8 '].map((value) => ({
			name: 'client_encoding',
			value,
			want: 'harmless' as const,
		})),
		...['LATIN1', 'SJIS', 'EUC_JP', 'utf16', 'utf8mb4', '', 'UTF8X', undefined].map((value) => ({
			name: 'Client_Encoding',
			...(value === undefined ? {} : { value }),
			want: 'refused' as const,
		})),
		{ name: 'client_encoding', value: null, want: 'harmless' },
		{ name: 'timezone', value: null, want: 'harmless' },
		...`UTC GMT+05:30 Europe/Berlin America/Port-au-Prince America/Argentina/Buenos_Aires Etc/GMT+12 Etc/GMT-14 EST5EDT -8 +05:30 5.5 <-07>+07
			<+0545>-05:45 CET-1CEST,M3.5.0,M10.5.0/3 PRC GB-Eire localtime Etc/UCT posix/Europe/Berlin`
			.split(/\s+/)
			.map((value) => ({ name: 'TimeZone', value, want: 'harmless' as const })),
		...[
			'Europe/Berlin-12',
			'EUROPE/BERLIN+1',
			'<EUROPE/BERLIN>-12',
			'X1EUROPE/BERLIN',
			'ABC1<EUROPE/BERLIN>',
			'<UTC>5',
			'Z-12',
			'',
			undefined,
		].map((value) => ({ name: 'TimeZone', ...(value === undefined ? {} : { value }), want: 'refused' as const })),
		{ name: 'plperl.use_strict', value: 'on', want: 'harmless' },
		{ name: 'plperl.on_init', value: 'x', want: 'refused' },
		...['notice', 'WARNING', 'error', 'info'].map((value) => ({
			name: 'client_min_messages',
			value,
			want: 'harmless' as const,
		})),
		...['log', 'debug', 'debug1', 'DEBUG5', 'panic', undefined].map((value) => ({
			name: 'client_min_messages',
			...(value === undefined ? {} : { value }),
			want: 'refused' as const,
		})),
	];
	it.each(rows)('$name = $value is $want', ({ name, value, want }) => {
		const verdict = settingSafety(name, value);
		expect(verdict.safe ? 'harmless' : verdict.grantable ? 'grantable' : 'refused').toBe(want);
	});
});

describe('the lists', () => {
	const listed = new Set([
		...[
			...harmless,
			...Object.keys(refusedSettings),
			...Object.keys(grantableSettings),
			...Object.keys(harmlessValues),
		],
		'client_encoding',
		'timezone',
	]);

	it('name nothing twice', () => {
		const all = [
			...harmless,
			...Object.keys(refusedSettings),
			...Object.keys(grantableSettings),
			...Object.keys(harmlessValues),
		];
		expect(all.filter((name, index) => all.indexOf(name) !== index)).toEqual([]);
		expect(all.filter((name) => name !== name.toLowerCase())).toEqual([]);
	});

	it.each([14, 15, 16, 17, 18])('hold every setting that a user of PostgreSQL %i can change', (version) => {
		const settings = [...readLists('settings')]
			.filter(([, versions]) => versions.has(version))
			.map(([name]) => name.split(' '));
		const users = settings.filter(([context]) => context === 'user').map(([, name]) => String(name));
		expect(users.length).toBeGreaterThan(100);
		expect(users.filter((name) => !listed.has(name))).toEqual([]);
		const superusers = settings.filter(([context]) => context === 'superuser').map(([, name]) => String(name));
		expect(superusers.filter((name) => settingSafety(name, 'on').safe)).toEqual([]);
	});
});

describe('a live server', () => {
	let database: TestDatabase;
	beforeAll(async () => {
		database = await createDatabase();
	});
	afterAll(() => database.drop());

	it('has no setting for users that is on no list', async () => {
		const known = readLists('settings');
		const rows = await database.sql(LIST_QUERIES.settings);
		const settings = rows.map((row) => String(Object.values(row)[0])).filter((name) => /^user [^.]+$/.test(name));
		expect(settings.length).toBeGreaterThan(100);
		expect(settings.filter((name) => !known.has(name))).toEqual([]);
	});

	it.each(['UTF8', 'utf-8', 'UTF_8', 'unicode', 'SQL_ASCII', 'sqlascii', ' utf8 '])(
		'takes client_encoding %j for UTF8 or SQL_ASCII',
		async (value) => {
			const rows = await database.sql(`set client_encoding = '${value}'; show client_encoding`);
			expect(['UTF8', 'SQL_ASCII']).toContain(rows[0]?.['client_encoding']);
		},
	);

	it.each(['on', 'true', 'tru', 'tr', 't', 'yes', 'ye', 'y', '1'])('takes %s for on', async (value) => {
		const rows = await database.sql(`set standard_conforming_strings = '${value}'; show standard_conforming_strings`);
		expect(rows).toEqual([{ standard_conforming_strings: 'on' }]);
	});
});
