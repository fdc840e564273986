/** Hears notifications for all sessions of a pool that work as one role: one connection, which listens to what any of them listens to. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { GatewayError } from '../errors.ts';
import type { BackendConnection } from './connection.ts';
import { backendFailure } from './errors.ts';
import { BACKEND_LIMITS } from './limits.ts';
import { ListenerLine } from './listener-line.ts';

/** A session that hears. */
export interface Hearer {
	/** A notification on a channel that it has joined. `message` is the whole NotificationResponse, which others keep too. */
	hear(channel: string, message: Buffer): void;
	/** The connection is gone, and with it what was joined: from now on notifications are missed. */
	lost(): void;
}

/** For the operator's log. */
export type ListenerEvent =
	| { readonly type: 'connected'; readonly address: string; readonly pid: number }
	/** `hearers`: sessions that have missed something from now on. */
	| { readonly type: 'lost'; readonly error: Error; readonly hearers: number };

export interface SharedListenerOptions {
	/** Role on the server, for operators. */
	readonly role: string;
	/** Dials and signs in; throws as connectBackend does. */
	readonly connect: (signal: AbortSignal) => Promise<BackendConnection>;
	readonly onEvent?: ((event: ListenerEvent) => void) | undefined;
	/** How long a session waits for the connection. */
	readonly waitMs?: number | undefined;
	/** How long the connection stays when nobody listens any more. */
	readonly lingerMs?: number | undefined;
	/** Between two questions whether the server is still there. */
	readonly checkMs?: number | undefined;
	readonly timeoutMs?: number | undefined;
}

/** Counters since the start, and what is now. */
export interface ListenerStats {
	readonly role: string;
	/** Null: there is no connection, because nobody listens. */
	readonly connection: { readonly address: string; readonly pid: number; readonly sinceMs: number } | null;
	readonly channels: number;
	readonly hearers: number;
	/** Notifications that the server told of, and what of them sessions were told. */
	readonly received: number;
	readonly told: number;
	/** Connections that were lost while somebody heard. */
	readonly losses: number;
	/** Sessions that were ended because they did not take what they listen for. */
	readonly overflows: number;
}

interface Heard {
	readonly channel: string;
	readonly message: Buffer;
}

interface Channel {
	readonly hearers: Set<Hearer>;
	/** Resolved once the server has done the LISTEN. */
	readonly ready: Promise<void>;
}

export class SharedListener {
	readonly #options: SharedListenerOptions;
	readonly #closing = new AbortController();
	#channels = new Map<string, Channel>();
	#line: ListenerLine | null = null;
	#connecting: Promise<ListenerLine> | null = null;
	/** Sessions that are about to join. */
	#joining = 0;
	#lingering: NodeJS.Timeout | null = null;
	#checking: NodeJS.Timeout | null = null;
	#retryMs: number = BACKEND_LIMITS.redialMinMs;
	#retryAtMs = 0;
	#sinceMs = 0;
	#received = 0;
	#losses = 0;
	/** Who hears for the same sessions where their database is now, and where it was before. */
	#heir: SharedListener | null = null;
	#former: SharedListener | null = null;
	#handing: Promise<void> | null = null;
	/** The heir is on the same server and database, and tells everything. */
	#silent = false;
	/** What was heard for those that the former one still tells. */
	readonly #kept = new Map<Hearer, Heard[]>();
	/** Counted by sessions. */
	told = 0;
	overflows = 0;

	constructor(options: SharedListenerOptions) {
		this.#options = options;
	}

