/** Metrics of what several gateways tell each other: cancel requests that are handed on, and which policy is in force. */
import type { Family, Sample } from './exposition.ts';
import type { GatewayView } from './view.ts';

/** Of the policy there are no samples without `policyWatcher`. */
export function peerFamilies(view: GatewayView): Family[] {
	return [...cancelFamilies(view), ...watcherFamilies(view)];
}

function cancelFamilies({ meters }: GatewayView): Family[] {
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

function watcherFamilies(view: GatewayView): Family[] {
	const watcher = view.policyWatcher();
	const gauge = (across: 'max' | 'min', name: string, help: string, samples: readonly Sample[]): Family => ({
		type: 'gauge',
		name,
		help,
		samples: watcher === null ? [] : samples,
		across,
	});
	const { up, same, other, notices } = watcher ?? { up: false, same: 0, other: 0, notices: {} };
	const peers = Object.entries({ same, other }).map(([state, value]) => ({ labels: { state }, value }));
	return [
		gauge('min', 'portcullis_policy_watcher_up', '1 while other gateways can be heard.', [
			{ labels: {}, value: up ? 1 : 0 },
		]),
		gauge(
			'max',
			'portcullis_policy_peers',
			'Other gateways that are heard of, by whether their policy is the one in force here.',
			peers,
		),
		{
			type: 'counter',
			name: 'portcullis_policy_notices_total',
			help: 'Notices of which policy is in force, by what became of them.',
			samples: Object.entries(notices).map(([result, value]) => ({ labels: { result }, value })),
		},
	];
}
