/**
 * `(x).f` of a column's field, for whoever could make x no row and f a function while the text waits: written so that the server finds
 * a field of that place or fails, and never looks for a function.
 */
import type { A_Indirection, Node } from '@pgsql/types';
import type { Relation } from '../catalog/snapshot.ts';
import { mayMakeCode } from './field-function.ts';
import { stringsOf } from './names.ts';
import { mayBeForbiddenCall } from './new-code.ts';
import { as } from './nodes.ts';
import { displayIdentifier, quoteIdentifier } from './quote.ts';
import { isSystem } from './read-relation.ts';
import { type RangeItem, resolveBare, resolveQualified, type Scope } from './scope.ts';
import { refuse, type Walk } from './walk.ts';

/** A step of an indirection: the row type that has the field; undefined for a subscript or star. */
export type FieldStep = Relation | undefined;

/**
 * Writes `(SELECT "_f"."f" FROM (SELECT (x).*) AS "_f"("e", "f"))`. `steps`: what each step is of, none where one may be a call
 * already. Only what begins with a column of a relation that its reader may change, or where a function of that name, which the reader
 * may not run, is there already: x need only become what that takes. Throws 42501 where x is no column then.
 */
export function fixFields(walk: Walk, node: A_Indirection, steps: readonly FieldStep[], scope: Scope): void {
	if (walk.mode === 'view' || steps.length !== node.indirection?.length) return;
	if (steps.every((type) => type === undefined || isSystem(type.schema))) return;
	const behind = stringsOf(node.indirection).find((field) => mayBeForbiddenCall(walk, field));
	if (behind === undefined && !mayMakeCode(walk)) return;
	const item = itemOf(node, scope);
	if (item !== undefined && behind === undefined && !mayChange(walk, item)) return;
	const extent = item === undefined ? undefined : extentOf(walk, node);
	if (extent === undefined) {
		if (behind === undefined) return;
		refuseBesideCall(walk, behind);
	}
	const { tokens } = walk.source;
	let prefix = '';
	for (const [i, type] of steps.entries()) {
		const [first, last] = [tokens[extent.steps[i]?.first ?? -1], tokens[extent.steps[i]?.last ?? -1]];
		if (type === undefined || first === undefined || last === undefined) continue;
		const columns = type.columns.map(({ name }) => quoteIdentifier(name)).join(', ');
		const field = as(node.indirection[i], 'String')?.sval ?? '';
		prefix = `(SELECT "_f".${quoteIdentifier(field)} FROM (SELECT (${prefix}`;
		walk.edits.replace(first.start, last.end, `).*) AS "_f"(${columns}))`);
	}
	walk.edits.insert(tokens[extent.first]?.start ?? 0, prefix);
}

/** Throws 42501: by the time that the text runs, the value may be what the function takes. */
function refuseBesideCall(walk: Walk, field: string): never {
	const words = `the field ${displayIdentifier(field)} of a computed value, beside a function of that name,`;
	throw refuse(walk, words, undefined, 'A rule that allows execute on that function would allow it.');
}

/** `x.f` of a function x in FROM that gives rows: as `(x).f` of any computed value. */
export function fieldOfItem(walk: Walk, { ofRow }: RangeItem, field: string): void {
	if (ofRow === true && walk.mode !== 'view' && mayBeForbiddenCall(walk, field)) refuseBesideCall(walk, field);
}

/** What the column at the root of it belongs to. */
function itemOf(node: Node | A_Indirection | undefined, scope: Scope): RangeItem | undefined {
	if (node === undefined) return undefined;
	if ('arg' in node) return itemOf(node.arg, scope);
	const inner = as(node as Node, 'A_Indirection');
	if (inner !== undefined) return itemOf(inner, scope);
	const names = stringsOf(as(node as Node, 'ColumnRef')?.fields);
	const [name = '', qualifier, schema] = names.toReversed();
	if (names.length === 0) return undefined;
	const found =
		qualifier === undefined ? resolveBare(scope, name) : resolveQualified(scope, schema ?? null, qualifier, name);
	return found.kind === 'column' ? found.item : undefined;
}

/** A relation's column can be made another only by who may change the relation; where what is read is not known, by anybody. */
function mayChange({ context }: Walk, { note }: RangeItem): boolean {
	if (note === undefined) return true;
	if (note.schema === context.tempSchema || isSystem(note.schema)) return false;
	return (['alter', 'drop'] as const).some(
		(action) => context.access.onRelation(note.schema, note.name, action).allowed,
	);
}

/** Tokens: its first one, those of each step, and the one behind it. */
interface Extent {
	readonly first: number;
	readonly steps: readonly { readonly first: number; readonly last: number }[];
	readonly end: number;
}

function extentOf(walk: Walk, node: A_Indirection): Extent | undefined {
	const { tokens } = walk.source;
	const root = rootOf(walk, node.arg);
	if (root === undefined) return undefined;
	let { first, end } = root;
	while (!isStep(tokens[end]?.text)) {
		if (tokens[first - 1]?.text !== '(' || tokens[end]?.text !== ')') return undefined;
		first -= 1;
		end += 1;
	}
	const steps: { first: number; last: number }[] = [];
	for (const step of node.indirection ?? []) {
		if (!isStep(tokens[end]?.text)) return undefined;
		const last = 'A_Indices' in step ? closingBracket(walk, end) : end + 1;
		steps.push({ first: end, last });
		end = last + 1;
	}
	return { first, steps, end };
}

function isStep(text: string | undefined): boolean {
	return text === '.' || text === '[';
}

/** A column, or an indirection of one, without the parentheses around it. */
function rootOf(walk: Walk, node: Node | undefined): { readonly first: number; readonly end: number } | undefined {
	const inner = as(node, 'A_Indirection');
	if (inner !== undefined) return extentOf(walk, inner);
	const column = as(node, 'ColumnRef');
	const first = walk.source.tokenAt(column?.location ?? 0);
	const end = first + 2 * (column?.fields ?? []).length - 1;
	const isPlain = walk.source.tokens.slice(first, end).every(({ name }) => name !== 'UIDENT');
	return column === undefined || !isPlain ? undefined : { first, end };
}

function closingBracket({ source: { tokens } }: Walk, open: number): number {
	let depth = 0;
	for (let i = open; i < tokens.length; i += 1) {
		if (tokens[i]?.text === '[') depth += 1;
		else if (tokens[i]?.text === ']' && (depth -= 1) === 0) return i;
	}
	return tokens.length;
}
