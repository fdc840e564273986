/** Faults at random, one after the other: of server processes, of the network, of whole servers, and by an operator's hand. */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Cable, CableState } from '../../support/cable.ts';
import type { Rotation } from '../../support/rotation.ts';
import type { Seeded } from './seeded.ts';

export interface StormOptions {
	readonly rotation: Rotation;
	/** One way to each of the two places. */
	readonly cables: readonly [Cable, Cable];
	readonly random: Seeded;
	/** Role that the gateway works as. */
	readonly role: string;
	/** Runs a command of the gateway's console. */
	readonly console: (command: string) => Promise<Record<string, unknown>[]>;
	/** Changes the sizes of pools and has the configuration read again. */
	readonly resize: (size: number) => Promise<void>;
	/** The same with the place of a database. */
	readonly replace: () => Promise<void>;
	/** Takes a database that is only read out of the configuration; `back` puts it there again. */
	readonly remove: (back: boolean) => Promise<void>;
	/** Clients more, for a moment. */
	readonly crowd: () => Promise<void>;
}

type Fault = () => Promise<void>;
type Faults = readonly { readonly weight: number; readonly value: readonly [string, Fault] }[];

export class Storm {
	readonly #options: StormOptions;
	readonly #random: Seeded;
	/** Of each kind, how often. */
	readonly counts: Record<string, number> = {};
	/** What was done when, by performance.now(). */
	readonly diary: string[] = [];
	readonly #light: Faults[number][];
	readonly #heavy: Faults;
	readonly #beside: Faults;

