/** `portcullis serve`: runs the gateway until it is told to stop. */
import pino from 'pino';
import { lockFolder } from '../audit/lock.ts';
import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import type { SessionLog } from '../session/services.ts';
import { startGateway } from './gateway.ts';
import { tuneHeap } from './heap.ts';
import type { CommandIo } from './io.ts';
import { firstSignal, tellDraining, tellListening } from './serving.ts';
import { seatOf } from './workers/processes.ts';
import { supervise } from './workers/supervise.ts';
import { work } from './workers/worker.ts';

export interface ServeOptions {
	readonly config: string;
	/** Where SIGHUP, SIGTERM and SIGINT come from, and for a gateway with workers SIGUSR2. */
	readonly signals: Pick<NodeJS.Process, 'on' | 'off'>;
	/** JSON lines; default: pino on standard error. */
	readonly log?: SessionLog;
}

/**
 * Resolves with the exit status once the gateway has stopped. Throws what `loadConfig` and `startGateway` throw, and GatewayError F0001
 * when another gateway writes its audit log there.
 */
export async function serve(io: CommandIo, options: ServeOptions): Promise<number> {
	const { signals } = options;
	const read = (): Promise<Config> => loadConfig(options.config, io.env);
	const seat = seatOf(process);
	if (seat !== null) {
		tuneHeap();
		const log = options.log ?? operatorLog({ worker: seat.worker });
		return work(io, { seat, loadConfig: read, signals, log });
	}
	const config = await read();
	const log = options.log ?? operatorLog(null);
	// Also of two gateways with other numbers of workers, whose logs have other names.
	const folder = await lockFolder(config.audit.path);
	try {
		if (config.workers > 1) return await supervise(io, { config, loadConfig: read, signals, log });
		return await serveAlone(io, config, { ...options, log });
	} finally {
		await folder.release();
	}
}

/** Without workers: this process is the gateway. */
async function serveAlone(
	io: CommandIo,
	config: Config,
	{ signals, log, config: file }: ServeOptions & { readonly log: SessionLog },
): Promise<number> {
	tuneHeap();
	const gateway = await startGateway(config, { log, loadConfig: () => loadConfig(file, io.env) });
	tellListening(io, log, config, gateway);
	const reload = (): void => {
		gateway
			.reload()
			.catch((error: unknown) => log.error({ error }, 'configuration and policy could not be read again'));
	};
	signals.on('SIGHUP', reload);
	try {
		// Nobody listens for a second one any more, so it ends the process at once.
		tellDraining(log, config, await firstSignal(signals));
		await gateway.close();
		log.info({}, 'stopped');
		return 0;
	} finally {
		signals.off('SIGHUP', reload);
	}
}

/** JSON lines on standard error, written at once: the last line before a crash is the one that matters. */
function operatorLog(base: { readonly worker: number } | null): SessionLog {
	const { err } = pino.stdSerializers;
	const options = { base, serializers: { error: err, err }, timestamp: pino.stdTimeFunctions.isoTime };
	return pino({ ...options, level: 'info' }, pino.destination({ fd: 2, sync: true }));
}
