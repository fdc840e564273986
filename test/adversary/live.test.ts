/** Attacks on the moment: what was decided under another policy, catalogue or identity, what runs unrecorded, and what a denial undoes. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Backend } from '../../src/wire/backend.ts';
import { encodeQuery } from '../../src/wire/encode.ts';
import { errorTexts, RawClient, sqlstates, textRows } from './client.ts';
import { type Bank, makeBank } from './fixture/bank.ts';
import { type Gate, startGate } from './fixture/gate.ts';
import { bind, bindExecute, execute, functionCall, parse, sync } from './messages.ts';
import { randomWord } from './secrets.ts';
import { cpuMsOf } from '../support/time.ts';

let bank: Bank;
let gate: Gate;
let strict: string;

beforeAll(async () => {
	bank = await makeBank();
	gate = await startGate(bank.database, new URL('./fixture/policies', import.meta.url));
	strict = await readFile(join(gate.folder, 'policies', 'policy.csv'), 'utf8');
});

afterAll(async () => {
	await gate?.stop();
	await bank?.close();
});

/** The same policy, in which ana sees everything. */
function generous(): string {
	return `${strict}\ng, user:ana, role:free
p, role:free, bank.app.people.*, select, unmask
p, role:free, bank.app.*, select, unfilter\n`;
}

function secretsIn(client: RawClient): string[] {
	return bank.finder.find(client.bytes(), client.messages);
}

const READ = 'select ssn, salary, name from app.people';

describe('what was decided under another policy', () => {
	const ways: Record<
		string,
		{ prepare: (client: RawClient) => Promise<void>; use: (client: RawClient) => Promise<void> }
	> = {
		'a statement prepared by Parse': {
			prepare: async (client) => {
				client.send(parse('s', READ), ...bindExecute('s'), sync());
				await client.waitFor('ReadyForQuery');
			},
			use: async (client) => {
				client.send(...bindExecute('s'), sync());
				await client.waitFor('ReadyForQuery');
			},
		},
		'a statement prepared by PREPARE': {
			prepare: async (client) => {
				await client.run(`prepare q as ${READ}`);
				await client.run('execute q');
			},
			use: async (client) => {
				await client.run('execute q');
			},
		},
		'a portal that is half read': {
			prepare: async (client) => {
				await client.run('begin');
				client.send(parse('s', READ), bind('s', [], 'p'), execute('p', 1), sync());
				await client.waitFor('ReadyForQuery');
			},
			use: async (client) => {
				client.send(execute('p', 100), sync());
				await client.waitFor('ReadyForQuery');
				await client.run('rollback');
			},
		},
		'a portal that was bound and not read': {
			prepare: async (client) => {
				await client.run('begin');
				client.send(parse('s', READ), bind('s', [], 'p'), sync());
				await client.waitFor('ReadyForQuery');
				await client.run(READ);
			},
			use: async (client) => {
				client.send(execute('p'), sync());
				await client.waitFor('ReadyForQuery');
				await client.run('rollback');
			},
		},
		'a cursor in a transaction': {
			prepare: async (client) => {
				await client.run('begin');
				await client.run(`declare c cursor for ${READ}`);
				await client.run('fetch 1 from c');
			},
			use: async (client) => {
				await client.run('fetch all from c');
				await client.run('rollback');
			},
		},
		'a cursor that outlives its transaction': {
			prepare: async (client) => {
				await client.run(`declare c cursor with hold for ${READ}`);
				await client.run('fetch 1 from c');
			},
			use: async (client) => {
				await client.run('fetch all from c');
			},
		},
		'a cursor read by Execute': {
			prepare: async (client) => {
				await client.run('begin');
				await client.run(`declare c cursor for ${READ}`);
				await client.run('fetch 1 from c');
			},
			use: async (client) => {
				client.send(execute('c'), sync());
				await client.waitFor('ReadyForQuery');
				await client.run('rollback');
			},
		},
		'a temporary view': {
			prepare: async (client) => {
				await client.run(`create temp view mine as ${READ}`);
				await client.run('table mine');
				await client.run(READ);
			},
			use: async (client) => {
				await client.run('table mine');
			},
		},
		'a view of the own': {
			prepare: async (client) => {
				await client.run(`create view lab.kept as ${READ}`);
				await client.run('table lab.kept');
				await client.run(READ);
			},
			use: async (client) => {
				await client.run('table lab.kept');
				await client.run('select kept from lab.kept');
				await client.run('drop view lab.kept');
			},
		},
		'a materialized view of the own': {
			prepare: async (client) => {
				await client.run(`create materialized view lab.kept_mv as ${READ}`);
				await client.run('table lab.kept_mv');
				await client.run(READ);
			},
			use: async (client) => {
				await client.run('table lab.kept_mv');
				await client.run('drop materialized view lab.kept_mv');
			},
		},
		'the same text again': {
			prepare: async (client) => {
				await client.run(READ);
			},
			use: async (client) => {
				await client.run(READ);
				await client.run(READ, { protocol: 'extended' });
			},
		},
	};
	for (const [name, { prepare, use }] of Object.entries(ways)) {
		it(`obeys the policy of today: ${name}`, async () => {
			await gate.rewrite({ 'policy.csv': generous() });
			const client = await RawClient.login(gate.target('ana'));
			try {
				await prepare(client);
				expect(secretsIn(client), 'before').not.toEqual([]);
				await gate.rewrite({ 'policy.csv': strict });
				client.forget();
				await use(client);
				expect(secretsIn(client), errorTexts(client.messages).join()).toEqual([]);
			} finally {
				client.destroy();
				await gate.rewrite({ 'policy.csv': strict });
			}
		});
	}

	it('keeps the policy in force when the new one is broken', async () => {
		await gate.rewrite({ 'policy.csv': `${generous()}\np, nonsense` });
		const client = await RawClient.login(gate.target('ana'));
		await client.run(READ);
		expect(secretsIn(client)).toEqual([]);
		client.destroy();
		await gate.rewrite({ 'policy.csv': strict });
	});
});

