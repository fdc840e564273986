/** The nouns that cross stages: Identity, Access, Statement, Decision, AuditReceipt. Types only; no code, no I/O. */
import type { GatewayError } from './errors.ts';

// ---------------------------------------------------------------- who

export type ClaimValue = string | number | boolean | readonly string[];

export type LoginMethod = 'scram-sha-256' | 'scram-sha-256-plus' | 'token' | 'oauthbearer' | 'device' | 'certificate';

/** Who signed in. Made by the auth bridge, never changed after. */
export interface Identity {
	/** The NAME of `user:NAME` in the policy. */
	readonly name: string;
	/** Roles given to a service account by the configuration: the NAME of `role:NAME`. */
	readonly roles: readonly string[];
	/** Values of the groups claim: the NAME of `group:NAME`. */
	readonly groups: readonly string[];
	/** Only the claims that the configuration lets policies use. */
	readonly claims: Readonly<Record<string, ClaimValue>>;
	readonly method: LoginMethod;
	readonly issuer?: string;
	readonly subject?: string;
	readonly tokenId?: string;
	/** Milliseconds since the epoch after which the token no longer holds. */
	readonly expiresAtMs?: number;
}

// ---------------------------------------------------------------- what the policy says

/** A line of policy.csv or masks.yaml. `line` is 1-based. */
export interface RuleRef {
	readonly file: string;
	readonly line: number;
	/** The rule as it stands in the file, without line end. */
	readonly text: string;
}

export type Action =
	| 'connect'
	| 'select'
	| 'insert'
	| 'update'
	| 'delete'
	| 'truncate'
	| 'execute'
	| 'call'
	| 'copy'
	| 'lock'
	| 'listen'
	| 'notify'
	| 'set'
	| 'create'
	| 'alter'
	| 'drop'
	| 'grant'
	| 'maintain'
	| 'temp'
	| 'do'
	| 'replicate';

/** The answer to one question. `rules`: what made it (the allow, or the deny; empty when no rule matched). */
export interface Answer {
	readonly allowed: boolean;
	/** True when an explicit `deny` rule decided (not merely the lack of an allow). */
	readonly denied: boolean;
	/** True when one of those rules names some of the objects, and not all of every schema (`database.*.*`). */
	readonly deniedByName?: boolean;
	/** True when an allowing rule names the object without any wildcard in its last part (relation, column or function). */
	readonly named: boolean;
	/** True when an allowing rule names the action, and not `*` for all of them. */
	readonly actionNamed?: boolean;
	readonly rules: readonly RuleRef[];
}

/**
 * A mask or filter with every name in it resolved: functions, operators and types are those of pg_catalog. Data, so that it can be
 * copied to another thread. A `text` is a literal without a type of its own, as in SQL.
 */
export type PolicyTree =
	| { readonly node: 'value' }
	| { readonly node: 'column'; readonly name: string }
	/** Of the identity; filled in before anything is made of the tree. */
	| { readonly node: 'claim'; readonly name: string; readonly use: 'value' | 'list' }
	| { readonly node: 'text'; readonly text: string }
	| { readonly node: 'number'; readonly number: number }
	| {
			readonly node: 'word';
			readonly word:
				| 'NULL'
				| 'TRUE'
				| 'FALSE'
				| 'CURRENT_DATE'
				| 'CURRENT_TIME'
				| 'CURRENT_TIMESTAMP'
				| 'LOCALTIME'
				| 'LOCALTIMESTAMP';
	  }
	/** `left`: null for a prefix operator. */
	| { readonly node: 'operator'; readonly op: string; readonly left: PolicyTree | null; readonly right: PolicyTree }
	| {
			readonly node: 'quantified';
			readonly op: string;
			readonly left: PolicyTree;
			readonly quantifier: 'ANY' | 'ALL';
			readonly list: PolicyTree;
	  }
	| { readonly node: 'logic'; readonly op: 'AND' | 'OR'; readonly parts: readonly PolicyTree[] }
	| { readonly node: 'not'; readonly of: PolicyTree }
	/** `test`: IS NULL, IS NOT TRUE and the like. */
	| { readonly node: 'test'; readonly of: PolicyTree; readonly test: string }
	/** `modifier`: as written behind the type's name, '(10, 2)', or ''. */
	| {
			readonly node: 'cast';
			readonly of: PolicyTree;
			readonly type: string;
			readonly modifier: string;
			readonly array: boolean;
	  }
	| { readonly node: 'call'; readonly name: string; readonly args: readonly PolicyTree[] }
	| {
			readonly node: 'choice';
			readonly of: 'COALESCE' | 'GREATEST' | 'LEAST';
			readonly items: readonly PolicyTree[];
	  }
	| {
			readonly node: 'case';
			readonly branches: readonly { readonly when: PolicyTree; readonly result: PolicyTree }[];
			readonly otherwise: PolicyTree | null;
	  }
	| { readonly node: 'index'; readonly of: PolicyTree; readonly at: PolicyTree }
	| { readonly node: 'array'; readonly items: readonly PolicyTree[] };

