/** search_path is read as the server reads it: a table, and the server itself as the judge. */
import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseSearchPath } from '../../src/session/search-path.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';

const rows: readonly { readonly text: string; readonly want: readonly string[] | null }[] = [
	{ text: '', want: [] },
	{ text: '  ', want: [] },
	{ text: '""', want: [''] },
	{ text: '"$user", public', want: ['$user', 'public'] },
	{ text: '$user', want: ['$user'] },
	{ text: ' a ,B,"C" ', want: ['a', 'b', 'C'] },
	{ text: '"with ""quotes"", and more"', want: ['with "quotes", and more'] },
	{ text: 'Ünder,ÄB', want: ['Ünder', 'Äb'] },
	{ text: 'a b', want: null },
	{ text: 'a,', want: null },
	{ text: ',a', want: null },
	{ text: 'a,,b', want: null },
	{ text: '"open', want: null },
	{ text: '"a"b', want: null },
	{ text: `"${'x'.repeat(70)}"`, want: ['x'.repeat(63)] },
	{ text: `"${'ä'.repeat(40)}"`, want: ['ä'.repeat(31)] },
];

describe('parseSearchPath', () => {
	it.each(rows)('$text', ({ text, want }) => {
		expect(parseSearchPath(text)).toEqual(want);
	});
});

describe('parseSearchPath and the server', () => {
	let database: TestDatabase;
	let client: pg.Client;

	beforeAll(async () => {
		database = await createDatabase({
			setup: 'create schema "a"; create schema "B c"; create schema "q""q"; create schema "ÄB"',
		});
		client = new pg.Client(database.url);
		await client.connect();
	});

	afterAll(async () => {
		await client?.end();
		await database?.drop();
	});

	it('accept the same texts, and find the same schemas', async () => {
		const piece = fc.constantFrom(
			'a',
			'A',
			'"A"',
			'B c',
			'"B c"',
			'"q""q"',
			'ÄB',
			'"ÄB"',
			',',
			', ',
			' ',
			'"',
			'public',
			'',
		);
		await fc.assert(
			fc.asyncProperty(
				fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join('')),
				async (text) => {
					const names = parseSearchPath(text);
					const taken = await client.query("select set_config('search_path', $1, false)", [text]).then(
						() => true,
						() => false,
					);
					expect(names !== null).toBe(taken);
					if (names === null) return;
					const { rows: found } = await client.query<{ path: string[] }>(
						'select current_schemas(false)::text[] as path',
					);
					const known = new Set(['a', 'B c', 'q"q', 'ÄB', 'public']);
					expect(found[0]?.path).toEqual([...new Set(names.filter((name) => known.has(name)))]);
				},
			),
			{ numRuns: 300 },
		);
	});
});
