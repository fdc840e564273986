/** What one analysis carries along: its inputs, the edits it makes, and the notes of what the statement uses. */
import type { Access, Action, FilterCheck, ObjectUse, RuleRef, SessionEffect } from '../stages.ts';
import type { Cast, CatalogSnapshot, Operator, Relation, Routine } from '../catalog/snapshot.ts';
import { GatewayError } from '../errors.ts';
import type { Guess } from './coercions.ts';
import { EditList } from './edits.ts';
import type { HiddenColumns } from './hidden-columns.ts';
import type { RelationName } from './names.ts';
import type { SourceText } from './source.ts';
import type { ColumnRef, Node } from '@pgsql/types';
import type { ItemColumn, RangeItem, Scope } from './scope.ts';
import type { PendingRead } from './protected-read.ts';

/** Inputs of an analysis; equal inputs give equal results, so verdicts can be cached. */
export interface AnalysisContext {
	readonly catalog: CatalogSnapshot;
	readonly access: Access;
	/** search_path as the session has it, with "$user" and missing schemas still in it. */
	readonly searchPath: readonly string[];
	/** The session's own temporary schema, once it has one. */
	readonly tempSchema: string | null;
	/** Types that Parse declares for parameters; 0 or absent: the server decides. */
	readonly parameterTypes: readonly number[];
	/** A fresh random word, for telling the gateway's own check failures from other errors. */
	readonly nonce: () => string;
	/** Whether what EXECUTE of that name runs touches something protected; undefined where nothing of that name was prepared. */
	readonly touchesProtected?: (name: string) => boolean | undefined;
	/** Types to which a user's cast may bring what EXECUTE of that name gives. */
	readonly castTargets?: (name: string) => readonly number[];
	/** In how many places a statement may read protected relations: each makes the text longer. */
	readonly readsMax?: number;
	/** How many hidden columns the text for one statement may list, over all places in which a catalogue names columns. */
	readonly hiddenColumnsMax?: number;
	/** Which columns are hidden, where `access` itself does not know. */
	readonly hiddenColumns?: () => HiddenColumns | null;
	/** Characters of views' definitions that were analysed for the whole text so far, and how many there may be. */
	readonly definitions?: { length: number; readonly lengthMax: number };
	/** For a text that was written under another search_path (a view's definition) and may be spliced into a statement. */
	readonly shadowing?: Shadowing;
}

/** Names that mean pg_catalog's in a text, and would be taken for others under the session's path. */
export interface Shadowing {
	/** What the session searches before pg_catalog. */
	readonly schemas: readonly string[];
	/** What it searches after: a function or operator there is meant where it fits the types better. */
	readonly later: readonly string[];
	/** 42501 for the first such name. */
	found: GatewayError | undefined;
}

/** Where an expression stands: what runs in a `qual` may meet rows before a row filter has hidden them. */
export type Place = 'output' | 'qual';

/** What is known of an expression's value. */
export interface ExprInfo {
	/** Type oid; UNKNOWN for an untyped literal; null when it can't be told. */
	readonly type: number | null;
	/** Names no column and reads no relation, and nothing in it is volatile: the same for every row. */
	readonly constant: boolean;
	/** May meet a row that a filter hides: leakproof all the way down, or constant. */
	readonly safe: boolean;
	/** Something constant in it is computed when the statement runs: a parameter, a stable function. The planner folds the rest. */
	readonly runs?: boolean;
	/** Such a part may fail, and whether it is reached may depend on the row: behind CASE, OR and the like it is not safe. */
	readonly late?: boolean;
	/** Types of the fields of a row that is written out; null where a star stands among them. */
	readonly fields?: readonly (number | null)[] | null;
}

/** Mutable notes on one object, made into an ObjectUse at the end. */
export interface UseNote {
	readonly kind: ObjectUse['kind'];
	readonly schema: string;
	readonly name: string;
	readonly action: ObjectUse['action'];
	readonly columns: Set<string>;
	readonly masks: Map<string, string>;
	readonly filters: Set<string>;
	readonly hidden: Set<string>;
	readonly rules: Set<RuleRef>;
	via: string | undefined;
}

