/** Whether clients should be sent to a gateway with several workers: when all of them are ready that are to stay. */
import { type Check, type Readiness, readiness } from '../readiness.ts';
import type { GatewayView } from '../view.ts';
import { answerTimes, askOthers, type CrewBus } from './bus.ts';

export interface CrewReadiness extends Readiness {
	/** Live workers that have not answered. */
	readonly silent: readonly number[];
}

/** What one worker says of itself. */
interface Word {
	readonly draining: boolean;
	readonly checks: readonly Check[];
}

const question = 'readiness';

export class CrewReady {
	readonly #bus: CrewBus;
	readonly #view: GatewayView;

	constructor(bus: CrewBus, view: GatewayView) {
		this.#bus = bus;
		this.#view = view;
		bus.on(question, (database) => this.#own(database as string | null));
	}

	/** As `readiness` of a gateway with one worker. */
	async ask(database: string | null = null): Promise<CrewReadiness> {
		const { answers, silent } = await askOthers<Word>(this.#bus, question, database, answerTimes.readinessMs);
		const words = [
			{ worker: this.#bus.worker, ...this.#own(database) },
			...answers.map(({ worker, answer }) => ({ worker, ...answer })),
		];
		// While workers are replaced one by one, the others go on taking clients.
		const staying = words.filter(({ draining }) => !draining);
		const asked = staying.length > 0 ? staying : words;
		const names = [...new Set(asked.flatMap(({ checks }) => checks.map(({ name }) => name)))];
		const checks = names.map((name) => joined(name, asked));
		return { ready: checks.every(({ ok }) => ok), checks, silent };
	}

	#own(database: string | null): Word {
		return { draining: this.#view.draining(), checks: readiness(this.#view, database).checks };
	}
}

/** What is wrong with all of them is said as one would say it, else which of them says so. */
function joined(name: string, words: readonly (Word & { readonly worker: number })[]): Check {
	const same = words.flatMap(({ worker, checks }) =>
		checks.filter((check) => check.name === name).map((check) => ({ ...check, worker })),
	);
	const bad = same.filter(({ ok }) => !ok);
	const [first] = bad;
	if (first === undefined) return { name, ok: true, reason: '' };
	const all = bad.length === words.length && bad.every(({ reason }) => reason === first.reason);
	const reason = all ? first.reason : bad.map((check) => `worker ${check.worker}: ${check.reason}`).join('; ');
	return { name, ok: false, reason };
}
