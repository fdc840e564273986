/** Tokens stand where the server's scanner finds them, whatever characters are in them. */
import { loadModule } from 'libpg-query';
import { beforeAll, expect, test } from 'vitest';
import { SourceText } from '../../src/sql/source.ts';

beforeAll(() => loadModule());

const controls = Array.from({ length: 31 }, (_, index) => String.fromCharCode(index + 1));

test.each(controls.map((one) => [one.charCodeAt(0), one]))(
	'character %i in a literal, a name and a comment',
	(_code, one) => {
		const literal = `'a${one}é'`;
		const name = `"${one}b"`;
		const escaped = `E'${one}\\${one}'`;
		const texts = new SourceText(`select ${literal}, ${name} /* ${one} */, ${escaped}, $$${one}$$ from t`).tokens;
		expect(texts.map(({ text }) => text)).toEqual([
			'select',
			literal,
			',',
			name,
			',',
			escaped,
			',',
			`$$${one}$$`,
			'from',
			't',
		]);
	},
);
