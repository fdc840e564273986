/** The configuration as a schema: every key with its type, its default and one sentence; docs/configuration.md is made from it. */
import { z } from 'zod';
import { auditSchema } from './schema-audit.ts';
import { hasHost, hostKeys, shardKeys } from './schema-hosts.ts';
import { count, port, secret, secretEnv, secretFile, serverTls, text, wait } from './schema-parts.ts';
import { watcherSchema } from './schema-watcher.ts';

const VERIFIER = /^SCRAM-SHA-256\$[1-9][0-9]*:[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+$/;
const verifier = z.union(
	[
		z.strictObject({
			scram: z
				.string()
				.regex(VERIFIER, 'not a SCRAM-SHA-256 verifier: make one with portcullis hash-password')
				.describe('Verifier as in pg_authid, from `portcullis hash-password`.'),
		}),
		secretEnv,
		secretFile,
	],
	{ error: 'must be { scram: VERIFIER }, { env: NAME } or { file: PATH }' },
);

const claim = z.union([z.string(), z.number(), z.boolean(), z.array(z.string())], {
	error: 'must be a string, a number, true, false or a list of strings',
});

const listenTls = z.strictObject({
	cert: text.optional().describe('PEM file of the certificate chain. Read again for new connections.'),
	key: text.optional().describe('PEM file of its private key. Read again for new connections.'),
	mode: z
		.enum(['require', 'allow', 'off'])
		.default('require')
		.describe('`require`: clients must use TLS. `allow`: they may. `off`: no TLS.'),
	clientCa: text
		.optional()
		.describe('PEM file of the authorities whose client certificates are taken. Without it none is asked for.'),
	clientCrl: text.optional().describe('PEM file of their revocation lists; then each of them needs a current one.'),
	clientName: z
		.enum(['cn', 'dns', 'email', 'uri'])
		.default('cn')
		.describe('Where a client certificate has the name: common name, or alternative name of that kind.'),
});

/** Other gateways that a cancel request may be for. */
export const peersMax = 32;

const peer = z.strictObject({
	host: text.describe(
		'Name or address of the other gateway; a name with several addresses stands for as many gateways.',
	),
	port: port(1).default(6432).describe('Port on which it listens for clients.'),
	tls: serverTls
		.optional()
		.describe('TLS towards it: cancel keys go over this. Default: as below; for a loopback address none.'),
});

const listen = z.strictObject({
	host: text.default('127.0.0.1').describe('Address to listen on.'),
	port: port(0).default(6432).describe('Port to listen on; 0 takes a free one.'),
	tls: listenTls.prefault({ mode: 'off' }).describe('TLS towards clients. Without it there is none.'),
	peers: z
		.array(peer)
		.max(peersMax)
		.default([])
		.describe(
			'The other gateways behind the same balancer, to which cancel requests are handed on whose key is not known here. The gateway itself may be among them, so that all have the same file.',
		),
});

const issuer = z.strictObject({
	issuer: z
		.url({ protocol: /^https?$/ })
		.describe('Issuer identifier, compared exactly with `iss`. https, or http on a loopback address.'),
	audience: z
		.union([text, z.array(text).min(1)], { error: 'must be a string or a list of strings' })
		.describe('One of these must be in `aud`.'),
	clientId: text.optional().describe('Client of the device flow and of OAUTHBEARER discovery.'),
	clientSecret: secret.optional().describe('Secret of that client, for a provider that wants one.'),
	scopes: z.array(text).default(['openid']).describe('Scopes that are asked for.'),
	parameters: z
		.record(text, z.string())
		.default({})
		.describe('More parameters for the provider where the device flow begins, such as `resource` or `audience`.'),
	username: text.default('sub').describe('Claim that becomes `user:NAME`.'),
	prefix: text
		.optional()
		.describe(
			'Stands before each user name and group of this issuer, so that it cannot speak of the people of others.',
		),
	workloads: z
		.strictObject({
			username: text
				.default('client_id')
				.describe('Claim with its name; it has to equal `sub`, which tells a workload from a person.'),
			prefix: text.default('workload:').describe('Stands before its name. Names of people never begin so.'),
		})
		.optional()
		.describe('Lets programs sign in with a token that they got in their own name (client credentials).'),
	groups: text.optional().describe('Claim that becomes `group:NAME`: a list, or one string with commas or spaces.'),
	claims: z.array(text).default([]).describe('Claims that policies may use.'),
	requiredScopes: z.array(text).default([]).describe('Scopes that a token must have (claim `scope` or `scp`).'),
	introspection: z
		.strictObject({
			clientId: text.describe('Client that the gateway is there.'),
			clientSecret: secret.describe('Its secret.'),
			always: z
				.boolean()
				.default(false)
				.describe('Ask about JSON Web Tokens too, so that a revoked one is refused before it expires.'),
			everyMs: count(0)
				.default(300_000)
				.describe('Milliseconds between questions about the token of a session; 0 asks at sign-in only.'),
		})
		.optional()
		.describe('Asks the issuer about tokens that only it can read (RFC 7662). Without it opaque tokens are refused.'),
});

const user = z
	.strictObject({
		name: text.describe('Name that it signs in with, `user:NAME` of the policy.'),
		password: verifier.optional().describe('SCRAM verifier of its password. Required unless `certificate` is true.'),
		certificate: z
			.boolean()
			.default(false)
			.describe(
				'Whether a client certificate with its name (`listen.tls.clientName`) signs it in; its password does too.',
			),
		roles: z.array(text).default([]).describe('`role:NAME` of the policy.'),
		claims: z.record(z.string(), claim).default({}).describe('Attributes that policies may use.'),
		sessionsMax: count(0).optional().describe('Its sessions at a time. Default: `limits.sessionsPerUserMax`.'),
	})
	.refine(hasProof, { path: ['password'], error: 'missing', when: () => true });

/** Also asked of what the schema has found other faults with. */
function hasProof(user: { readonly password?: unknown; readonly certificate?: unknown } | null): boolean {
	return typeof user !== 'object' || user?.password !== undefined || user?.certificate === true;
}

const expiry = z.strictObject({
	action: z
		.enum(['end', 'refuse', 'refresh'])
		.default('refuse')
		.describe(
			'`end`: the session ends at once. `refuse`: its next statement outside of a transaction ends it. `refresh`: so too, where no refresh token of the device flow renews it.',
		),
	graceMs: count(0)
		.default(300_000)
		.describe('How long a transaction under way may go on, in milliseconds; with `end` not at all.'),
});

const identity = z.strictObject({
	login: z
		.enum(['password', 'oauthbearer', 'device'])
		.default('password')
		.describe('How people sign in who are not in `users`; `password` takes a token as the password.'),
	issuers: z.array(issuer).default([]).describe('OpenID providers whose tokens are taken.'),
	users: z.array(user).default([]).describe('Service accounts.'),
	expiry: expiry.prefault({}).describe('What happens to a session whose token has expired or was revoked.'),
});

const databaseLimits = z.strictObject({
	sessionsMax: count(0)
		.default(0)
		.describe('Client sessions of this database at a time; 0: as many as there is room for.'),
	queryTimeoutMs: count(0).optional().describe('Default: as under `limits`.'),
	transactionTimeoutMs: count(0).optional().describe('Default: as under `limits`.'),
	idleTransactionTimeoutMs: count(0).optional().describe('Default: as under `limits`.'),
	backendLifetimeMs: count(0).optional().describe('Default: as under `limits`.'),
});

const databasePassword = z.union(
	[
		secretEnv,
		secretFile,
		z.strictObject({
			command: z.array(text).min(1).describe('Program and arguments that print it; no shell reads them.'),
			keepMs: count(0).default(60_000).describe('How long what was printed is used again, in milliseconds.'),
		}),
	],
	{ error: 'must be { env: NAME }, { file: PATH } or { command: [PROGRAM, ...] }' },
);

const database = z
	.strictObject({
		...hostKeys,
		dbname: text.optional().describe('Database on the server. Default: the name under `databases`.'),
		user: text.describe('Role that the gateway signs in with.'),
		password: databasePassword
			.optional()
			.describe(
				'Its password; none for servers that ask for none. `command`: program and arguments that print it, used for `keepMs` (60000).',
			),
		users: z
			.record(
				text,
				z.strictObject({
					user: text.describe('Role on the server.'),
					password: databasePassword.optional().describe('Its password, as above.'),
				}),
			)
			.default({})
			.describe('Other roles on the server, by `role:NAME` of the policy: the first that somebody has is theirs.'),
		allowPassword: z
			.array(z.enum(['cleartext', 'md5']))
			.default([])
			.describe('Weak ways of asking for that password that the server may use; without it only SCRAM.'),
		tellUser: z
			.array(z.enum(['setting', 'user', 'application_name']))
			.optional()
			.describe(
				"How the server is told who a session is for. `setting`: `portcullis.user`, `portcullis.session`. `user`: the former alone. `application_name`: in front of the client's own. Default: `[setting]`; with `pool.mode: transaction` `[user]`, as every change of sessions on a connection would take a question; with `pool.reuse` `[user]`, as `setting` keeps a connection for one session.",
			),
		timeZone: text
			.regex(/^(UTC|[A-Za-z_]+(\/[A-Za-z_-]+)+)$/, 'must be UTC or the name of a region: Area/Location')
			.optional()
			.describe(
				'Time zone of dates and days in masks and filters, whatever zone a session sets: `UTC`, or a region such as `Europe/Berlin`. Default: the one that the server gives to `user`.',
			),
		physicalReplication: z
			.boolean()
			.optional()
			.describe(
				'Whether `replicate` on this database also lets somebody copy the whole server (physical replication). Default: only for the name `replication`.',
			),
		tls: serverTls
			.optional()
			.describe('TLS towards the server. Default: as below; for a loopback address or a Unix socket none.'),
		pool: z
			.strictObject({
				mode: z
					.enum(['session', 'transaction'])
					.default('session')
					.describe('How long a client keeps its server connection: see docs/pooling.md.'),
				size: count(1).default(20).describe('Server connections at a time.'),
				reuse: z
					.boolean()
					.default(false)
					.describe(
						'Session mode: a server connection is not closed behind its client but reset (`DISCARD ALL`) and kept for the next with the same role and startup parameters, if all that the client left is known to be gone then: see docs/pooling.md.',
					),
				reserve: count(0)
					.default(0)
					.describe('Transaction mode: so many more, for clients that have waited for `reserveAfterMs`.'),
				reserveAfterMs: wait(0).default(1_000).describe('How long a client waits before the reserve is for it too.'),
				statementsMax: count(1)
					.default(500)
					.describe('Transaction mode: prepared statements that a server connection keeps, whoever prepared them.'),
				idleMs: count(0)
					.default(600_000)
					.describe(
						'Transaction mode, or `reuse`: how long nobody needs a server connection before it is closed; 0: never.',
					),
				checkAfterMs: count(0)
					.default(30_000)
					.describe(
						'Transaction mode, or `reuse`: a server connection that was idle for so long is tried before it is used.',
					),
				userCode: z
					.enum(['pin', 'reset'])
					.default('pin')
					.describe(
						'Transaction mode: who runs code that the gateway does not look into (functions, triggers, DO) keeps the server connection (`pin`), or it is reset behind the transaction (`reset`). With `reuse`: it is closed behind its client (`pin`), or reset (`reset`).',
					),
				sequences: z
					.enum(['transaction', 'pin'])
					.default('transaction')
					.describe(
						'Transaction mode: whether `currval` holds until another client has had the server connection (then it is an error, 55000), or who takes a number from a sequence keeps the server connection.',
					),
				trusted: z
					.array(text)
					.default([])
					.describe(
						'Transaction mode, or `reuse`: functions, and relations with triggers, whose code leaves nothing in the session: `schema.name` or `schema.*`.',
					),
			})
			.prefault({})
			.describe('Connections to the server.'),
		...shardKeys,
		limits: databaseLimits.prefault({}).describe('Limits of sessions of this database.'),
	})
	.refine(hasHost, { path: ['host'], error: 'missing', when: () => true });

const admin = z.strictObject({
	host: text.default('127.0.0.1').describe('Address of the admin port.'),
	port: port(0).default(9432).describe('The admin port; 0 takes a free one.'),
});

const tracing = z.strictObject({
	endpoint: z
		.url({ protocol: /^https?$/ })
		.describe(
			'Where an OpenTelemetry collector takes traces (OTLP over HTTP), e.g. `http://localhost:4318/v1/traces`.',
		),
	authorization: secret.optional().describe('Value of the Authorization header that it asks for.'),
	sampleRatio: z
		.number()
		.min(0)
		.max(1)
		.default(0)
		.describe('Share of statements that begin a trace, of those that no comment with a `traceparent` gives one.'),
	statementText: z
		.enum(['on', 'off'])
		.default('off')
		.describe('Whether the text goes with it, as the client wrote it, and so the values that it wrote into it.'),
});

const mib = 1024 * 1024;

/** Each is a process with some 100 MB of its own. */
export const workersMax = 64;

const limits = z.strictObject({
	sessionsMax: count(1).default(5_000).describe('Client sessions at a time, over all databases.'),
	connectingPerAddressMax: count(0)
		.default(500)
		.describe(
			'Connections of one address (/64 for IPv6) that have not signed in, at a time; further ones are cut, so that nobody can use up `sessionsMax` without signing in. 0: as many as there is room for.',
		),
	loginTimeoutMs: wait(1).default(60_000).describe('From the first byte of a client until it has signed in.'),
	loginWaitMs: wait(1).default(900_000).describe('The same while a person approves the login in a browser.'),
	idleTimeoutMs: count(0)
		.default(0)
		.describe('How long a client may be silent outside of a transaction; 0 switches it off.'),
	sessionsPerUserMax: count(0)
		.default(0)
		.describe('Client sessions of one user at a time, over all databases; 0: as many as there is room for.'),
	queryTimeoutMs: count(0)
		.default(0)
		.describe(
			'How long a statement, or a pipeline up to its Sync, may run before it is cancelled (57014); 0: as long as it likes.',
		),
	transactionTimeoutMs: count(0)
		.default(0)
		.describe('How long a transaction may last before its session is ended (25P04); 0: as long as it likes.'),
	idleTransactionTimeoutMs: count(0)
		.default(0)
		.describe('How long a client may be silent inside of a transaction (25P03); 0 switches it off.'),
	backendLifetimeMs: count(0)
		.default(0)
		.describe('Age of a server connection at which a session that is idle is ended to give it up (57P01); 0: none.'),
	drainNoticeMs: wait(0)
		.default(0)
		.describe('At the end: how long clients are still let in after readiness has gone down, so that balancers notice.'),
	workerPatienceMs: wait(0)
		.default(30_000)
		.describe(
			'With several workers: how long one may not answer the supervisor before it is killed and started again; 0: for ever.',
		),
	drainTimeoutMs: wait(0)
		.default(20_000)
		.describe('At the end: how long transactions under way may take to finish before they are cut off (57P01).'),
	queryBytesMax: count(1_024)
		.default(16 * mib)
		.describe('Largest statement text, in a Query or Parse message.'),
	bindBytesMax: count(1_024)
		.default(64 * mib)
		.describe('Largest Bind or FunctionCall message, parameter values included.'),
	longMessagesBytesMax: count(mib)
		.default(1024 * mib)
		.describe(
			'What messages of more than 256 kB of all clients of a worker may take together until they are passed on (53200); one user may have half of it.',
		),
	sqlBytesMax: count(1_024)
		.default(4 * mib)
		.describe(
			'Largest statement text that is analysed (54000); a megabyte takes some 0.1 to 0.6 s, up to 0.9 s if it is all short tokens and reads what the policy protects, in a thread of its own. It may have a quarter as many words and signs, or a million, and the definitions of the views that it reads may be as long as that in all.',
		),
	sqlThreadLengthMin: count(0)
		.default(16_384)
		.describe(
			'Characters from which on a statement text is analysed in a thread, so that sessions of that worker need not wait for it; one text at a time, users take turns.',
		),
	sqlWaitingLengthMax: count(1)
		.default(256 * mib)
		.describe('Characters of all texts that wait for that thread (53400); one user may have half of it.'),
	sqlAnalysisMs: wait(1).default(30_000).describe('How long the analysis of one text may take in that thread (54001).'),
	sqlStatementsMax: count(1).default(10_000).describe('Statements in the text of one Query (54000).'),
	sqlReadsMax: count(1)
		.default(2_000)
		.describe('Places in which one statement may read relations that the policy protects (54001).'),
	sqlHiddenColumnsMax: count(1)
		.default(100_000)
		.describe(
			'Hidden columns that the gateway keeps out of what one statement reads of the catalogues, each counted in each place (54001).',
		),
	statementsMax: count(1).default(10_000).describe('Prepared statements of one session.'),
	statementBytesMax: count(1_024)
		.default(64 * mib)
		.describe('Text of all prepared statements of one session; and as much of its named portals.'),
	portalsMax: count(1).default(1_000).describe('Portals (cursors of the protocol) of one session.'),
	startupBytesMax: count(100)
		.max(10_000)
		.default(10_000)
		.describe('First packet of a client: user, database, settings. PostgreSQL takes no more than 10000 bytes.'),
	startupSettingsMax: count(0).default(100).describe('Settings that a client may ask for in that packet (54000).'),
	outboxBytesMax: count(1)
		.default(262_144)
		.describe('Bytes of a client that wait for the audit log or for its server before it is read no further.'),
	pendingRepliesMax: count(1)
		.default(10_000)
		.describe('Messages of a client that wait for their answers before it is read no further.'),
	// TCP_KEEPIDLE is at most 32767 seconds.
	keepAliveMs: count(0)
		.max(32_767_000, 'must be at most 32767000 (9 hours)')
		.default(60_000)
		.describe(
			'Silence of a connection, to a client or to a server, after which TCP asks whether the other side is there: ten times, a second apart, then it is lost. 0: when the system does, after hours.',
		),
	connectTimeoutMs: wait(1).default(10_000).describe('Connecting and signing in to a server.'),
	poolWaitMs: wait(1).default(5_000).describe('Waiting for a free server connection.'),
	channelsMax: count(1)
		.default(10_000)
		.describe('Channels that one session of a pool in transaction mode may listen to (54000).'),
	notifyBytesMax: count(10_000)
		.default(mib)
		.describe(
			'Notifications that wait for one client of a pool in transaction mode, because it does not read or is in a transaction, before its session is ended (54000).',
		),
	poolWaitersMax: count(0).default(1_000).describe('Clients that may wait for one pool; the next is refused at once.'),
	hostCheckMs: wait(100).default(1_000).describe('Between two questions to each of several hosts what it is.'),
	hostTimeoutMs: wait(100)
		.default(3_000)
		.describe('A host that has not answered such a question after this time is down.'),
	failoverWaitMs: wait(0)
		.default(60_000)
		.describe('How long clients wait while none of several hosts is what they need (57P03); 0: not at all.'),
	lingerMs: wait(0).default(60_000).describe('How long a server may go on with the query of a client that has left.'),
});

/** What portcullis.yaml holds. Unknown keys are errors at every level. */
export const configSchema = z.strictObject({
	workers: z
		.union([count(1).max(workersMax), z.literal('auto')], {
			error: `must be a number from 1 to ${workersMax}, or auto`,
		})
		.default(1)
		.describe(
			'Processes that serve clients on the one port, each on a core of its own: see docs/operating.md. `auto`: as many as there are cores. `1`: no other processes.',
		),
	listen: listen.prefault({}).describe('Where clients connect to.'),
	identity: identity.describe('Who may sign in, and how.'),
	databases: z
		.record(text, database)
		.refine((databases) => Object.keys(databases).length > 0, 'must hold at least one database')
		.describe('Databases, by the name that clients connect to.'),
	policies: text.default('./policies').describe('Folder with model.conf, policy.csv and masks.yaml.'),
	policyWatcher: watcherSchema
		.optional()
		.describe(
			'Several gateways with one policy tell each other when it changes. Without it each follows its own files alone.',
		),
	audit: auditSchema.prefault({}).describe('The audit log.'),
	admin: admin.optional().describe('Health, metrics and console. Without it there is no admin port.'),
	tracing: tracing.optional().describe('Traces of statements. Without it there are none.'),
	limits: limits.prefault({}).describe('Limits; times in milliseconds, sizes in bytes.'),
});

/** The file as written, with defaults filled in; paths and secrets still as they stand. */
export type RawConfig = z.output<typeof configSchema>;
