/** What crosses between the event loop and the thread that analyses long texts. Types only. */
import type { MessagePort } from 'node:worker_threads';
import type { CatalogSnapshot } from '../catalog/snapshot.ts';
import type { RelationName } from '../sql/names.ts';
import type { SqlLimits } from '../sql/parse.ts';
import type { AnalysedText, RefusedText } from '../sql/text.ts';
import type { Access, FilterCheck, StatementDecision } from '../stages.ts';

/** What the thread begins with. */
export interface ThreadData {
	/** Where the loop's answers come in. */
	readonly answers: MessagePort;
	/** Int32: 1 once an answer is there. */
	readonly signal: SharedArrayBuffer;
}

/** A text to analyse. The thread has one at a time, and asks the loop for what it has to know of catalogue, policy and session. */
export interface Job {
	readonly sql: string;
	readonly limits: SqlLimits;
	readonly catalog: CatalogHead;
	readonly access: AccessHead;
	/** null while nobody knows it. */
	readonly searchPath: readonly string[] | null;
	readonly tempSchema: string | null;
	readonly parameterTypes: readonly number[];
}

/** What of a snapshot is told at once. Snapshots with the same `id` are the same object in the loop. */
export interface CatalogHead extends Pick<CatalogSnapshot, 'revision' | 'serverVersion' | 'user' | 'timeZone'> {
	readonly id: number;
	/** What lies below, where it is a snapshot with something laid over it. */
	readonly below: CatalogHead | null;
}

/** What of an Access is told at once. `id` as for snapshots. */
export interface AccessHead extends Pick<Access, 'database' | 'revision' | 'shape' | 'unrestricted' | 'narrowsSystem'> {
	readonly id: number;
}

/** Whole lists of a snapshot's: short, and hardly ever asked for. */
export type CatalogList = 'userCasts' | 'operatorClasses';

type Methods<T> = { [K in keyof T]-?: T[K] extends (...args: never[]) => unknown ? K : never }[keyof T];

/** `relations` is asked in parts; what a snapshot says without being asked is in its head. */
export type CatalogMethod = Exclude<Methods<CatalogSnapshot>, 'relations'>;
export type AccessMethod = Methods<Access>;

/** What the thread asks while the loop goes on; it waits for the answer. */
export type Question =
	| { readonly of: 'catalog'; readonly id: number; readonly method: CatalogMethod; readonly args: readonly unknown[] }
	| { readonly of: 'list'; readonly id: number; readonly list: CatalogList }
	/** The next relations of all that there are; `from`: how many were given before. */
	| { readonly of: 'relations'; readonly id: number; readonly from: number }
	| { readonly of: 'access'; readonly method: AccessMethod; readonly args: readonly unknown[] }
	| { readonly of: 'prepared'; readonly name: string }
	/** Which columns of the database are hidden: HiddenColumns, or null. */
	| { readonly of: 'hidden'; readonly columnsMax: number }
	/** Takes a piece of the result. */
	| { readonly of: 'part'; readonly part: Part };

/** What is asked of a statement that the session has prepared. */
export interface PreparedAnswer {
	readonly touchesProtected: boolean | undefined;
	readonly castTargets: readonly number[];
}

export type Reply =
	| { readonly type: 'value'; readonly value: unknown }
	| { readonly type: 'failed'; readonly error: PlainError }
	/** Nobody waits for the text's analysis any more. */
	| { readonly type: 'stop' };

/** A piece of the result: so small that reading it takes the loop a moment only. */
export type Part =
	| { readonly type: 'statements'; readonly statements: readonly PlainDecision[] }
	/** Start and end of each edit, and the texts. */
	| { readonly type: 'edits'; readonly places: Int32Array; readonly texts: readonly string[] };

/** What the thread tells. */
export type FromThread =
	| { readonly type: 'ready' }
	| { readonly type: 'ask'; readonly question: Question }
	| { readonly type: 'refused'; readonly node: RefusedText['node']; readonly error: PlainError }
	| (Pick<AnalysedText, 'doubt' | 'missingRoutines'> & {
			readonly type: 'analysed';
			readonly missing: readonly RelationName[];
			/** null: the text as it was. */
			readonly rewritten: string | null;
	  })
	| { readonly type: 'stopped' };

/** A GatewayError, or another error (without `sqlstate`), in a form that can be copied. */
export interface PlainError {
	readonly message: string;
	readonly sqlstate?: string;
	readonly severity?: 'ERROR' | 'FATAL';
	readonly detail?: string;
	readonly hint?: string;
	readonly position?: number;
	readonly raisedBy?: string;
	/** In words, for the operator's log. */
	readonly cause?: string;
}

/** A statement's decision in a form that can be copied; `rewritten`: null where it is as `sql`. */
export type PlainDecision = Omit<StatementDecision, 'error' | 'checks' | 'rewritten'> & {
	readonly rewritten: string | null;
	readonly error: PlainError | null;
	readonly checks: readonly (Omit<FilterCheck, 'error'> & { readonly error: PlainError })[];
};
