/** What operators look at and act through, put together: the console, and with several workers what makes them answer as one. */
import { Console, consoleDatabase } from '../admin/console/console.ts';
import type { ConfigRow } from '../admin/console/shows.ts';
import { Control } from '../admin/control.ts';
import { Crew } from '../admin/crew/crew.ts';
import type { RecordSink } from '../admin/meters.ts';
import type { GatewayView } from '../admin/view.ts';
import type { PolicyStore } from '../policy/store.ts';
import type { Access, Identity } from '../stages.ts';
import { type ConfigFollower, configWords } from './config-following.ts';
import { configRows } from './config-rows.ts';
import { type PolicyFollower, reloadWords } from './policy-following.ts';
import type { WorkerBus } from './workers/bus.ts';

export interface OperatorParts {
	readonly bus: WorkerBus;
	/** How many workers there are to be. */
	readonly workers: number;
	/** Of this worker. */
	readonly view: GatewayView;
	readonly follower: ConfigFollower;
	readonly policy: PolicyFollower;
	readonly store: PolicyStore;
	readonly sink: RecordSink;
	/** Milliseconds since the epoch. */
	readonly now: () => number;
}

/** `crew` is null where there is one worker. With several, it has taken over what holds for all of them. */
export async function operators(
	parts: OperatorParts,
): Promise<{ readonly console: Console; readonly crew: Crew | null }> {
	const { bus, workers, view, follower, policy, store, sink, now } = parts;
	const reload = async (): Promise<string> => {
		const configured = await follower.reload('admin');
		// A policy that can be used is, whatever the configuration is like.
		const ruled = await policy.reload('admin');
		return [configWords(configured), reloadWords(ruled)].filter((words) => words !== '').join('; ');
	};
	const control = new Control({ view, reload });
	const accessFor = (identity: Identity): Access => store.current().accessFor(identity, consoleDatabase);
	const config = (): readonly ConfigRow[] => configRows(follower.config);
	const crew = workers === 1 ? null : new Crew({ bus, workers, view, control, config });
	await crew?.join();
	const pauseWaitMs = (): number => follower.config.limits.drainTimeoutMs;
	const acting = crew === null ? { control } : { control: crew.operations, tables: crew.tables };
	return { console: new Console({ view, config, sink, accessFor, now, pauseWaitMs, ...acting }), crew };
}
