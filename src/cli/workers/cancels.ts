/** Cancel requests whose key another worker knows: asked over the bus, since the port gives a connection to whichever worker is next. */
import type { CancelFate, CancelQuestion, KeysElsewhere } from '../../session/cancelling.ts';
import type { WorkerBus } from './bus.ts';

export interface WorkerCancelsOptions {
	/** Of this worker's sessions; true: one has the key, and the request is dealt with. */
	readonly cancelHere: (question: CancelQuestion) => Promise<boolean>;
	/** Questions to the others at a time; further ones wait for their turn. */
	readonly askingMax?: number;
	/** Those that wait; further ones are not asked, and so in vain. */
	readonly waitingMax?: number;
	/** How long others may take, in milliseconds: the server's answer to a cancel request is waited for. */
	readonly timeoutMs?: number;
}

const topic = 'cancel';

/** As it goes over the bus. */
type Told = Omit<CancelQuestion, 'key'> & { readonly key: string };

export class WorkerCancels implements KeysElsewhere {
	readonly #bus: WorkerBus;
	readonly #options: Required<WorkerCancelsOptions>;
	readonly #waiting: (() => void)[] = [];
	#asking = 0;

	constructor(bus: WorkerBus, options: WorkerCancelsOptions) {
		this.#bus = bus;
		this.#options = { askingMax: 64, waitingMax: 1_000, timeoutMs: 10_000, ...options };
		bus.on(topic, (argument) => {
			const { key, ...rest } = argument as Told;
			return options.cancelHere({ ...rest, key: Buffer.from(key, 'hex') });
		});
	}

	async cancel({ key, ...rest }: CancelQuestion): Promise<CancelFate> {
		if (this.#bus.others.length === 0) return 'unknown';
		const { askingMax, waitingMax, timeoutMs } = this.#options;
		if (this.#asking < askingMax) this.#asking += 1;
		else {
			if (this.#waiting.length >= waitingMax) return 'unknown';
			// The place is handed over.
			await new Promise<void>((resolve) => this.#waiting.push(resolve));
		}
		try {
			const told: Told = { ...rest, key: key.toString('hex') };
			const answers = await this.#bus.ask(topic, told, timeoutMs);
			return answers.some(({ answer }) => answer === true) ? 'known' : 'unknown';
		} finally {
			const next = this.#waiting.shift();
			if (next === undefined) this.#asking -= 1;
			else next();
		}
	}
}
