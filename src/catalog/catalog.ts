/** The catalogue of one database: the latest snapshot, looked at again on demand and by polling for DDL made elsewhere. */
import { GatewayError } from '../errors.ts';
import { type Clock, systemClock } from './clock.ts';
import type { CatalogSession } from './connection.ts';
import { CATALOG_LIMITS } from './limits.ts';
import { ANY_LOST_FIELDS, NO_LOST_FIELDS } from './lost-fields.ts';
import { isRace, type Load, loadFingerprint, loadServer, loadSnapshot, type Server } from './load.ts';
import type { CatalogSnapshot } from './snapshot.ts';
import { withDeadline } from './deadline.ts';

export interface CatalogOptions {
	/** Opens a connection of the catalogue's own, signed in as the gateway's role. */
	readonly connect: () => Promise<CatalogSession>;
	/** As clients name it; for messages. */
	readonly database: string;
	/**
	 * True while there is no server to ask and one is expected soon (a failover): what was known is trusted for as long, for
	 * nobody can change it, and `connect` waits. What comes after it is looked at before anything runs there.
	 */
	readonly away?: () => boolean;
	/** Told of each change of the state. */
	readonly onState?: (state: CatalogState) => void;
	readonly clock?: Clock;
	/** Numbers the snapshots. Catalogues whose decisions are remembered together share one; default: 1, 2, 3. */
	readonly nextRevision?: () => number;
	/** False: sessions of the same database are decided by other catalogues too, and what those saw in between is not known here. */
	readonly alone?: boolean;
	/** Of dates in masks and filters. Missing or null: the one that the server gives to the gateway's role. */
	readonly timeZone?: string | null;
}

export type CatalogState =
	/** Nothing was loaded yet; `error` is why the last attempt failed. */
	| { readonly type: 'unknown'; readonly error: Error | null }
	| { readonly type: 'current' }
	/** The last look failed: DDL may have happened unseen. */
	| { readonly type: 'stale'; readonly error: Error };

/** How well the catalogue is known. */
export interface CatalogStats {
	/** `stale` also when the last good look is too long ago. */
	readonly state: CatalogState['type'];
	/** Why the last look failed; null when it did not. */
	readonly problem: string | null;
	/** Of the snapshot; 0 before the first. */
	readonly revision: number;
	/** Since the last look that succeeded; null before the first. */
	readonly ageMs: number | null;
	readonly looks: number;
	readonly failures: number;
}

interface Connected {
	readonly session: CatalogSession;
	readonly server: Server;
}

/**
 * Never more than one look at a time. A look compares a fingerprint of the database's catalogues with that of the last
 * load, and loads when they differ; a snapshot is never changed, only replaced.
 */
export class Catalog {
	readonly #options: CatalogOptions;
	readonly #clock: Clock;
	readonly #nextRevision: () => number;
	#state: CatalogState = { type: 'unknown', error: null };
	#connected: Connected | null = null;
	#loaded: (Load & { readonly server: Server }) | null = null;
	/** The snapshot is not trusted after this time. */
	#trustedUntilMs = 0;
	/** The look that is under way. */
	#looking: Promise<CatalogSnapshot> | null = null;
	/** The look that begins when the one under way has ended. */
	#next: Promise<CatalogSnapshot> | null = null;
	/** The latest look for DDL that a client has committed. */
	#following: Promise<CatalogSnapshot> | null = null;
	#polling = false;
	#cancelPoll: (() => void) | null = null;
	#reconnectMs: number = CATALOG_LIMITS.reconnectMinMs;
	#closed = false;
	#lookedMs: number | null = null;
	#looks = 0;
	#failures = 0;

	constructor(options: CatalogOptions) {
		this.#options = options;
		this.#clock = options.clock ?? systemClock;
		this.#nextRevision = options.nextRevision ?? (() => (this.#loaded?.snapshot.revision ?? 0) + 1);
	}

	get state(): CatalogState {
		return this.#state;
	}

	get stats(): CatalogStats {
		const { type } = this.#state;
		const nowMs = this.#clock.now();
		return {
			state: type === 'current' && !this.#trusted(nowMs) ? 'stale' : type,
			problem: this.#state.type === 'current' ? null : causeOf(this.#state.error),
			revision: this.#loaded?.snapshot.revision ?? 0,
			ageMs: this.#lookedMs === null ? null : nowMs - this.#lookedMs,
			looks: this.#looks,
			failures: this.#failures,
		};
	}

