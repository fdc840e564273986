/** Makes sinks from settings. The client library of a sink is loaded only where one is configured. */
import type { Writable } from 'node:stream';
import { unreachable } from '../../errors.ts';
import type { KafkaMechanism } from './kafka.ts';
import type { Sink } from './sink.ts';

/** Text of PEM files, already read. */
export interface SinkTls {
	readonly ca?: string;
	readonly cert?: string;
	readonly key?: string;
}

/** One entry of `audit.sinks`. */
export type SinkSettings =
	| { readonly type: 'stdout' }
	| {
			readonly type: 'syslog';
			readonly host: string;
			readonly port: number;
			/** Null is plain TCP, for a trusted network. */
			readonly tls: SinkTls | null;
			readonly facility?: number;
	  }
	| { readonly type: 'otlp'; readonly url: string; readonly headers?: Readonly<Record<string, string>> }
	| {
			readonly type: 'nats';
			/** host:port */
			readonly servers: readonly string[];
			readonly user?: string;
			readonly password?: string;
			readonly token?: string;
			/** Null is plain TCP. */
			readonly tls: SinkTls | null;
			readonly subjectPrefix: string;
	  }
	| {
			readonly type: 'kafka';
			/** host:port */
			readonly brokers: readonly string[];
			readonly topic: string;
			/** Null is plain TCP. */
			readonly tls: SinkTls | null;
			readonly mechanism: KafkaMechanism;
			/** With it, `password`; without, no SASL. */
			readonly user?: string;
			readonly password?: string;
			readonly compression: 'none' | 'gzip';
	  }
	| {
			readonly type: 'postgres';
			readonly host: string;
			readonly port: number;
			readonly database: string;
			readonly user: string;
			readonly password?: string;
			/** Null is plain TCP. The certificate is verified with its name. */
			readonly tls: SinkTls | null;
			readonly schema?: string;
			readonly table?: string;
	  };

/** Two tries after the first fit into the time that delivery gives a batch. */
const kafkaTimeoutMs = 9_000;

export async function makeSink(settings: SinkSettings, process: { readonly stdout: Writable }): Promise<Sink> {
	switch (settings.type) {
		case 'stdout':
			return (await import('./stdout.ts')).stdoutSink(process.stdout);
		case 'syslog':
			return (await import('./syslog.ts')).syslogSink(settings);
		case 'otlp':
			return (await import('./otlp.ts')).otlpSink(settings);
		case 'nats': {
			const { servers, user, password, token, tls, subjectPrefix } = settings;
			const connection = {
				servers: [...servers],
				...(user === undefined ? {} : { user }),
				...(password === undefined ? {} : { pass: password }),
				...(token === undefined ? {} : { token }),
				...(tls === null ? {} : { tls }),
			};
			return (await import('./nats.ts')).natsSink({ connection, subjectPrefix });
		}
		case 'kafka': {
			const { brokers, topic, tls, mechanism, user, password = '', compression } = settings;
			const sasl = user === undefined ? {} : { sasl: { mechanism, username: user, password } };
			return (await import('./kafka.ts')).kafkaSink({
				settings: { brokers, topic, tls, ...sasl, compression, timeoutMs: kafkaTimeoutMs },
			});
		}
		case 'postgres': {
			const { type: _type, tls, schema, table, ...server } = settings;
			return (await import('./postgres.ts')).postgresSink({
				connection: { ...server, ssl: tls === null ? false : { ...tls } },
				...(schema === undefined ? {} : { schema }),
				...(table === undefined ? {} : { table }),
			});
		}
		default:
			return unreachable(settings);
	}
}
