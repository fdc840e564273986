/** The operators' side of a gateway with several workers: whichever of them is asked answers for all. */
import type { ConfigRow } from '../console/shows.ts';
import type { Control } from '../control.ts';
import type { Family } from '../exposition.ts';
import { families } from '../families.ts';
import type { GatewayView } from '../view.ts';
import { workerFamilies } from '../worker-families.ts';
import type { CrewBus } from './bus.ts';
import { CrewMetrics } from './metrics.ts';
import { CrewOperations } from './operations.ts';
import { CrewReady, type CrewReadiness } from './readiness.ts';
import { CrewTables } from './tables.ts';

export interface CrewParts {
	readonly bus: CrewBus;
	/** How many workers there are to be. */
	readonly workers: number;
	/** Of this worker. */
	readonly view: GatewayView;
	readonly control: Control;
	readonly config: () => readonly ConfigRow[];
}

export class Crew {
	readonly worker: number;
	readonly workers: number;
	readonly operations: CrewOperations;
	readonly tables: CrewTables;
	readonly #bus: CrewBus;
	readonly #ready: CrewReady;
	readonly #metrics: CrewMetrics;

	/** Answers the others from now on. */
	constructor({ bus, workers, view, control, config }: CrewParts) {
		this.worker = bus.worker;
		this.workers = workers;
		this.#bus = bus;
		this.#ready = new CrewReady(bus, view);
		this.#metrics = new CrewMetrics(bus, workers, () => families(view));
		this.operations = new CrewOperations(bus, control, view);
		this.tables = new CrewTables(bus, workers, { view, config, worker: bus.worker }, this.#ready);
	}

	/** Takes over what holds for all workers: what operators have stopped, and what was counted before. To be called before clients come. */
	async join(): Promise<void> {
		await Promise.all([this.operations.join(), this.#metrics.join()]);
	}

	/** Leaves to the others what has to outlast this worker. */
	leave(): void {
		this.#metrics.leave();
	}

	/** As /readyz says it; `database`: only what clients of that one need. */
	readiness(database: string | null): Promise<CrewReadiness> {
		return this.#ready.ask(database);
	}

	async families(): Promise<readonly Family[]> {
		const [numbers, { ready }] = await Promise.all([this.#metrics.collect(), this.#ready.ask()]);
		const { answering } = numbers;
		const seen = workerFamilies({ configured: this.workers, alive: this.#bus.others.length + 1, answering });
		// A worker that is being replaced is not ready, and clients may be sent to the gateway all the same.
		const readyNow = { labels: {}, value: ready ? 1 : 0 };
		return numbers.families.map((family): Family => {
			const known = seen.find(({ name }) => name === family.name) ?? family;
			return known.type === 'gauge' && known.name === 'portcullis_ready' ? { ...known, samples: [readyNow] } : known;
		});
	}
}
