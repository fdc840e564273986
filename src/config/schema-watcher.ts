/** The section `policyWatcher` of the schema: how gateways tell each other that the policy has changed. */
import { z } from 'zod';
import { port, secret, serverTls, text, wait } from './schema-parts.ts';

const postgres = z.strictObject({
	database: text
		.optional()
		.describe('One of `databases`, over whose server (of several hosts the primary) and with whose role they talk.'),
	host: text
		.optional()
		.describe('In place of `database`: name or address of a server, or the folder of its Unix socket.'),
	port: port(1).default(5432).describe('With `host`: its port.'),
	dbname: text.optional().describe('With `host`: the database; the same one for all gateways.'),
	user: text.optional().describe('With `host`: the role; it needs no rights but to connect.'),
	password: secret.optional().describe('With `host`: its password.'),
	tls: serverTls
		.optional()
		.describe('With `host`: TLS towards it. Default: as below; for a loopback address or a Unix socket none.'),
});

const redis = z.strictObject({
	host: text.describe('Name or address of the server (Redis 6 or later).'),
	port: port(1).default(6379).describe('Its port.'),
	user: text.optional().describe('Who signs in. Default: the user that Redis calls `default`.'),
	password: secret.optional().describe('Its password, read anew at each connection.'),
	tls: serverTls.optional().describe('TLS towards it. Default: as below; for a loopback address none.'),
});

export const watcherSchema = z.strictObject({
	name: z
		.string()
		.regex(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/, 'must be letters, digits, dots, colons and hyphens, 64 at most')
		.optional()
		.describe('Name of this gateway, for the logs of the others. Default: host name and port.'),
	channel: z
		.string()
		.regex(/^[a-z_][a-z0-9_]{0,62}$/, 'must be small letters, digits and underscores, 63 at most')
		.default('portcullis_policy')
		.describe('Channel that they talk on: one for all gateways that have the same policy.'),
	differAfterMs: wait(1_000)
		.default(60_000)
		.describe('How long others may have another policy in force before the log warns.'),
	postgres: postgres.optional().describe('They talk by LISTEN and NOTIFY of a PostgreSQL.'),
	redis: redis.optional().describe('They talk over Redis; needs the package `@redis/client`.'),
});
