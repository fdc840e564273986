/** Searches several logs at once: hits come in the order of their time, those of one log in its order. */
import type { LogPlace } from './logs.ts';
import { type Hit, searchLog, type SearchFilter, type SearchOptions } from './search.ts';

/** A hit, and which log has it. */
export interface LogHit extends Hit {
	/** Name of the log. */
	readonly log: string;
}

/** Hits of one log that wait for those of the others; it is read on when there are fewer. */
const waitingMax = 512;

/** Why the reading of the other logs ends when one of them cannot be read. */
class Stopped extends Error {}

/** One log that is being searched. */
class Source {
	readonly log: string;
	readonly done: Promise<void>;
	readonly #hits: LogHit[] = [];
	#taken = 0;
	#ended = false;
	#stopped = false;
	#goOn: (() => void) | null = null;
	#news: (() => void) | null = null;

	constructor({ name, directory }: LogPlace, filter: SearchFilter) {
		this.log = name;
		const onHit = (hit: Hit): void => {
			this.#hits.push({ ...hit, log: name });
			this.#tell();
		};
		this.done = searchLog(directory, filter, onHit, { drained: () => this.#drained() }).finally(() => {
			this.#ended = true;
			this.#tell();
		});
	}

	/** Null: there is none yet, or none any more. */
	get head(): LogHit | null {
		return this.#hits[this.#taken] ?? null;
	}

	/** There is a hit, or it is known that there will be none. */
	get ready(): boolean {
		return this.head !== null || this.#ended;
	}

	/** Until there is something to look at again. */
	news(): Promise<void> {
		return new Promise((resolve) => {
			this.#news = resolve;
		});
	}

	take(): void {
		this.#taken += 1;
		if (this.#taken < waitingMax && this.head !== null) return;
		this.#hits.splice(0, this.#taken);
		this.#taken = 0;
		if (this.#hits.length < waitingMax) this.#resume();
	}

	stop(): void {
		this.#stopped = true;
		this.#resume();
	}

	#drained(): Promise<void> | null {
		if (this.#stopped) throw new Stopped();
		if (this.#hits.length - this.#taken < waitingMax) return null;
		return new Promise((resolve) => {
			this.#goOn = resolve;
		});
	}

	#resume(): void {
		const goOn = this.#goOn;
		this.#goOn = null;
		goOn?.();
	}

	#tell(): void {
		const news = this.#news;
		this.#news = null;
		news?.();
	}
}

/** Calls `onHit` for each match. Rejects with the first error of reading, and then reads no further. */
export async function searchLogs(
	places: readonly LogPlace[],
	filter: SearchFilter,
	onHit: (hit: LogHit) => void,
	{ drained }: SearchOptions = {},
): Promise<void> {
	const sources = places.map((place) => new Source(place, filter));
	const failed: unknown[] = [];
	const all = sources.map(({ done }) =>
		done.catch((error: unknown) => {
			if (!(error instanceof Stopped)) failed.push(error);
			for (const source of sources) source.stop();
		}),
	);
	for (;;) {
		for (const source of sources) while (!source.ready) await source.news();
		const [first, ...rest] = sources.filter(({ head }) => head !== null);
		if (first === undefined || failed.length > 0) break;
		const next = rest.reduce((least, source) => (timeOf(source) < timeOf(least) ? source : least), first);
		onHit(next.head as LogHit);
		next.take();
		const full = drained?.() ?? null;
		if (full !== null) await full;
	}
	for (const source of sources) source.stop();
	await Promise.all(all);
	if (failed.length > 0) throw failed[0];
}

function timeOf({ head }: Source): number {
	return head?.timeMs ?? Number.POSITIVE_INFINITY;
}
