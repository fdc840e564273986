/** Casbin's watcher: tells other gateways of each change of the policy, looks at the files when another tells of one, and knows who differs. */
import type { Watcher } from 'casbin';
import { formatNotice, type Notice, readNotice } from './notice.ts';

/** A way to all other gateways. It connects by itself, and again when it was cut. */
export interface NoticeLine {
	/** Rejects when it cannot be sent now. */
	publish(text: string): Promise<void>;
	/** Never rejects. */
	close(): Promise<void>;
}

/** What a line tells. */
export interface LineEvents {
	readonly heard: (text: string) => void;
	/** It hears from now on; what was said before may have been missed. */
	readonly up: () => void;
	readonly down: (problem: string) => void;
}

/** For the operator's log. */
export type WatcherEvent =
	| { readonly type: 'up' }
	| { readonly type: 'down'; readonly problem: string }
	/** Others have had another policy in force for `differAfterMs`; `others`: names and revisions of some of them. */
	| { readonly type: 'differs'; readonly count: number; readonly others: Readonly<Record<string, string>> }
	| { readonly type: 'agrees' };

export interface WatcherStats {
	readonly up: boolean;
	/** Other gateways that are heard of, by whether their policy is the one in force here. */
	readonly same: number;
	readonly other: number;
	readonly notices: Readonly<Record<'told' | 'failed' | 'heard' | 'ignored', number>>;
}

export const WATCHER_LIMITS = {
	/** Between two notices that nothing has caused: so a gateway is known to be there. */
	heartbeatMs: 10_000,
	/** A gateway that has not been heard of for so long is not there any more. */
	goneMs: 35_000,
	/** Between two looks at the files that notices cause, and between two answers to those who ask. */
	paceMs: 1_000,
	/** Gateways that are remembered; those beyond are not heard. */
	gatewaysMax: 256,
	/** Of those that differ, named in one line of the log. */
	namesMax: 10,
} as const;

export interface PolicyWatcherOptions {
	/** Name of this gateway, and its instance (16 hexadecimal digits). */
	readonly gateway: string;
	readonly instance: string;
	/** In force here. */
	readonly revision: () => string;
	readonly open: (events: LineEvents) => NoticeLine;
	readonly differAfterMs: number;
	readonly onEvent: (event: WatcherEvent) => void;
	/** Milliseconds that never go back. Default: performance.now. */
	readonly clock?: () => number;
	readonly limits?: Partial<Record<keyof typeof WATCHER_LIMITS, number>>;
}

interface Other {
	readonly gateway: string;
	readonly revision: string;
	readonly atMs: number;
}

/**
 * Nothing here changes the policy: a notice makes the gateway look at its own files, however many there are of them, once in
 * `paceMs` at most. Without its line the gateway goes on by itself.
 */
export class PolicyWatcher implements Watcher {
	readonly #options: PolicyWatcherOptions;
	readonly #limits: Record<keyof typeof WATCHER_LIMITS, number>;
	readonly #clock: () => number;
	readonly #others = new Map<string, Other>();
	readonly #notices = { told: 0, failed: 0, heard: 0, ignored: 0 };
	readonly #look: Pace;
	readonly #answer: Pace;
	readonly #heartbeat: NodeJS.Timeout;
	readonly #line: NoticeLine;
	#callback: () => void = () => undefined;
	#up: boolean | null = null;
	#differing: NodeJS.Timeout | null = null;
	#toldOfDifference = false;
	#closed = false;

