/** The configuration in force: what portcullis.yaml says, with absolute paths and with secrets that do not print. Types only. */
import type { ClaimValue } from '../stages.ts';
import type { RawConfig } from './schema.ts';
import type { Secret } from './secret.ts';

export interface ListenConfig {
	readonly host: string;
	readonly port: number;
	/** Null when the mode is off. */
	readonly tls: ListenTlsConfig | null;
	/** Other gateways that cancel requests are handed on to. */
	readonly peers: readonly PeerConfig[];
}

/** Another gateway. */
export interface PeerConfig {
	readonly host: string;
	readonly port: number;
	readonly tls: ServerTlsConfig;
}

/** TLS to a server of the gateway's. */
export interface ServerTlsConfig {
	readonly mode: 'disable' | 'require' | 'verify-ca' | 'verify-full';
	/** PEM text. */
	readonly ca: string | null;
	/** PEM text. */
	readonly cert: string | null;
	/** PEM text. */
	readonly key: Secret | null;
}

/** Paths are absolute, of readable files. */
export interface ListenTlsConfig {
	readonly mode: 'require' | 'allow';
	readonly cert: string;
	readonly key: string;
	readonly clientCa: string | null;
	readonly clientCrl: string | null;
	readonly clientName: 'cn' | 'dns' | 'email' | 'uri';
}

export interface UserConfig {
	readonly name: string;
	/** The verifier, `SCRAM-SHA-256$...`. */
	readonly password: Secret | null;
	readonly certificate: boolean;
	readonly roles: readonly string[];
	readonly claims: Readonly<Record<string, ClaimValue>>;
	/** Its sessions at a time; 0: as many as there is room for. Null: as for everybody. */
	readonly sessionsMax: number | null;
}

export interface IssuerConfig {
	readonly issuer: string;
	readonly audience: readonly string[];
	readonly clientId: string | null;
	readonly clientSecret: Secret | null;
	readonly scopes: readonly string[];
	readonly parameters: Readonly<Record<string, string>>;
	readonly username: string;
	readonly prefix: string;
	readonly workloads: { readonly username: string; readonly prefix: string } | null;
	readonly groups: string | null;
	readonly claims: readonly string[];
	readonly requiredScopes: readonly string[];
	readonly introspection: {
		readonly clientId: string;
		readonly clientSecret: Secret;
		readonly always: boolean;
		readonly everyMs: number;
	} | null;
}

/** Where a database, or a shard of one, is. */
export interface HostsConfig {
	/** The first of `hosts`; empty where only Patroni or the shards know. */
	readonly host: string;
	readonly port: number;
	readonly hosts: readonly { readonly host: string; readonly port: number }[];
	readonly targetSessionAttrs: 'any' | 'read-write' | 'read-only' | 'primary' | 'standby' | 'prefer-standby';
	/** Null: however far behind. */
	readonly lagMaxMs: number | null;
	readonly patroni: {
		readonly urls: readonly string[];
		/** PEM text. */
		readonly tls: { readonly ca: string | null; readonly cert: string | null; readonly key: Secret | null };
		/** Value of the Authorization header. */
		readonly authorization: Secret | null;
	} | null;
}

export interface ShardsConfig {
	readonly shards: Readonly<Record<string, HostsConfig & { readonly dbname: string | null }>>;
	readonly by: {
		readonly by: 'parameter' | 'user' | 'claim';
		/** There with `claim`. */
		readonly claim: string | null;
		/** Null: the value is the name of the shard. */
		readonly map: Readonly<Record<string, string>> | null;
		/** Null: who has no shard is refused. */
		readonly default: string | null;
	};
}

export interface DatabaseConfig extends HostsConfig {
	/** The name that clients connect to. */
	readonly name: string;
	/** Null: it is one cluster. */
	readonly sharded: ShardsConfig | null;
	readonly dbname: string;
	readonly user: string;
	readonly password: Secret | null;
	/** Who signs in at the server, by NAME of `role:NAME` in the policy; the first that somebody has holds. */
	readonly users: Readonly<Record<string, BackendUserConfig>>;
	readonly allowPassword: readonly ('cleartext' | 'md5')[];
	readonly tellUser: readonly ('setting' | 'user' | 'application_name')[];
	/** Physical replication, of the whole server, may go by this database's name. */
	readonly physicalReplication: boolean;
	/** Of dates in masks and filters; null: the one that the server gives to `user`. */
	readonly timeZone: string | null;
	readonly tls: ServerTlsConfig;
	readonly pool: PoolConfig;
	readonly limits: DatabaseLimits;
}