	get stats(): ListenerStats {
		const { connection } = this.#line ?? { connection: null };
		const hearers = new Set<Hearer>();
		for (const channel of this.#channels.values()) for (const hearer of channel.hearers) hearers.add(hearer);
		return {
			role: this.#options.role,
			connection:
				connection === null ? null : { address: connection.address, pid: connection.pid, sinceMs: this.#sinceMs },
			channels: this.#channels.size,
			hearers: hearers.size,
			received: this.#received,
			told: this.told,
			losses: this.#losses,
			overflows: this.overflows,
		};
	}

	/**
	 * Resolves once the session hears all of the channels, and has been told of everything that was committed before the call.
	 * Throws GatewayError: what the server says to the LISTEN, and why there is no connection after `waitMs`.
	 */
	async join(hearer: Hearer, channels: readonly string[]): Promise<void> {
		const heir = this.#heir;
		if (this.#silent && heir !== null) {
			await heir.join(hearer, channels);
			return;
		}
		const fresh = channels.filter((name) => !this.hears(hearer, name));
		await this.#joinHere(hearer, channels);
		// It may have got one meanwhile.
		const next = this.#heir;
		if (next === null) return;
		try {
			await this.#handOnce(next);
			await next.join(hearer, channels);
		} catch (error) {
			for (const name of fresh) this.part(hearer, name);
			throw error;
		}
	}

	/** It hears that channel no longer. */
	part(hearer: Hearer, name: string): void {
		this.#partHere(hearer, name);
		for (let heir = this.#heir; heir !== null; heir = heir.#heir) heir.#partHere(hearer, name);
		for (let former = this.#former; former !== null; former = former.#former) former.#partHere(hearer, name);
	}

	hears(hearer: Hearer, name: string): boolean {
		return this.#channels.get(name)?.hearers.has(hearer) === true;
	}

	/** Everything that was committed before the call has been told: see ListenerLine. */
	caughtUp(): Promise<void> {
		if (this.#silent && this.#heir !== null) return this.#heir.caughtUp();
		return this.#line?.caughtUp() ?? Promise.resolve();
	}

	/** Nobody else hears for its sessions, on another server maybe. */
	get alone(): boolean {
		return this.#heir === null && this.#former === null;
	}

	/**
	 * The database is somewhere else from now on: `heir` hears there for all that this one hears for, and this one goes on until it is
	 * closed, for what is notified where it is. On the same server and database each notification is told once. Resolves when that is
	 * so; those for whom it cannot be are told that they miss something.
	 */
	async handOver(heir: SharedListener): Promise<void> {
		this.#heir = heir;
		heir.#former = this;
		if (this.#channels.size > 0) await this.#handOnce(heir);
	}

	#handOnce(heir: SharedListener): Promise<void> {
		this.#handing ??= this.#hand(heir);
		return this.#handing;
	}

	async #hand(heir: SharedListener): Promise<void> {
		const channels = new Map<Hearer, string[]>();
		for (const [name, { hearers }] of this.#channels)
			for (const hearer of hearers) channels.set(hearer, [...(channels.get(hearer) ?? []), name]);
		for (const hearer of channels.keys()) heir.#kept.set(hearer, []);
		const joined = await Promise.allSettled([...channels].map(([hearer, names]) => heir.join(hearer, names)));
		const refused = joined.find((one) => one.status === 'rejected');
		if (refused !== undefined) this.#missed(heir, channels, refused.reason);
		// Those that have left meanwhile.
		for (const [hearer, names] of channels)
			for (const name of names) if (!this.hears(hearer, name)) heir.part(hearer, name);
		try {
			if (refused === undefined) await this.#compare(heir, [...channels.keys()]);
		} catch (error) {
			this.#missed(heir, channels, error);
		}
		heir.#release(channels.keys());
	}

	/**
	 * Something is notified that nobody else listens to: where both hear it, they hear all else in the same order. What came before it
	 * this one has told, and what comes after it the heir tells.
	 */
	async #compare(heir: SharedListener, hearers: readonly Hearer[]): Promise<void> {
		const name = `portcullis_${randomBytes(16).toString('hex')}`;
		const before = new Map<Hearer, readonly Heard[]>();
		let marked = false;
		const here: Hearer = {
			hear: () => {
				this.#silent = true;
				if (marked) heir.#release(hearers);
			},
			lost: () => undefined,
		};
		const there: Hearer = {
			hear: () => {
				marked = true;
				for (const hearer of hearers) {
					before.set(hearer, heir.#kept.get(hearer) ?? []);
					heir.#kept.set(hearer, []);
				}
				if (this.#silent) heir.#release(hearers);
			},
			lost: () => undefined,
		};
		await Promise.all([this.#joinHere(here, [name]), heir.#joinHere(there, [name])]);
		await heir.#line?.run(`notify ${quoted(name)}`);
		await this.#line?.caughtUp();
		this.#partHere(here, name);
		heir.#partHere(there, name);
		if (this.#silent) return;
		for (const [hearer, heard] of before) heir.#kept.set(hearer, [...heard, ...(heir.#kept.get(hearer) ?? [])]);
	}

	/** They are told what was kept for them, and what comes. */
	#release(hearers: Iterable<Hearer>): void {
		for (const hearer of hearers) {
			const kept = this.#kept.get(hearer) ?? [];
			this.#kept.delete(hearer);
			for (const { channel, message } of kept) hearer.hear(channel, message);
		}
	}

	#missed(heir: SharedListener, channels: ReadonlyMap<Hearer, readonly string[]>, thrown: unknown): void {
		const error = thrown instanceof Error ? thrown : new Error(String(thrown));
		heir.#losses += 1;
		heir.#options.onEvent?.({ type: 'lost', error, hearers: channels.size });
		for (const [hearer, names] of channels) {
			for (const name of names) this.part(hearer, name);
			hearer.lost();
		}
	}

	async #joinHere(hearer: Hearer, channels: readonly string[]): Promise<void> {
		const endMs = performance.now() + (this.#options.waitMs ?? BACKEND_LIMITS.queueTimeoutMs);
		this.#joining += 1;
		this.#stay();
		try {
			while (!(await this.#joinOnce(hearer, channels, endMs)));
		} finally {
			this.#joining -= 1;
			this.#settle();
		}
	}

	#partHere(hearer: Hearer, name: string): void {
		const channel = this.#channels.get(name);
		if (channel === undefined || !channel.hearers.delete(hearer) || channel.hearers.size > 0) return;
		this.#channels.delete(name);
		this.#line?.run(`unlisten ${quoted(name)}`).catch(() => undefined);
		this.#settle();
	}

	async close(): Promise<void> {
		this.#closing.abort(closed());
		const heir = this.#heir;
		if (heir !== null && heir.#former === this) heir.#former = null;
		this.#stay();
		const line = this.#line;
		this.#line = null;
		this.#forgetLine();
		this.#channels = new Map();
		await line?.close();
		await this.#connecting?.catch(() => undefined);
	}

	/** False: the connection was lost meanwhile. */
	async #joinOnce(hearer: Hearer, channels: readonly string[], endMs: number): Promise<boolean> {
		const line = await this.#connected(endMs);
		if (line !== this.#line) return false;
		const fresh = channels.filter((name) => this.#channels.get(name)?.hearers.has(hearer) !== true);
		const ready = channels.map((name) => this.#joinChannel(line, hearer, name));
		try {
			await Promise.all(ready);
			await line.caughtUp();
			return line.alive;
		} catch (error) {
			if (!line.alive && performance.now() < endMs) return false;
			for (const name of fresh) this.#partHere(hearer, name);
			throw error;
		}
	}

	#joinChannel(line: ListenerLine, hearer: Hearer, name: string): Promise<void> {
		let channel = this.#channels.get(name);
		if (channel === undefined) {
			channel = { hearers: new Set(), ready: line.run(`listen ${quoted(name)}`) };
			this.#channels.set(name, channel);
		}
		channel.hearers.add(hearer);
		return channel.ready;
	}

	async #connected(endMs: number): Promise<ListenerLine> {
		for (;;) {
			if (this.#closing.signal.aborted) throw closed();
			const line = this.#line;
			if (line?.alive === true) return line;
			const nowMs = performance.now();
			if (nowMs < this.#retryAtMs && nowMs < endMs) {
				await sleep(Math.min(this.#retryAtMs, endMs) - nowMs, undefined, { ref: false });
				continue;
			}
			try {
				this.#connecting ??= this.#connect();
				return await this.#connecting;
			} catch (error) {
				if (!(error instanceof GatewayError) || !mayPass(error) || performance.now() >= endMs) throw error;
			}
		}
	}

	async #connect(): Promise<ListenerLine> {
		try {
			const connection = await this.#options.connect(this.#closing.signal);
			this.#closing.signal.throwIfAborted();
			const line = new ListenerLine(connection, {
				timeoutMs: this.#options.timeoutMs ?? BACKEND_LIMITS.listenerTimeoutMs,
				onNotification: (channel, message) => this.#tell(channel, message),
				onGone: (error) => this.#gone(line, error),
			});
			// A role may have one for its sessions, and this is to be idle.
			await line.run('set idle_session_timeout = 0');
			this.#begun(line);
			return line;
		} catch (error) {
			this.#retryAtMs = performance.now() + this.#retryMs;
			this.#retryMs = Math.min(this.#retryMs * 2, BACKEND_LIMITS.redialMaxMs);
			throw error instanceof GatewayError ? error : backendFailure('08001', 'cannot connect', error);
		} finally {
			this.#connecting = null;
		}
	}

	#begun(line: ListenerLine): void {
		const { address, pid } = line.connection;
		this.#line = line;
		this.#retryMs = BACKEND_LIMITS.redialMinMs;
		this.#sinceMs = Date.now();
		const checkMs = this.#options.checkMs ?? BACKEND_LIMITS.listenerCheckMs;
		this.#checking = setInterval(() => void line.caughtUp(), checkMs).unref();
		this.#options.onEvent?.({ type: 'connected', address, pid });
	}

	#tell(name: string, message: Buffer): void {
		this.#received += 1;
		if (this.#silent) return;
		for (const hearer of this.#channels.get(name)?.hearers ?? []) {
			const kept = this.#kept.get(hearer);
			if (kept !== undefined) kept.push({ channel: name, message });
			else hearer.hear(name, message);
		}
	}

	#gone(line: ListenerLine, error: Error): void {
		if (this.#line !== line) return;
		this.#line = null;
		this.#forgetLine();
		const hearers = new Set<Hearer>();
		const channels = this.#channels;
		this.#channels = new Map();
		for (const [name, channel] of channels) {
			// Whoever waits for it hears of it; nobody may.
			channel.ready.catch(() => undefined);
			// The heir tells them all that there is.
			if (this.#silent) continue;
			for (const hearer of channel.hearers) {
				hearers.add(hearer);
				this.part(hearer, name);
			}
		}
		if (hearers.size > 0) this.#losses += 1;
		this.#options.onEvent?.({ type: 'lost', error, hearers: hearers.size });
		for (const hearer of hearers) hearer.lost();
	}

	#forgetLine(): void {
		if (this.#checking !== null) clearInterval(this.#checking);
		this.#checking = null;
	}

	#stay(): void {
		if (this.#lingering !== null) clearTimeout(this.#lingering);
		this.#lingering = null;
	}

	/** Nobody listens: the connection goes after a while. */
	#settle(): void {
		if (this.#joining > 0 || this.#channels.size > 0 || this.#line === null || this.#lingering !== null) return;
		const lingerMs = this.#options.lingerMs ?? BACKEND_LIMITS.listenerLingerMs;
		this.#lingering = setTimeout(() => {
			this.#lingering = null;
			const line = this.#line;
			this.#line = null;
			this.#forgetLine();
			void line?.close();
		}, lingerMs).unref();
	}
}

/** The server may take the next attempt. */
function mayPass({ sqlstate }: GatewayError): boolean {
	if (sqlstate === '08004') return false;
	return sqlstate.startsWith('08') || sqlstate.startsWith('57P') || sqlstate === '53300';
}

function quoted(name: string): string {
	return `"${name.replaceAll('"', '""')}"`;
}

function closed(): GatewayError {
	return backendFailure('57P01', 'the gateway is shutting down');
}
