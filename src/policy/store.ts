/** The policy in force while the gateway runs: loaded again when its files change, and kept when what they say is wrong. */
import { type FSWatcher, watch } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { POLICY_LIMITS } from './limits.ts';
import { type LoadOptions, parsePolicy, type Policy, type PolicySource, readPolicy, revisionOf } from './policy.ts';
import { PolicyError, type PolicyProblem } from './problem.ts';

export interface StoreOptions extends LoadOptions {
	/** More checks of a policy that is sound in itself, e.g. against the catalogue. An error among them refuses it. */
	readonly check?: ((policy: Policy) => readonly PolicyProblem[]) | undefined;
	/** Default: `readPolicy`. */
	readonly read?: ((folder: string) => Promise<PolicySource>) | undefined;
	/** Quiet time before changed files are read, and between the two readings that must agree. Milliseconds. */
	readonly settleMs?: number | undefined;
	/** How often the files are looked at beside being watched: a folder may be replaced as a whole. Milliseconds. */
	readonly pollMs?: number | undefined;
}

export type ReloadResult =
	| { readonly type: 'changed'; readonly policy: Policy }
	/** The files say what is in force already. */
	| { readonly type: 'unchanged'; readonly policy: Policy }
	/** The files are wrong; `policy` stays in force. */
	| { readonly type: 'refused'; readonly policy: Policy; readonly error: PolicyError };

export class PolicyStore {
	readonly #folder: string;
	readonly #options: StoreOptions;
	readonly #changed = new Set<(policy: Policy) => void>();
	readonly #refused = new Set<(error: PolicyError) => void>();
	readonly #closing = new AbortController();
	#policy: Policy;
	#watcher: FSWatcher | undefined;
	#poll: NodeJS.Timeout | undefined;
	/** Reloads run one after the other. */
	#running: Promise<unknown> = Promise.resolve();
	/** A look at the files that was asked for and has not begun. */
	#pending: NodeJS.Timeout | undefined;
	/** What the files said when they were last refused: the same mistake is reported once. */
	#lastRefusal: string | undefined;

	private constructor(folder: string, options: StoreOptions, policy: Policy) {
		this.#folder = folder;
		this.#options = options;
		this.#policy = policy;
	}

	/** @throws PolicyError with every problem of every file */
	static async open(folder: string, options: StoreOptions): Promise<PolicyStore> {
		const policy = await parseChecked(await (options.read ?? readPolicy)(folder), options);
		return new PolicyStore(folder, options, policy);
	}

	/** Cheap: to be asked for every statement. */
	current(): Policy {
		return this.#policy;
	}

	/** Called after each change, with the new policy. Answers how to stop it. */
	onChange(listener: (policy: Policy) => void): () => void {
		this.#changed.add(listener);
		return () => this.#changed.delete(listener);
	}

	/** Called when a change of the files was refused, once for each mistake. Answers how to stop it. */
	onRefusal(listener: (error: PolicyError) => void): () => void {
		this.#refused.add(listener);
		return () => this.#refused.delete(listener);
	}

	/** Reads the files now, as SIGHUP asks for. Listeners hear of it, and of a mistake even when it is not a new one. */
	reload(): Promise<ReloadResult> {
		this.#lastRefusal = undefined;
		return this.#enqueue(async () => this.#load(await this.#readOnce()));
	}

	/**
	 * Looks at the files now, as after a change of them: what is read twice alike is taken up. A mistake that is known is not told
	 * again. Never rejects.
	 */
	look(): Promise<void> {
		return this.#closing.signal.aborted ? Promise.resolve() : this.#look();
	}

	/** Checks the policy in force again, for when the catalogue has become known or has changed. Problems do not change it. */
	recheck(): readonly PolicyProblem[] {
		return this.#options.check?.(this.#policy) ?? [];
	}

