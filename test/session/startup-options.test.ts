/** The startup parameter `options`, as the server splits and reads it. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GatewayError } from '../../src/errors.ts';
import { formatOptions, parseOptions, splitOptions } from '../../src/session/startup-options.ts';

const rows: readonly { readonly options: string; readonly want: readonly (readonly [string, string])[] | null }[] = [
	{ options: '', want: [] },
	{ options: '  \t\n ', want: [] },
	{ options: '-c a=1', want: [['a', '1']] },
	{
		options: '-ca=1 -c b=2',
		want: [
			['a', '1'],
			['b', '2'],
		],
	},
	{
		options: '--statement-timeout=5 --Search_Path=x',
		want: [
			['statement_timeout', '5'],
			['search_path', 'x'],
		],
	},
	{ options: '-c a=b\\ c\\\\d', want: [['a', 'b c\\d']] },
	{ options: '-c a==b', want: [['a', '=b']] },
	{ options: '-c a=', want: [['a', '']] },
	{ options: '-c portcullis.login=device', want: [['portcullis.login', 'device']] },
	{ options: '-c a', want: null },
	{ options: '-c', want: null },
	{ options: '--', want: null },
	{ options: '--a', want: null },
	{ options: '-c =1', want: null },
	{ options: '-F', want: null },
	{ options: '-D /tmp', want: null },
	{ options: 'a=1', want: null },
	// Written back as they stand, these would set another setting than the one that was looked at.
	{ options: '-c a.b\\ -c\\ session_preload_libraries=x', want: null },
	{ options: '-c a.b\\\tc=1', want: null },
	{ options: '-c a\\\\.b=1', want: null },
];

describe('parseOptions', () => {
	it.each(rows)('$options', ({ options, want }) => {
		if (want === null) {
			expect(() => parseOptions(options)).toThrow(GatewayError);
			return;
		}
		expect(parseOptions(options).map(({ name, value }) => [name, value])).toEqual(want);
	});

	it('reads back what formatOptions writes', () => {
		const name = fc.stringMatching(/^[a-z][a-z0-9_.]{0,20}$/);
		const settings = fc.array(fc.record({ name, value: fc.string() }));
		fc.assert(
			fc.property(settings, (list) => {
				expect(parseOptions(formatOptions(list))).toEqual(list);
			}),
		);
	});

	it('splits at white space that is not escaped', () => {
		expect(splitOptions('a\\ b  c\\\td\\')).toEqual(['a b', 'c\td']);
	});
});
