/** The other workers of a gateway, as its operators' side reaches them: questions to all of them, and who has not answered. */

/** What this side needs of the way between workers. Plain data goes over it. */
export interface CrewBus {
	/** This one, from 1. */
	readonly worker: number;
	/** Live workers but for this one, in order. */
	readonly others: readonly number[];
	/** Those that do not answer within `timeoutMs` are left out. */
	ask(
		question: string,
		argument: unknown,
		timeoutMs: number,
	): Promise<readonly { readonly worker: number; readonly answer: unknown }[]>;
	/** Tells all other live workers. */
	tell(topic: string, message: unknown): void;
	/** What this worker answers, or does when it is told; whoever asks may wait for a Promise. */
	on(question: string, handler: (argument: unknown, from: number) => unknown): void;
}

/** How long others may take to answer, in milliseconds. */
export const answerTimes = {
	/** Probes do not wait for long themselves. */
	readinessMs: 500,
	metricsMs: 2_000,
	showMs: 2_000,
	/** PAUSE, KILL and the like: they take no time, but a worker may be busy. */
	actMs: 5_000,
	/** Reads files, and looks at the catalogues of databases that are new. */
	reloadMs: 60_000,
	/** A worker that starts asks what it has to take over. */
	joinMs: 2_000,
} as const;

export interface Answers<T> {
	readonly answers: readonly { readonly worker: number; readonly answer: T }[];
	/** Live workers that have not answered. */
	readonly silent: readonly number[];
}

/** `T` is what the same program answers in another process: nothing else is on the bus. */
export async function askOthers<T>(
	bus: CrewBus,
	question: string,
	argument: unknown,
	timeoutMs: number,
): Promise<Answers<T>> {
	const asked = bus.others;
	const answers = (await bus.ask(question, argument, timeoutMs)) as Answers<T>['answers'];
	const heard = new Set(answers.map(({ worker }) => worker));
	return { answers, silent: asked.filter((worker) => !heard.has(worker) && bus.others.includes(worker)) };
}

/** `worker 3`, `workers 1 and 2`, `workers 1, 2 and 4` */
export function workerNames(workers: readonly number[]): string {
	const [last, ...rest] = workers.toReversed();
	if (rest.length === 0) return `worker ${last}`;
	return `workers ${rest.toReversed().join(', ')} and ${last}`;
}
