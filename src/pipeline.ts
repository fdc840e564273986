/** The way of a statement: analyse, decide, rewrite, and have it recorded before it may go on. No sockets. */
import { randomBytes } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import type { SessionInfo, StatementRecord } from './audit/event.ts';
import type { Accepted, AuditLog } from './audit/log.ts';
import type { Catalog } from './catalog/catalog.ts';
import { overlay } from './catalog/overlay.ts';
import type { CatalogSnapshot, Relation, Routine } from './catalog/snapshot.ts';
import { GatewayError } from './errors.ts';
import type { Access, Decision, Edit, Identity, StatementDecision } from './stages.ts';
import { type Analysis, analyse } from './sql/analyse.ts';
import { applyEdits } from './sql/edits.ts';
import { breach, type RowOrigin } from './sql/guard.ts';
import { executed } from './sql/execute.ts';
import { functionCall } from './sql/function-call.ts';
import type { RelationName } from './sql/names.ts';
import { pathChange } from './sql/path-change.ts';
import { defaultSqlLimits, type Parsed, parse, type SqlLimits } from './sql/parse.ts';
import { clientFields, type Fields, redactedFields } from './sql/redact.ts';
import { ShapeCache, type Shaped } from './sql/shape-cache.ts';
import type { AnalysisContext } from './sql/walk.ts';

export type { SqlLimits } from './sql/parse.ts';
export { loadRelations, loadRoutines, type RelationSearch } from './catalog/overlay.ts';
export { movedNames } from './sql/path-change.ts';
export { sharedListen } from './sql/shared-listen.ts';

/** What names mean to the session at this moment. */
export interface SessionNames {
	/** search_path as set, unquoted; null while nobody knows. */
	readonly searchPath: readonly string[] | null;
	readonly tempSchema: string | null;
	/** Relations that only this session sees: of a transaction that has not ended. The same array as long as nothing changed. */
	readonly own?: readonly Relation[];
}

/** A statement that the session has prepared by PREPARE or Parse. */
export interface PreparedBefore {
	readonly decision: Decision;
	readonly statement: StatementDecision;
}

/** Who asks, where, and under what circumstances. */
export interface PipelineContext {
	readonly identity: Identity;
	readonly database: string;
	readonly access: Access;
	readonly catalog: Catalog;
	readonly names: SessionNames;
	readonly info: SessionInfo;
	/** What EXECUTE of that name would run; undefined when the session has prepared no such statement. */
	readonly prepared?: (name: string) => PreparedBefore | undefined;
	/**
	 * Looks for relations through the session's own connection, and keeps what it finds for `names.own`. Called while the
	 * decision is waited for; it may find nothing, because the session can't be asked at this point.
	 */
	readonly lookUp?: (search: readonly RelationName[]) => Promise<readonly Relation[]>;
	/** The same for routines of these names, in any schema; they are not kept. */
	readonly lookUpRoutines?: (names: readonly string[]) => Promise<readonly Routine[]>;
	/** Whether the session is in a transaction, which may have made what only it sees. */
	readonly inTransaction?: () => boolean;
}

export interface PipelineOptions {
	/** null: nothing can be accepted, only decided (`explain`, `policy test`). */
	readonly audit: Pick<AuditLog, 'accept'> | null;
	readonly limits?: Partial<SqlLimits>;
	/** Bytes that remembered decisions may take together, roughly. */
	readonly cacheBytesMax?: number;
	/** Bytes that remembered shapes of statements may take together, roughly; 0: every new text is analysed by itself. */
	readonly shapesBytesMax?: number;
	/** Told how long each decision took that was not remembered, in milliseconds. */
	readonly onDecision?: (durationMs: number) => void;
}

/** Since the start. */
export interface PipelineStats {
	/** Texts whose decision was remembered, and texts that had to be analysed. */
	readonly hits: number;
	readonly misses: number;
	/** How often the catalogue was looked at again because of a name that was not known. */
	readonly looks: number;
	readonly remembered: { readonly decisions: number; readonly bytes: number };
}

