/** Opens the audit log that the configuration describes, with its sinks. */
import type { Writable } from 'node:stream';
import { AuditLog } from '../audit/log.ts';
import { makeSink, type SinkSettings } from '../audit/sinks/make.ts';
import type { AuditConfig, SinkConfig } from '../config/config.ts';
import { unreachable } from '../errors.ts';
import type { SessionLog } from '../session/services.ts';
import { version } from './version.ts';

interface Surroundings {
	readonly log: SessionLog;
	readonly now: () => number;
	readonly stdout: Writable;
}

/** Throws what AuditLog.open throws. */
export async function openAudit(config: AuditConfig, { log, now, stdout }: Surroundings): Promise<AuditLog> {
	const { path, durability, parameters, segmentBytesMax, segmentAgeMaxMs, compress, keepMs, keepBytes } = config;
	const sinks = await Promise.all(
		config.sinks.map(async (one) => ({
			sink: await makeSink(sinkSettings(one), { stdout }),
			spoolBytesMax: one.spoolBytesMax,
		})),
	);
	return AuditLog.open({
		path,
		durability,
		parameters,
		now,
		key: config.key?.reveal() ?? null,
		productVersion: version(),
		limits: { segmentBytesMax, segmentAgeMaxMs },
		retention: { compress, keepMs, keepBytes },
		sinks,
		onTrouble: (what, error) => {
			if (error === null) log.info({}, `${what} goes on`);
			else log.error({ problem: error.message }, `${what} fails; what waits is kept`);
		},
	});
}

function sinkSettings(config: SinkConfig): SinkSettings {
	const tls = config.tls === null ? null : given({ ca: config.tls.ca, cert: config.tls.cert, key: config.tls.key });
	const { type, host, port, servers, subject, database, schema, table } = config;
	const password = config.password?.reveal() ?? null;
	switch (type) {
		case 'stdout':
			return { type };
		case 'syslog':
			return { type, host, port, tls, ...given({ facility: config.facility }) };
		case 'otlp': {
			const headers = Object.fromEntries(Object.entries(config.headers).map(([name, value]) => [name, value.reveal()]));
			return { type, url: config.url, headers };
		}
		case 'nats':
			return {
				type,
				servers,
				tls,
				subjectPrefix: subject,
				...given({ user: config.user, password, token: config.token?.reveal() ?? null }),
			};
		case 'kafka': {
			const { topic, mechanism, compression, user } = config;
			return { type, brokers: servers, topic, tls, mechanism, compression, ...given({ user, password }) };
		}
		case 'postgres':
			return { type, host, port, database, user: config.user ?? '', tls, schema, table, ...given({ password }) };
		default:
			return unreachable(type);
	}
}

/** Without what is null. */
function given<T extends Record<string, unknown>>(of: T): { [Key in keyof T]?: NonNullable<T[Key]> } {
	return Object.fromEntries(Object.entries(of).filter(([, value]) => value !== null)) as {
		[Key in keyof T]?: NonNullable<T[Key]>;
	};
}
