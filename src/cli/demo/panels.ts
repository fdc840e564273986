/** Draws what one statement gave to several people side by side, for a terminal. Pure text in, text out. */
import { unreachable } from '../../errors.ts';
import type { Paint } from '../io.ts';

/** What a statement gave to one person. */
export type Answer =
	| {
			readonly kind: 'rows';
			readonly columns: readonly string[];
			readonly rows: readonly (readonly (string | null)[])[];
	  }
	/** Without rows: the command tag. */
	| { readonly kind: 'done'; readonly tag: string }
	| { readonly kind: 'refused'; readonly sqlstate: string; readonly words: readonly string[] };

export interface Panel {
	readonly title: string;
	readonly answer: Answer;
}

/** A piece of a line: its text and how it is painted. Widths are counted before painting. */
interface Cell {
	readonly text: string;
	readonly paint?: ((text: string) => string) | undefined;
}
type Line = readonly Cell[];

const MARGIN = '   ';
const RULE = ' │ ';
const GAP = '  ';
/** Columns that a refusal is never squeezed below. */
const REFUSAL_MIN = 24;
const CELL_MAX = 30;
const NO_ROWS = '(no rows)';

/** Lines without line end. Values that differ from the reference panel's (same first column) are painted as masked. */
export function sideBySide(panels: readonly Panel[], reference: number, columns: number, paint: Paint): string[] {
	const against = panels[reference]?.answer;
	const widths = panelWidths(panels, columns);
	const blocks = panels.map((panel, index) => {
		const compare = index === reference ? undefined : against;
		return [
			[{ text: panel.title, paint: paint.bold }],
			...body(panel.answer, compare, widths[index] ?? REFUSAL_MIN, paint),
		];
	});
	const height = Math.max(...blocks.map((block) => block.length));
	const lines: string[] = [];
	for (let row = 0; row < height; row++) {
		const cells = blocks.map((block, index) => {
			const last = index === blocks.length - 1;
			return pad(block[row] ?? [], last ? 0 : (widths[index] ?? 0));
		});
		lines.push((MARGIN + cells.join(paint.dim(RULE))).trimEnd());
	}
	return lines;
}

/** Breaks text between words into lines of at most `width`, and inside a word where it alone is longer. */
export function wrap(text: string, width: number): string[] {
	const lines: string[] = [];
	let line = '';
	for (const word of text.split(/\s+/)) {
		if (line !== '' && line.length + 1 + word.length > width) {
			lines.push(line);
			line = '';
		}
		line = line === '' ? word : `${line} ${word}`;
		for (; line.length > width; line = line.slice(width)) lines.push(line.slice(0, width));
	}
	return line === '' ? lines : [...lines, line];
}

/** What tables need is theirs; refusals share the rest. */
function panelWidths(panels: readonly Panel[], columns: number): number[] {
	const needs = panels.map(({ title, answer }) => Math.max(title.length, ownWidth(answer)));
	const refusals = panels.filter(({ answer }) => answer.kind === 'refused').length;
	const tables = needs.reduce((sum, need, index) => (panels[index]?.answer.kind === 'refused' ? sum : sum + need), 0);
	const left = columns - MARGIN.length - RULE.length * (panels.length - 1) - tables;
	const share = Math.max(REFUSAL_MIN, Math.floor(left / Math.max(1, refusals)));
	return panels.map(({ title, answer }, index) =>
		answer.kind === 'refused' ? Math.max(title.length, Math.min(share, 60)) : (needs[index] ?? 0),
	);
}

/** Columns that an answer takes; a refusal takes what it is given. */
function ownWidth(answer: Answer): number {
	switch (answer.kind) {
		case 'rows': {
			const widths = columnWidths(answer);
			const table = widths.reduce((sum, width) => sum + width, 0) + GAP.length * Math.max(0, widths.length - 1);
			return answer.rows.length === 0 ? Math.max(table, NO_ROWS.length) : table;
		}
		case 'done':
			return doneText(answer.tag).length;
		case 'refused':
			return 0;
		default:
			return unreachable(answer);
	}
}

function doneText(tag: string): string {
	return `✔ ${tag}`;
}

function columnWidths({ columns, rows }: Extract<Answer, { kind: 'rows' }>): number[] {
	return columns.map((name, index) => Math.max(name.length, ...rows.map((row) => shown(row[index]).length)));
}

function body(answer: Answer, against: Answer | undefined, width: number, paint: Paint): Line[] {
	switch (answer.kind) {
		case 'rows':
			return table(answer, against, paint);
		case 'done':
			return [[{ text: doneText(answer.tag), paint: paint.green }]];
		case 'refused':
			return [
				[{ text: `✘ ERROR ${answer.sqlstate}`, paint: paint.red }],
				...answer.words.flatMap((words, index) =>
					wrap(words, width).map((text): Line => [{ text, paint: index === 0 ? paint.red : paint.dim }]),
				),
			];
		default:
			return unreachable(answer);
	}
}

function table(answer: Extract<Answer, { kind: 'rows' }>, against: Answer | undefined, paint: Paint): Line[] {
	const widths = columnWidths(answer);
	const row = (cells: Cell[]): Line =>
		cells.flatMap((cell, index) => {
			const padded = { text: cell.text.padEnd(widths[index] ?? 0), paint: cell.paint };
			return index === 0 ? [padded] : [{ text: GAP }, padded];
		});
	const head = row(answer.columns.map((text) => ({ text, paint: paint.dim })));
	if (answer.rows.length === 0) return [head, [{ text: NO_ROWS, paint: paint.dim }]];
	const known = new Map(against?.kind === 'rows' ? against.rows.map((other) => [other[0], other]) : []);
	const lines = answer.rows.map((values) => {
		const original = known.get(values[0]);
		return row(
			values.map((value, index) => {
				const masked = original !== undefined && original[index] !== value;
				return { text: shown(value), paint: masked ? paint.yellow : value === null ? paint.dim : undefined };
			}),
		);
	});
	return [head, ...lines];
}

function shown(value: string | null | undefined): string {
	const text = value ?? 'null';
	return text.length > CELL_MAX ? `${text.slice(0, CELL_MAX - 1)}…` : text;
}

function pad(line: Line, width: number): string {
	const used = line.reduce((sum, cell) => sum + cell.text.length, 0);
	return line.map(({ text, paint }) => (paint ? paint(text) : text)).join('') + ' '.repeat(Math.max(0, width - used));
}