interface Question {
	readonly context: PipelineContext;
	readonly snapshot: CatalogSnapshot;
	readonly sql: string;
	readonly parameterTypes: readonly number[];
	readonly revision: string;
}

interface Answered {
	readonly decision: Decision;
	/** A name was not known: the catalogue may be behind. */
	readonly doubt: boolean;
	/** It rests on what only this session has prepared. */
	readonly ownOnly: boolean;
	readonly missing: readonly RelationName[];
	readonly missingRoutines: readonly string[];
}

const CACHE_BYTES_MAX = 64 * 1024 * 1024;
const SHAPES_BYTES_MAX = 16 * 1024 * 1024;
/** A longer text is not worth remembering: it will hardly come again. */
const CACHED_TEXT_MAX = 64 * 1024;
/** Bytes that one remembered decision may take: its text, what it was made to, and what it is found by. */
const CACHED_BYTES_MAX = 1024 * 1024;
/** How long the statements of one text are looked at before others are served. */
const SLICE_MS = 10;
/** How often one decision looks through the session's own connection. */
const LOOK_UPS_MAX = 8;
/** What a remembered decision takes besides its texts, roughly. */
const DECISION_BYTES = 2048;

/** Decides statements and hands their records to the audit log. One for a gateway; it keeps no state of any session. */
export class Pipeline {
	readonly #audit: Pick<AuditLog, 'accept'> | null;
	readonly #limits: SqlLimits;
	readonly #decisions: LRUCache<string, Decision>;
	readonly #shapes: ShapeCache | null;
	readonly #onDecision: ((durationMs: number) => void) | undefined;
	#hits = 0;
	#misses = 0;
	#looks = 0;

	constructor(options: PipelineOptions) {
		this.#audit = options.audit;
		this.#limits = { ...defaultSqlLimits, ...options.limits };
		this.#decisions = new LRUCache({ maxSize: options.cacheBytesMax ?? CACHE_BYTES_MAX });
		const bytesMax = options.shapesBytesMax ?? SHAPES_BYTES_MAX;
		this.#shapes = bytesMax === 0 ? null : new ShapeCache({ bytesMax, limits: this.#limits, mark: nonce });
		this.#onDecision = options.onDecision;
	}