	/** The latest snapshot. Throws GatewayError 57P03 while the catalogue is unknown or stale: nothing can be decided then. */
	snapshot(): CatalogSnapshot {
		if (this.#loaded !== null && this.#state.type === 'current' && this.#trusted(this.#clock.now())) {
			return this.#loaded.snapshot;
		}
		throw this.#unknown(this.#state.type === 'current' ? null : this.#state.error);
	}

	/**
	 * A snapshot of some moment after this call; DDL that was committed before the call is in it. Calls made while a look
	 * is under way share the one after it. Rejects with GatewayError 57P03 when the database cannot be asked.
	 */
	refresh(): Promise<CatalogSnapshot> {
		if (this.#next !== null) return this.#next;
		if (this.#looking === null) return this.#begin();
		const begin = () => {
			this.#next = null;
			return this.#begin();
		};
		this.#next = this.#looking.then(begin, begin);
		return this.#next;
	}

	/** The same for DDL that a client has committed just now: `following` tells others of it until the look has ended. */
	follow(): Promise<CatalogSnapshot> {
		const look = this.refresh();
		this.#following = look;
		const ended = () => {
			if (this.#following === look) this.#following = null;
		};
		look.then(ended, ended);
		return look;
	}

	/** Settles when the snapshot has all DDL in it that clients have committed, or after `knownWaitMs`; null: it has. */
	get following(): Promise<void> | null {
		return this.#following === null ? null : this.#ended(this.#following);
	}

	/**
	 * Settles when the look that is under way has ended, and the one that waits for it, or after `knownWaitMs`; null: the database
	 * is not being read.
	 */
	get underWay(): Promise<void> | null {
		const look = this.#next ?? this.#looking;
		return look === null ? null : this.#ended(look);
	}

	#ended(look: Promise<CatalogSnapshot>): Promise<void> {
		return new Promise((resolve) => {
			const cancel = this.#clock.after(CATALOG_LIMITS.knownWaitMs, resolve);
			const ended = (): void => {
				cancel();
				resolve();
			};
			look.then(ended, ended);
		});
	}

	/**
	 * The same for a catalogue that is not known at the moment, which may be for a moment only: a database that was made just
	 * now, a look that failed, system catalogues that somebody has locked. Rejects with GatewayError 57P03 after `knownWaitMs`,
	 * if not before.
	 */
	async known(): Promise<CatalogSnapshot> {
		const endMs = this.#clock.now() + CATALOG_LIMITS.knownWaitMs;
		for (;;) {
			try {
				return await this.#refreshWithin(endMs - this.#clock.now());
			} catch (error) {
				const raced = error instanceof GatewayError && isRace(error.cause);
				if (!raced || this.#clock.now() >= endMs) throw error;
			}
		}
	}

	#refreshWithin(waitMs: number): Promise<CatalogSnapshot> {
		return new Promise((resolve, reject) => {
			const cancel = this.#clock.after(waitMs, () => {
				reject(this.#unknown(this.#state.type === 'current' ? null : this.#state.error));
			});
			this.refresh().then(resolve, reject).finally(cancel);
		});
	}

	/** Loads the first snapshot and polls from then on, also when the load fails (then it rejects as refresh does). */
	async start(): Promise<void> {
		this.#polling = true;
		await this.refresh();
	}

	/** Ends its connection for a while, because somebody needs the database for themselves. Who asks for a snapshot ends that. */
	async rest(): Promise<void> {
		await this.#looking?.catch(() => undefined);
		this.#trustedUntilMs = Number.NEGATIVE_INFINITY;
		this.#poll(CATALOG_LIMITS.restMs);
		await this.#disconnect();
	}

	/** Ends polling and the connection; what is under way rejects. */
	async close(): Promise<void> {
		this.#closed = true;
		this.#cancelPoll?.();
		await this.#disconnect();
		await this.#looking?.catch(() => undefined);
		await this.#disconnect();
		this.#setState({ type: 'unknown', error: null });
	}

	#trusted(nowMs: number): boolean {
		return nowMs <= this.#trustedUntilMs || this.#options.away?.() === true;
	}

	#begin(): Promise<CatalogSnapshot> {
		this.#cancelPoll?.();
		this.#cancelPoll = null;
		const look = this.#look();
		this.#looking = look;
		const ended = () => {
			if (this.#looking === look) this.#looking = null;
		};
		look.then(ended, ended);
		return look;
	}

