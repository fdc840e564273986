/**
 * Makes one analysis serve all texts of a shape, where it can be shown that no literal matters: the analysis is done over literals
 * whose values it does not see, and its result must be that of the full analysis for other literals too.
 */
import { isDeepStrictEqual } from 'node:util';
import type { A_Const, Node } from '@pgsql/types';
import { GatewayError } from '../errors.ts';
import type { Decision, Edit, StatementDecision } from '../stages.ts';
import { type Analysis, analyse } from './analyse.ts';
import { fingerprintOf } from './fingerprint.ts';
import { constantText, constantType, putStandIn } from './literal.ts';
import { tagOf } from './nodes.ts';
import { parse, type Parsed, type SqlLimits } from './parse.ts';
import { type Literal, type LiteralKind, type Shape, shapeOf } from './shape.ts';
import { SourceText, type Token } from './source.ts';
import type { AnalysisContext } from './walk.ts';

/** A place in any text of the shape, all of whose literals before `after` come before it: characters since the end of the latest of them. */
interface Anchor {
	readonly after: number;
	readonly offset: number;
}

/** A literal in the text of an edit: as it stands in the client's text, or its value as the analysis writes one. */
interface Hole {
	readonly literal: number;
	readonly as: 'source' | 'value';
}

interface EditTemplate {
	readonly start: Anchor;
	readonly end: Anchor;
	readonly text: readonly (string | Hole)[];
}

/** What the texts of one shape have in common. */
export interface Template {
	readonly start: Anchor;
	readonly end: Anchor;
	readonly edits: readonly EditTemplate[];
	/** For each literal, whether the grammar has drawn a minus sign into it. */
	readonly negated: readonly boolean[];
	/** But for the texts. */
	readonly statement: StatementDecision;
}

/** What a template is made with. */
export interface TemplateInputs {
	readonly context: AnalysisContext;
	readonly limits: SqlLimits;
	/** Printable text that occurs nowhere: marks literals in what the analysis writes. */
	readonly mark: string;
}

/** Their literals are values, and nothing but values; other statements have literals that name, limit or configure. */
const STATEMENTS: ReadonlySet<string> = new Set(['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt']);

/** Literals that are tried in place of those of the text at hand: the plainest, the longest, and what would mean something anywhere else. */
const TRIALS: readonly Readonly<Record<LiteralKind, (index: number) => string>>[] = [
	{ int4: () => '0', int8: () => '2147483649', numeric: () => '0.0', string: () => "''" },
	{
		int4: (index) => String(2_147_483_647 - index),
		int8: (index) => String(9_223_372_036_854_775_807n - BigInt(index)),
		numeric: (index) => `${'9'.repeat(40)}.${index}1`,
		string: (index) => `'$1 é ''" ) -- /* ; \\ ${index}'`,
	},
	{
		int4: (index) => String(index + 1),
		int8: (index) => `00${4_294_967_296 + index}`,
		numeric: (index) => `1${'0'.repeat(20)}${index}`,
		string: (index) => `'public.t${index}'`,
	},
];

/**
 * Null where a literal may matter, or where that cannot be told: then every text of the shape needs an analysis of its own.
 * Never throws for what a client sends.
 */
export function makeTemplate(sql: string, shape: Shape, inputs: TemplateInputs): Template | null {
	const nonces: string[] = [];
	const blind = blindAnalysis(sql, shape, inputs, nonces);
	if (blind === null) return null;
	const template = templateOf(sql, shape, blind, inputs.mark);
	if (template === null) return null;
	const trials = TRIALS.map((trial) => replaced(sql, shape, (kind, index) => trial[kind](index)));
	return [sql, ...trials].every((text) => holds(template, text, shape, inputs, nonces)) ? template : null;
}