	get stats(): PipelineStats {
		const { size: decisions, calculatedSize: bytes } = this.#decisions;
		return { hits: this.#hits, misses: this.#misses, looks: this.#looks, remembered: { decisions, bytes } };
	}

	/** Shapes of statements that are remembered. */
	get shapesRemembered(): number {
		return this.#shapes?.size ?? 0;
	}

	/**
	 * Decides the text of a Query or Parse as a whole. Never throws for what a client sends. A Promise only where a name
	 * was not known, so that the catalogue is looked at once more before the answer is believed.
	 */
	decide(context: PipelineContext, sql: string, parameterTypes: readonly number[] = []): Decision | Promise<Decision> {
		const snapshot = snapshotOf(context);
		// The look is late because the gateway was too busy for it, or it failed for a moment: it is waited for before refusing.
		if (snapshot instanceof GatewayError) return this.#decideAgain(context, sql, parameterTypes);
		const revision = revisionOf(context, snapshot);
		const scope = `${context.access.database}\0${context.access.shape}\0${revision}\0${parameterTypes.join()}`;
		// What only the session sees, or has prepared, is not in the scope: such decisions are not remembered.
		if (context.names.own !== undefined) return this.#decideNew({ context, snapshot, sql, parameterTypes, revision });
		const key = `${scope}\0${sql}`;
		const known = this.#decisions.get(key);
		if (known !== undefined) {
			this.#hits += 1;
			return known;
		}
		const shaped = this.#shapes?.look(scope, sql) ?? null;
		const filled = shaped === null ? undefined : this.#shapes?.decision(shaped, sql, revision);
		if (filled !== undefined) {
			this.#hits += 1;
			return filled;
		}
		return this.#decideNew({ context, snapshot, sql, parameterTypes, revision }, key, shaped);
	}

	/** The decision on a FunctionCall message: the routine with this oid needs `execute`, whoever made it. */
	decideCall(context: PipelineContext, oid: number): Decision {
		const snapshot = snapshotOf(context);
		const sql = `FunctionCall ${oid}`;
		if (snapshot instanceof GatewayError) return refusal(sql, 'FunctionCall', snapshot, 'none');
		const decision = functionCall(context.access, snapshot, oid);
		return wholeOf(sql, [decision], [], revisionOf(context, snapshot));
	}

	/** False when policy, catalogue or names have changed since the decision: it has to be made again. */
	isCurrent(decision: Decision, context: PipelineContext): boolean {
		const snapshot = snapshotOf(context);
		return !(snapshot instanceof GatewayError) && decision.revision === revisionOf(context, snapshot);
	}

	/** Records the decision; `done` runs once the record is in the log, in the order of the calls. */
	accept(record: StatementRecord, done: Accepted): void {
		if (this.#audit === null) throw new Error('a pipeline without an audit log accepts nothing');
		this.#audit.accept(record, done);
	}

	/** What the client is told of a server's error or notice on a statement of the decision. */
	clientFields(fields: Fields, decision: Decision, statement: number): Fields {
		return clientFields(fields, decision, statement);
	}

	/** The same where the statement is not known. */
	redactedFields(fields: Fields): Fields {
		return redactedFields(fields);
	}

	/** `schema.relation.column` of a protected column that comes back as itself; null when there is none. */
	breach(fields: readonly RowOrigin[], statement: StatementDecision, context: PipelineContext): string | null {
		const snapshot = snapshotOf(context);
		if (snapshot instanceof GatewayError)
			return statement.touchesProtected ? 'a column whose relation is not known' : null;
		return breach(fields, context.access, snapshot);
	}

	/** `key` and `shaped`: to be remembered by; without a key it is not. */
	#decideNew(question: Question, key?: string, shaped: Shaped | null = null): Decision | Promise<Decision> {
		const { context, sql, parameterTypes } = question;
		this.#misses += 1;
		if (sql.length > CACHED_TEXT_MAX) return this.#decideLong(question);
		const first = this.#decideTimed(question);
		if (first.doubt) return this.#decideAgain(context, sql, parameterTypes);
		if (first.ownOnly || key === undefined) return first.decision;
		const inputs = inputsOf(question, this.#limits);
		if (shaped !== null && inputs !== null && first.decision.effect !== 'deny')
			this.#shapes?.learn(shaped, sql, inputs);
		return this.#remember(key, first.decision);
	}

	/** A long text is not remembered, and others are served while it is looked at. */
	async #decideLong(question: Question): Promise<Decision> {
		const { context, sql, parameterTypes } = question;
		const first = await this.#decideSliced(question);
		return first.doubt ? this.#decideAgain(context, sql, parameterTypes) : first.decision;
	}

	/** Looks at the catalogue once more, and where a relation or routine is still missing, through the session's own eyes. */
	async #decideAgain(context: PipelineContext, sql: string, parameterTypes: readonly number[]): Promise<Decision> {
		this.#looks += 1;
		try {
			const { catalog } = context;
			const looked = catalog.state.type === 'current' ? catalog.refresh() : catalog.known();
			const snapshot = withOwn(context, await looked);
			const revision = revisionOf(context, snapshot);
			let answered = await this.#decideSliced({ context, snapshot, sql, parameterTypes, revision });
			const found: Relation[] = [];
			const routines = new Map<number, Routine>();
			// A view that only the session sees may read more that only the session sees.
			for (let round = 0; round < LOOK_UPS_MAX; round += 1) {
				const { missing, missingRoutines } = answered;
				const more = missing.length === 0 ? [] : ((await context.lookUp?.(missing)) ?? []);
				const called = missingRoutines.length === 0 ? [] : ((await context.lookUpRoutines?.(missingRoutines)) ?? []);
				const before = found.length + routines.size;
				found.push(...more);
				for (const routine of called) routines.set(routine.oid, routine);
				if (found.length + routines.size === before) break;
				const tempSchema = found.find((relation) => relation.temporary)?.schema ?? context.names.tempSchema;
				const own = {
					context: { ...context, names: { ...context.names, tempSchema } },
					snapshot: overlay(snapshot, found, [], [...routines.values()]),
				};
				answered = await this.#decideSliced({ ...own, sql, parameterTypes, revision: '' });
			}
			return answered.decision;
		} catch (error) {
			if (error instanceof GatewayError) return refusal(sql, 'Undecided', error, 'none');
			throw error;
		}
	}

