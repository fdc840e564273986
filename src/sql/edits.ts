/** Splices edits into the client's text at byte offsets, and maps positions of the result back to the client's text. */
import type { Edit } from '../stages.ts';

/** Collects edits of a text; order of insertion does not matter. Two edits may touch but not overlap. */
export class EditList {
	readonly #bytes: Buffer;
	readonly #edits: Edit[] = [];

	constructor(bytes: Buffer) {
		this.#bytes = bytes;
	}

	/** A word is kept apart from words beside it: `where"ssn"` has no blank where another word would need one. */
	replace(start: number, end: number, text: string): void {
		const before = /^\w/.test(text) && isWordByte(this.#bytes[start - 1]) ? ' ' : '';
		const after = /\w$/.test(text) && isWordByte(this.#bytes[end]) ? ' ' : '';
		this.#edits.push({ start, end, text: `${before}${text}${after}` });
	}

	/** Takes back what was put in place of just these bytes. */
	withdraw(start: number, end: number): void {
		const at = this.#edits.findIndex((edit) => edit.start === start && edit.end === end);
		if (at >= 0) this.#edits.splice(at, 1);
	}

	insert(at: number, text: string): void {
		this.replace(at, at, text);
	}

	get length(): number {
		return this.#edits.length;
	}

	/** Sorted; throws on an overlap, since a half-applied rewrite must never be forwarded. */
	sorted(): readonly Edit[] {
		const edits = this.#edits.toSorted((a, b) => a.start - b.start || a.end - b.end);
		let end = 0;
		for (const edit of edits) {
			if (edit.start < end || edit.end < edit.start) throw new Error('edits overlap');
			end = edit.end;
		}
		return edits;
	}
}

/** Bytes that an identifier or number may have. */
function isWordByte(byte: number | undefined): boolean {
	return byte !== undefined && (byte >= 0x80 || /[\w$]/.test(String.fromCharCode(byte)));
}

/** The text with the edits in it. */
export function applyEdits(bytes: Buffer, edits: readonly Edit[], start = 0, end = bytes.length): string {
	let out = '';
	let at = start;
	for (const edit of edits) {
		if (edit.start < start || edit.end > end) continue;
		out += bytes.toString('utf8', at, edit.start) + edit.text;
		at = edit.end;
	}
	return out + bytes.toString('utf8', at, end);
}

/** What stands behind a 1-based character position of the rewritten text, where that is inside of a replacement: the rest of it. */
export function replacementFrom(sql: string, edits: readonly Edit[], position: number): string | undefined {
	const bytes = Buffer.from(sql, 'utf8');
	let rest = position - 1;
	let at = 0;
	for (const edit of edits) {
		rest -= [...bytes.toString('utf8', at, edit.start)].length;
		if (rest < 0) return undefined;
		const replaced = [...edit.text];
		if (rest < replaced.length) return replaced.slice(rest).join('');
		rest -= replaced.length;
		at = edit.end;
	}
	return undefined;
}

/**
 * Maps a 1-based character position in the rewritten text to one in the client's text.
 * A position inside of a replacement maps to where the replaced text began.
 */
export function mapPosition(sql: string, edits: readonly Edit[], position: number): number {
	if (edits.length === 0) return position;
	const bytes = Buffer.from(sql, 'utf8');
	let rest = position - 1;
	let at = 0;
	let characters = 0;
	for (const edit of edits) {
		const kept = [...bytes.toString('utf8', at, edit.start)].length;
		if (rest < kept) return characters + rest + 1;
		rest -= kept;
		characters += kept;
		const replaced = [...edit.text].length;
		if (rest < replaced) return characters + 1;
		rest -= replaced;
		characters += [...bytes.toString('utf8', edit.start, edit.end)].length;
		at = edit.end;
	}
	return characters + rest + 1;
}