	async #look(): Promise<CatalogSnapshot> {
		const beganMs = this.#clock.now();
		this.#looks += 1;
		try {
			const restMs = await this.#lookTwice();
			const delayMs = Math.min(Math.max(restMs, CATALOG_LIMITS.pollMinMs), CATALOG_LIMITS.pollMaxMs);
			this.#lookedMs = this.#clock.now();
			this.#trustedUntilMs = this.#lookedMs + delayMs + CATALOG_LIMITS.staleGraceMs;
			this.#reconnectMs = CATALOG_LIMITS.reconnectMinMs;
			this.#setState({ type: 'current' });
			this.#poll(delayMs - (this.#clock.now() - beganMs));
			return this.snapshot();
		} catch (caught) {
			const error = caught instanceof Error ? caught : new Error(String(caught));
			this.#failures += 1;
			this.#setState({ type: this.#loaded === null ? 'unknown' : 'stale', error });
			this.#poll(this.#reconnectMs);
			this.#reconnectMs = Math.min(this.#reconnectMs * 2, CATALOG_LIMITS.pollMaxMs);
			throw this.#unknown(error);
		}
	}

	/** A connection that was lost since the last look is no failure yet: a new one is tried at once. */
	async #lookTwice(): Promise<number> {
		const old = this.#connected;
		if (old !== null) {
			try {
				return await this.#lookInRaces(old);
			} catch {
				await this.#disconnect();
			}
		}
		try {
			return await this.#lookInRaces(await this.#connect());
		} catch (error) {
			await this.#disconnect();
			throw error;
		}
	}

	/** What is dropped while it is being read is an error of the server's, though nothing is wrong: the next look does without it. */
	async #lookInRaces(connected: Connected): Promise<number> {
		for (let races = 0; ; races += 1) {
			try {
				const whenLocked = races === CATALOG_LIMITS.racesMax ? 'leave out' : 'reject';
				return await this.#lookWith(connected, whenLocked);
			} catch (error) {
				if (races === CATALOG_LIMITS.racesMax || !isRace(error)) throw error;
				await connected.session.query('rollback');
			}
		}
	}

	/** Looks, loads if need be, and answers how long to leave the database alone for that. */
	async #lookWith({ session, server }: Connected, whenLocked: 'reject' | 'leave out'): Promise<number> {
		const last = this.#loaded;
		if (last !== null && last.server === server && last.complete) {
			const fingerprint = await loadFingerprint(session);
			if (fingerprint.text === last.fingerprint.text) return fingerprint.costMs * CATALOG_LIMITS.pollCostFactor;
		}
		const beganMs = this.#clock.now();
		const before = last ?? (this.#options.alone === false ? ANY_LOST_FIELDS : NO_LOST_FIELDS);
		const load = await loadSnapshot(session, server, this.#nextRevision(), whenLocked, before);
		this.#loaded = { ...load, server };
		return Math.max(
			load.fingerprint.costMs * CATALOG_LIMITS.pollCostFactor,
			(this.#clock.now() - beganMs) * CATALOG_LIMITS.loadCostFactor,
		);
	}

	async #connect(): Promise<Connected> {
		if (this.#closed) throw new Error('the catalogue is closed');
		const session = withDeadline(await this.#options.connect(), CATALOG_LIMITS.queryTimeoutMs, this.#clock);
		try {
			const server = await loadServer(session, this.#options.timeZone ?? undefined);
			this.#connected = { session, server };
			return this.#connected;
		} catch (error) {
			await session.close();
			throw error;
		}
	}

	async #disconnect(): Promise<void> {
		const connected = this.#connected;
		this.#connected = null;
		await connected?.session.close();
	}

	#poll(delayMs: number): void {
		if (!this.#polling || this.#closed) return;
		this.#cancelPoll?.();
		this.#cancelPoll = this.#clock.after(Math.max(delayMs, 0), () => {
			this.refresh().catch(() => undefined);
		});
	}

	#setState(state: CatalogState): void {
		const changed = state.type !== this.#state.type;
		this.#state = state;
		if (changed) this.#options.onState?.(state);
	}

	#unknown(cause: Error | null): GatewayError {
		return new GatewayError(
			'57P03',
			`the catalogue of database "${this.#options.database}" is not known at the moment`,
			{
				detail: 'The gateway cannot ask the database about its tables, so nothing can be decided.',
				cause,
			},
		);
	}
}

/** What the server or the network said. */
function causeOf(error: Error | null): string | null {
	return error === null ? null : error.message;
}
