/** The section `audit` of portcullis.yaml: keeping, sinks with the keys of their kind, and a log opened from it. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openAudit } from '../../src/cli/audit-log.ts';
import type { Config } from '../../src/config/config.ts';
import { parseConfig } from '../../src/config/load.ts';

let folder: string;
beforeAll(() => {
	folder = fs.mkdtempSync(join(os.tmpdir(), 'portcullis-config-'));
	fs.mkdirSync(join(folder, 'policies'));
	fs.writeFileSync(join(folder, 'ca.pem'), '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
});
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

function parse(audit: string): Promise<Config> {
	const text = [
		'identity: { users: [{ name: app, password: { env: VERIFIER } }] }',
		'databases: { shop: { host: 127.0.0.1, user: gateway } }',
		'policies: ./policies',
		`audit: ${audit.replaceAll('\n', ' ')}`,
	].join('\n');
	const env = { VERIFIER: 'SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy', TOKEN: 'hunter2', PASSWORD: 'hunter3' };
	return parseConfig(text, { file: join(folder, 'portcullis.yaml'), shown: 'portcullis.yaml', env });
}

describe('the section', () => {
	test('keeps one file a day or 128 MiB for ever and has no sinks, unless it says otherwise', async () => {
		const plain = (await parse('{}')).audit;
		expect(plain).toMatchObject({
			segmentBytesMax: 134_217_728,
			segmentAgeMaxMs: 86_400_000,
			compress: false,
			keepMs: null,
			keepBytes: null,
			sinks: [],
		});
		const said = (
			await parse('{ rotate: { bytes: 1000000, hours: 2 }, compress: true, keep: { days: 400, bytes: 2000000 } }')
		).audit;
		expect(said).toMatchObject({
			segmentBytesMax: 1_000_000,
			segmentAgeMaxMs: 7_200_000,
			compress: true,
			keepMs: 34_560_000_000,
			keepBytes: 2_000_000,
		});
	});

	test('has sinks, with TLS unless the receiver is this machine, and secrets that do not print', async () => {
		const config = await parse(`{ sinks: [
			{ type: stdout },
			{ type: syslog, host: siem.example.com, tls: { ca: ./ca.pem }, facility: 10, spoolBytes: 1000 },
			{ type: otlp, url: "https://collector.example.com/v1/logs", headers: { authorization: { env: TOKEN } } },
			{ type: nats, servers: [127.0.0.1:4222], user: u, password: { env: PASSWORD } },
			{ type: kafka, servers: ["k1.example.com:9093", "k2.example.com:9093"], topic: audit, user: u,
				password: { env: PASSWORD }, mechanism: SCRAM-SHA-256 },
			{ type: postgres, host: db.example.com, database: audit, user: u, password: { env: PASSWORD }, table: logs.audit } ] }`);
		expect(config.audit.sinks).toMatchObject([
			{ type: 'stdout' },
			{
				type: 'syslog',
				host: 'siem.example.com',
				port: 6514,
				facility: 10,
				spoolBytesMax: 1000,
				tls: { ca: expect.stringContaining('BEGIN') },
			},
			{ type: 'otlp', url: 'https://collector.example.com/v1/logs' },
			{ type: 'nats', servers: ['127.0.0.1:4222'], subject: 'portcullis.audit', tls: null },
			{
				type: 'kafka',
				servers: ['k1.example.com:9093', 'k2.example.com:9093'],
				topic: 'audit',
				mechanism: 'SCRAM-SHA-256',
				compression: 'none',
				tls: { ca: null },
			},
			{ type: 'postgres', port: 5432, schema: 'logs', table: 'audit', tls: { ca: null } },
		]);
		expect(config.audit.sinks[2]?.headers.authorization?.reveal()).toBe('hunter2');
		expect(`${JSON.stringify(config)}${inspect(config, { depth: 9 })}`).not.toMatch(/hunter/);
	});

	const mistakes: readonly { name: string; audit: string; want: string }[] = [
		{ name: 'an unknown kind', audit: '{ sinks: [{ type: splunk }] }', want: 'audit.sinks[0].type' },
		{
			name: 'a cluster without a topic',
			audit: '{ sinks: [{ type: kafka, servers: [k:9092] }] }',
			want: 'audit.sinks[0]: kafka needs topic',
		},
		{
			name: 'a topic that no cluster takes',
			audit: '{ sinks: [{ type: kafka, servers: [k:9092], topic: a/b }] }',
			want: 'audit.sinks[0].topic: must be letters',
		},
		{
			name: 'a broker without a port',
			audit: '{ sinks: [{ type: kafka, servers: [k], topic: audit }] }',
			want: 'audit.sinks[0].servers[0]: must be host:port',
		},
		{
			name: 'a user of a cluster without a password',
			audit: '{ sinks: [{ type: kafka, servers: [k:9092], topic: audit, user: u }] }',
			want: 'audit.sinks[0]: user and password go together',
		},
		{
			name: 'a mechanism that nobody signs in with',
			audit: '{ sinks: [{ type: kafka, servers: [k:9092], topic: audit, mechanism: PLAIN }] }',
			want: 'audit.sinks[0].mechanism: needs user and password',
		},
		{
			name: 'a key of another kind',
			audit: '{ sinks: [{ type: stdout, host: x }] }',
			want: 'audit.sinks[0].host: not a key of stdout',
		},
		{
			name: 'a key that is missing',
			audit: '{ sinks: [{ type: syslog }] }',
			want: 'audit.sinks[0]: syslog needs host',
		},
		{
			name: 'an address that is none',
			audit: '{ sinks: [{ type: otlp, url: collector }] }',
			want: 'audit.sinks[0].url',
		},
		{
			name: 'two of a kind',
			audit: '{ sinks: [{ type: stdout }, { type: stdout }] }',
			want: 'audit.sinks[1].type: stdout is there twice',
		},
		{
			name: 'a certificate without its key',
			audit: '{ sinks: [{ type: syslog, host: x, tls: { cert: ./ca.pem } }] }',
			want: 'cert and key go together',
		},
		{
			name: 'a table without a schema',
			audit: '{ sinks: [{ type: postgres, host: x, database: d, user: u, table: t }] }',
			want: 'must be schema.table',
		},
		{ name: 'a file that is too small', audit: '{ rotate: { bytes: 10 } }', want: 'audit.rotate.bytes' },
	];
	test.each(mistakes)('names $name', async ({ audit, want }) => {
		await expect(parse(audit)).rejects.toThrow(want);
	});

	test('warns of a sink that is reached without TLS', async () => {
		const { warnings } = await parse('{ sinks: [{ type: syslog, host: siem.example.com, tls: { mode: off } }] }');
		expect(warnings).toEqual([expect.stringContaining('siem.example.com')]);
	});
});

test('a log is opened from it, and its sinks get the records', async () => {
	const { audit } = await parse('{ path: ./log, sinks: [{ type: stdout }] }');
	const stdout = new PassThrough();
	const lines: string[] = [];
	stdout.on('data', (bytes: Buffer) => lines.push(...bytes.toString().trimEnd().split('\n')));
	const silent = { info: () => {}, warn: () => {}, error: () => {} };
	const log = await openAudit(audit, { log: silent, now: Date.now, stdout });
	await log.close();
	expect(lines.map((line) => (JSON.parse(line) as { metadata: { event_code: string } }).metadata.event_code)).toEqual([
		'segment',
		'audit-start',
		'audit-stop',
		'checkpoint',
	]);
});
