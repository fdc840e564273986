/** What of PostgreSQL's own routines, relations and settings is harmless, and why the rest is not. Data in; no I/O. */
import type { Routine } from './snapshot.ts';

/** Why a built-in routine is not harmless. */
export type RoutineClass =
	/** Runs SQL text that it is given, or reads relations that it is told by name. */
	| 'sql'
	/** Reads or writes files and directories of the server. */
	| 'files'
	/** Reads or acts on other sessions. */
	| 'sessions'
	/** Changes roles or settings (set_config). */
	| 'settings'
	| 'large-objects'
	/** Replication, WAL, slots, origins, exported snapshots. */
	| 'replication'
	/** Tells sampled values of columns, or counts the rows of relations. */
	| 'statistics'
	/** Administration of the server: reload, rotate, reset, repair, upgrade. */
	| 'admin'
	/** nextval, setval, currval, lastval and the like: as good as the sequence behind it. */
	| 'sequence'
	/** pg_notify: as good as NOTIFY. */
	| 'notify'
	/** Works with internal state; no statement has a reason to call it. */
	| 'internal'
	/** Comes with no supported version that was looked at. */
	| 'unlisted'
	/** Not built in: made by a user or an extension. */
	| 'user';

export type RoutineSafety =
	| { readonly safe: true }
	| { readonly safe: false; readonly class: RoutineClass; readonly reason: string };

/** `reason` completes "X is refused: ..." */
export type RelationSafety =
	| { readonly safe: true }
	| { readonly safe: false; readonly reason: string }
	| {
			/** Readable through a subquery `select <columns, masked ones replaced> from it where <filter>`. */
			readonly safe: 'masked';
			/** Column name to the SQL that stands in its place, over bare column names of the same relation. */
			readonly columns: Readonly<Record<string, string>>;
			/** Rows that may be seen, over bare column names of the same relation. */
			readonly filter?: string;
			readonly reason: string;
	  };

export type SettingSafety =
	| { readonly safe: true }
	| {
			readonly safe: false;
			/** A `set` rule of the policy may allow it all the same. */
			readonly grantable: boolean;
			readonly reason: string;
	  };

export type RoutineKey = Pick<Routine, 'schema' | 'name' | 'argNames' | 'builtin'>;

/** Whether a call of the routine is harmless whatever its arguments; what is not known is not harmless. */
export function routineSafety(_routine: RoutineKey): RoutineSafety {
	return { safe: false, class: 'unlisted', reason: 'it is not on the list of harmless routines' };
}

/** Whether anyone may read the relation of pg_catalog or information_schema; what is not known is refused. */
export function relationSafety(_schema: string, _name: string): RelationSafety {
	return { safe: false, reason: 'it is not on the list of harmless relations' };
}

/**
 * Whether anyone may set the setting. `value` is the text of the new value, null for DEFAULT and RESET, undefined when
 * it is not known (a bound parameter).
 */
export function settingSafety(_name: string, _value?: string | null): SettingSafety {
	return { safe: false, grantable: false, reason: 'it is not on the list of harmless settings' };
}

/** For expressions of the policy: every built-in function of this name (without schema) is harmless. */
export function isHarmlessFunctionName(_name: string): boolean {
	return false;
}