describe('what was decided for another', () => {
	it('never serves the decision on one identity to another', async () => {
		for (let round = 0; round < 2; round += 1) {
			for (const user of ['aud', 'ana', 'eve', 'nob', 'mal', 'wes'] as const) {
				const client = await RawClient.login(gate.target(user));
				await client.run(READ);
				await client.run(READ, { protocol: 'extended' });
				if (user === 'aud') expect(secretsIn(client)).not.toEqual([]);
				else expect(secretsIn(client), user).toEqual([]);
				client.destroy();
			}
		}
	});
});

/** Runs `change` beside the gateway, then looks until nothing leaks, for at most five seconds. */
async function settles(change: string, read: string, undo: string): Promise<void> {
	const client = await RawClient.login(gate.target('ana'));
	try {
		await client.run(read);
		expect(secretsIn(client)).toEqual([]);
		await bank.database.sql(change);
		const deadline = Date.now() + 5_000;
		for (;;) {
			client.forget();
			await client.run(read);
			const found = secretsIn(client);
			if (found.length === 0) break;
			expect(Date.now(), found.join()).toBeLessThan(deadline);
		}
		// And it stays so, for a session of its own too.
		const other = await RawClient.login(gate.target('ana'));
		for (const one of [client, other]) {
			one.forget();
			await one.run(read, { protocol: 'extended' });
			expect(secretsIn(one)).toEqual([]);
		}
		other.destroy();
	} finally {
		client.destroy();
		await bank.database.sql(undo);
	}
}

