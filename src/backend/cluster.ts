/** The hosts of one database: which of them is what, which of them a connection may be made to, and the way there. */
import { GatewayError } from '../errors.ts';
import { following } from './abort.ts';
import { type Candidate, electPrimary, fitting, type LeaderWord } from './cluster-choice.ts';
import { type HostAddress, nameOfHost, type TargetSessionAttrs, wordOf } from './cluster-host.ts';
import { type Lag, WalHistory } from './cluster-lag.ts';
import { askPatroni, type PatroniOptions, type PatroniView } from './cluster-patroni.ts';
import { type OpenProbe, openProbe } from './cluster-probe.ts';
import { HostWatch } from './cluster-watch.ts';
import { type BackendConnection, type ConnectOptions, connectBackend } from './connection.ts';
import { backendFailure } from './errors.ts';
import { BACKEND_LIMITS } from './limits.ts';
import type { BackendTarget } from './target.ts';

export interface ClusterOptions {
	/** How to sign in, for the questions; host and port are of no meaning. */
	readonly target: BackendTarget;
	/** May be empty with Patroni, and counts only until that has answered. */
	readonly hosts: readonly HostAddress[];
	readonly attrs: TargetSessionAttrs;
	/** Standbys that are further behind are not used; null: however far. */
	readonly lagMaxMs: number | null;
	readonly patroni: PatroniOptions | null;
	readonly checkMs?: number | undefined;
	readonly timeoutMs?: number | undefined;
	readonly onEvent?: ((event: ClusterEvent) => void) | undefined;
	/** Defaults: the real ones. */
	readonly connect?: typeof connectBackend | undefined;
	readonly openProbe?: OpenProbe | undefined;
	readonly askPatroni?: typeof askPatroni | undefined;
}

/** For the operator's log. */
export type ClusterEvent =
	| { readonly type: 'host'; readonly host: string; readonly is: string; readonly reason: string | null }
	/** `from` is null for the first primary. `awayMs`: since the last one was lost. */
	| { readonly type: 'primary'; readonly host: string; readonly from: string | null; readonly awayMs: number }
	/** Hosts that say that they are primary and are not used; null: that is over. */
	| { readonly type: 'conflict'; readonly words: string | null }
	| { readonly type: 'dropped'; readonly host: string; readonly connections: number; readonly why: string }
	| { readonly type: 'patroni'; readonly answers: boolean };

/** One host for operators. */
export interface HostView {
	readonly name: string;
	readonly host: string;
	readonly port: number;
	readonly state: ReturnType<typeof wordOf>;
	/** Why it is down; empty when it is not. */
	readonly reason: string;
	/** Whether connections may be made to it now. */
	readonly used: boolean;
	readonly lag: Lag | null;
	readonly timeline: number | null;
	readonly connections: number;
	/** In its state. */
	readonly sinceMs: number;
}

/** No host is what was asked for; it pays to wait for one. */
export class NoHostError extends GatewayError {
	constructor(detail: string, cause?: unknown) {
		const words = 'no database server is available that is what the gateway is to use';
		super('57P03', words, {
			severity: 'FATAL',
			detail,
			hint: 'Try again later.',
			...(cause === undefined ? {} : { cause }),
		});
	}
}

/** What a server says that concerns the host and not the client: another one may do better. */
const hostFailures: ReadonlySet<string> = new Set(['08001', '08006', '57P01', '57P02', '57P03', '53300']);

export class Cluster {
	readonly #options: ClusterOptions;
	readonly #connect: typeof connectBackend;
	readonly #wal = new WalHistory(BACKEND_LIMITS.walSamplesMax);
	readonly #timelines = new Map<string, number>();
	readonly #waiting = new Set<() => void>();
	readonly #closed = new AbortController();
	readonly #watches = new Map<string, HostWatch>();
	/** Hosts that Patroni names no longer, as long as somebody is connected to them. */
	readonly #left = new Set<HostWatch>();
	#patroni: PatroniView | null = null;
	#patroniTimer: NodeJS.Timeout | null = null;
	#spared: ReadonlySet<string> = new Set();
	/** The elected primary now; null while there is none. */
	#primary: string | null = null;
	/** The last that there was. */
	#incumbent: string | null = null;
	#lostMs = performance.now();
	#conflict: string | null = null;
	#groups: readonly (readonly string[])[] = [];
	#told = new Map<string, string>();
	#turn = 0;
	/** Changes of the primary, beyond the first. */
	failovers = 0;
	/** Grows when another host becomes the primary: what was learnt of the one before has to be looked at again. */
	generation = 0;