	/** Follows changes of the files until `close`. Does not keep the process alive. */
	watch(): void {
		if (this.#poll || this.#closing.signal.aborted) return;
		this.#watchFolder();
		this.#poll = setInterval(() => {
			if (!this.#watcher) this.#watchFolder();
			void this.#look();
		}, this.#options.pollMs ?? POLICY_LIMITS.pollMs).unref();
	}

	/** Stops watching. A reload that runs changes nothing any more. */
	close(): void {
		this.#closing.abort();
		this.#watcher?.close();
		this.#watcher = undefined;
		clearInterval(this.#poll);
		clearTimeout(this.#pending);
	}

	/** The folder and not the files: editors replace a file by renaming another, which a watch on the file would miss. */
	#watchFolder(): void {
		try {
			const watcher = watch(this.#folder, { persistent: false }, () => this.#touched());
			watcher.on('error', () => {
				watcher.close();
				if (this.#watcher === watcher) this.#watcher = undefined;
			});
			this.#watcher = watcher;
		} catch {
			// The folder may be away for a moment; the poll looks again.
			this.#watcher = undefined;
		}
	}

	/** Waits until the files have been quiet for a while. */
	#touched(): void {
		clearTimeout(this.#pending);
		if (this.#closing.signal.aborted) return;
		this.#pending = setTimeout(() => void this.#look(), this.#settleMs).unref();
	}

	get #settleMs(): number {
		return this.#options.settleMs ?? POLICY_LIMITS.settleMs;
	}

	#look(): Promise<void> {
		return this.#enqueue(async () => {
			const first = await this.#readOnce();
			if (this.#isKnown(first)) return;
			// A file that is being written can be sound and yet lack its last rules. Two equal readings tell that it is finished.
			await sleep(this.#settleMs, undefined, { signal: this.#closing.signal, ref: false });
			const second = await this.#readOnce();
			if (keyOf(first) === keyOf(second)) await this.#load(second);
			else this.#touched();
		}).catch(() => undefined);
	}

	#isKnown(reading: Reading): boolean {
		const key = keyOf(reading);
		return key === this.#policy.revision || key === this.#lastRefusal;
	}

	async #load(reading: Reading): Promise<ReloadResult> {
		if (this.#closing.signal.aborted) return { type: 'unchanged', policy: this.#policy };
		const key = keyOf(reading);
		if (key === this.#policy.revision) {
			this.#lastRefusal = undefined;
			return { type: 'unchanged', policy: this.#policy };
		}
		try {
			if (reading instanceof PolicyError) throw reading;
			const policy = await parseChecked(reading, this.#options);
			if (this.#closing.signal.aborted) return { type: 'unchanged', policy: this.#policy };
			this.#policy = policy;
			this.#lastRefusal = undefined;
			for (const listener of [...this.#changed]) listener(policy);
			return { type: 'changed', policy };
		} catch (error) {
			if (!(error instanceof PolicyError)) throw error;
			const isNew = key !== this.#lastRefusal;
			this.#lastRefusal = key;
			if (isNew) for (const listener of [...this.#refused]) listener(error);
			return { type: 'refused', policy: this.#policy, error };
		}
	}

	async #readOnce(): Promise<Reading> {
		try {
			return await (this.#options.read ?? readPolicy)(this.#folder);
		} catch (error) {
			if (error instanceof PolicyError) return error;
			throw error;
		}
	}

	#enqueue<T>(work: () => Promise<T>): Promise<T> {
		const next = this.#running.then(work);
		this.#running = next.catch(() => undefined);
		return next;
	}
}

/** The texts of the files, or why they cannot be read. */
type Reading = PolicySource | PolicyError;

function keyOf(reading: Reading): string {
	return reading instanceof PolicyError ? reading.message : revisionOf(reading);
}

async function parseChecked(source: PolicySource, options: StoreOptions): Promise<Policy> {
	const policy = await parsePolicy(source, options);
	const problems = options.check?.(policy) ?? [];
	if (problems.some((problem) => problem.severity === 'error')) throw new PolicyError(problems);
	return policy;
}
