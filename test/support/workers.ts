/** Buses of several workers in one process, joined as a supervisor joins them, for tests that need no processes. */
import { BusHub, type BusMessage, LinkedBus } from '../../src/cli/workers/bus.ts';

export interface JoinedBuses {
	/** Of the workers 1..N, in order. */
	readonly buses: readonly LinkedBus[];
	/** As if the worker's process had died. */
	readonly leave: (worker: number) => void;
	/** As if it was back: the same bus, with its handlers. */
	readonly join: (worker: number) => void;
	/** As if another process took its place: a new bus in `buses`, without handlers. */
	readonly replace: (worker: number) => void;
}

/** Messages go as JSON, in order, and arrive in a later turn of the event loop. */
export function joinedBuses(count: number): JoinedBuses {
	const hub = new BusHub();
	const leaving = new Map<number, () => void>();
	const send = (message: BusMessage, deliver: (message: BusMessage) => void): void => {
		const text = JSON.stringify(message);
		setImmediate(() => deliver(JSON.parse(text) as BusMessage));
	};
	const make = (worker: number): LinkedBus =>
		new LinkedBus(worker, (message) => send(message, (one) => hub.receive(worker, one)));
	const buses = Array.from({ length: count }, (_, index) => make(index + 1));
	const join = (worker: number): void => {
		const bus = buses[worker - 1];
		if (bus === undefined) throw new Error(`there is no worker ${worker}`);
		let here = true;
		const leave = hub.join(worker, (message) => {
			// Who is there is known at once, so that a test can ask in its first turn.
			if (message.type === 'bus-members') bus.receive(message);
			else
				send(message, (one) => {
					if (here) bus.receive(one);
				});
		});
		leaving.set(worker, () => {
			here = false;
			leave();
		});
	};
	for (const { worker } of buses) join(worker);
	const leave = (worker: number): void => leaving.get(worker)?.();
	const replace = (worker: number): void => {
		leave(worker);
		buses[worker - 1] = make(worker);
		join(worker);
	};
	return { buses, join, leave, replace };
}
