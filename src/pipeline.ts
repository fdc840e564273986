/** The way of a statement: analyse, decide, rewrite, and have it recorded before it may go on. No sockets. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import type { Analyst } from './analysis/analyst.ts';
import { nonce } from './analysis/nonce.ts';
import type { SessionInfo, StatementRecord } from './audit/event.ts';
import type { Accepted, AuditLog } from './audit/log.ts';
import type { Catalog } from './catalog/catalog.ts';
import { overlay } from './catalog/overlay.ts';
import type { CatalogSnapshot, Relation, Routine } from './catalog/snapshot.ts';
import { GatewayError } from './errors.ts';
import type { Access, Decision, Identity, StatementDecision } from './stages.ts';
import type { Analysis } from './sql/analyse.ts';
import { breach, type RowOrigin } from './sql/guard.ts';
import { executed } from './sql/execute.ts';
import { functionCall } from './sql/function-call.ts';
import type { RelationName } from './sql/names.ts';
import { defaultSqlLimits, type SqlLimits } from './sql/parse.ts';
import { clientFields, type Fields, redactedFields } from './sql/redact.ts';
import { hasOwn, type SessionNames, textOf, withOwn } from './sql/session-names.ts';
import { ShapeCache, type Shaped } from './sql/shape-cache.ts';
import { analysing, beginText, type RefusedText, type TextAnalysis, together } from './sql/text.ts';
import type { AnalysisContext } from './sql/walk.ts';
import { refusal, wholeOf } from './sql/whole.ts';

export type { SqlLimits } from './sql/parse.ts';
export { loadRelations, loadRoutines, type RelationSearch } from './catalog/overlay.ts';
export { movedNames } from './sql/path-change.ts';
export { sharedListen } from './sql/shared-listen.ts';

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
	/** Asked for once for a decision that takes long: aborted, with a GatewayError, when the client waits for it no more. */
	readonly interruption?: () => AbortSignal;
}

export interface PipelineOptions {
	/** null: nothing can be accepted, only decided (`explain`, `policy test`). */
	readonly audit: Pick<AuditLog, 'accept'> | null;
	/** Analyses long texts beside the event loop. Missing: they are analysed in it. */
	readonly analyst?: Pick<Analyst, 'analyse'>;
	/** Characters from which on a text is long; 16,384 where it is not given. */
	readonly asideMin?: number;
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
	/** It executes a long text that has to be decided anew, beside the loop, or was. */
	readonly late: boolean;
}

/** What was prepared as it would be decided now, by its text. */
type Renewals = ReadonlyMap<string, Pick<Answered, 'decision' | 'doubt'>>;

