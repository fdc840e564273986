/** The grammar of the console: commands, names in and out of quotes, comments, and where a mistake is. */
import { describe, expect, test } from 'vitest';
import { type Command, parseCommands } from '../../src/admin/console/command.ts';
import { GatewayError } from '../../src/errors.ts';

/** The commands of the text, or `SQLSTATE position: message`. */
function check(text: string): readonly Command[] | string {
	try {
		return parseCommands(text).map(({ command }) => command);
	} catch (error) {
		if (!(error instanceof GatewayError)) throw error;
		return `${error.sqlstate} ${error.position}: ${error.message}`;
	}
}

const show = (name: string): Command => ({ type: 'show', name }) as Command;

const rows: readonly { readonly text: string; readonly want: readonly Command[] | string }[] = [
	{ text: '', want: [] },
	{ text: ' ; ;\n-- nothing\n/* nothing;\n*/', want: [] },
	{ text: 'SHOW POOLS', want: [show('pools')] },
	{ text: 'sHoW pOoLs;', want: [show('pools')] },
	{ text: 'show /* all */ clients -- now', want: [show('clients')] },
	{ text: 'HELP', want: [show('help')] },
	{ text: 'show version; show stats', want: [show('version'), show('stats')] },
	{ text: 'RELOAD', want: [{ type: 'reload' }] },
	{ text: 'PAUSE', want: [{ type: 'pause', database: null, wait: true }] },
	{ text: 'PAUSE Shop', want: [{ type: 'pause', database: 'shop', wait: true }] },
	{ text: 'PAUSE "Shop"', want: [{ type: 'pause', database: 'Shop', wait: true }] },
	{ text: 'RESUME "a;b""c"', want: [{ type: 'resume', database: 'a;b"c' }] },
	{ text: "KILL 'x y'", want: [{ type: 'kill', database: 'x y' }] },
	{ text: 'DISABLE größe', want: [{ type: 'disable', database: 'größe' }] },
	{ text: 'ENABLE shop', want: [{ type: 'enable', database: 'shop' }] },
	{ text: "KILL_CLIENT '0a-1b'", want: [{ type: 'kill-client', session: '0a-1b' }] },
	{ text: "SET application_name = 'x; y'", want: [{ type: 'set', name: 'application_name' }] },
	{ text: 'SET extra_float_digits TO 3', want: [{ type: 'set', name: 'extra_float_digits' }] },
	{ text: "SET TIME ZONE 'UTC'", want: [{ type: 'set', name: 'timezone' }] },
	{
		text: 'SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY',
		want: [{ type: 'set', name: 'session characteristics' }],
	},
	{ text: 'SELECT 1', want: [{ type: 'select', what: 'one' }] },
	{ text: 'select\n version()', want: [{ type: 'select', what: 'version' }] },
	{ text: 'SHOW server_version', want: [{ type: 'show-setting', name: 'server_version' }] },
	{
		text: 'SHOW TRANSACTION ISOLATION LEVEL',
		want: [{ type: 'show-setting', name: 'transaction isolation level' }],
	},
	{ text: 'SHOW', want: '42601 5: syntax error at end of input' },
	{ text: 'SHOW POOLS now', want: '42601 12: syntax error at or near "now"' },
	{ text: 'PAUSE NOWAIT', want: [{ type: 'pause', database: null, wait: false }] },
	{ text: 'pause shop nowait', want: [{ type: 'pause', database: 'shop', wait: false }] },
	{ text: 'PAUSE "nowait"', want: [{ type: 'pause', database: 'nowait', wait: true }] },
	{ text: 'PAUSE shop now', want: '42601 12: syntax error at or near "now"' },
	{ text: 'PAUSE shop, crm', want: '42601 11: syntax error at or near ","' },
	{ text: 'DISABLE', want: '42601 8: syntax error at end of input' },
	{ text: 'PAUSE 17', want: '42601 7: syntax error at or near "17"' },
	{ text: 'SHUTDOWN', want: '42601 1: syntax error at or near "SHUTDOWN"' },
	{ text: '/* ü */ select * from t', want: '42601 9: syntax error at or near "select"' },
	{ text: 'SET role = postgres', want: '42601 1: syntax error at or near "SET"' },
	{ text: 'RELOAD; RELAOD', want: '42601 9: syntax error at or near "RELAOD"' },
	{ text: 'PAUSE "open', want: '42601 7: syntax error at or near """' },
	{ text: '\u0000', want: '42601 1: syntax error at or near "\u0000"' },
];

describe('a text of the console', () => {
	test.each(rows)('$text', ({ text, want }) => {
		expect(check(text)).toEqual(want);
	});

	test('is cut where its commands are', () => {
		expect(parseCommands(' show  pools ; pause "a;b" ;').map(({ sql }) => sql)).toEqual(['show  pools', 'pause "a;b"']);
	});
});
