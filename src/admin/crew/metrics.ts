/**
 * The metrics of all workers as those of one gateway. What a worker has counted stays counted when it is gone: a sum that fell would
 * be taken for a restart of everything.
 */
import type { Across, Family, HistogramNumbers, Labels, Sample } from '../exposition.ts';
import { type Answers, answerTimes, askOthers, type CrewBus } from './bus.ts';

/** A family on its way between workers; what it is called and means is known on both sides. */
interface Sent {
	readonly name: string;
	/** A number that JSON has not is a text. */
	readonly samples?: readonly { readonly labels: Labels; readonly value: number | string }[];
	readonly histograms?: readonly { readonly labels: Labels; readonly histogram: HistogramNumbers }[];
}

export interface CrewNumbers {
	readonly families: readonly Family[];
	/** Workers whose numbers of now are in it, in order. */
	readonly answering: readonly number[];
}

const question = 'metrics';
const lastQuestion = 'metrics-last';
const leavingTopic = 'metrics-leaving';

export class CrewMetrics {
	readonly #bus: CrewBus;
	/** Numbers from 1. */
	readonly #workers: number;
	readonly #own: () => readonly Family[];
	/** What each other worker had counted when it was asked last, and those before it under its number. */
	readonly #last = new Map<number, readonly Sent[]>();
	/** What those before this one under its number had counted. */
	#before: readonly Sent[] = [];

