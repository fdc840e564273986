/** Reads the text of the search_path setting as the server does (SplitIdentifierString, varlena.c). */

/** NAMEDATALEN - 1: longer identifiers are cut, at a character boundary. */
const identifierBytesMax = 63;

/**
 * The schemas that the text names, in order, folded and unquoted; `$user` stays as it is. Null where the server would
 * refuse the text: then nobody knows what a name means.
 */
export function parseSearchPath(text: string): readonly string[] | null {
	const names: string[] = [];
	let at = skipSpace(text, 0);
	if (at === text.length) return names;
	for (;;) {
		const item = text[at] === '"' ? quoted(text, at + 1) : bare(text, at);
		if (item === null) return null;
		names.push(truncate(item.name));
		at = skipSpace(text, item.end);
		if (at === text.length) return names;
		if (text[at] !== ',') return null;
		at = skipSpace(text, at + 1);
	}
}

interface Item {
	readonly name: string;
	readonly end: number;
}

/** A doubled quote is one quote; the closing one must come. */
function quoted(text: string, start: number): Item | null {
	let name = '';
	let at = start;
	for (;;) {
		const close = text.indexOf('"', at);
		if (close === -1) return null;
		name += text.slice(at, close);
		if (text[close + 1] !== '"') return { name, end: close + 1 };
		name += '"';
		at = close + 2;
	}
}

/** Up to a comma or white space; only ASCII is folded, as in a UTF-8 database (downcase_identifier). */
function bare(text: string, start: number): Item | null {
	let end = start;
	while (end < text.length && text[end] !== ',' && !isSpace(text[end])) end += 1;
	if (end === start) return null;
	return { name: text.slice(start, end).replace(/[A-Z]/g, (letter) => letter.toLowerCase()), end };
}

function skipSpace(text: string, start: number): number {
	let at = start;
	while (at < text.length && isSpace(text[at])) at += 1;
	return at;
}

/** scanner_isspace. */
function isSpace(character: string | undefined): boolean {
	return (
		character === ' ' ||
		character === '\t' ||
		character === '\n' ||
		character === '\r' ||
		character === '\f' ||
		character === '\v'
	);
}

function truncate(name: string): string {
	if (name.length * 3 <= identifierBytesMax) return name;
	const bytes = Buffer.from(name, 'utf8');
	if (bytes.length <= identifierBytesMax) return name;
	let end = identifierBytesMax;
	while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
	return bytes.toString('utf8', 0, end);
}
