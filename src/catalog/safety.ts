/** The words in which the catalogue says what of PostgreSQL's own is harmless; the answers themselves are beside it. */
export {
	extensionRoutineSafety,
	isHarmlessFunctionName,
	routineSafety,
	systemRoutineSafety,
} from './routine-safety.ts';
export { needsNamedRule, relationSafety, schemasOfValues } from './relation-safety.ts';
export { HARMLESS_ZONES, isSecretSetting, secretSettingNames, settingSafety } from './setting-safety.ts';

/** Why a built-in routine is not harmless. */
export type RoutineClass =
	/** Runs SQL text that it is given, or reads relations that it is told by name. */
	| 'sql'
	/** Reads files and directories of the server. */
	| 'files'
	/** Reads or acts on other sessions. */
	| 'sessions'
	/** Changes a setting (set_config): as good as SET. */
	| 'settings'
	| 'large-objects'
	/** Replication, WAL, slots, origins, base backups, exported snapshots. */
	| 'replication'
	/** Tells sampled values of columns, or counts rows and the accesses to them. */
	| 'statistics'
	/** Administration of the server: reload, rotate, reset, repair, upgrade. */
	| 'admin'
	/** nextval, setval, currval, lastval and the like: as good as the sequence behind it. */
	| 'sequence'
	/** pg_notify: as good as NOTIFY. */
	| 'notify'
	/** Works inside the server only; no statement has a reason to call it. */
	| 'internal'
	/** Came with none of the versions that were looked at. */
	| 'unlisted'
	/** Not built in: made by a user or an extension. */
	| 'user';

/** `reason` is a clause that completes "pg_catalog.f(text) is refused: it ..." */
export type RoutineSafety =
	| { readonly safe: true }
	| { readonly safe: false; readonly class: RoutineClass; readonly reason: string };

export type RelationSafety =
	| { readonly safe: true }
	/** `reason` is a clause: "it tells ...". */
	| { readonly safe: false; readonly reason: string }
	| MaskedRelation;

/**
 * Readable as `select <its columns, those of `columns` replaced> from <it> where <filter>`. A statement that reads none
 * of `columns` (no star, no whole row) may leave the relation as it is when there is no `filter`. All expressions use
 * bare column names of the same relation, qualify everything else with pg_catalog, and keep the column's type.
 */
export interface MaskedRelation {
	readonly safe: 'masked';
	/** Column name to the SQL that stands in its place. It may name columns that a version of the server does not have. */
	readonly columns: Readonly<Record<string, string>>;
	/** Condition on the rows that may be seen. */
	readonly filter?: string;
	readonly reason: string;
}

export type SettingSafety =
	| { readonly safe: true }
	| {
			readonly safe: false;
			/** A `set` rule of the policy may allow it all the same. */
			readonly grantable: boolean;
			/** Whoever may do everything may set it: it shows nothing that they may not see. */
			readonly unrestricted?: true;
			/** A clause: "it decides ...". */
			readonly reason: string;
	  };