/** A mask or filter, bound to the identity's claims (a filter whose claim is missing is false, a mask null). */
export interface BoundExpression {
	readonly name: string;
	/** The rule that applies it. */
	readonly rule: RuleRef;
	/** Columns of the same row that it names, other than `value`. */
	readonly columns: readonly string[];
	/** Without claims. */
	readonly tree: PolicyTree;
}

/** What is known of one column for `select`: readable or not, and the mask that holds. */
export interface ColumnAnswer extends Answer {
	readonly mask?: BoundExpression;
	/** True when a mask, unmask or select-deny rule names this very relation (no wildcard in the relation's part). */
	readonly protectionNamed: boolean;
}

/** Filters that hold on a relation for this identity; empty when an `unfilter` matches. */
export interface FilterAnswer {
	readonly filters: readonly BoundExpression[];
	/** True when a filter or unfilter rule names this very relation (no wildcard in the relation's part). */
	readonly protectionNamed: boolean;
	readonly rules: readonly RuleRef[];
}

/** A `select` deny on columns, for finding those that it hides; `readColumn` says whether a column is hidden. */
export interface HidingRule {
	readonly isFor: (schema: string, relation: string) => boolean;
	/** The one relation that it can be for; null with a wildcard. */
	readonly relation: { readonly schema: string; readonly name: string } | null;
	readonly covers: (column: string) => boolean;
	/** The one name that it covers; null with a wildcard. */
	readonly column: string | null;
}

/** What one identity may do in one database under one policy revision. Pure; every answer is cached inside. */
export interface Access {
	readonly database: string;
	/** Changes with every load of the policy. */
	readonly revision: string;
	/** Equal for identities that get equal answers to everything: principals, and the claims that policies use. A cache key. */
	readonly shape: string;
	/**
	 * True when rules allow every action on the database, on all of its relations and on all of its functions, and no rule
	 * masks, filters or denies anything: there is nothing that a statement of this identity could slip.
	 */
	readonly unrestricted: boolean;
	/** True when a rule denies harmless objects of the system, which need no rule, by name. Then each has to be asked for. */
	readonly narrowsSystem: boolean;
	/** Which rules may hide columns from this identity. Missing: asked of elsewhere, not of this object. */
	readonly hiding?: readonly HidingRule[];
	/** Actions on the database itself: connect, create, temp, set, listen, notify, do, replicate, ... */
	onDatabase(action: Action): Answer;
	/** Actions on a relation as a whole. For select: true if the relation as a whole is allowed (3-part rules). */
	onRelation(schema: string, relation: string, action: Action): Answer;
	/** Actions on one column (a relation-level allow or deny covers its columns). */
	onColumn(schema: string, relation: string, column: string, action: Action): Answer;
	/** select on one column, with its mask. */
	readColumn(schema: string, relation: string, column: string): ColumnAnswer;
	filtersOf(schema: string, relation: string): FilterAnswer;
	/** `types`: argument types as regprocedure prints them, e.g. ['integer', 'text']. action: execute or call. */
	onFunction(schema: string, name: string, types: readonly string[], action: 'execute' | 'call'): Answer;
	/** Actions within a schema (create, drop, alter...): the object `database.schema.*`. */
	onSchema(schema: string, action: Action): Answer;
}

// ---------------------------------------------------------------- what a statement is

/** One object that a statement uses, for the audit record and for `explain`. */
export interface ObjectUse {
	readonly kind: 'relation' | 'function' | 'database' | 'setting' | 'schema' | 'other';
	readonly schema: string;
	readonly name: string;
	readonly action: Action | 'show';
	/** Columns read or written by name, where known. */
	readonly columns: readonly string[];
	/** Names of columns that are masked (column -> mask name). */
	readonly masks: Readonly<Record<string, string>>;
	/** Names of filters that hold. */
	readonly filters: readonly string[];
	/** Columns hidden by a select deny. */
	readonly hidden: readonly string[];
	readonly rules: readonly RuleRef[];
	/** For a relation reached through a view or a parent: how. */
	readonly via?: string;
}

/**
 * temporary: relations and what else is in the session's temporary schema. cursor: WITH HOLD. prepared: by PREPARE. lock:
 * advisory, of the session. listen: LISTEN. sequence: currval and lastval; sequence-read: it asks for them. seed: of random().
 * all: DISCARD, which takes it away. code: a user's code runs, which may leave anything. unknown: nobody has looked at it.
 */
export type Residue =
	| 'temporary'
	| 'cursor'
	| 'prepared'
	| 'lock'
	| 'listen'
	| 'sequence'
	| 'sequence-read'
	| 'seed'
	| 'all'
	| 'code'
	| 'unknown';