	constructor(options: StormOptions) {
		this.#options = options;
		this.#random = options.random;
		const fault = (weight: number, name: string, act: Fault) => ({ weight, value: [name, act] as const });
		this.#light = [
			fault(6, 'backend terminated', () => this.#terminate('true')),
			fault(2, 'backend terminated in a transaction', () => this.#terminate(`state = 'idle in transaction'`)),
			fault(2, 'backend terminated in COPY', () => this.#terminate(`state = 'active' and query ilike 'copy%'`)),
			fault(1, 'backend killed', () => this.#kill()),
			fault(2, 'connections reset', () => this.#reset()),
			fault(2, 'network drops', () => this.#cut('dropping', 3_000)),
			fault(2, 'network stalls', () => this.#cut('holding', 3_000)),
			fault(1, 'network refuses', () => this.#cut('refusing', 1_000)),
			fault(1, 'standby cut off', () => this.#cut('dropping', 2_000, this.#options.rotation.standby)),
		];
		const byHand = [
			fault(2, 'PAUSE and RESUME', () => this.#pause()),
			fault(1, 'KILL and RESUME', () => this.#killAll()),
			fault(4, 'KILL_CLIENT', () => this.#killClient()),
			fault(3, 'pool resized', () => options.resize(this.#random.between(2, 8))),
			fault(1, 'database replaced', () => options.replace()),
			fault(1, 'database removed and back', () => this.#remove()),
			fault(1, 'crowd', () => options.crowd()),
		];
		this.#light.push(...byHand);
		this.#beside = [
			...byHand,
			fault(2, 'connections reset', () => this.#reset()),
			// There may be no primary to do it on.
			fault(3, 'backend terminated', () => this.#terminate('true').catch(() => undefined)),
		];
		this.#heavy = [
			fault(2, 'switchover', () => this.#switchover()),
			fault(3, 'primary crashed', () => this.#crash()),
			fault(2, 'standby promoted beside the primary', () => this.#split()),
			fault(2, 'primary cut off and replaced', () => this.#cutOff()),
		];
	}

	/** What operators do, and single connections that end, beside all else. */
	async harass(endMs: number): Promise<void> {
		while (performance.now() < endMs) {
			await sleep(this.#random.between(100, 1_500));
			await this.#strike(this.#beside);
		}
	}

	/** Until `endMs` (performance.now()); every `turnEveryMs`, at least once, the other server becomes the primary. */
	async rage(endMs: number, turnEveryMs: number): Promise<void> {
		let turnMs = performance.now() + Math.min(turnEveryMs, (endMs - performance.now()) / 3);
		while (performance.now() < endMs) {
			await sleep(this.#random.between(20, 600));
			const heavy = performance.now() >= turnMs;
			await this.#strike(heavy ? this.#heavy : this.#light);
			if (heavy) turnMs = performance.now() + turnEveryMs;
		}
		for (const cable of this.#options.cables) cable.state = 'whole';
	}

	async #strike(faults: Faults): Promise<void> {
		const [name, act] = this.#random.pick(faults);
		this.counts[name] = (this.counts[name] ?? 0) + 1;
		const begunMs = Math.round(performance.now());
		try {
			await act();
		} catch (error) {
			throw new Error(`the fault could not be made: ${name}`, { cause: error });
		}
		this.diary.push(`${begunMs} to ${Math.round(performance.now())} ms: ${name}`);
	}

	// -------------------------------------------------------------- processes

	async #terminate(which: string): Promise<void> {
		await this.#sql(`select pg_terminate_backend(pid) from pg_stat_activity
			where usename = '${this.#options.role}' and ${which} order by random() limit 1`);
	}

	/** With it the server ends all its connections, and recovers. */
	async #kill(): Promise<void> {
		const state = this.#random.chance(0.5) ? 'active' : 'idle';
		const [row] = await this.#sql(`select pid from pg_stat_activity
			where usename = '${this.#options.role}' order by state = '${state}' desc, random() limit 1`);
		if (row === undefined) return;
		process.kill(Number(row['pid']), 'SIGKILL');
		await sleep(100);
		await this.#options.rotation.follow();
	}

	async #sql(text: string): Promise<Record<string, unknown>[]> {
		return this.#options.rotation.sql('postgres', text);
	}

	// -------------------------------------------------------------- network

	async #reset(): Promise<void> {
		this.#options.cables[this.#options.rotation.primary].reset();
		await Promise.resolve();
	}

	async #cut(state: CableState, longestMs: number, place = this.#options.rotation.primary): Promise<void> {
		const cable = this.#options.cables[place];
		cable.state = state;
		await sleep(this.#random.between(50, longestMs));
		cable.state = 'whole';
	}

	// -------------------------------------------------------------- servers

	async #switchover(): Promise<void> {
		await this.#options.rotation.end('fast');
		await this.#replace(500);
	}

	async #crash(): Promise<void> {
		await this.#options.rotation.end('crash');
		await this.#replace(1_500);
	}

	/** The old one goes on for a while; what it commits waits for a standby that it has no more. */
	async #split(): Promise<void> {
		await this.#options.rotation.promote();
		await sleep(this.#random.between(0, 1_500));
		await this.#options.rotation.rejoin();
	}

	async #cutOff(): Promise<void> {
		const { rotation, cables } = this.#options;
		const cable = cables[rotation.primary];
		cable.state = this.#random.chance(0.5) ? 'dropping' : 'holding';
		await sleep(this.#random.between(0, 1_500));
		await rotation.promote();
		await sleep(this.#random.between(0, 1_500));
		if (this.#random.chance(0.5)) cable.state = 'whole';
		await rotation.rejoin();
		cable.state = 'whole';
	}

	async #replace(longestMs: number): Promise<void> {
		await sleep(this.#random.between(0, longestMs));
		await this.#options.rotation.promote();
		await sleep(this.#random.between(0, longestMs));
		await this.#options.rotation.rejoin();
	}

	// -------------------------------------------------------------- operators

	async #pause(): Promise<void> {
		const { console } = this.#options;
		const name = this.#random.chance(0.5) ? '' : ' shop_tx';
		await console(`pause${name} nowait`);
		await sleep(this.#random.between(10, 800));
		await console(`resume${name}`);
	}

	async #killAll(): Promise<void> {
		const { console } = this.#options;
		await console('kill shop_tx');
		await sleep(this.#random.between(10, 300));
		await console('resume shop_tx');
	}

	async #remove(): Promise<void> {
		await this.#options.remove(false);
		await sleep(this.#random.between(0, 500));
		await this.#options.remove(true);
	}

	async #killClient(): Promise<void> {
		const { console } = this.#options;
		const clients = (await console('show clients')).filter(({ database }) => database !== 'portcullis');
		const victim = clients[this.#random.below(clients.length)];
		if (victim === undefined) return;
		try {
			await console(`kill_client "${String(victim['id'])}"`);
		} catch (error) {
			// It may have gone by itself.
			if (!(error instanceof pg.DatabaseError) || error.code !== '22023') throw error;
		}
	}
}
