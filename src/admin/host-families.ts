/** Metrics of the hosts behind each database: what they are, whether they are used, and how far standbys are behind. */
import type { Across, Family, Labels, Sample } from './exposition.ts';
import type { DatabaseView, GatewayView } from './view.ts';

type Host = NonNullable<DatabaseView['cluster']>['hosts'][number];

const hostStates: readonly Host['state'][] = ['primary', 'standby', 'down', 'unknown'];

/** Of a database, or of a shard of it. */
export function labelsOf({ name, shard }: Pick<DatabaseView, 'name' | 'shard'>): Labels {
	return shard === null ? { database: name } : { database: name, shard };
}

/** None where each database is one host that nobody asks what it is. */
export function hostFamilies(view: GatewayView): Family[] {
	const clusters = view.databases.flatMap((database) =>
		database.cluster === null ? [] : [{ labels: labelsOf(database), cluster: database.cluster }],
	);
	const hosts = clusters.flatMap(({ labels, cluster }) =>
		cluster.hosts.map((host) => ({ labels: { ...labels, host: host.name }, host })),
	);
	const perHost = (value: (host: Host) => number | null): Sample[] =>
		hosts.flatMap(({ labels, host }) => {
			const found = value(host);
			return found === null ? [] : [{ labels, value: found }];
		});
	const states = hosts.flatMap(({ labels, host }) =>
		hostStates.map((state) => ({ labels: { ...labels, state }, value: host.state === state ? 1 : 0 })),
	);
	const gauge = (across: Across, name: string, help: string, samples: readonly Sample[]): Family => ({
		type: 'gauge',
		name,
		help,
		samples,
		across,
	});
	return [
		gauge('max', 'portcullis_host_state', 'What a host of several is: 1 for its state, 0 for the others.', states),
		gauge(
			'max',
			'portcullis_host_used',
			'1 while connections may be made to the host.',
			perHost(({ used }) => (used ? 1 : 0)),
		),
		gauge(
			'sum',
			'portcullis_host_connections',
			'Connections to the host, leased or idle.',
			perHost(({ connections }) => connections),
		),
		gauge(
			'max',
			'portcullis_host_lag_seconds',
			'How far a standby is behind the primary; missing while that is not known.',
			perHost(({ lag }) => (lag?.ms === null || lag === null ? null : lag.ms / 1000)),
		),
		gauge(
			'max',
			'portcullis_host_lag_bytes',
			'The same in bytes of its log.',
			perHost(({ lag }) => (lag?.bytes === null || lag === null ? null : Number(lag.bytes))),
		),
		{
			type: 'counter',
			name: 'portcullis_failovers_total',
			help: 'Times that another host became the primary.',
			samples: clusters.map(({ labels, cluster }) => ({ labels, value: cluster.failovers })),
		},
		gauge(
			'min',
			'portcullis_host_available',
			'1 while a host is there that is what was asked for; clients wait while none is.',
			clusters.map(({ labels, cluster }) => ({ labels, value: cluster.available ? 1 : 0 })),
		),
	];
}
