/** Metrics of pools that hand connections on: those that nobody has, and in transaction mode why clients keep theirs. */
import type { Family, Sample } from './exposition.ts';
import { labelsOf } from './host-families.ts';
import type { GatewayView } from './view.ts';

/** No samples where every pool is in session mode without `reuse`. */
export function poolFamilies(view: GatewayView): Family[] {
	const perReason = (values: 'pinned' | 'pinsTotal'): Sample[] =>
		view.databases.flatMap((database) =>
			Object.entries(database.gate.stats[values] ?? {}).map(([reason, value]) => ({
				labels: { ...labelsOf(database), reason },
				value,
			})),
		);
	const idle = view.databases.flatMap((database) => {
		const { idle: value } = database.gate.stats;
		return value === undefined ? [] : [{ labels: labelsOf(database), value }];
	});
	return [
		{
			type: 'gauge',
			name: 'portcullis_pool_idle',
			help: 'Server connections that nobody has, of a pool that hands them on.',
			samples: idle,
			across: 'sum',
		},
		{
			type: 'gauge',
			name: 'portcullis_pool_pinned',
			help: 'Clients that keep their server connection between transactions, by what of theirs is on it.',
			samples: perReason('pinned'),
			across: 'sum',
		},
		{
			type: 'counter',
			name: 'portcullis_pool_pins_total',
			help: 'Times that a client began to keep its server connection, by reason.',
			samples: perReason('pinsTotal'),
		},
	];
}