/** The decision on a text of the template's shape. `shape` is the text's own. */
export function fill(template: Template, sql: string, { literals }: Shape, revision: string): Decision {
	const { statement } = template;
	const at = ({ after, offset }: Anchor): number => (literals[after - 1]?.end ?? 0) + offset;
	const [start, end] = [at(template.start), at(template.end)];
	let rewritten = '';
	let copied = start;
	const edits: Edit[] = [];
	const bytesBefore = template.edits.length === 0 ? same : byteOffsets(sql);
	for (const edit of template.edits) {
		const text = fillText(edit.text, sql, literals, template.negated);
		const [from, to] = [at(edit.start), at(edit.end)];
		edits.push({ start: bytesBefore(from), end: bytesBefore(to), text });
		rewritten += sql.slice(copied, from) + text;
		copied = to;
	}
	rewritten += sql.slice(copied, end);
	const one = { ...statement, sql: sql.slice(start, end).trim(), rewritten: rewritten.trim() };
	const whole = edits.length === 0 ? sql : sql.slice(0, start) + rewritten + sql.slice(end);
	const { effect } = statement;
	return { effect, sql, rewritten: whole, edits, statements: [one], revision };
}

function same(at: number): number {
	return at;
}

/** UTF-8 bytes before a place; everything but literals is ASCII. */
function byteOffsets(sql: string): (at: number) => number {
	if (Buffer.byteLength(sql) === sql.length) return same;
	return (at) => Buffer.byteLength(sql.slice(0, at));
}

function fillText(
	parts: EditTemplate['text'],
	sql: string,
	literals: readonly Literal[],
	negated: readonly boolean[],
): string {
	let text = '';
	for (const part of parts) {
		if (typeof part === 'string') text += part;
		else text += holeText(part, sql, literals, negated);
	}
	return text;
}

function holeText(hole: Hole, sql: string, literals: readonly Literal[], negated: readonly boolean[]): string {
	const literal = literals[hole.literal];
	if (literal === undefined) throw new Error('a text with fewer literals than its shape');
	const text = sql.slice(literal.start, literal.end);
	if (hole.as === 'source') return text;
	return constantText(constantOf(literal.kind, text, negated[hole.literal] === true)) ?? '';
}

/** The constant that the parser makes of a literal. */
function constantOf(kind: LiteralKind, text: string, negated: boolean): A_Const {
	switch (kind) {
		case 'string':
			return { sval: { sval: text.slice(1, -1).replaceAll("''", "'") } };
		case 'int4':
			return { ival: { ival: negated ? -Number(text) : Number(text) } };
		default:
			return { fval: { fval: negated ? `-${text}` : text } };
	}
}

// ---------------------------------------------------------------- the analysis that does not see literals

interface Blind {
	readonly analysis: Analysis;
	readonly negated: readonly boolean[];
	readonly start: number;
	readonly end: number;
}

/** Null when the analysis looked at a literal's value, or did not allow the statement. */
function blindAnalysis(sql: string, shape: Shape, inputs: TemplateInputs, nonces: string[]): Blind | null {
	const parsed = parseOne(sql, inputs.limits);
	if (parsed === null) return null;
	let seen = false;
	const see = (): void => {
		seen = true;
	};
	const [statement] = parsed.statements;
	if (statement === undefined || !STATEMENTS.has(tagOf(statement.node))) return null;
	const offset = byteOffsets(sql);
	const places = shape.literals.map(({ start, end, kind }) => ({ start: offset(start), end: offset(end), kind }));
	const negated = hideValues(statement.node, parsed.source.bytes, places, inputs.mark, see);
	if (negated === null) return null;
	const nonce = (): string => {
		const word = inputs.context.nonce();
		nonces.push(word);
		return word;
	};
	const source = new BlindSource(parsed.source, places, inputs.mark, see);
	const analysis = analyse({ ...inputs.context, nonce }, source, statement);
	if (seen || analysis.doubt || analysis.decision.effect === 'deny') return null;
	return { analysis, negated, start: statement.start, end: statement.end };
}

/** Null for a text that does not parse or is not one statement. */
function parseOne(sql: string, limits: SqlLimits): Parsed | null {
	try {
		const parsed = parse(sql, limits);
		return parsed.statements.length === 1 ? parsed : null;
	} catch (error) {
		if (error instanceof GatewayError) return null;
		throw error;
	}
}

/** A marker as it stands in texts of the analysis: for the literal's own text, or (with `value`) for its value. */
function marker(mark: string, index: number, as: Hole['as']): string {
	return `${mark}${as === 'source' ? 's' : 'v'}${index};`;
}

/** Places in UTF-8 bytes. */
type Place = Literal;