	#decideTimed(question: Question): Answered {
		const begunMs = performance.now();
		const answered = this.#decideFresh(question);
		this.#onDecision?.(performance.now() - begunMs);
		return answered;
	}

	#decideFresh(question: Question): Answered {
		const begun = this.#begin(question);
		if ('decision' in begun) return begun;
		return this.#answer(question, [...analysing(begun.inputs, begun.parsed)]);
	}

	/** The same, but others are served between the statements of a long text. */
	async #decideSliced(question: Question): Promise<Answered> {
		const begunMs = performance.now();
		let sinceMs = begunMs;
		const begun = this.#begin(question);
		if ('decision' in begun) return begun;
		const analyses: Analysis[] = [];
		for (const analysis of analysing(begun.inputs, begun.parsed)) {
			analyses.push(analysis);
			if (performance.now() - sinceMs < SLICE_MS) continue;
			await nextTurn();
			sinceMs = performance.now();
		}
		const answered = this.#answer(question, analyses);
		this.#onDecision?.(performance.now() - begunMs);
		return answered;
	}

	/** The parsed text and what it is analysed with; or an answer that needs no analysis. */
	#begin(question: Question): Answered | { readonly parsed: Parsed; readonly inputs: AnalysisContext } {
		const { sql, revision } = question;
		const final = (decision: Decision): Answered => ({
			...{ decision, doubt: false, ownOnly: false },
			...{ missing: [], missingRoutines: [] },
		});
		let parsed: Parsed;
		try {
			parsed = parse(sql, this.#limits);
		} catch (error) {
			if (!(error instanceof GatewayError)) throw error;
			return final(refusal(sql, 'Unparsable', error, revision));
		}
		const inputs = inputsOf(question, this.#limits);
		if (inputs === null) return final(refusal(sql, 'Undecided', namesUnknown(), revision));
		const followed = pathChange(parsed, inputs);
		return followed === undefined ? { parsed, inputs } : final(refusal(sql, 'Undecided', followed, revision));
	}

	#answer(question: Question, analyses: readonly Analysis[]): Answered {
		const { context, sql, revision } = question;
		const renew = (before: PreparedBefore): StatementDecision | undefined => this.#renewed(question, before);
		const statements = analyses.map(({ decision }) => executed(decision, context.prepared, renew));
		const seeking = analyses.some(({ missingRoutines }) => missingRoutines.length > 0);
		return {
			decision: wholeOf(
				sql,
				statements,
				analyses.flatMap(({ edits }) => edits),
				revision,
			),
			doubt: analyses.some((analysis) => analysis.doubt) || (seeking && context.inTransaction?.() === true),
			ownOnly: seeking || analyses.some(({ decision }) => decision.effects.some((effect) => effect.type === 'execute')),
			missing: analyses.flatMap(({ missing }) => missing),
			missingRoutines: analyses.flatMap(({ missingRoutines }) => missingRoutines),
		};
	}

	/** What was prepared as it would be decided now; undefined where that is not one statement that is clear by itself. */
	#renewed(question: Question, { decision, statement }: PreparedBefore): StatementDecision | undefined {
		if (this.isCurrent(decision, question.context)) return statement;
		const { unrestricted } = question.context.access;
		const { decision: now, doubt } = this.#decideFresh({ ...question, sql: statement.sql, parameterTypes: [] });
		const [renewed] = now.statements;
		// A name that is not known any more has to be looked up, which is for PREPARE to do.
		return (doubt && !unrestricted) || now.statements.length !== 1 ? undefined : renewed;
	}

	#remember(key: string, decision: Decision): Decision {
		const size = 2 * (key.length + decision.sql.length + decision.rewritten.length);
		if (size <= CACHED_BYTES_MAX) this.#decisions.set(key, decision, { size: size + DECISION_BYTES });
		return decision;
	}
}