/** What running the statement does to the session, told by the analysis so that the session can follow. */
export type SessionEffect =
	| { readonly type: 'begin' }
	| { readonly type: 'commit' }
	| { readonly type: 'rollback' }
	/** `does`: SAVEPOINT, RELEASE, ROLLBACK TO; `name` as the grammar reads it. */
	| { readonly type: 'savepoint'; readonly does: 'define' | 'release' | 'rollback'; readonly name: string }
	/** SET/RESET/set_config: `name` lower case; search_path matters most. `reset`: back to what the session began with. */
	| { readonly type: 'set'; readonly name: string; readonly local: boolean; readonly reset?: boolean }
	/** At commit. `channel` as the grammar reads it. `shared`: what runs on the server is no LISTEN, a listener that is shared hears for it. */
	| { readonly type: 'listen'; readonly channel: string; readonly shared?: true }
	/** At commit; null: from all channels. */
	| { readonly type: 'unlisten'; readonly channel: string | null }
	/** What may be left in the session behind the transaction; `of`: which function, relation or statement does so. */
	| { readonly type: 'leaves'; readonly what: Residue; readonly of: string }
	/** The catalogue changes: refresh before the next decision. `schema`: one of that name is made. */
	| { readonly type: 'ddl'; readonly schema?: string }
	/** search_path may be something else afterwards (SET, ROLLBACK, a function that sets it, DISCARD ALL). */
	| { readonly type: 'names-unknown' }
	| { readonly type: 'prepare'; readonly name: string }
	/** EXECUTE of a prepared statement by name: its own decision has to be current. */
	| { readonly type: 'execute'; readonly name: string }
	| { readonly type: 'deallocate'; readonly name: string | null }
	/** DECLARE. `holds`: WITH HOLD, it outlives its transaction. */
	| { readonly type: 'declare'; readonly name: string; readonly holds: boolean }
	/** CLOSE; null: of all cursors. */
	| { readonly type: 'close'; readonly name: string | null }
	/** The server does it only while nobody else is in that database. */
	| { readonly type: 'alone'; readonly database: string }
	| { readonly type: 'copy-in' }
	| { readonly type: 'copy-out' };

/** A check that the database runs inside the rewritten statement; its failure comes back as an error that carries `nonce`. */
export interface FilterCheck {
	/** Appears in the message of the backend's error when the check fails. */
	readonly nonce: string;
	/** What the client is told instead (42501). */
	readonly error: GatewayError;
}

/** The decision on one statement of a Query, or on the statement of a Parse. */
export interface StatementDecision {
	readonly effect: 'allow' | 'mask' | 'deny';
	/** Grammar node, e.g. SelectStmt; 'Unparsable' where the parser refused the text; 'Empty' for nothing but white space. */
	readonly node: string;
	/** The statement's own text as the client wrote it. */
	readonly sql: string;
	/** Equal for statements that differ in literals and white space only (libpg_query's fingerprint, 16 hex digits); none for what is too long or does not parse. */
	readonly fingerprint?: string;
	/** Text that runs in its place; equal to `sql` where policy changes nothing. */
	readonly rewritten: string;
	readonly objects: readonly ObjectUse[];
	readonly rules: readonly RuleRef[];
	/** Of the session, that it declares or fetches from: what is fetched is what was declared. */
	readonly cursor?: string;
	/** Types to which a user's cast may bring what is given to it by EXECUTE. Missing: none. */
	readonly castTargets?: readonly number[];
	/** For EXECUTE: the text that was prepared. */
	readonly executes?: string;
	/** For EXECUTE: that text as the server has it. */
	readonly executesRewritten?: string;
	/** It touches a protected relation: errors and notices are redacted. */
	readonly touchesProtected: boolean;
	/** Numbers of the parameters (from 1) that may be written down. Absent: all of them, or none where it touches a protected relation. */
	readonly shownParameters?: ReadonlySet<number>;
	readonly checks: readonly FilterCheck[];
	/**
	 * The gateway added a RETURNING of its own: RowDescription and DataRow of this statement stay with the gateway,
	 * a Describe answers NoData.
	 */
	readonly hidesRows: boolean;
	readonly effects: readonly SessionEffect[];
	/** For deny: what the client is told. */
	readonly error?: GatewayError;
}

/** One edit: bytes [start, end) of the client's text became `text`. Sorted, not overlapping. */
export interface Edit {
	readonly start: number;
	readonly end: number;
	readonly text: string;
}

/** The decision on the whole text of a Query or Parse. When one statement is denied, all of it is. */
export interface Decision {
	readonly effect: 'allow' | 'mask' | 'deny';
	readonly sql: string;
	/** What is forwarded in place of `sql`. */
	readonly rewritten: string;
	/** How `rewritten` came from `sql`, for mapping error positions back; offsets in UTF-8 bytes of `sql`. */
	readonly edits: readonly Edit[];
	readonly statements: readonly StatementDecision[];
	/** The first denial. */
	readonly error?: GatewayError;
	/** Under which revisions it was made: `policy/catalogue`; a prepared statement is decided again when this changes. */
	readonly revision: string;
}

// ---------------------------------------------------------------- that it was recorded

declare const receiptBrand: unique symbol;

/** Proof that the record of a statement is in the log. Only the audit log makes one; a forward asks for one. */
export interface AuditReceipt {
	readonly [receiptBrand]: true;
	/** Id of the record. */
	readonly id: string;
	readonly sequence: number;
}
