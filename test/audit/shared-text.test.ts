/** A text that is written with what former ones had in common is, byte for byte, what it would be alone, and holds no secret either. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Batch } from '../../src/audit/batch.ts';
import { toJson } from '../../src/audit/json.ts';
import { SharedText } from '../../src/audit/shared-text.ts';
import { withoutSecrets } from '../../src/secrets.ts';

const [before, after] = [Buffer.from('{"query":'), Buffer.from(',"x":1}')];

function written(shared: SharedText, text: string): string {
	const batch = new Batch(1);
	batch.text('#');
	shared.write(batch, text);
	return batch.bytes.toString();
}

/** Fails for the first text of the sequence that is not written as it would be alone. */
function check(texts: readonly string[]): void {
	const shared = new SharedText(before, after);
	for (const text of texts) {
		const want = `#${before.toString()}${toJson(withoutSecrets(text))}${after.toString()}`;
		expect(written(shared, text)).toBe(want);
	}
}

const shapes: readonly (readonly [string, (literal: string) => string])[] = [
	['a literal at the end', (literal) => `select id, name from hr.employees where id = ${literal}`],
	['a literal in the middle', (literal) => `select id from hr.employees where name = '${literal}' order by name`],
	['a literal at the beginning', (literal) => `${literal} is what there is of this text, and the rest is known`],
	['nothing else', (literal) => literal],
	['two literals', (literal) => `select '${literal}', id from hr.employees where name = '${literal}'`],
	['a secret behind the literal', (literal) => `select '${literal}' as a, crypt('hunter2', 'salt') from hr.employees`],
	['half of a word before it', (literal) => `create role a pas${literal} 'hunter2' -- and so on, for long enough`],
	['nearly a word before it', (literal) => `alter role somebody_else passwo${literal} 'hunter2' valid until 'x'`],
	['half of a word behind it', (literal) => `alter role somebody_else ${literal}rd 'hunter2' valid until 'tomorrow'`],
	['the literal between', (literal) => `select 'a long beginning', h${literal}c('hunter2', 'k') from hr.employees`],
	['the rest of a word around it', (literal) => `alter role somebody_else pas${literal}word 'hunter2' valid until 'x'`],
	['an address', (literal) => `select 'a long beginning', 'postgres:${literal}/eve:hunter2@host/db' from somewhere`],
	['other characters', (literal) => `select 'é \u202e \u2028' as "naïve" from hr.employees where id = ${literal}`],
	['escapes', (literal) => `select "a\\b",\n\t'c' from "hr"."employees"\r\nwhere id = ${literal}`],
];

const literals = fc.oneof(
	fc.nat().map(String),
	fc.string({ unit: 'binary' }),
	fc.constantFrom(
		'',
		's',
		'sw',
		'swo',
		'word',
		'passwo',
		'passw',
		'ma',
		'M',
		'mac',
		'/',
		'//',
		'r',
		'y',
		'é',
		'"',
		'\\',
		'\u007f',
		'\ud800',
		'\n',
	),
);

describe('texts of a shape', () => {
	it.each(shapes)('%s', (_name, shape) => {
		const texts = fc.array(literals.map(shape), { maxLength: 12 });
		fc.assert(fc.property(texts, check), { numRuns: 150 });
	});

	it('and of others', () => {
		const any = fc.tuple(fc.constantFrom(...shapes), literals).map(([[, shape], literal]) => shape(literal));
		fc.assert(fc.property(fc.array(any, { maxLength: 12 }), check), { numRuns: 500 });
	});

	it('a beginning that is the end of another, and the same text twice', () => {
		const [long, longer] = ['abcabcabcabcabcabcabc', 'abcabcabcabcabcabcabcabcabc'];
		check([long, longer, long, long.slice(3), longer, '', long, `${long}x${long}`, longer]);
		check([long, long, long]);
	});

	it('keeps no secret: what may complete a word is looked at whole', () => {
		const shared = new SharedText(before, after);
		for (const literal of ['1', '2', '3']) written(shared, `alter role somebody_else passwo${literal} 'hunter2'`);
		expect(written(shared, "alter role somebody_else password 'hunter2'")).not.toContain('hunter2');
	});
});
