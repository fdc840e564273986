/** Every limit of a session and of the listener, in one table with its default; the configuration may change each. */
import { startupBytesMax } from '../wire/limits.ts';

export interface SessionLimits {
	/** Client sessions at a time, those that are still signing in included. */
	readonly sessionsMax: number;
	/** Connections of one address that have not signed in, at a time; further ones are cut. 0: as many as there is room for. */
	readonly connectingPerAddressMax: number;
	/** From accept to ReadyForQuery; people who approve in a browser need longer, see `loginWaitMs`. */
	readonly loginTimeoutMs: number;
	/** The same, once the login waits for a person (device flow). */
	readonly loginWaitMs: number;
	/** Between two messages of a client outside of a transaction; 0 switches it off. Ends the session with 57P05. */
	readonly idleTimeoutMs: number;
	/** Silence of a client after which TCP asks whether it is there; 0: when the system does. */
	readonly keepAliveMs: number;
	/** Sessions of one user at a time; 0: as many as there is room for. */
	readonly sessionsPerUserMax: number;
	/** How long a statement may run before it is cancelled (57014); 0: as long as it likes. */
	readonly queryTimeoutMs: number;
	/** How long a transaction may last before its session is ended (25P04); 0: as long as it likes. */
	readonly transactionTimeoutMs: number;
	/** Between two messages of a client inside of a transaction (25P03); 0 switches it off. */
	readonly idleTransactionTimeoutMs: number;
	/** Age of a server connection at which an idle session is ended to give it up (57P01); 0: none. */
	readonly backendLifetimeMs: number;
	/** Named and unnamed prepared statements of one session. */
	readonly statementsMax: number;
	/** Portals of one session. */
	readonly portalsMax: number;
	/** Text of all prepared statements of one session, bytes as sent and as rewritten. */
	readonly statementBytesMax: number;
	/** Bytes that wait for a receipt or for the backend's socket before the client is no longer read. */
	readonly outboxBytesMax: number;
	/** Replies that are outstanding (pipeline depth) before the client is no longer read. */
	readonly pendingRepliesMax: number;
	/** Channels of one session in transaction mode (54000). */
	readonly channelsMax: number;
	/** Notifications that wait for one client in transaction mode, bytes, before its session is ended (54000). */
	readonly notifyBytesMax: number;
	/** How long a backend may go on working for a client that has left, before its query is cancelled. */
	readonly lingerMs: number;
	/** Startup parameters and settings in `options` of one client. */
	readonly startupSettingsMax: number;
	/** Length of a client's first packet. */
	readonly startupBytesMax: number;
}

const kib = 1024;
const mib = 1024 * kib;

export const defaultSessionLimits: SessionLimits = Object.freeze({
	sessionsMax: 5_000,
	connectingPerAddressMax: 500,
	loginTimeoutMs: 60_000,
	loginWaitMs: 900_000,
	idleTimeoutMs: 0,
	keepAliveMs: 60_000,
	sessionsPerUserMax: 0,
	queryTimeoutMs: 0,
	transactionTimeoutMs: 0,
	idleTransactionTimeoutMs: 0,
	backendLifetimeMs: 0,
	statementsMax: 10_000,
	portalsMax: 1_000,
	statementBytesMax: 64 * mib,
	outboxBytesMax: 256 * kib,
	pendingRepliesMax: 10_000,
	channelsMax: 10_000,
	notifyBytesMax: mib,
	lingerMs: 60_000,
	startupSettingsMax: 100,
	startupBytesMax,
});
