/** `portcullis serve`: runs the gateway until it is told to stop. */
import pino from 'pino';
import { loadConfig } from '../config/load.ts';
import type { SessionLog } from '../session/services.ts';
import { startGateway } from './gateway.ts';
import { tuneHeap } from './heap.ts';
import type { CommandIo } from './io.ts';
import { version } from './version.ts';

export interface ServeOptions {
	readonly config: string;
	/** Where SIGHUP, SIGTERM and SIGINT come from. */
	readonly signals: Pick<NodeJS.Process, 'on' | 'off'>;
	/** JSON lines; default: pino on standard error. */
	readonly log?: SessionLog;
}

/** Resolves with the exit status once the gateway has stopped. Throws what `loadConfig` and `startGateway` throw. */
export async function serve(io: CommandIo, options: ServeOptions): Promise<number> {
	tuneHeap();
	const config = await loadConfig(options.config, io.env);
	const log = options.log ?? operatorLog();
	const gateway = await startGateway(config, { log, loadConfig: () => loadConfig(options.config, io.env) });
	const names = config.databases.map(({ name }) => name).join(', ');
	const { host, port } = gateway;
	io.out(`portcullis ${version()} listens on ${host}:${port} for ${names}\n`);
	const { adminPort } = gateway;
	if (config.admin !== null) io.out(`health and metrics on http://${config.admin.host}:${adminPort}\n`);
	const fields = { host, port, databases: config.databases.length, tls: config.listen.tls?.mode ?? 'off' };
	log.info({ ...fields, admin: adminPort }, 'listening');
	const { signals } = options;
	const reload = (): void => {
		gateway
			.reload()
			.catch((error: unknown) => log.error({ error }, 'configuration and policy could not be read again'));
	};
	signals.on('SIGHUP', reload);
	try {
		const signal = await firstSignal(signals);
		// Nobody listens for a second one any more, so it ends the process at once.
		const { drainNoticeMs, drainTimeoutMs } = config.limits;
		log.info(
			{ signal, drainNoticeMs, drainTimeoutMs },
			'draining: transactions under way may finish; a second signal ends them',
		);
		await gateway.close();
		log.info({}, 'stopped');
		return 0;
	} finally {
		signals.off('SIGHUP', reload);
	}
}

/** JSON lines on standard error, written at once: the last line before a crash is the one that matters. */
function operatorLog(): SessionLog {
	const { err } = pino.stdSerializers;
	const options = { base: null, serializers: { error: err, err }, timestamp: pino.stdTimeFunctions.isoTime };
	return pino({ ...options, level: 'info' }, pino.destination({ fd: 2, sync: true }));
}

async function firstSignal(signals: Pick<NodeJS.Process, 'on' | 'off'>): Promise<string> {
	return new Promise((resolve) => {
		const stop = (signal: string): void => {
			signals.off('SIGTERM', stop);
			signals.off('SIGINT', stop);
			resolve(signal);
		};
		signals.on('SIGTERM', stop);
		signals.on('SIGINT', stop);
	});
}
