/** What is known of one host of a database: the nouns of a cluster. Types, and the two names that a host goes by. */

export interface HostAddress {
	/** As in BackendTarget: a name, an address, or the folder of a Unix socket. */
	readonly host: string;
	readonly port: number;
}

/** libpq's words (PostgreSQL, "Parameter Key Words", target_session_attrs). */
export const targetSessionAttrs = ['any', 'read-write', 'read-only', 'primary', 'standby', 'prefer-standby'] as const;
export type TargetSessionAttrs = (typeof targetSessionAttrs)[number];

export type HostRole = 'primary' | 'standby';

/** What a host said of itself. What it would not say is null: some managed servers do not have these functions. */
export interface HostReport {
	readonly role: HostRole;
	/** Whether its transactions are read-only unless they say otherwise: default_transaction_read_only. */
	readonly readOnly: boolean;
	/** system_identifier: the same on all hosts of one cluster. */
	readonly system: string | null;
	/** Of a primary: the timeline that it writes. Each promotion begins a new one with a higher number. */
	readonly timeline: number | null;
	/** Position in the log: of a primary where it writes, of a standby what it has replayed. */
	readonly lsn: bigint | null;
	/** Of a standby: what it has received. */
	readonly received: bigint | null;
	/** Of a standby: since the commit of the last transaction that it replayed, in milliseconds, by its own clock. */
	readonly replayedAgoMs: number | null;
}

export type HostState =
	/** Nobody has asked it yet. */
	| { readonly type: 'unknown' }
	| { readonly type: 'up'; readonly report: HostReport }
	/** `reason` names no address. */
	| { readonly type: 'down'; readonly reason: string };

/** `10.0.0.5:5432`, `[::1]:5432`, `/run/postgresql:5432`: the name of a host in logs, metrics and the audit log. */
export function nameOfHost({ host, port }: HostAddress): string {
	return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The state in one word, for operators. */
export function wordOf(state: HostState): 'unknown' | 'down' | HostRole {
	return state.type === 'up' ? state.report.role : state.type;
}