describe('definitions that change beside the gateway', () => {
	const rows = [
		{
			name: 'a view reads something else',
			change:
				"create or replace view app.exists_v as select id, notes <> '' as present from app.people; create view app.views_v as select id, ssn as line from app.people",
			read: 'select * from app.exists_v',
			undo: 'drop view app.views_v',
		},
		{
			name: 'a table takes the place of a view',
			change: 'alter view app.own_v rename to gone; alter view app.barrier_v rename to own_v',
			read: 'select ssn from app.own_v',
			undo: 'alter view app.own_v rename to barrier_v; alter view app.gone rename to own_v',
		},
		{
			name: 'a column changes its name for that of an open one',
			change:
				'alter table app.people rename column dept_id to was_dept; alter table app.people rename column notes to dept_id',
			read: 'select dept_id from app.people',
			undo: 'alter table app.people rename column dept_id to notes; alter table app.people rename column was_dept to dept_id',
		},
		{
			name: 'a table moves into another schema under an open name',
			change: 'alter table lab.inbox rename to inbox2; create view lab.inbox as select id, ssn as line from app.people',
			read: 'select line from lab.inbox',
			undo: 'drop view lab.inbox; alter table lab.inbox2 rename to inbox',
		},
		{
			name: 'a partition is attached',
			change:
				"create table lab.part (like app.events); insert into lab.part select id, tenant, '2031-01-01', kind, payload from app.events; alter table app.events attach partition lab.part for values from ('2031-01-01') to ('2032-01-01')",
			read: 'select kind, payload from lab.part',
			undo: 'drop table lab.part',
		},
	];
	it.each(rows)('$name', async ({ change, read, undo }) => {
		if (change.includes('lab.part'))
			await bank.database.sql('create table lab.part (id bigint, kind text, payload text)');
		if (change.includes('lab.part')) {
			await settles(`drop table lab.part; ${change}`, read, undo);
			return;
		}
		await settles(change, read, undo);
	});
});

