/** What a text says of the shard: the forms that are taken, and that anything else says nothing or is told apart. */
import { describe, expect, test } from 'vitest';
import { shardChoice } from '../../src/session/shards.ts';
import { cpuMsOf } from '../support/time.ts';

const alone = (asked: string) => ({ asked, alone: true });
const front = (asked: string | null) => ({ asked, alone: false });

const rows: { sql: string; want: ReturnType<typeof shardChoice> }[] = [
	{ sql: "set portcullis.shard = 'eu'", want: alone('eu') },
	{ sql: " SET  SESSION portcullis.shard='Odd name' ; ", want: alone('Odd name') },
	{ sql: 'set portcullis.shard to EU', want: alone('eu') },
	{ sql: 'set Portcullis.Shard = 17', want: alone('17') },
	{ sql: "set portcullis.shard to 'default'", want: alone('default') },
	// What the server would take otherwise, or not at all, is the policy's to refuse.
	{ sql: 'set portcullis.shard to default', want: null },
	{ sql: 'set portcullis.shard to eu-west', want: null },
	{ sql: "set portcullis.shard = 'a''b'", want: null },
	{ sql: "set portcullis.shard = e'\\x65u'", want: null },
	{ sql: "set portcullis.shard = 'a\\'", want: null },
	{ sql: 'set portcullis.shard = eu, us', want: null },
	{ sql: 'set portcullis.shard = eu; select 1', want: null },
	{ sql: 'set local portcullis.shard = eu', want: null },
	{ sql: 'reset portcullis.shard', want: null },
	{ sql: "select 'set portcullis.shard = eu'", want: null },
	{ sql: '/* portcullis.shard = eu */ select 1', want: front('eu') },
	{ sql: "\n/*portcullis.shard:'eu west'*/select 1", want: front('eu west') },
	{ sql: '/* portcullis.shard = eu-west.1 */ select 1', want: front('eu-west.1') },
	{ sql: '/* portcullis.shard = eu */', want: front('eu') },
	// Meant, and not to be run on whichever shard it is.
	{ sql: '/* portcullis.shard eu */ select 1', want: front(null) },
	{ sql: '/* app, portcullis.shard = eu */ select 1', want: front(null) },
	{ sql: '/* portcullis.shard = eu, app */ select 1', want: front(null) },
	// Not in front.
	{ sql: 'select 1 /* portcullis.shard = eu */', want: null },
	{ sql: "select '/* portcullis.shard = eu */'", want: null },
	{ sql: '/* app */ select 1', want: null },
	{ sql: '', want: null },
];

describe('the shard in a text', () => {
	test.each(rows)('$sql', ({ sql, want }) => {
		expect(shardChoice(sql)).toEqual(want);
	});

	test('is looked for in no time, whatever the text', async () => {
		const texts = [
			`/*${' '.repeat(1e6)}`,
			`set${' '.repeat(1e6)}`,
			' '.repeat(1e6),
			`/*${'portcullis.shard'.repeat(1e5)}`,
			`/* ${'x'.repeat(1e6)}`,
		];
		expect(await cpuMsOf(() => texts.map(shardChoice))).toBeLessThan(1000);
	});
});
