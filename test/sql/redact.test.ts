/** Errors and notices of statements on protected relations lose what could carry a value, and point into the client's own text. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { clientFields, redactedFields } from '../../src/sql/redact.ts';
import { identityOf, MASKS as POLICY_MASKS } from '../policy/support.ts';
import type { Bench } from './bench.ts';
import { openPeople, RULES, SETUP } from './people.ts';

let bench: Bench;
beforeAll(async () => {
	bench = await openPeople({ setup: SETUP, rules: `${RULES}${CLERK_RULES}`, masks: MASKS });
});
afterAll(async () => {
	await bench?.close();
});

/** Masks of text on columns of any type: a wildcard brings them to columns that they do not fit. */
const CLERK_RULES = `
p, role:clerk, db.app.*, select, allow
p, role:clerk, db.app.items.*, select, mask, ssn_last4
p, role:clerk, db.app.notes.body, select, mask, ssn_last4
p, role:clerk, db.app.notes.n, select, mask, stars
p, role:clerk, db.hr.teams, select, allow
p, role:clerk, db.hr.teams.*, select, mask, word
`;
const MASKS = `${POLICY_MASKS.replace('masks:\n', `masks:\n  stars: "left(value::text, 1) || '***'"\n  word: "'hidden'"\n`)}`;
const CLERK = identityOf(['user:cle', 'role:clerk'], { tenant: 'acme' });

const SECRET = '123-45-1001';

describe('fields', () => {
	const all = (sqlstate: string, message: string): Map<string, string> =>
		new Map([
			['S', 'ERROR'],
			['V', 'ERROR'],
			['C', sqlstate],
			['M', message],
			['D', `Failing row contains (${SECRET})`],
			['H', `try ${SECRET}`],
			['W', `at ${SECRET}`],
			['q', `select '${SECRET}'`],
			['p', '3'],
			['P', '8'],
			['s', 'hr'],
			['t', 'people'],
			['c', 'ssn'],
			['n', 'people_check'],
			['F', 'x.c'],
			['L', '1'],
			['R', 'f'],
		]);

	const rows: readonly { sqlstate: string; message: string; want: RegExp }[] = [
		{
			sqlstate: '23505',
			message: 'duplicate key value violates unique constraint "people_pkey"',
			want: /^duplicate key value violates unique constraint "people_pkey"$/,
		},
		{ sqlstate: '23514', message: 'new row for relation "people" violates check constraint "c"', want: /"c"$/ },
		{ sqlstate: '42703', message: 'column "nosuch" does not exist', want: /^column "nosuch" does not exist$/ },
		{
			sqlstate: '22P02',
			message: `invalid input syntax for type integer: "${SECRET}"`,
			want: /^invalid input syntax for type integer: "\.\.\."$/,
		},
		{
			sqlstate: '22P02',
			message: `invalid input syntax for type integer: "a""${SECRET}"`,
			want: /^invalid input syntax for type integer: "\.\.\."$/,
		},
		{
			sqlstate: '22P02',
			message: `invalid input syntax for type integer: "{"ssn": "${SECRET}"}"`,
			want: /^invalid input syntax for type integer: "\.\.\."$/,
		},
		{
			// lc_messages = de_DE
			sqlstate: '22P02',
			message: `ungültige Eingabesyntax für Typ integer: »${SECRET}«`,
			want: /^ungültige Eingabesyntax für Typ integer: "\.\.\."$/,
		},
		{
			sqlstate: '22021',
			message: 'invalid byte sequence for encoding "UTF8": 0xe4 0x31',
			want: /"\.\.\.": \.\.\. \.\.\.$/,
		},
		{
			sqlstate: '2202E',
			message: 'index 777 out of valid range, 0..7',
			want: /^index \.\.\. out of valid range, \.\.\.$/,
		},
		{ sqlstate: '22P02', message: 'invalid input syntax for type int2vector: "x"', want: /type int2vector: "\.\.\."$/ },
		{ sqlstate: '22001', message: 'value too long for type character varying(3)', want: /varying\(3\)$/ },
		{ sqlstate: '22008', message: 'date/time field value out of range: "x"', want: /: "\.\.\."$/ },
		{ sqlstate: '22012', message: 'division by zero', want: /^division by zero$/ },
		{ sqlstate: 'P0001', message: SECRET, want: /withheld/ },
		{ sqlstate: '00000', message: SECRET, want: /withheld/ },
		{ sqlstate: '01000', message: SECRET, want: /withheld/ },
		{ sqlstate: 'XX000', message: SECRET, want: /withheld/ },
		{ sqlstate: 'U1234', message: SECRET, want: /withheld/ },
		{ sqlstate: '38000', message: SECRET, want: /withheld/ },
		{ sqlstate: '', message: SECRET, want: /withheld/ },
	];
	// What a statement says while it runs; where a text is read, the server says where in it.
	const running: readonly { sqlstate: string; message: string; want: RegExp }[] = [
		{ sqlstate: '42P01', message: `relation "${SECRET}" does not exist`, want: /^relation "\.\.\." does not exist$/ },
		{ sqlstate: '42704', message: `unrecognized configuration parameter "${SECRET}"`, want: /parameter "\.\.\."$/ },
		{ sqlstate: '3F000', message: `schema "${SECRET}" does not exist`, want: /^schema "\.\.\." does not exist$/ },
		{ sqlstate: '3D000', message: `database "${SECRET}" does not exist`, want: /^database "\.\.\." does not exist$/ },
		{ sqlstate: '42601', message: `improper relation name (too many dotted names): ${SECRET}`, want: /withheld/ },
		{ sqlstate: '42883', message: `operator does not exist: ${SECRET}`, want: /withheld/ },
		{ sqlstate: '54000', message: 'requested character too large for encoding: 1200777', want: /encoding: \.\.\.$/ },
		{ sqlstate: '55P04', message: `unsafe use of new value "${SECRET}" of enum type mood`, want: /value "\.\.\." of/ },
		{ sqlstate: '42P07', message: 'relation "people" already exists', want: /"people"/ },
		{ sqlstate: '55P03', message: 'could not obtain lock on row in relation "people"', want: /"people"/ },
		{ sqlstate: '42501', message: 'permission denied for table people', want: /table people$/ },
	];
	test.each(running)('$sqlstate $message, without a place', ({ sqlstate, message, want }) => {
		const fields = all(sqlstate, message);
		fields.delete('P');
		const told = redactedFields(fields);
		expect(told.get('M')).toMatch(want);
		const isKept = told.get('M') === message;
		expect([...told.values()].filter((value) => !isKept || value !== told.get('H')).join('\n')).not.toContain(SECRET);
	});

	test.each(rows)('$sqlstate $message', ({ sqlstate, message, want }) => {
		const told = redactedFields(all(sqlstate, message));
		expect(told.get('M')).toMatch(want);
		expect(told.get('C')).toBe(sqlstate);
		for (const letter of ['D', 'W', 'q', 'p']) expect(told.has(letter)).toBe(false);
		expect([...told.values()].join('\n').replace(told.get('H') ?? '', '')).not.toContain(SECRET);
		if (told.get('M') !== message || sqlstate === '22012') expect([...told.values()].join('\n')).not.toContain(SECRET);
		expect(told.get('n')).toBe('people_check');
	});
});