	constructor(bus: CrewBus, workers: number, own: () => readonly Family[]) {
		this.#bus = bus;
		this.#workers = workers;
		this.#own = own;
		bus.on(leavingTopic, (counted, from) => this.#remember(from, counted as readonly Sent[]));
		bus.on(lastQuestion, (asked) =>
			(asked as readonly number[]).map((worker) => ({ worker, counted: this.#last.get(worker) ?? [] })),
		);
	}

	/** From then on it answers the others. Goes on counting where the worker before this one ended, as far as somebody knows; and knows from now on what the others do. */
	async join(): Promise<void> {
		const numbers = Array.from({ length: this.#workers }, (_, at) => at + 1);
		const known = await this.#remembered(numbers);
		for (const [worker, counted] of known)
			if (worker === this.#bus.worker) this.#before = counted;
			else this.#remember(worker, counted);
		// Not before: until now it would have said less than the one before it.
		this.#bus.on(question, (counted, from) => {
			// Who asks says what it has counted itself: a scraper that keeps its connection asks the same one always.
			this.#remember(from, counted as readonly Sent[]);
			return sentOf(this.#current());
		});
		await this.#ask(sentOf(this.#current()));
	}

	/** The others are told what this one has counted, before it ends. */
	leave(): void {
		this.#bus.tell(leavingTopic, sentOf(this.#current()));
	}

	async collect(): Promise<CrewNumbers> {
		const { worker } = this.#bus;
		const own = this.#current();
		const answers = await this.#ask(sentOf(own));
		const answering = [worker, ...answers.map(({ worker: from }) => from)].toSorted((a, b) => a - b);
		const missing = Array.from({ length: this.#workers }, (_, at) => at + 1).filter((n) => !answering.includes(n));
		const counted = missing.length === 0 ? [] : [...(await this.#remembered(missing)).values()];
		const parts = new Map<number, readonly Sent[]>(answers.map(({ worker: from, answer }) => [from, answer]));
		parts.set(worker, sentOf(own));
		return { answering, families: own.map((family) => merged(family, parts, counted)) };
	}

	async #ask(own: readonly Sent[]): Promise<Answers<readonly Sent[]>['answers']> {
		const { answers } = await askOthers<readonly Sent[]>(this.#bus, question, own, answerTimes.metricsMs);
		for (const { worker, answer } of answers) this.#remember(worker, answer);
		return answers;
	}

	/** It grows only, so the newest is the most. */
	#remember(worker: number, counted: readonly Sent[]): void {
		this.#last.set(worker, counted);
	}

	#current(): readonly Family[] {
		const before = new Map(this.#before.map((sent) => [sent.name, sent]));
		return this.#own().map((family) => withBefore(family, before.get(family.name)));
	}

	/** What anybody, this worker included, knows of what these have counted. */
	async #remembered(workers: readonly number[]): Promise<ReadonlyMap<number, readonly Sent[]>> {
		type Known = readonly { readonly worker: number; readonly counted: readonly Sent[] }[];
		const { answers } = await askOthers<Known>(this.#bus, lastQuestion, workers, answerTimes.joinMs);
		const known = answers.flatMap(({ answer }) => answer);
		return new Map(
			workers.map((worker) => {
				const theirs = known.filter((one) => one.worker === worker).map(({ counted }) => counted);
				return [worker, greatest([this.#last.get(worker) ?? [], ...theirs])];
			}),
		);
	}
}

// ---------------------------------------------------------------- between workers

function sentOf(families: readonly Family[]): Sent[] {
	return families.map((family) => {
		const { name } = family;
		if (family.type !== 'histogram')
			return {
				name,
				samples: family.samples.map(({ labels, value }) => ({
					labels,
					value: Number.isFinite(value) ? value : String(value),
				})),
			};
		const histograms = family.histograms.map(({ labels, histogram }) => ({ labels, histogram: copyOf(histogram) }));
		return { name, histograms };
	});
}

function copyOf({ bounds, counts, sum, count }: HistogramNumbers): HistogramNumbers {
	return { bounds: [...bounds], counts: Array.from(counts), sum, count };
}

function samplesOf(sent: Sent | undefined): Sample[] {
	return (sent?.samples ?? []).map(({ labels, value }) => ({ labels, value: Number(value) }));
}

// ---------------------------------------------------------------- merging

type Measured = { readonly labels: Labels; readonly histogram: HistogramNumbers };

/** One for each set of labels, in the order of their first. `join`: the first, with the numbers of both. */
function byLabels<T extends { readonly labels: Labels }>(all: readonly T[], join: (one: T, other: T) => T): T[] {
	const found = new Map<string, T>();
	for (const one of all) {
		const key = JSON.stringify(Object.entries(one.labels).toSorted(([a], [b]) => (a < b ? -1 : 1)));
		const before = found.get(key);
		found.set(key, before === undefined ? one : join(before, one));
	}
	return [...found.values()];
}

const joins = {
	sum: (one: number, other: number) => one + other,
	max: (one: number, other: number) => Math.max(one, other),
	min: (one: number, other: number) => Math.min(one, other),
} as const satisfies Record<Exclude<Across, 'each'>, (one: number, other: number) => number>;

function joinSamples(samples: readonly Sample[], how: keyof typeof joins): Sample[] {
	return byLabels(samples, (one, other) => ({ ...one, value: joins[how](one.value, other.value) }));
}

function joinHistograms(all: readonly Measured[], how: 'sum' | 'max'): Measured[] {
	const join = joins[how];
	return byLabels(all, ({ labels, histogram: one }, { histogram: other }) => ({
		labels,
		histogram: {
			bounds: one.bounds,
			counts: Array.from(one.counts, (count, at) => join(count, other.counts[at] ?? 0)),
			sum: join(one.sum, other.sum),
			count: join(one.count, other.count),
		},
	}));
}

/** What was counted most, number by number: of one worker at several times. Gauges are in it, and nobody looks at them. */
function greatest(all: readonly (readonly Sent[])[]): Sent[] {
	const names = new Set(all.flatMap((families) => families.map(({ name }) => name)));
	return [...names].map((name) => {
		const same = all.flatMap((families) => families.filter((family) => family.name === name));
		const histograms = same.flatMap((family) => family.histograms ?? []);
		if (histograms.length > 0) return { name, histograms: joinHistograms(histograms, 'max') };
		return { name, samples: joinSamples(same.flatMap(samplesOf), 'max') };
	});
}

/** Counters and histograms go on from there; what is measured now does not, nor what is of one process. */
function withBefore(family: Family, before: Sent | undefined): Family {
	if (before === undefined) return family;
	if (family.type === 'histogram')
		return { ...family, histograms: joinHistograms([...family.histograms, ...(before.histograms ?? [])], 'sum') };
	if (family.type === 'gauge' || family.across === 'each') return family;
	return { ...family, samples: joinSamples([...family.samples, ...samplesOf(before)], 'sum') };
}

/** `counted`: of workers that have not answered. */
function merged(
	family: Family,
	parts: ReadonlyMap<number, readonly Sent[]>,
	counted: readonly (readonly Sent[])[],
): Family {
	const { name } = family;
	const find = (families: readonly Sent[]): Sent | undefined => families.find((sent) => sent.name === name);
	const inOrder = [...parts].toSorted(([one], [other]) => one - other);
	const answered = inOrder.map(([worker, families]) => ({ worker, sent: find(families) }));
	const absent = counted.map(find);
	if (family.type === 'histogram') {
		const all = [...answered.map(({ sent }) => sent), ...absent].flatMap((sent) => sent?.histograms ?? []);
		return { ...family, histograms: joinHistograms(all, 'sum') };
	}
	if (family.across === 'each') {
		const each = answered.flatMap(({ worker, sent }) =>
			samplesOf(sent).map(({ labels, value }) => ({ labels: { ...labels, worker: String(worker) }, value })),
		);
		return { ...family, samples: each };
	}
	const now = answered.flatMap(({ sent }) => samplesOf(sent));
	if (family.type === 'gauge') return { ...family, samples: joinSamples(now, family.across) };
	return { ...family, samples: joinSamples([...now, ...absent.flatMap(samplesOf)], 'sum') };
}
