/** Secrets are taken out of statements before these are written down, and nothing else is. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { withoutQuoted, withoutSecrets } from '../src/secrets.ts';
import { cpuMsOf } from './support/time.ts';

const taken: readonly { readonly sql: string; readonly want: string }[] = [
	{ sql: "create user eve password 'hunter2'", want: "create user eve password '[redacted]'" },
	{
		sql: "CREATE ROLE eve LOGIN ENCRYPTED PASSWORD 'hunter2' VALID UNTIL '2027-01-01'",
		want: "CREATE ROLE eve LOGIN ENCRYPTED PASSWORD '[redacted]' VALID UNTIL '2027-01-01'",
	},
	{ sql: "alter role eve password e'hunter\\'2' login", want: "alter role eve password e'[redacted]' login" },
	{ sql: "alter role eve password U&'hunter2'", want: "alter role eve password U&'[redacted]'" },
	{ sql: 'alter role eve password $$hunter2$$', want: 'alter role eve password $$[redacted]$$' },
	{ sql: 'alter role eve password $x$hunter2$x$', want: 'alter role eve password $x$[redacted]$x$' },
	{
		sql: "alter role eve password /* 'a' /* b */ */ -- 'c'\n 'hunter2'",
		want: "alter role eve password /* 'a' /* b */ */ -- 'c'\n '[redacted]'",
	},
	{ sql: "alter role eve password 'hun'\n'ter2'", want: "alter role eve password '[redacted]'\n'[redacted]'" },
	{
		sql: "-- alter role eve password 'hunter2'\nselect 1 /* password 'hunter2' */",
		want: "-- alter role eve password '[redacted]'\nselect 1 /* password '[redacted]' */",
	},
	{ sql: "alter role eve password 'it''s hunter2'", want: "alter role eve password '[redacted]'" },
	{ sql: "alter role eve password 'hunter2", want: "alter role eve password '[redacted]" },
	{ sql: 'alter role eve password $$hunter2', want: 'alter role eve password $$[redacted]' },
	{ sql: "alter role eve password ''", want: "alter role eve password '[redacted]'" },
	{
		sql: "create user mapping for eve server s options (user 'eve', password 'hunter2')",
		want: "create user mapping for eve server s options (user 'eve', password '[redacted]')",
	},
	{
		sql: "alter user mapping for eve server s options (set \"password\" 'hunter2', add secret_access_key 'k')",
		want: "alter user mapping for eve server s options (set \"password\" '[redacted]', add secret_access_key '[redacted]')",
	},
	{
		sql: "create subscription s connection 'host=h dbname=d user=u password=hunter2' publication p",
		want: "create subscription s connection 'host=h dbname=d user=u password=[redacted]' publication p",
	},
	{
		sql: "select dblink_connect('c', 'dbname=d password=''hunter two'' host=h')",
		want: "select dblink_connect('c', 'dbname=d password=[redacted]')",
	},
	{
		sql: "select dblink('password = hunter2', 'select 1')",
		want: "select dblink('password = [redacted]', 'select 1')",
	},
	{
		sql: "select dblink('postgresql://u:hun@ter2@h/d?sslmode=require', 'select 1')",
		want: "select dblink('postgresql://u:[redacted]@h/d?sslmode=require', 'select 1')",
	},
	{
		sql: "select dblink('postgresql://h/d?password=hunter2&user=u', 'select 1')",
		want: "select dblink('postgresql://h/d?password=[redacted]&user=u', 'select 1')",
	},
	{
		sql: "alter system set primary_conninfo = 'host=h password=hunter2'",
		want: "alter system set primary_conninfo = 'host=h password=[redacted]'",
	},
	{
		sql: "do $$ begin execute 'alter role eve password ''hunter2'''; end $$",
		want: "do $$ begin execute 'alter role eve password ''[redacted]'''; end $$",
	},
	{
		sql: "create function f() returns void language sql as $f$ alter role eve password 'hunter2'; select 1 $f$",
		want: "create function f() returns void language sql as $f$ alter role eve password '[redacted]'; select 1 $f$",
	},
	{ sql: "select e'alter role eve password \\'hunter2\\''", want: "select e'[redacted]'" },
	{
		sql: "select id from u where pw = crypt('hunter2', pw) and name = 'eve'",
		want: "select id from u where pw = crypt('[redacted]', pw) and name = 'eve'",
	},
	{
		sql: "select pgp_sym_decrypt(data, lower('K') || 'ey'), 'x' from t",
		want: "select pgp_sym_decrypt(data, lower('[redacted]') || '[redacted]'), 'x' from t",
	},
	{
		sql: "alter role a password 'x'; alter role b password 'y'; select 'z'",
		want: "alter role a password '[redacted]'; alter role b password '[redacted]'; select 'z'",
	},
];

const kept: readonly string[] = [
	'',
	"select 'hunter2'",
	"select password from users where token = 'a' and key = 'b'",
	"select 'the password is hidden', 'key: value', $$a token$$",
	"select * from t where note like '%password%' and url = 'https://example.com/a:b'",
	"comment on role eve is 'has a new password'",
	"create table t (key text default 'x', secret text)",
	"create function f() returns void language plpgsql as $$ begin update u set password = new.password where a = 'b'; end $$",
	'select "password" from t where x = \'1\'',
	"-- the password is 'a'\nselect 1 /* it's a key */",
	"alter role eve password null valid until 'infinity'",
];

describe('secrets in a statement', () => {
	it.each(taken)('$sql', ({ sql, want }) => {
		expect(withoutSecrets(sql)).toBe(want);
		expect(withoutSecrets(want)).toBe(want);
	});

	it.each(kept)('nothing is taken out of %s', (sql) => {
		expect(withoutSecrets(sql)).toBe(sql);
	});

	it('a password of a role never shows, whatever stands around it and however it is quoted', () => {
		const around = fc.array(
			fc.constantFrom('select 1;', "'a'", '$$', '$x$', '--', '/*', '*/', '"', '(', ')', "e'", '\\', '\n', 'x'),
			{
				maxLength: 6,
			},
		);
		const quoted = fc.constantFrom("'hunter2'", "e'hunter2'", '$q$hunter2$q$', "U&'hunter2'", "'hunter2", '$q$hunter2');
		fc.assert(
			fc.property(around, quoted, around, (before, password, after) => {
				const sql = `${before.join(' ')} alter role x password ${password} ${after.join(' ')}`;
				const shown = withoutSecrets(sql);
				// In a quoted name it is no password of a role, and behind `e'` a string goes on that was begun there.
				const inside = /"|e'|\\/.test(before.join(' '));
				if (!inside) expect(shown).not.toContain('hunter2');
			}),
		);
	});

	it('takes any text, and does not take long for any', async () => {
		fc.assert(
			fc.property(fc.string({ unit: 'binary' }), (text) => typeof withoutSecrets(`password ${text}`) === 'string'),
		);
		for (const piece of [
			"password '",
			'$a',
			'$a$ ',
			'/*',
			"e'\\",
			'://a:',
			"'password=''",
			'(crypt(',
			'key"',
			"''''",
		]) {
			const text = `password${piece.repeat(50_000)}`;
			expect([piece, (await cpuMsOf(() => withoutSecrets(text))) < 1_000]).toEqual([piece, true]);
		}
	});

	it('what the server quotes of a text is left out as well', () => {
		expect(withoutQuoted('unterminated quoted string at or near "\'hunter2"')).toBe(
			'unterminated quoted string at or near "[redacted]"',
		);
		expect(withoutQuoted('no such table')).toBe('no such table');
	});
});
