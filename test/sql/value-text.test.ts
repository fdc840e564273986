/** A mask or filter over the text of a date, a time or bytes shows the same whatever settings the session has chosen. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { plainExpression, expressionOf } from '../../src/analysis/plain.ts';
import { usedAs } from '../../src/sql/value-text.ts';
import { identityOf } from '../policy/support.ts';
import { type Bench, openBench } from './bench.ts';

const SETUP = `
create schema hr;
create table hr.dated (id int primary key, born date, seen timestamp, at timestamptz, raw bytea, note text, line text, parts text, bytes bytea, born_cut date);
insert into hr.dated select i, d, d + time '10:20:30.5', timestamptz '2024-03-09 10:20:30+00', 'abcd', 'x', 'x', 'x', 'ab', d
from (values (1, date '1987-11-25'), (2, 'infinity'), (3, '0044-03-15 BC'), (4, null)) v (i, d);
`;

const RULES = `
p, *, db, connect, allow
p, role:analyst, db.hr.dated, select, allow
p, role:analyst, db.hr.dated, select, filter, last_century
p, role:analyst, db.hr.dated.note, select, mask, year
p, role:analyst, db.hr.dated.line, select, mask, line
p, role:analyst, db.hr.dated.parts, select, mask, parts
p, role:analyst, db.hr.dated.raw, select, mask, cut
p, role:analyst, db.hr.dated.bytes, select, mask, twice
p, role:analyst, db.hr.dated.born_cut, select, mask, cut_year
`;

const MASKS = `
masks:
  year: "left(born::text, 4) || left(seen::varchar, 7) || left(at::text, 4)"
  line: "left(born || '', 4)"
  parts: "left(concat(born, seen), 4) || right(raw::text, 2)"
  cut: "left(value::text, 4)::bytea"
  twice: "value || value"
  cut_year: "case when left(value::text, 1) = 'i' then value else (left(value::text, 4) || '-01-01')::date end"
filters:
  last_century: "born is null or left(born::text, 2) in ('19', 'in', '00')"
`;

let bench: Bench;
beforeAll(async () => {
	bench = await openBench({
		setup: SETUP,
		rules: RULES,
		masks: MASKS,
		who: identityOf(['user:ana', 'role:analyst'], {}),
	});
});
afterAll(async () => {
	await bench?.close();
});

const STYLES = [
	[],
	["set datestyle = 'German'", "set bytea_output = 'escape'"],
	["set datestyle = 'SQL, DMY'"],
	["set datestyle = 'Postgres, MDY'", "set timezone = 'Asia/Kolkata'"],
];

describe('the text of a value in a mask', () => {
	for (const style of STYLES) {
		test(`is the same under ${style.join(', ') || 'no setting'}`, async () => {
			for (const sql of style) await bench.client.query(sql);
			try {
				const answer = await bench.run(
					"select note, line, parts, encode(raw, 'escape'), encode(bytes, 'escape'), extract(year from born_cut)::text from hr.dated order by id",
				);
				expect(answer.kind === 'rows' ? answer.rows : answer).toEqual([
					['19871987-112024', '1987', '198764', 'a', 'abab', '1987'],
					['infiinfinit2024', 'infi', 'infi64', 'a', 'abab', 'Infinity'],
					['00440044-032024', '0044', '004464', 'a', 'abab', '44'],
					[null, null, '64', 'a', 'abab', null],
				]);
			} finally {
				await bench.client.query('reset datestyle; reset bytea_output; reset timezone');
			}
		});
	}

	test('is what the server writes by default', async () => {
		const texts = ['born', 'seen', 'at', 'raw'].map((name, i) => {
			const typeOid = [1082, 1114, 1184, 17][i] ?? 0;
			return `${usedAs(name, { typeOid }, 'text')} is not distinct from ${name}::text as ${name}`;
		});
		for (const zone of ['UTC', 'Asia/Kolkata', 'America/St_Johns', 'Europe/Berlin']) {
			await bench.client.query(`set timezone = '${zone}'`);
			const { rows } = await bench.client.query<Record<string, boolean>>(`select ${texts.join(', ')} from hr.dated`);
			expect(rows.flatMap((row) => Object.values(row)).filter((same) => !same)).toEqual([]);
		}
		await bench.client.query('reset timezone');
	});

	test('is asked for through another thread too', () => {
		const { mask } = bench.policy
			.accessFor(identityOf(['user:ana', 'role:analyst'], {}), 'db')
			.readColumn('hr', 'dated', 'raw');
		if (mask === undefined) throw new Error('no mask');
		const to = {
			value: 'v',
			valueAs: (as: string) => `${as}(v)`,
			column: (name: string, as: string) => `${as}(${name})`,
		};
		expect(expressionOf(structuredClone(plainExpression(mask))).render(to)).toBe(mask.render(to));
		expect(mask.render(to)).toContain('text(v)');
	});
});