const CACHE_BYTES_MAX = 64 * 1024 * 1024;
const SHAPES_BYTES_MAX = 16 * 1024 * 1024;
/** In characters. A longer text is analysed beside the event loop: in it, it would hold up everybody for some ten milliseconds. */
const ASIDE_MIN = 16 * 1024;
/** How often a decision is made that policy or catalogue, as they were, have changed under meanwhile. */
const TRIES_MAX = 3;
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
	readonly #analyst: Pick<Analyst, 'analyse'> | null;
	readonly #asideMin: number;
	readonly #limits: SqlLimits;
	readonly #decisions: LRUCache<string, Decision>;
	readonly #shapes: ShapeCache | null;
	readonly #onDecision: ((durationMs: number) => void) | undefined;
	#hits = 0;
	#misses = 0;
	#looks = 0;

	constructor(options: PipelineOptions) {
		this.#audit = options.audit;
		this.#analyst = options.analyst ?? null;
		this.#asideMin = options.asideMin ?? ASIDE_MIN;
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
		if (hasOwn(context.names)) return this.#decideNew({ context, snapshot, sql, parameterTypes, revision });
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
		return wholeOf(sql, { statements: [decision], edits: [] }, revisionOf(context, snapshot));
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
		if (sql.length > CACHED_TEXT_MAX || this.#isForAside(sql)) return this.#decideLong(question, key);
		const first = this.#decideTimed(question);
		if (first.late) return this.#decideLong(question, undefined);
		if (first.doubt) return this.#decideAgain(context, sql, parameterTypes);
		if (first.ownOnly || key === undefined) return first.decision;
		const inputs = inputsOf(question, this.#limits);
		if (shaped !== null && inputs !== null && first.decision.effect !== 'deny')
			this.#shapes?.learn(shaped, sql, inputs);
		return this.#remember(key, first.decision);
	}

	#isForAside(sql: string): boolean {
		return this.#analyst !== null && sql.length >= this.#asideMin;
	}

	/** Others are served while it is looked at, so that what it was decided by may have changed by then. */
	async #decideLong(question: Question, key: string | undefined): Promise<Decision> {
		const { context, sql, parameterTypes } = question;
		let now = question;
		for (let tries = 0; tries < TRIES_MAX; tries += 1) {
			const { decision, doubt, ownOnly } = await this.#decideSliced(now);
			const snapshot = snapshotOf(context);
			if (doubt || snapshot instanceof GatewayError) return this.#decideAgain(context, sql, parameterTypes);
			const revision = revisionOf(context, snapshot);
			if (revision !== now.revision) {
				now = { ...now, snapshot, revision };
				continue;
			}
			// The key has the revision that the first try was made under.
			const isKept = key !== undefined && tries === 0 && !ownOnly && sql.length <= CACHED_TEXT_MAX;
			return isKept ? this.#remember(key, decision) : decision;
		}
		return refusal(sql, 'Undecided', changing(), 'none');
	}

	/** Looks at the catalogue once more, and where a relation or routine is still missing, through the session's own eyes. */
	async #decideAgain(context: PipelineContext, sql: string, parameterTypes: readonly number[]): Promise<Decision> {
		try {
			for (let tries = 0; tries < TRIES_MAX; tries += 1) {
				const { decision, revision, late } = await this.#look(context, sql, parameterTypes);
				if ((!this.#isForAside(sql) && !late) || revision === revisionNow(context)) return decision;
			}
			return refusal(sql, 'Undecided', changing(), 'none');
		} catch (error) {
			if (error instanceof GatewayError) return refusal(sql, 'Undecided', error, 'none');
			throw error;
		}
	}

	/** `revision`: what it was decided under, whether or not it holds for others. */
	async #look(
		context: PipelineContext,
		sql: string,
		parameterTypes: readonly number[],
	): Promise<{ readonly decision: Decision; readonly revision: string; readonly late: boolean }> {
		this.#looks += 1;
		const { catalog } = context;
		const looked = catalog.state.type === 'current' ? catalog.refresh() : catalog.known();
		const snapshot = withOwn(context.names, await looked);
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
		return { decision: answered.decision, revision, late: answered.late };
	}

	#decideTimed(question: Question): Answered {
		const begunMs = performance.now();
		const answered = this.#decideFresh(question);
		this.#onDecision?.(performance.now() - begunMs);
		return answered;
	}

	#decideFresh(question: Question): Answered {
		const { sql } = question;
		const begun = beginText(sql, this.#limits, inputsOf(question, this.#limits));
		return this.#answer(question, begun.type === 'refused' ? begun : together([...analysing(begun)]));
	}

	/** The same, but others are served meanwhile: beside the loop, or between the statements of a long text. */
	async #decideSliced(question: Question): Promise<Answered> {
		const begunMs = performance.now();
		let answered: Answered;
		try {
			const analysis = this.#isForAside(question.sql) ? await this.#aside(question) : await this.#sliced(question);
			answered = this.#answer(question, analysis, await this.#renewedAside(question, analysis));
		} catch (error) {
			if (!(error instanceof GatewayError)) throw error;
			// Of the moment, as that nobody waits for it any more.
			answered = refusedText(question, { node: 'Undecided', error }, true);
		}
		this.#onDecision?.(performance.now() - begunMs);
		return answered;
	}

	async #sliced(question: Question): Promise<TextAnalysis> {
		let sinceMs = performance.now();
		const begun = beginText(question.sql, this.#limits, inputsOf(question, this.#limits));
		if (begun.type === 'refused') return begun;
		const analyses: Analysis[] = [];
		for (const analysis of analysing(begun)) {
			analyses.push(analysis);
			if (performance.now() - sinceMs < SLICE_MS) continue;
			await nextTurn();
			sinceMs = performance.now();
		}
		return together(analyses);
	}

	async #aside(question: Question): Promise<TextAnalysis> {
		const { sql, context, snapshot, parameterTypes } = question;
		const { names, access, identity } = context;
		const inputs = {
			...{ catalog: snapshot, access, ...prepared(context), parameterTypes },
			...{ searchPath: names.searchPath, tempSchema: names.tempSchema },
		};
		const text = {
			sql,
			limits: this.#limits,
			user: identity.name,
			begin: () => inputs,
			signal: context.interruption?.(),
		};
		// Where there is no analyst, nothing is for aside.
		return (await this.#analyst?.analyse(text)) ?? unanswered();
	}

	/** Long texts that are executed and were prepared under another policy, catalogue or search_path. */
	async #renewedAside(question: Question, analysis: TextAnalysis): Promise<Renewals> {
		const renewals = new Map<string, Answered>();
		if (analysis.type === 'refused') return renewals;
		for (const effect of analysis.statements.flatMap(({ effects }) => effects)) {
			const before = effect.type === 'execute' ? question.context.prepared?.(effect.name) : undefined;
			if (before === undefined || !this.#isLate(question, before) || renewals.has(before.statement.sql)) continue;
			const then = { ...question, sql: before.statement.sql, parameterTypes: [] };
			renewals.set(then.sql, this.#answer(then, await this.#aside(then)));
		}
		return renewals;
	}

	#isLate({ context }: Question, { decision, statement }: PreparedBefore): boolean {
		return this.#isForAside(statement.sql) && !this.isCurrent(decision, context);
	}

	#answer(question: Question, analysis: TextAnalysis, renewals: Renewals = new Map()): Answered {
		const { context, sql, revision } = question;
		if (analysis.type === 'refused') return refusedText(question, analysis, false);
		const { edits, doubt, missing, missingRoutines } = analysis;
		let late = false;
		const renew = (before: PreparedBefore): StatementDecision | undefined => {
			const renewal = renewals.get(before.statement.sql);
			late ||= renewal === undefined && this.#isLate(question, before);
			return late ? undefined : this.#renewed(question, before, renewal);
		};
		const statements = analysis.statements.map((decision) => executed(decision, context.prepared, renew));
		const seeking = missingRoutines.length > 0;
		const executes = analysis.statements.some(({ effects }) => effects.some(({ type }) => type === 'execute'));
		return {
			decision: wholeOf(sql, { statements, edits, rewritten: analysis.rewritten }, revision),
			doubt: doubt || (seeking && context.inTransaction?.() === true),
			ownOnly: seeking || executes,
			missing,
			missingRoutines,
			late: late || renewals.size > 0,
		};
	}

	/** What was prepared as it would be decided now; undefined where that is not one statement that is clear by itself. */
	#renewed(
		question: Question,
		{ decision, statement }: PreparedBefore,
		renewal?: Pick<Answered, 'decision' | 'doubt'>,
	): StatementDecision | undefined {
		if (this.isCurrent(decision, question.context)) return statement;
		const { unrestricted } = question.context.access;
		const then = { ...question, sql: statement.sql, parameterTypes: [] };
		const { decision: now, doubt } = renewal ?? this.#decideFresh(then);
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
function inputsOf({ context, snapshot, parameterTypes }: Question, limits: SqlLimits): AnalysisContext | null {
	const { readsMax, hiddenColumnsMax } = limits;
	const { searchPath, tempSchema } = context.names;
	if (searchPath === null) return null;
	const names = { searchPath, tempSchema, parameterTypes };
	const of = { catalog: snapshot, access: context.access };
	return { ...of, ...names, nonce, readsMax, hiddenColumnsMax, ...prepared(context) };
}

/** What is asked of statements that the session has prepared. */
function prepared(context: PipelineContext): Required<Pick<AnalysisContext, 'touchesProtected' | 'castTargets'>> {
	return {
		touchesProtected: (name) => context.prepared?.(name)?.statement.touchesProtected,
		castTargets: (name) => context.prepared?.(name)?.statement.castTargets ?? [],
	};
}

/** `ownOnly`: it holds for this session at this moment alone. */
function refusedText(
	{ sql, revision }: Question,
	{ node, error }: Pick<RefusedText, 'node' | 'error'>,
	ownOnly: boolean,
): Answered {
	const decision = refusal(sql, node, error, revision);
	return { decision, doubt: false, ownOnly, missing: [], missingRoutines: [], late: false };
}

function changing(): GatewayError {
	const words = 'policy or catalogue have changed again and again while the gateway analysed the statement';
	return new GatewayError('40001', words, { hint: 'Send it again.' });
}

function unanswered(): never {
	throw new Error('the analysis of a long text has no result');
}

function snapshotOf(context: PipelineContext): CatalogSnapshot | GatewayError {
	try {
		return withOwn(context.names, context.catalog.snapshot());
	} catch (error) {
		if (error instanceof GatewayError) return error;
		throw error;
	}
}

/** Null while nobody knows the catalogue. */
function revisionNow(context: PipelineContext): string | null {
	const snapshot = snapshotOf(context);
	return snapshot instanceof GatewayError ? null : revisionOf(context, snapshot);
}

function revisionOf({ access, names }: PipelineContext, snapshot: CatalogSnapshot): string {
	return `${access.revision}/${snapshot.revision}/${textOf(names)}`;
}
