/** Metrics of the connections that hear notifications for the sessions of pools in transaction mode. */
import type { ListenerStats } from '../backend/shared-listener.ts';
import type { Family, Sample } from './exposition.ts';
import { labelsOf } from './host-families.ts';
import type { GatewayView } from './view.ts';

/** No samples where every pool is in session mode. The roles of a database are counted together. */
export function listenerFamilies(view: GatewayView): Family[] {
	const sum = (value: (stats: ListenerStats) => number): Sample[] =>
		view.databases.flatMap((database) => {
			const { listeners } = database;
			if (listeners.length === 0) return [];
			const total = listeners.reduce((all, { stats }) => all + value(stats), 0);
			return [{ labels: labelsOf(database), value: total }];
		});
	const family = (type: 'gauge' | 'counter', name: string, help: string, samples: readonly Sample[]): Family => ({
		type,
		name,
		help,
		samples,
		across: 'sum',
	});
	return [
		family(
			'gauge',
			'portcullis_listener_connections',
			'Server connections that hear notifications for sessions in transaction mode, one for each role that somebody listens as; they are not of the pool.',
			sum(({ connection }) => (connection === null ? 0 : 1)),
		),
		family(
			'gauge',
			'portcullis_listener_channels',
			'Channels that they listen to.',
			sum(({ channels }) => channels),
		),
		family(
			'gauge',
			'portcullis_listener_sessions',
			'Sessions that they hear for.',
			sum(({ hearers }) => hearers),
		),
		family(
			'counter',
			'portcullis_notifications_received_total',
			'Notifications that the server told them of.',
			sum(({ received }) => received),
		),
		family(
			'counter',
			'portcullis_notifications_told_total',
			'Notifications that sessions were told of: each counts once for every session.',
			sum(({ told }) => told),
		),
		family(
			'counter',
			'portcullis_listener_losses_total',
			'Times that such a connection was lost while somebody listened; those sessions were ended.',
			sum(({ losses }) => losses),
		),
		family(
			'counter',
			'portcullis_notification_overflows_total',
			'Sessions that were ended because more notifications waited for them than `limits.notifyBytesMax`.',
			sum(({ overflows }) => overflows),
		),
	];
}