/**
 * Puts stand-ins on the constants of the tree that the literals became; whoever looks at a value all the same is told of by `see`.
 * Answers which of them have a minus sign drawn in; null unless each literal is just one constant.
 */
function hideValues(
	tree: Node,
	bytes: Buffer,
	places: readonly Place[],
	mark: string,
	see: () => void,
): readonly boolean[] | null {
	const byStart = new Map(places.map(({ start }, index) => [start, index]));
	const negated = places.map((): boolean | null => null);
	let ambiguous = false;
	const visit = (value: unknown): void => {
		if (typeof value !== 'object' || value === null) return;
		for (const [key, child] of Object.entries(value)) {
			if (key !== 'A_Const') {
				visit(child);
				continue;
			}
			const constant = child as A_Const;
			const location = constant.location ?? 0;
			const minus = !byStart.has(location) && bytes[location] === 0x2d;
			const index = byStart.get(minus ? afterMinus(bytes, location) : location);
			if (index === undefined) continue;
			const kind = places[index]?.kind;
			ambiguous ||= negated[index] !== null || !isOfKind(constant, kind) || (minus && kind === 'string');
			negated[index] = minus;
			hide(constant, marker(mark, index, 'value'), see);
		}
	};
	visit(tree);
	return ambiguous || negated.includes(null) ? null : (negated as boolean[]);
}

/** The first byte after a minus sign that is no white space. */
function afterMinus(bytes: Buffer, location: number): number {
	let at = location + 1;
	while ([0x20, 0x09, 0x0a, 0x0c, 0x0d].includes(bytes[at] ?? 0)) at += 1;
	return at;
}

function isOfKind(constant: A_Const, kind: LiteralKind | undefined): boolean {
	if (constant.ival !== undefined) return kind === 'int4';
	if (constant.sval !== undefined) return kind === 'string';
	return constant.fval !== undefined && (kind === 'int8' || kind === 'numeric');
}

function hide(constant: A_Const, text: string, see: () => void): void {
	const standIn = { type: constantType(constant), text: constantText(constant) === undefined ? undefined : text };
	for (const field of ['ival', 'sval', 'fval'] as const) {
		const value = constant[field];
		if (value !== undefined) Object.assign(constant, { [field]: watched(value, see) });
	}
	putStandIn(constant, standIn);
}

/** Says when a property is looked at. Walkers over all nodes may list what there is: they find nothing, as in any leaf. */
function watched<T extends object>(value: T, see: () => void): T {
	const tell = <Args extends unknown[], R>(look: (...args: Args) => R): ((...args: Args) => R) => {
		return (...args) => {
			see();
			return look(...args);
		};
	};
	return new Proxy(value, {
		get: tell((target: T, key: string | symbol): unknown => Reflect.get(target, key)),
		has: tell((target: T, key: string | symbol) => Reflect.has(target, key)),
		getOwnPropertyDescriptor: tell((target: T, key: string | symbol) => Reflect.getOwnPropertyDescriptor(target, key)),
		getPrototypeOf: tell((target: T) => Reflect.getPrototypeOf(target)),
		ownKeys: () => [],
	});
}

/**
 * The text without its literals, and with markers for them in what is read of it. Every method of SourceText that reads the text
 * is here; a test holds that none is forgotten.
 */
export class BlindSource extends SourceText {
	readonly #places: readonly Place[];
	readonly #mark: string;
	readonly #see: () => void;
	readonly #tokens: readonly Token[];

