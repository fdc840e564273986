/** Opens the audit log that the configuration describes, with its sinks, and keeps those that nobody writes any more. */
import type { Writable } from 'node:stream';
import { AuditLog, type AuditStats } from '../audit/log.ts';
import { listLogs, logPlace, ownLogName, workerLogName } from '../audit/logs.ts';
import { makeSink, type SinkSettings } from '../audit/sinks/make.ts';
import type { AuditConfig, SinkConfig } from '../config/config.ts';
import { unreachable } from '../errors.ts';
import type { SessionLog } from '../session/services.ts';
import { version } from './version.ts';

export interface AuditSurroundings {
	readonly log: SessionLog;
	/** Milliseconds since the epoch. */
	readonly now: () => number;
	readonly stdout: Writable;
	/** Which worker this is, from 1, and of how many. By default the only one, whose log lies in the folder itself. */
	readonly worker?: number;
	readonly workers?: number;
}

/** The log of this worker. Throws what AuditLog.open throws. */
export function openAudit(config: AuditConfig, around: AuditSurroundings): Promise<AuditLog> {
	const { worker = 1, workers = 1 } = around;
	return openLog(config, around, workers === 1 ? ownLogName : workerLogName(worker));
}

async function openLog(config: AuditConfig, around: AuditSurroundings, name: string): Promise<AuditLog> {
	const { durability, parameters, segmentBytesMax, segmentAgeMaxMs, compress, keepMs, keepBytes } = config;
	const { log, now, stdout, workers = 1 } = around;
	const { directory, worker } = logPlace(config.path, name);
	const sinks = await Promise.all(
		config.sinks.map(async (one) => ({
			sink: await makeSink(sinkSettings(one), { stdout }),
			spoolBytesMax: one.spoolBytesMax,
		})),
	);
	const which = name === ownLogName ? {} : { log: name };
	return AuditLog.open({
		path: directory,
		durability,
		parameters,
		now,
		key: config.key?.reveal() ?? null,
		productVersion: version(),
		limits: { segmentBytesMax, segmentAgeMaxMs },
		retention: { compress, keepMs, keepBytes },
		sinks,
		family: { folder: config.path, name, worker, workers },
		onTrouble: (what, error) => {
			if (error === null) log.info(which, `${what} goes on`);
			else log.error({ ...which, problem: error.message }, `${what} fails; what waits is kept`);
		},
	});
}

/** Logs that nobody writes any more, kept as the configuration says. */
export interface FormerLogs {
	/** Of those that are open. */
	readonly stats: readonly AuditStats[];
	close(): Promise<void>;
}

/** Between two tries to open a log that could not be. */
const retryMs = 60_000;

/**
 * Logs in the folder that no worker of this gateway writes: of workers that there are no more, or of the time before there were any.
 * Their sinks get what they have not got yet, and they are packed and removed as the others are, with a record in the log itself. For
 * the first worker to do; it is no error when it cannot be done, and it is tried again.
 */
export function keepFormerLogs(config: AuditConfig, around: AuditSurroundings): FormerLogs {
	const { workers = 1 } = around;
	const written = new Set(
		workers === 1 ? [ownLogName] : Array.from({ length: workers }, (_, at) => workerLogName(at + 1)),
	);
	const { compress, keepMs, keepBytes, sinks } = config;
	const idle = !compress && keepMs === null && keepBytes === null && sinks.length === 0;
	const former = idle ? [] : listLogs(config.path).filter(({ name }) => !written.has(name));
	const keepers = former.map(({ name }) => new FormerLog(name, () => openLog(config, around, name), around.log));
	return {
		get stats() {
			return keepers.flatMap(({ stats }) => stats ?? []);
		},
		close: async () => {
			await Promise.all(keepers.map((keeper) => keeper.close()));
		},
	};
}

class FormerLog {
	readonly #name: string;
	readonly #open: () => Promise<AuditLog>;
	readonly #log: SessionLog;
	#audit: AuditLog | null = null;
	#timer: NodeJS.Timeout | null = null;
	#opening: Promise<void>;
	#closed = false;

	constructor(name: string, open: () => Promise<AuditLog>, log: SessionLog) {
		this.#name = name;
		this.#open = open;
		this.#log = log;
		this.#opening = this.#try();
	}

	get stats(): AuditStats | null {
		return this.#audit?.stats ?? null;
	}

	async close(): Promise<void> {
		this.#closed = true;
		if (this.#timer !== null) clearTimeout(this.#timer);
		await this.#opening;
		await this.#audit?.close();
	}

	async #try(): Promise<void> {
		try {
			const audit = await this.#open();
			this.#audit = audit;
			this.#log.info({ log: this.#name }, 'keeps an audit log that no worker writes any more');
		} catch (error) {
			const problem = error instanceof Error ? error.message : String(error);
			this.#log.warn({ log: this.#name, problem }, 'an audit log that no worker writes any more cannot be kept');
			if (this.#closed) return;
			this.#timer = setTimeout(() => {
				this.#opening = this.#try();
			}, retryMs).unref();
		}
	}
}

/** The log's own numbers, with what sinks have still to get of the former ones. */
export function withFormer(own: AuditStats, former: readonly AuditStats[]): AuditStats {
	if (former.length === 0) return own;
	const sinks = own.sinks.map((sink) => {
		const same = former.flatMap((stats) => stats.sinks.filter((other) => other.sink === sink.sink));
		const sum = (value: (of: AuditStats['sinks'][number]) => number): number =>
			same.reduce((total, one) => total + value(one), value(sink));
		return {
			...sink,
			delivered: sum(({ delivered }) => delivered),
			retries: sum(({ retries }) => retries),
			lagRecords: sum(({ lagRecords }) => lagRecords),
			lagBytes: sum(({ lagBytes }) => lagBytes),
			lastError: [sink, ...same].find(({ lastError }) => lastError !== null)?.lastError ?? null,
		};
	});
	return { ...own, sinks };
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