describe('what runs is recorded', () => {
	async function recorded(): Promise<string> {
		const folder = join(gate.folder, 'audit');
		const files = (await readdir(folder)).filter((name) => name.endsWith('.jsonl'));
		return (await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')))).join('\n');
	}
	const ways: Record<string, (client: RawClient, marker: string) => Promise<void>> = {
		'a Query': async (client, marker) => {
			await client.run(`select '${marker}'`);
		},
		'the last of a batch': async (client, marker) => {
			await client.run(`select 1; select '${marker}'`);
		},
		'a statement behind an error in its batch': async (client, marker) => {
			await client.run(`select 1/0; select '${marker}'`);
		},
		'Parse and Execute': async (client, marker) => {
			await client.run(`select '${marker}'`, { protocol: 'extended' });
		},
		'a bound value': async (client, marker) => {
			await client.run('select $1::text', { protocol: 'extended', params: [marker] });
		},
		'Parse without Bind': async (client, marker) => {
			client.send(parse('only', `select '${marker}'`), sync());
			await client.waitFor('ReadyForQuery');
		},
		EXECUTE: async (client, marker) => {
			await client.run('prepare m (text) as select $1');
			await client.run(`execute m ('${marker}')`);
		},
		'a cursor': async (client, marker) => {
			await client.run('begin');
			await client.run(`declare c cursor for select '${marker}'`);
			await client.run('commit');
		},
		COPY: async (client, marker) => {
			await client.run(`copy (select '${marker}') to stdout`);
		},
		'a denied statement': async (client, marker) => {
			await client.run(`select key, '${marker}' from vault.keys`);
		},
		'a statement that does not parse': async (client, marker) => {
			await client.run(`selekt '${marker}'`);
		},
		'a statement in a failed transaction': async (client, marker) => {
			await client.run('begin');
			await client.run('select 1/0');
			await client.run(`select '${marker}'`);
			await client.run('rollback');
		},
		'a statement whose client leaves at once': async (client, marker) => {
			client.send(encodeQuery(`select '${marker}', pg_sleep(0.05)`));
			await client.waitFor('RowDescription').catch(() => false);
		},
		'a setting': async (client, marker) => {
			await client.run(`set application_name = '${marker}'`);
		},
		'a NOTICE of a procedure': async (client, marker) => {
			await client.run(`call app.proc_ok('${marker}')`);
		},
	};
	it.each(Object.entries(ways))('%s', async (_name, send) => {
		const marker = randomWord(20);
		const client = await RawClient.login(gate.target('ana'));
		await send(client, marker);
		client.destroy();
		expect(await recorded()).toContain(marker);
	});
	it('a FunctionCall', async () => {
		const client = await RawClient.login(gate.target('ana'));
		const before = (await recorded()).split('\n').length;
		client.send(functionCall(3458, ['424242']));
		await client.waitFor('ReadyForQuery');
		client.destroy();
		expect((await recorded()).split('\n').length).toBeGreaterThan(before);
	});
});

describe('what a denial undoes', () => {
	const DENIED = 'select key from vault.keys';
	const types = (messages: readonly Backend[]): string =>
		messages
			.filter(({ type }) => !['ParameterStatus', 'NoticeResponse'].includes(type))
			.map((message) => (message.type === 'ReadyForQuery' ? `Ready ${message.status}` : message.type))
			.join(' ');

	async function count(id: number): Promise<string> {
		const [row] = await bank.database.sql(`select count(*)::text as n from lab.inbox where id = ${id}`);
		return String(row?.['n']);
	}

	it('what went before it in the pipeline', async () => {
		const client = await RawClient.login(gate.target('ana'));
		client.forget();
		client.send(
			parse('', "insert into lab.inbox values (7001, 'x')"),
			...bindExecute(''),
			parse('', DENIED),
			...bindExecute(''),
			parse('', "insert into lab.inbox values (7002, 'x')"),
			...bindExecute(''),
			sync(),
			parse('', 'select 1'),
			...bindExecute(''),
			sync(),
		);
		await client.waitFor('ReadyForQuery', 2);
		expect(types(client.messages)).toBe(
			'ParseComplete BindComplete NoData CommandComplete ErrorResponse Ready I ParseComplete BindComplete RowDescription DataRow CommandComplete Ready I',
		);
		expect(sqlstates(client.messages)).toEqual(['42501']);
		client.destroy();
		expect([await count(7001), await count(7002)]).toEqual(['0', '0']);
	});

	it('the transaction that it stands in', async () => {
		const client = await RawClient.login(gate.target('ana'));
		client.forget();
		await client.run('begin');
		await client.run("insert into lab.inbox values (7003, 'x')");
		await client.run(DENIED);
		await client.run('select 1');
		await client.run('commit');
		expect(sqlstates(client.messages)).toEqual(['42501', '25P02']);
		expect(types(client.messages)).toMatch(/Ready T .*Ready E .*Ready E CommandComplete Ready I$/);
		expect(client.messages.findLast(({ type }) => type === 'CommandComplete')).toMatchObject({ tag: 'ROLLBACK' });
		client.destroy();
		expect(await count(7003)).toBe('0');
	});

	it('the whole batch', async () => {
		const client = await RawClient.login(gate.target('ana'));
		client.forget();
		await client.run(`insert into lab.inbox values (7004, 'x'); ${DENIED}; insert into lab.inbox values (7005, 'x')`);
		expect(types(client.messages)).toBe('ErrorResponse Ready I');
		client.destroy();
		expect([await count(7004), await count(7005)]).toEqual(['0', '0']);
	});

	it('and leaves a savepoint to go back to', async () => {
		const client = await RawClient.login(gate.target('ana'));
		client.forget();
		for (const sql of [
			'begin',
			"insert into lab.inbox values (7006, 'x')",
			'savepoint a',
			DENIED,
			'rollback to a',
			'commit',
		]) {
			await client.run(sql);
		}
		expect(sqlstates(client.messages)).toEqual(['42501']);
		client.destroy();
		expect(await count(7006)).toBe('1');
		await bank.database.sql('delete from lab.inbox where id = 7006');
	});

	it('and tells where in the text it stands', async () => {
		const client = await RawClient.login(gate.target('ana'));
		const rows = [
			{ sql: 'select ssn, nosuch from app.people', at: 'nosuch' },
			{ sql: "select 'é😀', ssn, name || 5 + x from app.people", at: 'x' },
			{ sql: 'select p.ssn from app.people p join app.depts d on d.id = p.dept where true', at: 'p.dept' },
			{ sql: 'selekt 1', at: 'selekt' },
			{ sql: "select ssn from app.people where name = 'x' and and", at: 'and' },
		];
		for (const { sql, at } of rows) {
			for (const protocol of ['simple', 'extended'] as const) {
				const [error] = (await client.run(sql, { protocol })).filter(({ type }) => type === 'ErrorResponse');
				const position = error?.type === 'ErrorResponse' ? Number(error.fields.get('P')) : 0;
				expect(
					[...sql]
						.slice(position - 1)
						.join('')
						.startsWith(at),
					`${sql} at ${position}`,
				).toBe(true);
			}
		}
		client.destroy();
	});

	it('and answers no row of the denied table', async () => {
		const client = await RawClient.login(gate.target('ana'));
		expect(textRows(await client.run(`${DENIED} limit 0`))).toEqual([]);
		client.destroy();
	});
});

describe('bad input holds nobody else up', () => {
	const repeat = (text: string, count: number): string => text.repeat(count);
	const rows = [
		{ name: 'comments in comments', sql: `${repeat('/*', 20_000)}${repeat('*/', 20_000)} select 1` },
		{ name: 'comments that are not closed', sql: `select 1 ${repeat('/*', 20_000)}` },
		{ name: 'comments in a row', sql: `${repeat('/**/', 40_000)} select 1` },
		{ name: 'parentheses', sql: `select ${repeat('(', 100_000)}1${repeat(')', 100_000)}` },
		{ name: 'a chain of operators', sql: `select 1${repeat('+1', 200_000)}` },
		{ name: 'operators in a row', sql: `select ${repeat('-+', 200_000)}1` },
		{ name: 'set operations', sql: `select 1${repeat(' union all select ssn from app.people', 5_000)}` },
		{ name: 'subqueries in subqueries', sql: `${repeat('select * from (', 5_000)}select 1${repeat(') a', 5_000)}` },
		{ name: 'CASE in CASE', sql: `select ${repeat('case when true then ', 5_000)}1${repeat(' end', 5_000)}` },
		{ name: 'many columns', sql: `select ${repeat('ssn, ', 10_000)}ssn from app.people` },
		{ name: 'many statements', sql: repeat('select ssn from app.people;', 20_000) },
		{ name: 'many megabytes', sql: `select '${repeat('x', 12_000_000)}', ssn from app.people` },
		{ name: 'dollars', sql: `select $a$${repeat('$b', 200_000)}` },
		{ name: 'a long name', sql: `select "${repeat('é', 200_000)}" from app.people` },
	];
	it.each(rows)('$name', async ({ sql }) => {
		const sender = await RawClient.login(gate.target('ana'));
		const other = await RawClient.login(gate.target('wes'));
		try {
			const answered = sender.run(sql);
			let worstMs = 0;
			let done = false;
			const settle = (): void => {
				done = true;
			};
			answered.then(settle, settle);
			while (!done) {
				worstMs = Math.max(worstMs, await cpuMsOf(() => other.run('select 1')));
			}
			expect(sqlstates(await answered).filter((state) => state.startsWith('XX'))).toEqual([]);
			expect(worstMs).toBeLessThan(2_000);
		} finally {
			sender.destroy();
			other.destroy();
		}
	});
});