/** A column of a range item by the relation's own name for it; all of them without one. */
export interface AskedColumn {
	readonly item: RangeItem;
	readonly name: string | undefined;
}

export interface Walk {
	readonly context: AnalysisContext;
	readonly source: SourceText;
	/** Byte of the text at which the statement begins. */
	readonly start: number;
	readonly edits: EditList;
	readonly uses: Map<string, UseNote>;
	readonly pending: PendingRead[];
	/** The replacement behind a range item. */
	readonly reads: Map<RangeItem, PendingRead>;
	readonly checks: FilterCheck[];
	readonly effects: SessionEffect[];
	/** `view`: the text is a view's definition; what it may read and call is its author's choice, but protections hold. */
	readonly mode: 'statement' | 'view';
	/** Oids of the views that are being inlined, outermost first. */
	readonly views: readonly number[];
	/** Analyses a query inside of this text; given, so that the files of the analysis need not import each other in a circle. */
	readonly query: QueryWalker;
	/** How many hidden columns the text lists so far. */
	hiddenListed: number;
	/** Something in a qual is not leakproof: filtered relations need a fence. */
	leaky: boolean;
	/** Columns that the condition under way reads, until it is known whether it is leakproof; null outside of one. */
	asked: AskedColumn[] | null;
	/** A user's own operator is named: the planner would try it on sampled values of hidden rows. */
	usersOperator: boolean;
	/** Operators that were looked up, by their name and the types beside it. */
	readonly operators: Map<string, readonly Operator[]>;
	/** References to an item's row as a whole. */
	readonly rows: Map<ColumnRef, RangeItem>;
	/** Names of the first columns of subqueries in expressions, by their node. */
	readonly firstColumns: WeakMap<Node, string>;
	/** Constants that may fail when the statement runs, so far. */
	lates: number;
	/** Items whose columns the innermost query in an expression has named. */
	named: Set<RangeItem>;
	/** A protected relation is touched. */
	touchesProtected: boolean;
	/** A protected relation or column is masked or filtered in this statement. */
	masks: boolean;
	hidesRows: boolean;
	/** In `select ... from pg_settings where name = '...'`: that name. */
	settingName: string | undefined;
	/** Relations that the statement makes, so that later statements of the same text can use them. */
	readonly made: Relation[];
	/** The same of routines of names that nothing else has. */
	readonly madeRoutines: Routine[];
	/** The same of schemas. */
	readonly madeSchemas: string[];
	/** Relations that the statement drops or renames. */
	readonly gone: Relation[];
	/** Rules that made a denial. */
	readonly denials: RuleRef[];
	/** A name was not found where it ought to be: the catalogue may be behind. */
	doubt: boolean;
	/** Casts of users that the server may put in by itself, once they were looked for. */
	casts: readonly Cast[] | undefined;
	/** Such casts that run if values of their types are in the statement. */
	readonly guesses: Guess[];
	/** Types of columns, results and names in the statement. */
	readonly types: Set<number>;
	/** A value of it may be of any type. */
	anyType: boolean;
	/** Names of routines that may be called and that nobody knows. */
	readonly sought: string[];
	/** Relations that need not be there (DROP ... IF EXISTS), and where the session itself might see one. */
	readonly absent: RelationName[];
}

/** Walks SELECT, or a writing statement where a CTE may hold one; returns its columns, null when not known. */
export type QueryWalker = (walk: Walk, node: Node, scope: Scope | null, place: Place) => readonly ItemColumn[] | null;

