/** LISTEN in transaction mode: what takes its place on the server, and where it stands in the client's text. */
import { describe, expect, test } from 'vitest';
import { mapPosition } from '../../src/sql/edits.ts';
import { defaultSqlLimits, parse } from '../../src/sql/parse.ts';
import { sharedListen } from '../../src/sql/shared-listen.ts';
import type { Decision, SessionEffect, StatementDecision } from '../../src/stages.ts';

const leaves: SessionEffect = { type: 'leaves', what: 'listen', of: 'ListenStmt' };

/** As the analysis decides it, where nothing is protected. */
function decided(sql: string, effect: 'allow' | 'deny' = 'allow'): Decision {
	const { source, statements: parsed } = parse(sql, defaultSqlLimits);
	const statements = parsed.map(({ node, start, end }): StatementDecision => {
		const text = source.slice(start, end).trim();
		const channel = 'ListenStmt' in node ? (node.ListenStmt.conditionname ?? '') : null;
		return {
			effect,
			node: Object.keys(node)[0] ?? '',
			sql: text,
			rewritten: text,
			objects: [],
			rules: [],
			touchesProtected: false,
			checks: [],
			hidesRows: false,
			effects: channel === null ? [] : [{ type: 'listen', channel }, leaves],
		};
	});
	return { effect, sql, rewritten: sql, edits: [], statements, revision: 'r' };
}

const rows: readonly { readonly sql: string; readonly want: string; readonly channels?: readonly string[] }[] = [
	{ sql: 'listen a', want: 'UNlisten a', channels: ['a'] },
	{ sql: '  LISTEN  "A b" ;', want: '  UNLISTEN  "A b" ;', channels: ['A b'] },
	{ sql: '/* listen */ listen a', want: '/* listen */ UNlisten a', channels: ['a'] },
	{ sql: '-- listen\nlisten/**/a', want: '-- listen\nUNlisten/**/a', channels: ['a'] },
	{ sql: 'listen listen', want: 'UNlisten listen', channels: ['listen'] },
	{ sql: 'listen "é"; listen é', want: 'UNlisten "é"; UNlisten é', channels: ['é', 'é'] },
	{
		sql: 'select \';listen a\', $$; listen b$$; listen c; select ";listen d" from (select 1) as t(";listen d")',
		want: 'select \';listen a\', $$; listen b$$; UNlisten c; select ";listen d" from (select 1) as t(";listen d")',
		channels: ['c'],
	},
	{ sql: 'begin;;listen a;commit', want: 'begin;;UNlisten a;commit', channels: ['a'] },
	{ sql: 'notify listen; unlisten listen', want: 'notify listen; unlisten listen' },
	{ sql: 'select 1 as listen', want: 'select 1 as listen' },
];

describe('what runs in place of LISTEN', () => {
	test.each(rows)('$sql', ({ sql, want, channels = [] }) => {
		const { rewritten, statements } = sharedListen(decided(sql));
		expect(rewritten).toBe(want);
		const effects = statements.flatMap((statement) => statement.effects);
		expect(effects).toEqual(channels.map((channel) => ({ type: 'listen', channel, shared: true })));
		for (const statement of statements) expect(want).toContain(statement.rewritten);
	});

	test('is nothing for what is denied, and for what has no LISTEN: the decision itself', () => {
		for (const one of [decided('listen a', 'deny'), decided('select 1')]) expect(sharedListen(one)).toBe(one);
	});

	test('other edits stay, and positions point into the text of the client', () => {
		const sql = 'select old; listen a; select nosuch';
		const edits = [{ start: 7, end: 10, text: 'newer' }];
		const decision = sharedListen({ ...decided(sql), rewritten: sql.replace('old', 'newer'), edits });
		expect(decision.rewritten).toBe('select newer; UNlisten a; select nosuch');
		const at = decision.rewritten.indexOf('nosuch') + 1;
		expect(mapPosition(sql, decision.edits, at)).toBe(sql.indexOf('nosuch') + 1);
	});
});
