/** What goes on beside the writing of a log: delivery to its sinks, packing and removing of old files. */
import { Delivery, type DeliveryLimits, type DeliveryStats, type LogEnd } from './delivery.ts';
import { Janitor, type OtherLogs, type RetentionOptions } from './janitor.ts';
import type { Sink } from './sinks/sink.ts';

export interface SinkOptions {
	readonly sink: Sink;
	/** A sink that is down reads later what the log holds. When more than this waits for it, statements are refused. */
	readonly spoolBytesMax: number;
	readonly limits?: Partial<DeliveryLimits>;
}

export interface UpkeepOptions {
	readonly directory: string;
	readonly sinks: readonly SinkOptions[];
	readonly retention: RetentionOptions;
	/** Logs that share the limit of size with this one. */
	readonly others: () => OtherLogs;
	readonly now: () => number;
	readonly end: () => LogEnd | null;
	/** Writes into the log that segments will be removed; rejects when it cannot. */
	readonly recordRemoval: (names: readonly string[]) => Promise<void>;
	/** Writes into the log that a sink will never get some records. */
	readonly recordGap: (sink: string, first: number, last: number) => void;
	/** For the operator's log: what failed, and null when a sink goes on. */
	readonly onTrouble: (what: string, error: Error | null) => void;
}

export class Upkeep {
	readonly #deliveries: readonly { readonly delivery: Delivery; readonly spoolBytesMax: number }[];
	readonly #janitor: Janitor;
	#segment: string | null = null;
	readonly #end: () => LogEnd | null;

	constructor(options: UpkeepOptions) {
		const { directory, sinks, retention, others, now, end, recordRemoval, recordGap, onTrouble } = options;
		this.#end = end;
		this.#deliveries = sinks.map(({ sink, limits, spoolBytesMax }) => ({
			spoolBytesMax,
			delivery: new Delivery({
				directory,
				sink,
				end,
				limits: limits ?? {},
				onTrouble: (error) => onTrouble(`audit sink ${sink.name}`, error),
				onGap: (first, last) => recordGap(sink.name, first, last),
			}),
		}));
		this.#janitor = new Janitor({
			directory,
			retention,
			others,
			now,
			current: () => end()?.segment ?? null,
			needed: () =>
				Math.min(Number.POSITIVE_INFINITY, ...this.#deliveries.map(({ delivery }) => delivery.neededSegment)),
			recordRemoval,
			onTrouble: (error) => onTrouble('audit retention', error),
		});
	}

	get stats(): readonly DeliveryStats[] {
		return this.#deliveries.map(({ delivery }) => delivery.stats);
	}

	/** There are more records than before. */
	written(): void {
		for (const { delivery } of this.#deliveries) delivery.wake();
		const segment = this.#end()?.segment ?? null;
		if (segment === this.#segment) return;
		this.#segment = segment;
		this.#janitor.sweep();
	}

	/** To be called every few seconds. Says which sink is too far behind for statements to go on, or null. */
	look(): string | null {
		this.#janitor.sweep();
		for (const { delivery, spoolBytesMax } of this.#deliveries) {
			const { sink, lagBytes } = delivery.stats;
			if (lagBytes > spoolBytesMax) return sink;
		}
		return null;
	}

	/** No more packing and removing; what is going on ends. */
	closeFiles(): Promise<void> {
		return this.#janitor.close();
	}

	/** Gives the sinks some time for what is left. They get the rest after the next start. */
	async closeSinks(graceMs: number): Promise<void> {
		await Promise.all(this.#deliveries.map(({ delivery }) => delivery.close(graceMs)));
	}
}
