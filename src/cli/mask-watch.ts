/**
 * While the gateway runs: warns in its log of masks that a wildcard brings to columns which they do not fit, and of masks and filters that
 * sessions would choose the meaning of, when policy or catalogues become known.
 */
import type { QuerySession } from '../backend/query.ts';
import type { DatabaseConfig } from '../config/config.ts';
import type { Policy } from '../policy/policy.ts';
import { formatProblem, type PolicyProblem } from '../policy/problem.ts';
import type { SessionLog } from '../session/services.ts';
import type { ServedDatabase } from './databases.ts';
import { maskMisfits } from './mask-fit.ts';
import { settingProblems } from './setting-fit.ts';

export interface MaskWatchParts {
	readonly log: SessionLog;
	/** Null: there is none yet. */
	readonly policy: () => Policy | null;
	readonly databases: () => readonly ServedDatabase[];
	/** A connection of its own, for some milliseconds. */
	readonly open: (database: DatabaseConfig) => Promise<QuerySession>;
}

export class MaskWatch {
	readonly #parts: MaskWatchParts;
	/** Database to the policy and catalogue that it was looked at with. */
	readonly #seen = new Map<string, string>();
	#told: ReadonlySet<string> = new Set();
	#running: Promise<void> | null = null;
	#again = false;
	#closed = false;
	#session: QuerySession | null = null;

	constructor(parts: MaskWatchParts) {
		this.#parts = parts;
	}

	/** Begins, and does not wait. What is under way ends first. */
	look(): void {
		if (this.#closed) return;
		this.#again = true;
		this.#running ??= this.#run().finally(() => {
			this.#running = null;
		});
	}

	/** Resolves when nothing is under way. */
	async done(): Promise<void> {
		await this.#running;
	}

	async close(): Promise<void> {
		this.#closed = true;
		// A connection that is still being opened is closed as soon as it is.
		await this.#session?.close();
	}

	async #run(): Promise<void> {
		while (this.#again && !this.#closed) {
			this.#again = false;
			const policy = this.#parts.policy();
			if (policy === null) return;
			const told = new Set<string>();
			for (const database of this.#parts.databases()) {
				if (this.#closed) return;
				for (const line of await this.#lookAt(policy, database)) told.add(line);
			}
			for (const line of told) if (!this.#told.has(line)) this.#parts.log.warn({}, line);
			this.#told = new Set([...this.#told, ...told]);
		}
	}

	async #lookAt(policy: Policy, { config, clusters }: ServedDatabase): Promise<string[]> {
		const uses = policy.masksIn(config.name).filter(({ wild }) => wild);
		const [cluster] = clusters;
		const all = policy.expressionsIn(config.name);
		if (all.length === 0 || cluster === undefined || cluster.catalog.stats.state !== 'current') return [];
		const snapshot = cluster.catalog.snapshot();
		const seen = `${policy.revision}/${snapshot.revision}`;
		if (this.#seen.get(config.name) === seen) return [];
		const line = (problem: PolicyProblem): string => `${formatProblem(problem)} [${config.name}]`;
		const unsettled = (await settingProblems(all, snapshot)).map(line);
		if (this.#closed) return unsettled;
		if (uses.length === 0) {
			this.#seen.set(config.name, seen);
			return unsettled;
		}
		try {
			const session = await this.#parts.open(config);
			this.#session = session;
			if (this.#closed) return unsettled;
			const problems = await maskMisfits(uses, snapshot, (sql) => session.query(sql));
			this.#seen.set(config.name, seen);
			return [...unsettled, ...problems.map(line)];
		} catch (error) {
			// The catalogue's own connection tells what is wrong with the database.
			this.#parts.log.info({ database: config.name, err: error }, 'masks could not be tried on the database');
			return unsettled;
		} finally {
			const session = this.#session;
			this.#session = null;
			await session?.close();
		}
	}
}
