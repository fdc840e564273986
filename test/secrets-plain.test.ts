/** A text that is called plain has no secret and needs no escape: held against what finds the secrets, for words in all their cases. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { copyPlain, withoutSecrets } from '../src/secrets.ts';

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

/** Copies it, and holds that the copy is the text and nothing beside it. */
function isPlain(sql: string): boolean {
	const bytes = Buffer.alloc(sql.length + 2);
	if (!copyPlain(sql, bytes, 1)) return false;
	expect(bytes.toString('latin1')).toBe(`\0${sql}\0`);
	return true;
}

describe('a plain text', () => {
	it('holds none of the words that lead to a secret, and is its own JSON', () => {
		fc.assert(
			fc.property(text, (sql) => {
				if (!isPlain(sql)) return;
				expect(sql).not.toMatch(/passw|secret|token|key|crypt|hmac|:\/\//i);
				expect(withoutSecrets(sql)).toBe(sql);
				expect(JSON.stringify(sql)).toBe(`"${sql}"`);
				expect(sql).toMatch(/^[ -~]*$/);
			}),
			{ numRuns: 5_000 },
		);
	});

	const rows: readonly (readonly [string, boolean])[] = [
		['select id, name from hr.employees where id = 42', true],
		["update orders set total = 7 where state = 'open' -- it's ;", true],
		['', true],
		...['passwd', 'PASSWORD', 'Secret', 'toKen', 'KEY', 'cRypt', 'HMAC', 'a://b'].map(
			(word) => [`select ${word} from t`, false] as const,
		),
		['select "id"', false],
		['select\nid', false],
		["select 'é'", false],
		["select E'\\n'", false],
	];
	it.each(rows)('%j: %s', (sql, plain) => {
		expect(isPlain(sql)).toBe(plain);
	});
});