	constructor(options: ClusterOptions) {
		this.#options = options;
		this.#connect = options.connect ?? connectBackend;
		for (const address of options.hosts) this.#watch(address);
	}

	/** Begins to ask the hosts, and goes on until `close`. */
	start(): void {
		for (const watch of this.#watches.values()) watch.look();
		if (this.#options.patroni !== null) void this.#askPatroni();
	}

	/**
	 * As connectBackend, to a host that fits: its address is put in place of the target's. Tries all that fit, best first, and
	 * holds what the server says of itself at the end of the login against what was asked for. Rejects at once with NoHostError
	 * when there is none, and otherwise as connectBackend does.
	 */
	readonly dial: typeof connectBackend = (target, startup, options) => this.#dial(target, startup, options);

	/** For pools: whether the host of a connection that was idle is still one that a new connection would be made to. */
	readonly usable = (connection: BackendConnection): boolean => {
		const [first] = this.#groups;
		return first?.some((name) => this.#watches.get(name)?.has(connection) === true) === true;
	};

	/** Whether a connection could be made now, as far as is known. */
	get available(): boolean {
		return this.#groups.length > 0;
	}

	/** Resolves as soon as a host fits. Rejects with NoHostError after `waitMs`, 57P01 at `close`, and with the signal's reason. */
	async ready(waitMs: number, signal?: AbortSignal): Promise<void> {
		if (this.#closed.signal.aborted) throw closing();
		if (this.available) return;
		if (waitMs <= 0) throw new NoHostError(this.#detail());
		for (const watch of this.#watches.values()) watch.look();
		const cut = following(this.#closed.signal, signal);
		await new Promise<void>((resolve, reject) => {
			const settle = (): void => {
				clearTimeout(timer);
				cut.release();
				this.#waiting.delete(go);
			};
			const go = (): void => {
				settle();
				resolve();
			};
			const leave = (): void => {
				settle();
				reject(this.#closed.signal.aborted ? closing() : leaving());
			};
			const late = (): void => {
				settle();
				reject(new NoHostError(this.#detail()));
			};
			const timer = setTimeout(late, waitMs);
			this.#waiting.add(go);
			if (cut.signal.aborted) leave();
			else cut.signal.addEventListener('abort', leave, { once: true });
		});
	}

	/** In the order of the configuration, or Patroni's. */
	get hosts(): readonly HostView[] {
		const used = new Set(this.#groups.flat());
		return [...this.#watches.values()].map((watch) => {
			const { name, address, state, connections, ageMs } = watch;
			const reason = state.type === 'down' ? state.reason : '';
			const timeline = state.type === 'up' ? state.report.timeline : null;
			const view = { ...address, name, state: wordOf(state), reason, timeline, connections, sinceMs: ageMs };
			return { ...view, used: used.has(name), lag: this.#lagOf(watch) };
		});
	}

	async close(): Promise<void> {
		this.#closed.abort();
		if (this.#patroniTimer !== null) clearTimeout(this.#patroniTimer);
		await Promise.all([...this.#watches.values(), ...this.#left].map((watch) => watch.close()));
	}

	async #dial(
		target: BackendTarget,
		startup: Readonly<Record<string, string>>,
		options: ConnectOptions = {},
	): Promise<BackendConnection> {
		let failure: unknown;
		for (const watch of this.#candidates()) {
			const found = await this.#dialHost(watch, target, startup, options);
			if (found.type === 'connection') return found.connection;
			failure = found.error ?? failure;
			if (!this.#goesOn(found.error, options.signal)) throw found.error;
		}
		if (failure instanceof GatewayError && failure.sqlstate === '53300') throw failure;
		throw new NoHostError(this.#detail(), failure);
	}

	/** Those that fit now, best first; of equal ones that with the fewest connections, in turns. */
	#candidates(): readonly HostWatch[] {
		this.#turn += 1;
		return this.#groups.flatMap((group) => {
			const watches = group.flatMap((name) => this.#watches.get(name) ?? []);
			const from = this.#turn % watches.length;
			const turned = [...watches.slice(from), ...watches.slice(0, from)];
			return turned.toSorted((one, other) => one.connections - other.connections);
		});
	}

	async #dialHost(
		watch: HostWatch,
		target: BackendTarget,
		startup: Readonly<Record<string, string>>,
		options: ConnectOptions,
	): Promise<Dialled> {
		const either = following(options.signal, watch.dialling);
		const { signal } = either;
		let connection: BackendConnection;
		try {
			connection = await this.#connect({ ...target, ...watch.address }, startup, { ...options, signal });
		} catch (error) {
			const gone = error instanceof GatewayError && error.sqlstate !== '53300' && this.#goesOn(error, options.signal);
			if (gone) watch.suspect(error.message);
			return { type: 'failure', error };
		} finally {
			either.release();
		}
		// The host may have changed between the last answer and this login, and what fits may have changed during it.
		if (this.#isStill(watch.name) && this.#saysTheSame(watch, connection)) {
			watch.adopt(connection);
			return { type: 'connection', connection };
		}
		watch.look();
		await connection.close();
		return { type: 'failure', error: null };
	}

	/** Whether the next host may be tried after this one failed. */
	#goesOn(error: unknown, signal: AbortSignal | undefined): boolean {
		if (signal?.aborted === true || this.#closed.signal.aborted) return false;
		return error === null || (error instanceof GatewayError && hostFailures.has(error.sqlstate));
	}

	#isStill(name: string): boolean {
		return this.#groups.some((group) => group.includes(name));
	}

	/** in_hot_standby is reported at the end of each login (PostgreSQL 14 and later): what the host is for this connection. */
	#saysTheSame(watch: HostWatch, { parameters }: BackendConnection): boolean {
		const { state } = watch;
		const said = parameters.get('in_hot_standby');
		if (state.type !== 'up') return false;
		if (said === undefined || this.#options.attrs === 'any') return true;
		return (said === 'on') === (state.report.role === 'standby');
	}

	#watch(address: HostAddress): void {
		const { target, checkMs = BACKEND_LIMITS.hostCheckMs, timeoutMs = BACKEND_LIMITS.hostTimeoutMs } = this.#options;
		const open = this.#options.openProbe ?? openProbe;
		const onState = (watch: HostWatch): void => this.#learn(watch);
		const watch = new HostWatch(address, { target, checkMs, timeoutMs, openProbe: open, onState });
		this.#watches.set(watch.name, watch);
	}

	#learn(watch: HostWatch): void {
		const { state, name } = watch;
		if (this.#left.has(watch)) return this.#forgetLeft();
		if (state.type === 'up' && state.report.role === 'primary' && name === this.#primary) this.#sample(watch);
		const is = wordOf(state);
		if (this.#told.get(name) !== is) {
			this.#told.set(name, is);
			this.#options.onEvent?.({ type: 'host', host: name, is, reason: state.type === 'down' ? state.reason : null });
			// Who leads may have changed with it.
			if (this.#options.patroni !== null && this.#patroniTimer !== null) void this.#askPatroni();
		}
		this.#choose();
	}

	#sample({ name, state }: HostWatch): void {
		if (state.type !== 'up' || state.report.lsn === null) return;
		this.#wal.add(`${name} ${state.report.timeline}`, performance.now(), state.report.lsn);
	}

	/** Elects and chooses anew, and ends what is connected to hosts that lost what they were used for. */
	#choose(): void {
		if (this.#closed.signal.aborted) return;
		const leader = this.#leader();
		const candidates = [...this.#watches.values()].map((watch) => this.#candidate(watch));
		const incumbent = this.#incumbent;
		const elected = electPrimary({ candidates, leader, incumbent, timelines: this.#timelines });
		this.#tellConflict(elected.conflict);
		this.#setPrimary(elected.primary);
		const { attrs, lagMaxMs } = this.#options;
		this.#groups = fitting({ candidates, attrs, primary: elected.primary, lagMaxMs });
		for (const watch of this.#watches.values()) this.#dropIfReplaced(watch);
		this.#forgetLeft();
		if (this.available) for (const go of [...this.#waiting]) go();
	}

	#candidate(watch: HostWatch): Candidate {
		const { name, state } = watch;
		return { name, state, lagMs: this.#lagOf(watch)?.ms ?? null, spared: this.#spared.has(name) };
	}

	#lagOf({ state }: HostWatch): Lag | null {
		if (state.type !== 'up' || state.report.role !== 'standby') return null;
		return this.#wal.lag(state.report, performance.now());
	}

	#setPrimary(name: string | null): void {
		const before = this.#primary;
		this.#primary = name;
		if (before !== null && name === null) this.#lostMs = performance.now();
		if (name === null) return;
		const watch = this.#watches.get(name);
		if (watch?.state.type === 'up') {
			const { system, timeline } = watch.state.report;
			if (timeline !== null) this.#timelines.set(system ?? '', timeline);
		}
		if (name === this.#incumbent) return;
		if (this.#incumbent !== null) this.failovers += 1;
		const awayMs = before === null ? performance.now() - this.#lostMs : 0;
		const from = this.#incumbent;
		this.#incumbent = name;
		this.generation += 1;
		if (watch !== undefined) this.#sample(watch);
		this.#options.onEvent?.({ type: 'primary', host: name, from, awayMs });
	}

	#tellConflict(words: string | null): void {
		if (words === this.#conflict) return;
		this.#conflict = words;
		this.#options.onEvent?.({ type: 'conflict', words });
	}

	/**
	 * What is leased from a host stays there, unless the host is not what was asked for any more: it changed its role, or another
	 * one has taken it. A host that only does not answer keeps them, until it is sure that others serve in its place.
	 */
	#dropIfReplaced(watch: HostWatch): void {
		if (watch.connections === 0 || !this.available) return;
		if (this.#isStill(watch.name) && !this.#left.has(watch)) return;
		const why = this.#whyReplaced(watch);
		if (why === null) return;
		const connections = watch.drop(why);
		this.#options.onEvent?.({ type: 'dropped', host: watch.name, connections, why });
	}

	#whyReplaced({ name, state, ageMs }: HostWatch): string | null {
		const { attrs } = this.#options;
		const ofPrimary = attrs === 'primary' || attrs === 'read-write';
		if (ofPrimary && this.#primary !== null && this.#primary !== name)
			return 'another database server is the primary now';
		if (state.type === 'down' && ageMs > BACKEND_LIMITS.hostGoneMs) return 'the database server does not answer';
		const promoted =
			state.type === 'up' && state.report.role === 'primary' && (attrs === 'standby' || attrs === 'read-only');
		return promoted && !state.report.readOnly ? 'the database server is the primary now' : null;
	}

	#leader(): LeaderWord {
		return this.#patroni === null ? undefined : this.#patroni.leader;
	}

	/** In words without addresses: clients are told too. */
	#detail(): string {
		const states = [...this.#watches.values()].map(({ state }) => wordOf(state));
		const parts = (['primary', 'standby', 'down', 'unknown'] as const).flatMap((word) => {
			const count = states.filter((state) => state === word).length;
			return count === 0 ? [] : [`${count} ${word}`];
		});
		const hosts = parts.length === 0 ? 'no host is known' : `of ${states.length} hosts: ${parts.join(', ')}`;
		return `Asked for: ${this.#options.attrs}; ${hosts}${this.#conflict === null ? '' : '; who leads is in dispute'}.`;
	}

	/** Asks now, and again after a while. */
	async #askPatroni(): Promise<void> {
		const { patroni, checkMs = BACKEND_LIMITS.hostCheckMs } = this.#options;
		if (patroni === null || this.#closed.signal.aborted) return;
		if (this.#patroniTimer !== null) clearTimeout(this.#patroniTimer);
		this.#patroniTimer = null;
		const ask = this.#options.askPatroni ?? askPatroni;
		const view = await ask(patroni, this.#closed.signal);
		if (this.#closed.signal.aborted) return;
		if ((view === null) !== (this.#patroni === null))
			this.#options.onEvent?.({ type: 'patroni', answers: view !== null });
		this.#patroni = view;
		if (view !== null) this.#follow(view);
		this.#choose();
		this.#patroniTimer = setTimeout(() => void this.#askPatroni(), checkMs);
		this.#patroniTimer.unref();
	}

	/** The members are the hosts. One that has left is not used again; what is connected to it stays until another serves in its place. */
	#follow({ members }: PatroniView): void {
		this.#spared = new Set(members.filter(({ spared }) => spared).map(nameOfHost));
		const named = new Set(members.map(nameOfHost));
		for (const { host, port } of members) {
			if (this.#watches.has(nameOfHost({ host, port }))) continue;
			this.#watch({ host, port });
			this.#watches.get(nameOfHost({ host, port }))?.look();
		}
		for (const [name, watch] of this.#watches) {
			if (named.has(name)) continue;
			this.#watches.delete(name);
			this.#told.delete(name);
			this.#left.add(watch);
		}
	}

	#forgetLeft(): void {
		for (const watch of this.#left) {
			this.#dropIfReplaced(watch);
			if (watch.connections > 0) continue;
			this.#left.delete(watch);
			void watch.close();
		}
	}
}

type Dialled =
	| { readonly type: 'connection'; readonly connection: BackendConnection }
	/** `error` is null for a host that turned out to be something else. */
	| { readonly type: 'failure'; readonly error: unknown };

function closing(): GatewayError {
	return backendFailure('57P01', 'the gateway is shutting down');
}

function leaving(): GatewayError {
	return backendFailure('08006', 'the client left while it waited for a database server');
}