	constructor(source: SourceText, places: readonly Place[], mark: string, see: () => void) {
		super(withoutLiterals(source, places));
		this.#places = places;
		this.#mark = mark;
		this.#see = see;
		this.#tokens = source.tokens.map((token) => {
			const index = places.findIndex(({ start }) => start === token.start);
			return index === -1 ? token : { ...token, text: marker(mark, index, 'source') };
		});
	}

	override get tokens(): readonly Token[] {
		return this.#tokens;
	}

	/** Parameters are counted in the literals too. */
	override occurrences(number: number): number {
		this.#see();
		return super.occurrences(number);
	}

	override slice(start: number, end: number): string {
		let text = '';
		let at = start;
		for (const [index, place] of this.#places.entries()) {
			if (place.end <= start || place.start >= end) continue;
			// A part of a literal cannot be told of.
			if (place.start < start || place.end > end) this.#see();
			text += super.slice(at, place.start) + marker(this.#mark, index, 'source');
			at = place.end;
		}
		return text + super.slice(at, end);
	}

	/** Behind a literal it would be another with a literal of another length. */
	override position(offset: number): number {
		if (this.#places.some(({ start }) => start < offset)) this.#see();
		return super.position(offset);
	}
}

/** As many bytes, but the same for all literals of one length: what reads the text in a way that is not thought of here learns nothing. */
function withoutLiterals(source: SourceText, places: readonly Place[]): string {
	const bytes = Buffer.from(source.bytes);
	for (const { start, end, kind } of places) {
		if (kind === 'string') bytes.fill('x', start + 1, end - 1);
		else for (let at = start; at < end; at += 1) if (bytes[at] !== 0x2e) bytes[at] = 0x31;
	}
	return bytes.toString('latin1');
}

// ---------------------------------------------------------------- from its result to a template, and the proof

function templateOf(sql: string, shape: Shape, blind: Blind, mark: string): Template | null {
	const offset = byteOffsets(sql);
	const places = shape.literals.map(({ start, end, kind }) => ({ start: offset(start), end: offset(end), kind }));
	const { decision, edits } = blind.analysis;
	const { fingerprint: _ofMarks, ...told } = decision;
	const own = Buffer.from(sql).toString('utf8', blind.start, blind.end).trim();
	const statement: StatementDecision = { ...told, ...fingerprintOf(own), sql: '', rewritten: '' };
	// What is told of the statement beside its text must not hold a literal.
	if (JSON.stringify(statement).includes(mark)) return null;
	const start = anchorOf(blind.start, places);
	const end = anchorOf(blind.end, places);
	const made = edits.map((edit) => {
		const [from, to] = [anchorOf(edit.start, places), anchorOf(edit.end, places)];
		return from === null || to === null ? null : { start: from, end: to, text: partsOf(edit.text, mark) };
	});
	if (start === null || end === null || made.includes(null)) return null;
	return { start, end, edits: made as EditTemplate[], negated: blind.negated, statement };
}

/** Null inside of a literal. */
function anchorOf(offset: number, places: readonly Place[]): Anchor | null {
	const after = places.filter(({ end }) => end <= offset).length;
	const next = places[after];
	if (next !== undefined && next.start < offset) return null;
	return { after, offset: offset - (places[after - 1]?.end ?? 0) };
}

function partsOf(text: string, mark: string): readonly (string | Hole)[] {
	const parts: (string | Hole)[] = [];
	for (const [index, piece] of text.split(mark).entries()) {
		const match = index === 0 ? null : /^([sv])(\d+);/.exec(piece);
		if (match !== null) parts.push({ literal: Number(match[2]), as: match[1] === 's' ? 'source' : 'value' });
		const rest = piece.slice(match?.[0].length ?? 0);
		if (rest !== '') parts.push(rest);
	}
	return parts;
}

/** True when the template gives for a text what the full analysis gives. */
function holds(
	template: Template,
	sql: string,
	shape: Shape,
	{ context, limits }: TemplateInputs,
	nonces: readonly string[],
): boolean {
	const own = shapeOf(sql);
	if (own?.key !== shape.key) return false;
	const parsed = parseOne(sql, limits);
	const [statement] = parsed?.statements ?? [];
	if (parsed === null || statement === undefined) return false;
	let used = 0;
	const nonce = (): string => nonces[used++] ?? context.nonce();
	const { decision, edits, doubt } = analyse({ ...context, nonce }, parsed.source, statement);
	const filled = fill(template, sql, own, '');
	return !doubt && isDeepStrictEqual(filled.statements[0], decision) && isDeepStrictEqual(filled.edits, edits);
}

/** The text with other literals of the same kinds. */
export function replaced(sql: string, { literals }: Shape, by: (kind: LiteralKind, index: number) => string): string {
	let text = '';
	let at = 0;
	for (const [index, { start, end, kind }] of literals.entries()) {
		text += sql.slice(at, start) + by(kind, index);
		at = end;
	}
	return text + sql.slice(at);
}
