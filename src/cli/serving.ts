/** What an operator sees of a gateway that starts and stops, with workers or without. */
import type { Config } from '../config/config.ts';
import type { SessionLog } from '../session/services.ts';
import type { CommandIo } from './io.ts';
import { version } from './version.ts';
import type { Listening } from './workers/messages.ts';

export type Signals = Pick<NodeJS.Process, 'on' | 'off'>;

export function tellListening(io: CommandIo, log: SessionLog, config: Config, at: Listening): void {
	const { host, port, adminPort } = at;
	const { databases, workers, admin } = config;
	const names = databases.map(({ name }) => name).join(', ');
	const by = workers === 1 ? '' : `, with ${workers} workers`;
	io.out(`portcullis ${version()} listens on ${host}:${port} for ${names}${by}\n`);
	if (admin !== null) io.out(`health and metrics on http://${admin.host}:${adminPort}\n`);
	const fields = { host, port, databases: databases.length, tls: config.listen.tls?.mode ?? 'off', admin: adminPort };
	log.info(workers === 1 ? fields : { ...fields, workers }, 'listening');
}

export function tellDraining(log: SessionLog, { limits }: Config, signal: string): void {
	const { drainNoticeMs, drainTimeoutMs } = limits;
	const fields = { signal, drainNoticeMs, drainTimeoutMs };
	log.info(fields, 'draining: transactions under way may finish; a second signal ends them');
}

/** SIGTERM or SIGINT; nobody listens for another one then. */
export async function firstSignal(signals: Signals): Promise<'SIGTERM' | 'SIGINT'> {
	return new Promise((resolve) => {
		const stop = (signal: 'SIGTERM' | 'SIGINT'): void => {
			signals.off('SIGTERM', stop);
			signals.off('SIGINT', stop);
			resolve(signal);
		};
		signals.on('SIGTERM', stop);
		signals.on('SIGINT', stop);
	});
}
