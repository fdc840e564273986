/** JSON text that is safe on one line and in a terminal: what the log is written with. */
import { isAscii } from 'node:buffer';

// JSON.stringify escapes U+0000..U+001F, quotes, backslashes and lone surrogates. Terminals also act on DEL and on the
// C1 controls (U+009B is CSI), and readers are misled by line separators, zero-width and bidirectional controls.
const unsafe = /[\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/;
const deleteCharacter = 0x7f;
const comma = 0x2c;
const nothing = Buffer.alloc(0);
const unsafeAll = new RegExp(unsafe.source, 'g');

function escaped(character: string): string {
	return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** The JSON text of any value. Characters that a terminal or a reader could be misled by come as \uXXXX. */
export function toJson(value: unknown): string {
	const text = JSON.stringify(value);
	return unsafe.test(text) ? text.replace(unsafeAll, escaped) : text;
}

/** Members of an object as JSON text, each after a comma: `,"a":1,"b":2`; '' for an empty object. */
export function members(value: object): string {
	const text = toJson(value);
	return text === '{}' ? '' : `,${text.slice(1, -1)}`;
}

/** The same as bytes of UTF-8. Cheaper for what is long: most of it is ASCII, which bytes are asked for all at once. */
export function memberBytes(value: object): Buffer {
	const text = JSON.stringify(value);
	if (text === '{}') return nothing;
	const bytes = Buffer.from(text);
	if (!isAscii(bytes) || bytes.includes(deleteCharacter)) return Buffer.from(members(value));
	// In place of the braces: a comma before, and nothing behind.
	bytes[0] = comma;
	return bytes.subarray(0, -1);
}

/** JSON text of a text that is shown as it is, without quotes: what would act on a terminal comes as \uXXXX. */
export function printable(text: string): string {
	return toJson(text).slice(1, -1).replaceAll('\\"', '"').replaceAll('\\\\', '\\');
}
