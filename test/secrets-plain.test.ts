/** A text that is called plain has no secret and needs no escape: held against what finds the secrets, for words in all their cases. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { copyPlain, plainBytesMax, withoutSecrets } from '../src/secrets.ts';

const pieces = [
	'pass',
	'w',
	'ord',
	'SEC',
	'ret',
	'to',
	'K',
	'ken',
	'cry',
	'pt',
	'h',
	'M',
	'mac',
	':',
	'/',
	'//',
	'key',
	'ey',
];
const around = [
	"'",
	'"',
	'\\',
	' ',
	'=',
	'(',
	')',
	'x',
	'\n',
	'\t',
	'\u007f',
	'\u00e9',
	'\u202e',
	'1',
	',',
	'@',
	'`',
	'[',
	'{',
];

const text = fc
	.array(fc.oneof(fc.constantFrom(...pieces, ...around), fc.string({ maxLength: 3 })), { maxLength: 12 })
	.map((parts) => parts.join(''));

/** What the copy is, or null; holds that nothing beside it was touched, and that all of a text has room. */
function copied(sql: string): string | null {
	const bytes = Buffer.alloc(sql.length * plainBytesMax + 2, '#');
	const end = copyPlain(sql, bytes, 1);
	expect(bytes.length).toBe(sql.length * plainBytesMax + 2);
	expect(bytes[0]).toBe('#'.charCodeAt(0));
	if (end === -1) return null;
	expect(bytes.toString('latin1', end)).toMatch(/^#+$/);
	return bytes.toString('latin1', 1, end);
}

describe('a plain text', () => {
	it('holds none of the words that lead to a secret, and is copied as its own JSON', () => {
		fc.assert(
			fc.property(text, (sql) => {
				const copy = copied(sql);
				if (copy === null) return;
				expect(sql).not.toMatch(/passw|secret|token|key|crypt|hmac|:\/\//i);
				expect(withoutSecrets(sql)).toBe(sql);
				expect(`"${copy}"`).toBe(JSON.stringify(sql));
				expect(sql).toMatch(/^[ -~\t\n]*$/);
			}),
			{ numRuns: 5_000 },
		);
	});

	it('is every text of such characters without such words', () => {
		fc.assert(
			fc.property(text, (sql) => {
				const plain = /^[ -~\t\n]*$/.test(sql) && !/passw|secret|token|key|crypt|hmac|:\/\//i.test(sql);
				expect(copied(sql) !== null).toBe(plain);
			}),
			{ numRuns: 5_000 },
		);
	});

	const rows: readonly (readonly [string, boolean])[] = [
		['select id, name from hr.employees where id = 42', true],
		["update orders set total = 7 where state = 'open' -- it's ;", true],
		['create table banks (description text) -- like, answer, look, they: none of the words', true],
		['', true],
		['"', true],
		['select "id", E\'\\n\'\n\tfrom "t"', true],
		...['passwd', 'PASSWORD', 'Secret', 'toKen', 'KEY', 'cRypt', 'HMAC', 'a://b'].flatMap(
			(word) =>
				[
					[`select ${word} from t`, false],
					[`create table looks_like_they (x) -- ${word}`, false],
				] as const,
		),
		['select\rid', false],
		['select\0id', false],
		['select\u007fid', false],
		["select 'é'", false],
		['select 1\u202e', false],
	];
	it.each(rows)('%j: %s', (sql, plain) => {
		expect(copied(sql) === null ? null : `"${copied(sql)}"`).toBe(plain ? JSON.stringify(sql) : null);
	});
});
