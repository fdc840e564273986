/** Metrics of the workers of a gateway: how many there are to be, how many there are, and which of them answer. */
import type { Family } from './exposition.ts';

export interface WorkersSeen {
	/** As configured; their numbers are 1 to this. */
	readonly configured: number;
	/** Live ones. */
	readonly alive: number;
	/** Numbers of those whose metrics these are. */
	readonly answering: readonly number[];
}

/** The only one there is. */
export const oneWorker: WorkersSeen = { configured: 1, alive: 1, answering: [1] };

export function workerFamilies({ configured, alive, answering }: WorkersSeen): Family[] {
	const up = Array.from({ length: configured }, (_, at) => ({
		labels: { worker: String(at + 1) },
		value: answering.includes(at + 1) ? 1 : 0,
	}));
	return [
		{
			type: 'gauge',
			name: 'portcullis_workers',
			help: 'Workers of the gateway: as many as configured, and those that are there.',
			samples: [
				{ labels: { state: 'configured' }, value: configured },
				{ labels: { state: 'alive' }, value: alive },
			],
			across: 'max',
		},
		{
			type: 'gauge',
			name: 'portcullis_worker_up',
			help: '1 for a worker whose numbers are in these, 0 for one that is not there or did not answer in time.',
			samples: up,
			across: 'max',
		},
	];
}
