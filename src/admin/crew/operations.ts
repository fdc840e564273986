/** What operators do to a gateway with several workers: done by all of them, or it is said which have not done it. */
import { GatewayError, unreachable } from '../../errors.ts';
import { type Control, killedWords, noSession, type Operations, pausedWords } from '../control.ts';
import type { GatewayView } from '../view.ts';
import { answerTimes, askOthers, type CrewBus, workerNames } from './bus.ts';

/** A command as it goes to the other workers. */
type Order =
	| { readonly type: 'pause' | 'resume' | 'kill' | 'busy'; readonly database: string | null }
	| { readonly type: 'disable' | 'enable'; readonly database: string }
	| { readonly type: 'kill-client'; readonly session: string }
	| { readonly type: 'reload' };

/** What came of it: how many sessions it was about, or words; or the error. */
type Report =
	| { readonly ok: true; readonly count: number; readonly words: string }
	| { readonly ok: false; readonly sqlstate: string; readonly message: string; readonly detail: string };

/** A database that an operator has stopped. */
interface Held {
	readonly database: string;
	readonly shard: string | null;
	readonly paused: boolean;
	readonly disabled: boolean;
}

const question = 'order';
const heldQuestion = 'held';

export class CrewOperations implements Operations {
	readonly #bus: CrewBus;
	readonly #control: Control;
	readonly #view: GatewayView;

	constructor(bus: CrewBus, control: Control, view: GatewayView) {
		this.#bus = bus;
		this.#control = control;
		this.#view = view;
		bus.on(question, (order) => this.#obey(order as Order));
		bus.on(heldQuestion, () => heldIn(view));
	}

	/** What operators have stopped is stopped in a worker that comes later too. */
	async join(): Promise<void> {
		const { answers } = await askOthers<readonly Held[]>(this.#bus, heldQuestion, null, answerTimes.joinMs);
		for (const { database, shard, paused, disabled } of answers.flatMap(({ answer }) => answer)) {
			const found = this.#view.databases.filter((one) => one.name === database && one.shard === shard);
			for (const { gate } of found) {
				if (paused) gate.pause();
				if (disabled) gate.disable();
			}
		}
	}

	async reload(): Promise<string> {
		const reports = await this.#all({ type: 'reload' }, 'RELOAD', answerTimes.reloadMs);
		const words = new Set(reports.map(({ report }) => report.words));
		if (words.size === 1) return [...words][0] ?? '';
		return reports.map(({ worker, report }) => `worker ${worker}: ${report.words}`).join('\n');
	}

	async pause(database: string | null): Promise<string> {
		return pausedWords(await this.#sum({ type: 'pause', database }));
	}

	busy(database: string | null): Promise<number> {
		return this.#sum({ type: 'busy', database }, 'PAUSE');
	}

	async resume(database: string | null): Promise<string> {
		await this.#sum({ type: 'resume', database });
		return '';
	}

	async kill(database: string | null): Promise<string> {
		return killedWords(await this.#sum({ type: 'kill', database }));
	}

	async disable(database: string): Promise<string> {
		await this.#sum({ type: 'disable', database });
		return '';
	}

	async enable(database: string): Promise<string> {
		await this.#sum({ type: 'enable', database });
		return '';
	}

	/** The session is in one worker; where it is nowhere, it has to be nowhere in all of them. */
	async killClient(session: string): Promise<string> {
		const order: Order = { type: 'kill-client', session };
		const own = await this.#obey(order);
		if (own.ok && own.count > 0) return '';
		const { answers, silent } = await askOthers<Report>(this.#bus, question, order, answerTimes.actMs);
		if (answers.some(({ answer }) => answer.ok && answer.count > 0)) return '';
		if (silent.length === 0) throw noSession(session);
		const detail = `It may be one of ${workerNames(silent)}, which did not answer.`;
		throw new GatewayError('58000', `there is no session "${session}" in the other workers`, { detail });
	}

	async #sum(
		order: Exclude<Order, { type: 'reload' | 'kill-client' }>,
		words: string = order.type.toUpperCase(),
	): Promise<number> {
		const reports = await this.#all(order, words, answerTimes.actMs);
		return reports.reduce((sum, { report }) => sum + report.count, 0);
	}

	/** Rejects with this worker's own error where all have the same or nobody else is there, else with one that says who has which. */
	async #all(
		order: Order,
		words: string,
		timeoutMs: number,
	): Promise<{ readonly worker: number; readonly report: Extract<Report, { ok: true }> }[]> {
		const asked = askOthers<Report>(this.#bus, question, order, timeoutMs);
		const own = { worker: this.#bus.worker, answer: await this.#obey(order) };
		const { answers, silent } = await asked;
		const reports = [own, ...answers].toSorted((one, other) => one.worker - other.worker);
		const done = reports.flatMap(({ worker, answer }) => (answer.ok ? [{ worker, report: answer }] : []));
		const failed = reports.flatMap(({ worker, answer }) => (answer.ok ? [] : [{ worker, report: answer }]));
		if (failed.length === 0 && silent.length === 0) return done;
		const [first] = failed;
		if (first !== undefined && silent.length === 0 && failed.length === reports.length) {
			const { sqlstate, message, detail } = first.report;
			throw new GatewayError(sqlstate, message, detail === '' ? {} : { detail });
		}
		const lines = [
			...(done.length === 0 ? [] : [`Done by ${workerNames(done.map(({ worker }) => worker))}.`]),
			...failed.map(({ worker, report }) => `Worker ${worker}: ${report.message}`),
			...(silent.length === 0 ? [] : [`No answer from ${workerNames(silent)}; it may be done there, too.`]),
		];
		const workers = [...failed.map(({ worker }) => worker), ...silent].toSorted((a, b) => a - b);
		throw new GatewayError('58000', `${words} was not done by ${workerNames(workers)}`, { detail: lines.join('\n') });
	}

	async #obey(order: Order): Promise<Report> {
		try {
			return { ok: true, count: 0, words: '', ...(await this.#do(order)) };
		} catch (error) {
			if (!(error instanceof GatewayError)) throw error;
			const { sqlstate, message, detail } = error;
			return { ok: false, sqlstate, message, detail: detail ?? '' };
		}
	}

	async #do(order: Order): Promise<{ readonly count?: number; readonly words?: string }> {
		const control = this.#control;
		switch (order.type) {
			case 'reload':
				return { words: await control.reload() };
			case 'pause':
				return { count: control.pauseNow(order.database) };
			case 'busy':
				return { count: control.busy(order.database) };
			case 'resume':
				control.resume(order.database);
				return {};
			case 'kill':
				return { count: control.killNow(order.database) };
			case 'disable':
				control.disable(order.database);
				return {};
			case 'enable':
				control.enable(order.database);
				return {};
			case 'kill-client':
				return { count: control.killClientNow(order.session) ? 1 : 0 };
			default:
				return unreachable(order);
		}
	}
}

function heldIn({ databases }: GatewayView): Held[] {
	return databases
		.map(({ name, shard, gate }) => ({ database: name, shard, paused: gate.paused, disabled: gate.disabled }))
		.filter(({ paused, disabled }) => paused || disabled);
}
