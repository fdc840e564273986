/** Built-in routines: every one of every supported version is classified, and those that would do harm are not harmless. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { routineList } from '../../src/catalog/data/routines.ts';
import { ACTING, NUMBERING } from '../../src/catalog/queries.ts';
import { isHarmlessFunctionName, readList, routineKey, routineSafety } from '../../src/catalog/routine-safety.ts';
import type { RoutineClass } from '../../src/catalog/safety.ts';
import { createDatabase, startPostgres, type TestDatabase } from '../support/postgres.ts';
import { readLists } from './lists.ts';
import { loadOnce, otherVersions } from './support.ts';

function builtin(key: string) {
	const open = key.indexOf('(');
	const path = key.slice(0, open).split('.');
	const types = key.slice(open + 1, -1);
	return {
		schema: path.length === 2 ? (path[0] ?? '') : 'pg_catalog',
		name: path.at(-1) ?? '',
		argNames: types === '' ? [] : types.split(','),
		builtin: true,
	};
}

describe('verdicts', () => {
	const rows: { routine: string; want: RoutineClass | 'harmless' }[] = [
		...['lower(text)', 'now()', 'count()', 'int4pl(integer,integer)', 'textin(cstring)', 'array_agg(anynonarray)'],
		...[
			'jsonb_path_query(jsonb,jsonpath,jsonb,boolean)',
			'pg_sleep(double precision)',
			'version()',
			'format_type(oid,integer)',
		],
		...[
			'pg_get_viewdef(oid)',
			'pg_get_expr(pg_node_tree,oid)',
			'has_table_privilege(text,text)',
			'pg_table_is_visible(oid)',
		],
		...['pg_relation_size(regclass)', 'pg_try_advisory_lock(bigint)', 'current_setting(text)'],
		...['ts_rewrite(tsquery,tsquery,tsquery)', 'pg_is_wal_replay_paused()', 'obj_description(oid,name)', 'pg_cursor()'],
		...[
			'information_schema._pg_truetypid(pg_attribute,pg_type)',
			'generate_series(integer,integer)',
			'pg_backend_pid()',
		],
		...[
			'string_agg(text,text)',
			'row_number()',
			'xpath(text,xml)',
			'txid_current()',
			'to_regclass(text)',
			'set_byte(bytea,integer,integer)',
		],
	].map((routine) => ({ routine, want: 'harmless' as const }));
	const harmful: Partial<Record<RoutineClass, string[]>> = {
		sql: [
			...['query_to_xml(text,boolean,boolean,text)', 'table_to_xml(regclass,boolean,boolean,text)', 'ts_stat(text)'],
			...[
				'schema_to_xml(name,boolean,boolean,text)',
				'database_to_xml(boolean,boolean,text)',
				'ts_rewrite(tsquery,text)',
			],
			...['cursor_to_xml(refcursor,integer,boolean,boolean,text)', 'currtid2(text,tid)', 'ts_stat(text,text)'],
			...['domain_in(cstring,oid,integer)', 'array_in(cstring,oid,integer)', 'pg_input_is_valid(text,text)'],
		],
		files: [
			'pg_read_file(text)',
			'pg_ls_dir(text)',
			'pg_stat_file(text)',
			'pg_read_binary_file(text)',
			'pg_hba_file_rules()',
		],
		sessions: ['pg_terminate_backend(integer,bigint)', 'pg_cancel_backend(integer)', 'pg_stat_get_activity(integer)'],
		settings: ['set_config(text,text,boolean)'],
		'large-objects': [
			'lo_get(oid)',
			'loread(integer,integer)',
			'lo_import(text)',
			'lo_export(oid,text)',
			'lowrite(integer,bytea)',
		],
		replication: [
			...['pg_logical_slot_get_changes(name,pg_lsn,integer,text[])', 'pg_export_snapshot()', 'pg_switch_wal()'],
			...['pg_drop_replication_slot(name)', 'pg_logical_emit_message(boolean,text,text,boolean)'],
		],
		statistics: [
			'pg_mcv_list_items(pg_mcv_list)',
			'pg_stat_get_live_tuples(oid)',
			'pg_stat_get_xact_tuples_fetched(oid)',
		],
		admin: [
			'pg_reload_conf()',
			'pg_promote(boolean,integer)',
			'pg_stat_reset()',
			'binary_upgrade_set_next_pg_type_oid(oid)',
		],
		sequence: [
			'nextval(regclass)',
			'setval(regclass,bigint)',
			'currval(regclass)',
			'lastval()',
			'pg_sequence_last_value(regclass)',
		],
		notify: ['pg_notify(text,text)'],
		internal: ['pg_event_trigger_dropped_objects()', 'RI_FKey_cascade_del()', 'plpgsql_validator(oid)'],
		unlisted: ['pg_not_yet_invented(text)', 'lower(integer)', 'information_schema.lower(text)', 'pg_read_file(uuid)'],
	};
	for (const [want, routines] of Object.entries(harmful)) {
		for (const routine of routines) rows.push({ routine, want: want as RoutineClass });
	}
	it.each(rows)('$routine is $want', ({ routine, want }) => {
		const verdict = routineSafety(builtin(routine));
		expect(verdict.safe ? 'harmless' : verdict.class).toBe(want);
	});

	it('what is not built in is never harmless, whatever its name', () => {
		expect(routineSafety({ ...builtin('lower(text)'), builtin: false })).toMatchObject({ safe: false, class: 'user' });
	});

	const names: { name: string; want: boolean }[] = [
		{ name: 'lower', want: true },
		{ name: 'right', want: true },
		{ name: 'nextval', want: false },
		{ name: 'pg_read_file', want: false },
		// One of its overloads runs SQL.
		{ name: 'ts_rewrite', want: false },
		{ name: '_pg_truetypid', want: false },
		{ name: 'no_such_function', want: false },
		{ name: 'LOWER', want: false },
	];
	it.each(names)('the name $name is harmless in a mask: $want', ({ name, want }) => {
		expect(isHarmlessFunctionName(name)).toBe(want);
	});
});

describe('the list', () => {
	const known = readList(routineList);

	it('has no routine that nobody has looked at', () => {
		const open = [...known].filter(([, verdict]) => !verdict.safe && verdict.class === 'unlisted');
		expect(open.map(([key]) => key)).toEqual([]);
	});

	it.each([14, 15, 16, 17, 18])('classifies every routine of PostgreSQL %i', (version) => {
		const routines = [...readLists('routines')].filter(([, versions]) => versions.has(version)).map(([name]) => name);
		expect(routines.length).toBeGreaterThan(3000);
		expect(routines.filter((name) => !known.has(name))).toEqual([]);
	});

	it('holds no routine that no version has', () => {
		const all = readLists('routines');
		expect([...known.keys()].filter((key) => !all.has(key))).toEqual([]);
	});

	// A net under the reading by hand: names like these need a second thought wherever they turn up.
	it('calls nothing harmless that says it reads, signals, copies or changes the server', () => {
		const suspicious =
			/^(pg_(read|ls_|stat_reset|restore|clear|create|drop|copy|logical|replication|backup|start|stop|switch|promote|reload|rotate|terminate|cancel|export|import|log_)|lo_|lo(read|write)|binary_upgrade|query_to|table_to|schema_to|database_to|cursor_to|set_config|.*val\(regclass)/;
		const harmless = [...known].filter(([, verdict]) => verdict.safe).map(([key]) => key);
		expect(harmless.filter((key) => suspicious.test(key))).toEqual([]);
		expect(suspicious.test('pg_read_file(text)')).toBe(true);
	});

	const broken: { name: string; text: string; want: RegExp }[] = [
		{
			name: 'a routine twice',
			text: '# harmless\na(text)\n# sql: it runs SQL\na(text)',
			want: /a\(text\) stands there twice/,
		},
		{ name: 'an overload twice', text: '# harmless\na(text)(text)', want: /a\(text\) stands there twice/ },
		{ name: 'a class that does not exist', text: '# fun: it is fun\na()', want: /opens no section/ },
		{ name: 'a class without reason', text: '# sql\na()', want: /opens no section/ },
		{ name: 'a line that is no routine', text: '# harmless\nlower', want: /lower is no routine/ },
	];
	it.each(broken)('refuses $name', ({ text, want }) => {
		expect(() => readList(text)).toThrow(want);
	});

	it('has what stands before any section unlisted', () => {
		expect(readList('a()').get('a()')).toMatchObject({ safe: false, class: 'unlisted' });
	});
});

describe.each([undefined, ...otherVersions()])('a live server (%s)', (native) => {
	let database: TestDatabase;
	beforeAll(async () => {
		database = await createDatabase({ server: await startPostgres(native === undefined ? {} : { native }) });
	});
	afterAll(() => database.drop());

	it('has no routine that is not on the list', async () => {
		const snapshot = await loadOnce(database);
		const rows = await database.sql(`select distinct proname from pg_proc where oid < 16384`);
		const routines = rows.flatMap((row) => snapshot.routinesNamed(String(row['proname'])));
		expect(routines.length).toBeGreaterThan(3000);
		const open = routines.filter((routine) => {
			const verdict = routineSafety(routine);
			return !verdict.safe && verdict.class === 'unlisted';
		});
		expect(open.map(routineKey)).toEqual([]);
	});

	it('has the routines that the list of its version says', async () => {
		const snapshot = await loadOnce(database);
		const version = Math.trunc(snapshot.serverVersion / 10_000);
		const rows = await database.sql(`select oid from pg_proc where oid < 16384`);
		const live = rows
			.map((row) => snapshot.routineByOid(Number(row['oid'])))
			.filter((routine) => routine !== undefined);
		const listed = [...readLists('routines')].filter(([, versions]) => versions.has(version)).map(([name]) => name);
		expect(live.map(routineKey).sort()).toEqual(listed.sort());
	});

	it('has those that act on the session under the oids that expressions are searched for', async () => {
		const rows = await database.sql(`select oid::int from pg_proc where pronamespace = 'pg_catalog'::regnamespace
			and proname ~ '^(set_config|setseed|setval|pg_(try_)?advisory_(un)?lock(_shared|_all)?)$'`);
		const ascending = (oids: readonly number[]): number[] => [...oids].sort((a, b) => a - b);
		expect(ascending(rows.map(({ oid }) => Number(oid)))).toEqual(ascending(ACTING));
		const [row] = await database.sql(`select 'nextval'::regproc::oid::int as oid`);
		expect([row?.['oid']]).toEqual(NUMBERING);
	});

	// Operators, casts, types and aggregates of the server's own are harmless only if what is behind them is.
	it('has nothing harmful behind its operators, casts, types and aggregates', async () => {
		const snapshot = await loadOnce(database);
		const rows = await database.sql(`
			select oprcode::oid as oid from pg_operator where oid < 16384
			union select castfunc from pg_cast where oid < 16384
			union select unnest(array[typinput, typoutput, typreceive, typsend, typmodin, typmodout]::oid[]) from pg_type where oid < 16384
			union select unnest(array[aggtransfn, aggfinalfn, aggcombinefn]::oid[]) from pg_aggregate where aggfnoid::oid < 16384`);
		const behind = rows
			.map((row) => snapshot.routineByOid(Number(row['oid'])))
			.filter((routine) => routine !== undefined);
		expect(behind.length).toBeGreaterThan(1000);
		// The input of arrays, rows, ranges and domains runs that of another type: `x::type` is asked for that type instead.
		const generic = /^(array|record|domain|range|multirange)_(in|recv)\(/;
		const harmful = behind.filter((routine) => !routineSafety(routine).safe).map(routineKey);
		expect(harmful.filter((key) => !generic.test(key.replace(/^pg_catalog\./, '')))).toEqual([]);
		expect(harmful.length).toBeGreaterThan(0);
	});
});