/** Null while nobody knows what names mean. */
function inputsOf({ context, snapshot, parameterTypes }: Question, { readsMax }: SqlLimits): AnalysisContext | null {
	const { searchPath, tempSchema } = context.names;
	if (searchPath === null) return null;
	const touchesProtected = (name: string): boolean | undefined => context.prepared?.(name)?.statement.touchesProtected;
	const castTargets = (name: string): readonly number[] => context.prepared?.(name)?.statement.castTargets ?? [];
	const { access } = context;
	const names = { searchPath, tempSchema, parameterTypes };
	return { catalog: snapshot, access, ...names, nonce, readsMax, touchesProtected, castTargets };
}

/** A relation that one statement makes is there for those after it, and one that it drops or renames is not. */
function* analysing(inputs: AnalysisContext, parsed: Parsed): Generator<Analysis> {
	let known = inputs;
	for (const statement of parsed.statements) {
		const analysis = analyse(known, parsed.source, statement);
		yield analysis;
		const { made, gone } = analysis;
		if (made !== undefined || gone.length > 0) {
			const tempSchema = made?.temporary === true ? made.schema : known.tempSchema;
			known = { ...known, catalog: overlay(known.catalog, made === undefined ? [] : [made], gone), tempSchema };
		}
	}
}

/** One decision for the whole text: a denial of one statement denies all of it, before any of it is forwarded. */
function wholeOf(
	sql: string,
	statements: readonly StatementDecision[],
	edits: readonly Edit[],
	revision: string,
): Decision {
	const denied = statements.find((statement) => statement.effect === 'deny');
	if (denied?.error !== undefined) {
		return { effect: 'deny', sql, rewritten: sql, edits: [], statements, error: denied.error, revision };
	}
	const rewritten = edits.length === 0 ? sql : applyEdits(Buffer.from(sql, 'utf8'), edits);
	const effect = statements.some((statement) => statement.effect === 'mask') ? 'mask' : 'allow';
	return { effect, sql, rewritten, edits, statements, revision };
}

function refusal(sql: string, node: string, error: GatewayError, revision: string): Decision {
	const statement: StatementDecision = {
		effect: 'deny',
		node,
		sql,
		rewritten: sql,
		objects: [],
		rules: [],
		touchesProtected: false,
		checks: [],
		hidesRows: false,
		effects: [],
		error,
	};
	return { effect: 'deny', sql, rewritten: sql, edits: [], statements: [statement], error, revision };
}

function namesUnknown(): GatewayError {
	return new GatewayError(
		'42501',
		'the search_path of this session is not known to the gateway at this point, so the statement is refused',
		{
			hint: 'Send the statement after the previous one has been answered, or qualify nothing by search_path.',
		},
	);
}

function snapshotOf(context: PipelineContext): CatalogSnapshot | GatewayError {
	try {
		return withOwn(context, context.catalog.snapshot());
	} catch (error) {
		if (error instanceof GatewayError) return error;
		throw error;
	}
}

function withOwn(context: PipelineContext, snapshot: CatalogSnapshot): CatalogSnapshot {
	return context.names.own === undefined ? snapshot : overlay(snapshot, context.names.own);
}

const joinedPaths = new WeakMap<readonly string[], string>();

function revisionOf(context: PipelineContext, snapshot: CatalogSnapshot): string {
	const { searchPath, tempSchema } = context.names;
	let path = '?';
	if (searchPath !== null) {
		path = joinedPaths.get(searchPath) ?? JSON.stringify(searchPath);
		joinedPaths.set(searchPath, path);
	}
	return `${context.access.revision}/${snapshot.revision}/${path}/${tempSchema ?? ''}`;
}

function nonce(): string {
	return `portcullis_check_${randomBytes(12).toString('hex')}`;
}