/** Of transaction mode alone: everything but mode and size; with `reuse` some of it in session mode too (docs/configuration.md). */
export interface PoolConfig {
	readonly mode: 'session' | 'transaction';
	readonly size: number;
	/** Session mode: a server connection goes on to the next client. */
	readonly reuse: boolean;
	readonly reserve: number;
	readonly reserveAfterMs: number;
	readonly statementsMax: number;
	readonly idleMs: number;
	readonly checkAfterMs: number;
	readonly userCode: 'pin' | 'reset';
	readonly sequences: 'transaction' | 'pin';
	readonly trusted: readonly string[];
}

export interface BackendUserConfig {
	readonly user: string;
	readonly password: Secret | null;
}

export interface DatabaseLimits {
	/** 0: as many as there is room for. */
	readonly sessionsMax: number;
	readonly queryTimeoutMs: number;
	readonly transactionTimeoutMs: number;
	readonly idleTransactionTimeoutMs: number;
	readonly backendLifetimeMs: number;
}

export interface AuditConfig {
	/** Absolute path of the folder. */
	readonly path: string;
	readonly durability: 'os' | 'disk';
	readonly key: Secret | null;
	readonly parameters: 'on' | 'off';
	readonly segmentBytesMax: number;
	readonly segmentAgeMaxMs: number;
	readonly compress: boolean;
	/** Null: for ever. */
	readonly keepMs: number | null;
	/** Null: any size. */
	readonly keepBytes: number | null;
	readonly sinks: readonly SinkConfig[];
}

/** Only what belongs to its type means anything. */
export interface SinkConfig {
	readonly type: 'stdout' | 'syslog' | 'otlp' | 'nats' | 'kafka' | 'postgres';
	readonly spoolBytesMax: number;
	readonly host: string;
	readonly port: number;
	readonly url: string;
	readonly headers: Readonly<Record<string, Secret>>;
	readonly servers: readonly string[];
	readonly subject: string;
	readonly topic: string;
	/** SASL, where there is a user. */
	readonly mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512';
	readonly compression: 'none' | 'gzip';
	readonly database: string;
	readonly schema: string;
	readonly table: string;
	readonly user: string | null;
	readonly password: Secret | null;
	readonly token: Secret | null;
	readonly facility: number | null;
	/** PEM text; null for plain TCP. */
	readonly tls: { readonly ca: string | null; readonly cert: string | null; readonly key: string | null } | null;
}

/** How gateways tell each other that the policy has changed. */
export interface PolicyWatcherConfig {
	/** Null: host name and port. */
	readonly name: string | null;
	readonly channel: string;
	readonly differAfterMs: number;
	readonly over:
		| { readonly type: 'database'; readonly database: string }
		| ({ readonly type: 'postgres'; readonly dbname: string; readonly user: string } & WatcherServer)
		| ({ readonly type: 'redis'; readonly user: string | null } & WatcherServer);
}

interface WatcherServer {
	readonly host: string;
	readonly port: number;
	readonly password: Secret | null;
	readonly tls: ServerTlsConfig;
}

/** Frozen, all the way down. */
export interface Config {
	/** Absolute path of the file; relative paths in it are relative to its folder. */
	readonly file: string;
	/** Processes that serve clients. */
	readonly workers: number;
	readonly listen: ListenConfig;
	readonly identity: {
		readonly login: 'password' | 'oauthbearer' | 'device';
		readonly issuers: readonly IssuerConfig[];
		readonly users: readonly UserConfig[];
		readonly expiry: { readonly action: 'end' | 'refuse' | 'refresh'; readonly graceMs: number };
	};
	/** In the order of the file. */
	readonly databases: readonly DatabaseConfig[];
	/** Absolute path of the folder. */
	readonly policies: string;
	/** Null: there is none. */
	readonly policyWatcher: PolicyWatcherConfig | null;
	readonly audit: AuditConfig;
	readonly admin: { readonly host: string; readonly port: number } | null;
	readonly tracing: {
		readonly endpoint: string;
		/** Value of the Authorization header. */
		readonly authorization: Secret | null;
		readonly sampleRatio: number;
		readonly statementText: 'on' | 'off';
	} | null;
	readonly limits: Readonly<RawConfig['limits']>;
	/** What is allowed but likely not meant, for the operator. */
	readonly warnings: readonly string[];
}
