/** The section `audit` of the schema: where the log is, how long it is kept, and where it is delivered to. */
import { z } from 'zod';
import { count, port, secret, text } from './schema-parts.ts';

const mib = 1024 * 1024;

/** One object for all kinds of sinks; which keys belong to which kind is looked at when it is loaded. */
const sink = z.strictObject({
	type: z
		.enum(['stdout', 'syslog', 'otlp', 'nats', 'kafka', 'postgres'])
		.describe(
			'`syslog`: RFC 5424. `otlp`: OpenTelemetry logs over HTTP. `nats`: a JetStream. `kafka`: a topic; needs the package `@platformatic/kafka`. `postgres`: a table.',
		),
	host: text.optional().describe('syslog, postgres: name or address of the server.'),
	port: port(1).optional().describe('syslog, postgres: its port. Default: 6514 for syslog, 5432 for postgres.'),
	url: z
		.url({ protocol: /^https?$/ })
		.optional()
		.describe('otlp: the whole address, e.g. `https://collector:4318/v1/logs`.'),
	headers: z.record(text, secret).optional().describe('otlp: headers to send, each value a secret.'),
	servers: z
		.array(text)
		.min(1)
		.optional()
		.describe('nats: `host:port` of each server. kafka: of brokers to ask for the others.'),
	topic: z
		.string()
		.regex(/^[a-zA-Z0-9._-]{1,249}$/, 'must be letters, digits, dots, underscores and hyphens, 249 at most')
		.refine((name) => name !== '.' && name !== '..', 'is no name of a topic')
		.optional()
		.describe('kafka: the topic. It has to be there.'),
	mechanism: z
		.enum(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'])
		.optional()
		.describe('kafka: how `user` signs in (SASL). Default: `SCRAM-SHA-512`.'),
	compression: z.enum(['none', 'gzip']).optional().describe('kafka: of each batch. Default: `none`.'),
	subject: text
		.optional()
		.describe('nats: prefix of the subjects; the kind of the record follows it. Default: `portcullis.audit`.'),
	database: text.optional().describe('postgres: the database.'),
	table: z
		.string()
		.regex(/^[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*$/, 'must be schema.table')
		.optional()
		.describe('postgres: `schema.table`, made when it is missing. Default: `public.portcullis_audit`.'),
	user: text.optional().describe('nats, kafka, postgres: who signs in.'),
	password: secret.optional().describe('nats, kafka, postgres: its password.'),
	token: secret.optional().describe('nats: a token in place of user and password.'),
	facility: z.int().min(0).max(23).optional().describe('syslog: the facility. Default: 13, log audit.'),
	tls: z
		.strictObject({
			mode: z
				.enum(['verify-full', 'off'])
				.default('verify-full')
				.describe('`off` is for a network that nobody else is on.'),
			ca: text.optional().describe("PEM file of the authorities to trust. Default: the system's."),
			cert: text.optional().describe('PEM file of a client certificate.'),
			key: text.optional().describe('PEM file of its private key.'),
		})
		.optional()
		.describe('syslog, nats, kafka, postgres: TLS. Default: verify-full; for a loopback address off.'),
	spoolBytes: count(1)
		.default(1024 * mib)
		.describe('When so much of the log waits for the sink, statements are refused until it has caught up.'),
});

export const auditSchema = z.strictObject({
	path: text.default('./audit').describe('Folder of the audit log.'),
	durability: z
		.enum(['os', 'disk'])
		.default('os')
		.describe('`os`: a record survives a crash of the process. `disk`: also of the machine.'),
	key: secret.optional().describe('Private key that signs checkpoints. Without it they are not signed.'),
	parameters: z.enum(['on', 'off']).default('on').describe('Whether the values of bound parameters are recorded.'),
	rotate: z
		.strictObject({
			bytes: count(64 * 1024)
				.default(128 * mib)
				.describe('A new file is begun when one is this long.'),
			hours: count(1).default(24).describe('A new file is begun when one is this old.'),
		})
		.prefault({})
		.describe('When a new file is begun.'),
	compress: z.boolean().default(false).describe('Whether files that are complete are compressed.'),
	keep: z
		.strictObject({
			days: count(1).optional().describe('Complete files older than this are removed. Default: never.'),
			bytes: count(mib).optional().describe('The oldest are removed when all together are larger. Default: any size.'),
		})
		.prefault({})
		.describe('How long the log is kept. What a sink has not taken yet is not removed.'),
	sinks: z.array(sink).default([]).describe('Where records are delivered to as well.'),
});

export type RawSink = z.output<typeof sink>;