describe('errors of the server', () => {
	/** Raw fields of the error that a text gives, as they stand in ErrorResponse. */
	async function errorOf(text: string): Promise<Map<string, string>> {
		await bench.client.query('begin');
		try {
			await bench.client.query(text);
			throw new Error('no error');
		} catch (error) {
			const fields = error as {
				code?: string;
				message: string;
				detail?: string;
				hint?: string;
				position?: string;
				where?: string;
			};
			if (fields.code === undefined) throw error;
			const entries = {
				C: fields.code,
				M: fields.message,
				D: fields.detail,
				H: fields.hint,
				P: fields.position,
				W: fields.where,
			};
			return new Map(
				Object.entries(entries).flatMap(([letter, value]) => (value === undefined ? [] : [[letter, value] as const])),
			);
		} finally {
			await bench.client.query('rollback');
		}
	}

	const rows: readonly { sql: string; sqlstate: string; at?: string; keeps?: RegExp }[] = [
		{ sql: 'select nosuch from people', sqlstate: '42703', at: 'nosuch', keeps: /nosuch/ },
		{ sql: 'select id, nosuch from hr.people, items', sqlstate: '42702', at: 'id' },
		{ sql: "select * from people where 'ü€😀' = nosuch", sqlstate: '42703', at: 'nosuch' },
		{
			sql: 'select p.id from people p join items i on i.id = p.id where i.nosuch = 1',
			sqlstate: '42703',
			at: 'i.nosuch',
		},
		{ sql: 'select name + 1 from people', sqlstate: '42883', at: '+ 1' },
		{ sql: 'select hr.people.id, nosuch from hr.people', sqlstate: '42703', at: 'nosuch' },
		{ sql: 'select name from people group by team', sqlstate: '42803', at: 'name' },
		{ sql: "update people set name = 'x', nosuch = 1", sqlstate: '42703', at: 'nosuch' },
		{ sql: "update people set name = 'x' where ssn = 'x' returning nosuch", sqlstate: '42703', at: 'nosuch' },
		{
			sql: 'select ssn::int from people where id = 1',
			sqlstate: '22P02',
			keeps: /^invalid input syntax for type integer: "\.\.\."$/,
		},
		{ sql: 'select 1 / (id - 1) from people', sqlstate: '22012', keeps: /^division by zero$/ },
		{ sql: "insert into people (id, tenant, name) values (1, 'acme', 'x')", sqlstate: '23505', keeps: /people_pkey/ },
		{ sql: "insert into people (id, tenant) values (100, 'acme')", sqlstate: '23502', keeps: /"name"/ },
		{ sql: 'update people set team = 77 where id = 1', sqlstate: '23503', keeps: /people_team_fkey/ },
	];
	test.each(rows)('$sql', async ({ sql, sqlstate, at, keeps }) => {
		const decision = await bench.decide(sql);
		expect(decision.error?.message).toBeUndefined();
		const raw = await errorOf(decision.rewritten);
		const told = clientFields(raw, decision, 0);
		expect(told.get('C')).toBe(sqlstate);
		expect(told.has('D')).toBe(false);
		if (at !== undefined) {
			const position = Number(told.get('P'));
			expect(
				[...sql]
					.slice(position - 1)
					.join('')
					.startsWith(at),
				`position ${position}`,
			).toBe(true);
		}
		if (keeps !== undefined) expect(told.get('M')).toMatch(keeps);
		expect([...told.values()].join('\n')).not.toMatch(/_p\b|OPERATOR|portcullis/);
	});

	const clerks: readonly { sql: string; message: RegExp; hint: RegExp }[] = [
		{
			sql: 'select label from items',
			message:
				/^the mask ssn_last4 \(policy\.csv:\d+\) of column app\.items\.id does not fit it: function pg_catalog\.right\(integer, integer\) does not exist$/,
			hint: /policy has to be mended/,
		},
		{
			sql: 'select x.title from (select 1) y, hr.teams x',
			message:
				/^the mask word \(policy\.csv:\d+\) of column hr\.teams\.id does not fit it: invalid input syntax for type integer: "\.\.\."$/,
			hint: /policy has to be mended/,
		},
		{
			sql: 'select n from notes',
			message: /^invalid input syntax for type integer: "\.\.\."$/,
			hint: /it is a mask that does not fit its column: .*stars \(policy\.csv:\d+\) of column app\.notes\.n\.$/,
		},
		{
			sql: 'select body + 1 from notes',
			message: /^operator does not exist/,
			hint: /^No operator matches|^undefined$/,
		},
	];
	test.each(clerks)('a mask that does not fit its column: $sql', async ({ sql, message, hint }) => {
		const decision = await bench.decide(sql, { who: CLERK });
		expect(decision.error?.message).toBeUndefined();
		const told = clientFields(await errorOf(decision.rewritten), decision, 0);
		expect(told.get('M')).toMatch(message);
		expect(String(told.get('H'))).toMatch(hint);
	});

	test('a statement on nothing protected keeps all of its error', async () => {
		const sql = "insert into notes (id, body) values (1, 'x')";
		const decision = await bench.decide(sql);
		const raw = await errorOf(decision.rewritten);
		expect(raw.get('D')).toContain('(id)=(1)');
		expect(clientFields(raw, decision, 0)).toEqual(raw);
	});

	test('each statement of a text by itself', async () => {
		const decision = await bench.decide('select 1; select id from people');
		const fields = new Map([
			['C', 'P0001'],
			['M', SECRET],
			['D', SECRET],
		]);
		expect(clientFields(fields, decision, 0).get('M')).toBe(SECRET);
		expect(clientFields(fields, decision, 1).get('M')).not.toContain(SECRET);
		// One that cannot be told is taken for the last.
		expect(clientFields(fields, decision, 9).get('M')).not.toContain(SECRET);
	});

	test('positions of the second statement point into the whole text', async () => {
		const sql = "select 'ü' from people; select nosuch from people";
		const decision = await bench.decide(sql);
		const told = clientFields(await errorOf(decision.rewritten), decision, 1);
		expect([...sql].slice(Number(told.get('P')) - 1).join('')).toBe('nosuch from people');
	});
});