export function newWalk(
	context: AnalysisContext,
	source: SourceText,
	query: QueryWalker,
	mode: Walk['mode'] = 'statement',
	views: readonly number[] = [],
	start = 0,
): Walk {
	return {
		context,
		source,
		start,
		query,
		edits: new EditList(source.bytes),
		uses: new Map(),
		pending: [],
		reads: new Map(),
		checks: [],
		effects: [],
		mode,
		views,
		hiddenListed: 0,
		leaky: false,
		asked: null,
		usersOperator: false,
		operators: new Map(),
		rows: new Map(),
		firstColumns: new WeakMap(),
		lates: 0,
		named: new Set(),
		touchesProtected: false,
		masks: false,
		hidesRows: false,
		settingName: undefined,
		made: [],
		madeRoutines: [],
		madeSchemas: [],
		gone: [],
		denials: [],
		doubt: false,
		casts: undefined,
		guesses: [],
		types: new Set(),
		anyType: false,
		sought: [],
		absent: [],
	};
}

/** After a part of the statement was walked in a context of its own (a copy of the walk with another): what it found holds for the whole. */
export function takeNotes(walk: Walk, inner: Walk): void {
	walk.leaky ||= inner.leaky;
	walk.usersOperator ||= inner.usersOperator;
	walk.touchesProtected ||= inner.touchesProtected;
	walk.masks ||= inner.masks;
	walk.doubt ||= inner.doubt;
	walk.hidesRows ||= inner.hidesRows;
	walk.anyType ||= inner.anyType;
	walk.hiddenListed = inner.hiddenListed;
}

/** The note on an object under an action, made on first use. */
export function noteUse(
	walk: Walk,
	kind: ObjectUse['kind'],
	schema: string,
	name: string,
	action: ObjectUse['action'],
): UseNote {
	const key = `${kind}\0${schema}\0${name}\0${action}`;
	let note = walk.uses.get(key);
	if (note === undefined) {
		note = {
			kind,
			schema,
			name,
			action,
			columns: new Set(),
			masks: new Map(),
			filters: new Set(),
			hidden: new Set(),
			rules: new Set(),
			via: undefined,
		};
		walk.uses.set(key, note);
	}
	return note;
}

export function addRules(note: UseNote, rules: readonly RuleRef[]): void {
	for (const rule of rules) note.rules.add(rule);
}

/** 1-based position for an error, when the text is the client's own. */
export function positionAt(walk: Walk, location: number | undefined): { position?: number } {
	if (walk.mode !== 'statement') return {};
	return { position: walk.source.position(location ?? 0) };
}

/** A denial for a thing that the gateway does not build or does not understand. */
export function refuse(walk: Walk, what: string, location?: number, hint?: string): GatewayError {
	return new GatewayError('42501', `${what} is not allowed through the gateway`, {
		...(location === undefined ? {} : positionAt(walk, location)),
		...(hint === undefined ? {} : { hint }),
	});
}

/** Throws for syntax that is newer than the server, which would read it as something else. */
export function requireVersion(walk: Walk, what: string, since: number | undefined): void {
	if (since === undefined || walk.context.catalog.serverVersion >= since * 10_000) return;
	throw new GatewayError('0A000', `${what} needs PostgreSQL ${since}, and the server is older`);
}

/** "denied by policy.csv:7 (p, ...)", or the lack of a rule in words. */
export function reasonOf(
	answer: { readonly denied: boolean; readonly rules: readonly RuleRef[] },
	action: Action | string,
	object: string,
): string {
	const rule = answer.rules[0];
	if (answer.denied && rule !== undefined) return `denied by ${rule.file}:${rule.line} (${rule.text})`;
	return `no rule of the policy allows ${action} on ${object}`;
}

/** 42501 with the object, the action and the rule (or the lack of one). */
export function denied(
	walk: Walk,
	what: string,
	answer: { readonly denied: boolean; readonly rules: readonly RuleRef[] },
	action: string,
	object: string,
	location?: number,
): GatewayError {
	walk.denials.push(...answer.rules);
	return new GatewayError('42501', `permission denied for ${what}: ${reasonOf(answer, action, object)}`, {
		...(location === undefined ? {} : positionAt(walk, location)),
	});
}