	constructor(options: PolicyWatcherOptions) {
		this.#options = options;
		this.#limits = { ...WATCHER_LIMITS, ...options.limits };
		this.#clock = options.clock ?? (() => performance.now());
		const { paceMs, heartbeatMs } = this.#limits;
		this.#look = new Pace(paceMs, () => this.#callback());
		this.#answer = new Pace(paceMs, () => void this.#tell('state'));
		this.#heartbeat = setInterval(() => this.#beat(), heartbeatMs).unref();
		this.#line = options.open({
			heard: (text) => this.#heard(text),
			up: () => this.#begins(),
			down: (problem) => this.#ends(problem),
		});
	}

	get stats(): WatcherStats {
		const other = this.#differ().length;
		return { up: this.#up === true, same: this.#others.size - other, other, notices: { ...this.#notices } };
	}

	/** `callback` looks at the files: it is called when another gateway has another policy, and when something may have been missed. */
	setUpdateCallback(callback: () => void): void {
		this.#callback = callback;
	}

	/** Tells the others what is in force here. False: they could not be told now, and will be when the line is there again. */
	update(): Promise<boolean> {
		this.#compare();
		return this.#tell('state');
	}

	/** Says goodbye, if that can be done at once. */
	async close(): Promise<void> {
		if (this.#closed) return;
		clearInterval(this.#heartbeat);
		if (this.#differing !== null) clearTimeout(this.#differing);
		this.#look.stop();
		this.#answer.stop();
		if (this.#up === true) await this.#tell('gone');
		this.#closed = true;
		await this.#line.close();
	}

	async #tell(kind: Notice['kind']): Promise<boolean> {
		if (this.#up !== true || this.#closed) return false;
		const { gateway, instance, revision } = this.#options;
		try {
			await this.#line.publish(formatNotice({ kind, gateway, instance, revision: revision() }));
			this.#notices.told += 1;
			return true;
		} catch {
			// The line says by itself what is wrong with it.
			this.#notices.failed += 1;
			return false;
		}
	}

	#begins(): void {
		if (this.#closed) return;
		if (this.#up !== true) this.#options.onEvent({ type: 'up' });
		this.#up = true;
		void this.#tell('ask');
		this.#look.ask();
	}

	#ends(problem: string): void {
		if (this.#closed) return;
		if (this.#up !== false) this.#options.onEvent({ type: 'down', problem });
		this.#up = false;
	}

	#heard(text: string): void {
		if (this.#closed) return;
		const notice = readNotice(text);
		if (notice?.instance === this.#options.instance) return;
		const known = notice !== null && this.#others.has(notice.instance);
		if (notice === null || (!known && this.#others.size >= this.#limits.gatewaysMax)) {
			this.#notices.ignored += 1;
			return;
		}
		this.#notices.heard += 1;
		this.#take(notice);
		this.#compare();
	}

	#take({ kind, gateway, instance, revision }: Notice): void {
		const before = this.#others.get(instance);
		if (kind === 'gone') {
			this.#others.delete(instance);
			return;
		}
		this.#others.set(instance, { gateway, revision, atMs: this.#clock() });
		if (kind === 'ask') this.#answer.ask();
		// What it has said before has been looked for already.
		if (revision !== this.#options.revision() && revision !== before?.revision) this.#look.ask();
	}

	#beat(): void {
		const nowMs = this.#clock();
		for (const [instance, { atMs }] of this.#others)
			if (nowMs - atMs > this.#limits.goneMs) this.#others.delete(instance);
		this.#compare();
		void this.#tell('state');
	}

	#differ(): Other[] {
		const mine = this.#options.revision();
		return [...this.#others.values()].filter(({ revision }) => revision !== mine);
	}

	/** A difference that lasts is told of once, and so is its end. */
	#compare(): void {
		if (this.#differ().length > 0) {
			this.#differing ??= setTimeout(() => this.#tellOfDifference(), this.#options.differAfterMs).unref();
			return;
		}
		if (this.#differing !== null) clearTimeout(this.#differing);
		this.#differing = null;
		if (this.#toldOfDifference) this.#options.onEvent({ type: 'agrees' });
		this.#toldOfDifference = false;
	}

	#tellOfDifference(): void {
		const differ = this.#differ();
		const some = differ.slice(0, this.#limits.namesMax).map(({ gateway, revision }) => [gateway, revision] as const);
		const others: Readonly<Record<string, string>> = Object.fromEntries(some);
		this.#toldOfDifference = true;
		this.#options.onEvent({ type: 'differs', count: differ.length, others });
	}
}

/** Does something when asked, at once or when its time has come: twice in `ms` never, and after the last question always. */
class Pace {
	readonly #ms: number;
	readonly #act: () => void;
	#waiting: NodeJS.Timeout | null = null;
	#again = false;

	constructor(ms: number, act: () => void) {
		this.#ms = ms;
		this.#act = act;
	}

	ask(): void {
		if (this.#waiting !== null) {
			this.#again = true;
			return;
		}
		this.#waiting = setTimeout(() => {
			this.#waiting = null;
			if (!this.#again) return;
			this.#again = false;
			this.ask();
		}, this.#ms).unref();
		this.#act();
	}

	stop(): void {
		if (this.#waiting !== null) clearTimeout(this.#waiting);
		this.#waiting = null;
		this.#again = false;
	}
}
