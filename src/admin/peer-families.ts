/** Metrics of what several gateways tell each other: cancel requests that are handed on. */
import type { Family } from './exposition.ts';
import type { GatewayView } from './view.ts';

export function peerFamilies({ meters }: GatewayView): Family[] {
	const samples = Object.entries(meters.peerCancels).map(([result, value]) => ({ labels: { result }, value }));
	return [
		{
			type: 'counter',
			name: 'portcullis_peer_cancels_total',
			help: 'Cancel requests that were handed on to peers, one for each peer, and those from peers whose key was known here.',
			samples,
		},
	];
}
