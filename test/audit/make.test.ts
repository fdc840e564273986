/** Every kind of sink is made from its settings. */
import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { makeSink, type SinkSettings } from '../../src/audit/sinks/make.ts';

const tls = { ca: '-----BEGIN CERTIFICATE-----' };
const rows: readonly { settings: SinkSettings; acknowledges: boolean }[] = [
	{ settings: { type: 'stdout' }, acknowledges: true },
	{ settings: { type: 'syslog', host: 'siem.example.com', port: 6514, tls }, acknowledges: false },
	{ settings: { type: 'otlp', url: 'https://collector.example.com/v1/logs' }, acknowledges: true },
	{ settings: { type: 'nats', servers: ['127.0.0.1:4222'], tls: null, subjectPrefix: 'audit' }, acknowledges: true },
	{
		settings: {
			type: 'kafka',
			brokers: ['127.0.0.1:9092'],
			topic: 'audit',
			tls,
			mechanism: 'SCRAM-SHA-512',
			user: 'audit',
			password: 'x',
			compression: 'gzip',
		},
		acknowledges: true,
	},
	{
		settings: {
			type: 'postgres',
			host: 'db.example.com',
			port: 5432,
			database: 'audit',
			user: 'audit',
			password: 'x',
			tls,
		},
		acknowledges: true,
	},
];

it.each(rows)('$settings.type', async ({ settings, acknowledges }) => {
	const sink = await makeSink(settings, { stdout: new PassThrough() });
	expect(sink).toMatchObject({ name: settings.type, acknowledges });
	await sink.close();
});
