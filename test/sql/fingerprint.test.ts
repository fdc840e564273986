/** Fingerprints of statements: equal for those that differ in literals, whichever way their decision came about. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Pipeline } from '../../src/pipeline.ts';
import { fingerprintOf } from '../../src/sql/fingerprint.ts';
import type { Bench } from './bench.ts';
import { openPeople } from './people.ts';

let bench: Bench;
beforeAll(async () => {
	bench = await openPeople();
});
afterAll(async () => {
	await bench?.close();
});

describe('a fingerprint', () => {
	const same: readonly (readonly [string, string])[] = [
		['select 1', 'select 2 -- two'],
		["select * from people where name = 'a' and id in (1, 2)", "SELECT *\nFROM people WHERE name = 'b' AND id IN (3)"],
		['insert into notes values (1, 2), (3, 4)', 'insert into notes values (5, 6)'],
		['select * from people where id = $1', 'select * from people where id = 7'],
	];
	it.each(same)('is the same for %s and %s', (left, right) => {
		expect(fingerprintOf(left).fingerprint).toMatch(/^[0-9a-f]{16}$/);
		expect(fingerprintOf(right)).toEqual(fingerprintOf(left));
	});

	it('differs where anything else does', () => {
		const texts = ['select a from t', 'select b from t', 'select a from u', 'delete from t', 'select a from t limit 1'];
		expect(new Set(texts.map((sql) => fingerprintOf(sql).fingerprint)).size).toBe(texts.length);
	});

	it('is left out for what does not parse and for what is very long', () => {
		expect(fingerprintOf('selekt 1')).toEqual({});
		expect(fingerprintOf(`select ${'1,'.repeat(10_000)}1`)).toEqual({});
	});

	it('stands in every decision, made anew, remembered or filled from a shape', async () => {
		const pipeline = new Pipeline({ audit: null });
		const seen = new Set<string | undefined>();
		for (let id = 0; id < 5; id += 1) {
			const { statements } = await pipeline.decide(bench.context(), `select body from notes where n = ${id}`);
			seen.add(statements[0]?.fingerprint);
		}
		expect([...seen]).toEqual([fingerprintOf('select body from notes where n = 9').fingerprint]);
		expect(pipeline.stats.hits).toBeGreaterThan(0);
		const many = await pipeline.decide(bench.context(), 'select 1; select name from people; select 2');
		const [first, second, third] = many.statements.map(({ fingerprint }) => fingerprint);
		expect([first, second]).toEqual([third, fingerprintOf('select name from people').fingerprint]);
		const denied = await pipeline.decide(bench.context(), 'select * from no_such_table_at_all');
		expect(denied.statements[0]).toMatchObject({
			effect: 'deny',
			fingerprint: expect.stringMatching(/^[0-9a-f]{16}$/),
		});
	});

	it('stands beside the name of a cursor, and what an EXECUTE runs beside what was prepared', async () => {
		const pipeline = new Pipeline({ audit: null });
		const one = async (sql: string) => (await pipeline.decide(bench.context(), sql)).statements[0];
		expect(await one('declare "My c" cursor for select name from people')).toMatchObject({ cursor: 'My c' });
		expect(await one('fetch all from "My c"')).toMatchObject({ cursor: 'My c', objects: [] });
		expect(await one('select 1')).not.toHaveProperty('cursor');
		const prepare = await pipeline.decide(bench.context(), 'prepare p as select ssn from people where id = $1');
		const [statement] = prepare.statements;
		if (statement === undefined) throw new Error('no statement');
		const context = { ...bench.context(), prepared: () => ({ decision: prepare, statement }) };
		const [execute] = (await pipeline.decide(context, 'execute p (1)')).statements;
		expect(execute).toMatchObject({ sql: 'execute p (1)', executes: statement.sql, effect: 'mask' });
	});
});
