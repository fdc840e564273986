/** Where a database is: one host or several, Patroni that knows them, and the shards that it may be spread over. */
import { z } from 'zod';
import { count, port, secret, text } from './schema-parts.ts';

const patroni = z.strictObject({
	urls: z
		.array(z.url({ protocol: /^https?$/ }))
		.min(1)
		.describe('Where the REST interface of each node is, e.g. `https://10.0.0.5:8008`.'),
	tls: z
		.strictObject({
			ca: text.optional().describe("PEM file of the authorities to trust. Default: the system's."),
			cert: text.optional().describe('PEM file of a client certificate.'),
			key: text.optional().describe('PEM file of its private key.'),
		})
		.prefault({})
		.describe('TLS towards them, for `https`.'),
	authorization: secret.optional().describe('Value of the Authorization header that they ask for.'),
});

/** Keys of a database, and of each of its shards. */
export const hostKeys = {
	host: z
		.union([text, z.array(text).min(1)], { error: 'must be a string or a list of strings' })
		.optional()
		.describe(
			'Name or address of the server, or the folder of its Unix socket; a list, or names with commas between them, for several hosts of one cluster. Required, unless `patroni` or `shards` say it.',
		),
	port: z
		.union([port(1), z.array(port(1)).min(1)], { error: 'must be a port (1 to 65535) or a list of ports' })
		.default(5432)
		.describe('Port of the server; a list for one of each host.'),
	targetSessionAttrs: z
		.enum(['any', 'read-write', 'read-only', 'primary', 'standby', 'prefer-standby'])
		.optional()
		.describe(
			"Which of the hosts, in libpq's words; those that fit equally well share the connections. Default: `primary`, for a single host without `patroni` `any`.",
		),
	lagMaxMs: count(0)
		.optional()
		.describe('Standbys that are further behind than this, in milliseconds, are not used. Default: however far.'),
	patroni: patroni
		.optional()
		.describe('Asks Patroni who the hosts are and which of them leads. `host` counts only until it has answered.'),
};

/** Also asked of what the schema has found other faults with. */
export function hasHost(place: unknown): boolean {
	if (typeof place !== 'object' || place === null) return true;
	return ['host', 'patroni', 'shards'].some((key) => key in place);
}

const shard = z
	.strictObject({
		...hostKeys,
		dbname: text.optional().describe('Database on the server. Default: as for the whole.'),
	})
	.refine(hasHost, { path: ['host'], error: 'missing', when: () => true });

const shardBy = z.strictObject({
	by: z
		.enum(['parameter', 'user', 'claim'])
		.default('parameter')
		.describe(
			'What tells the shard: what the client asks for (`options=-c portcullis.shard=NAME`), who it is, or an attribute of it. Only with `parameter` may a client choose.',
		),
	claim: text.optional().describe('Which attribute, with `claim`.'),
	map: z
		.record(z.string(), text)
		.optional()
		.describe('Shard of each value. Without it the value is the name of the shard.'),
	default: text.optional().describe('Shard of those that nothing else gives one. Default: they are refused.'),
});

export const shardKeys = {
	shards: z
		.record(text, shard)
		.optional()
		.describe(
			'Spreads the database over several clusters, in place of `host`: each has its own pool and catalogue, and a session one of them.',
		),
	shardBy: shardBy.optional().describe('How a session gets its shard, at its login.'),
};
