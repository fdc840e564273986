/** `portcullis serve` with workers: this process starts them, and does for all of them what an operator asks for by a signal. */
import type { Config } from '../../config/config.ts';
import { ConfigError } from '../../config/document.ts';
import type { SessionLog } from '../../session/services.ts';
import type { CommandIo } from '../io.ts';
import { firstSignal, type Signals, tellDraining, tellListening } from '../serving.ts';
import { processStarter } from './processes.ts';
import { Supervisor } from './supervisor.ts';

interface SuperviseOptions {
	readonly config: Config;
	/** Reads it again. */
	readonly loadConfig: () => Promise<Config>;
	readonly signals: Signals;
	readonly log: SessionLog;
}

/** Resolves with the exit status once all workers have ended. Throws CommandError when they do not come up. */
export async function supervise(
	io: CommandIo,
	{ config, loadConfig, signals, log }: SuperviseOptions,
): Promise<number> {
	const { workers, limits } = config;
	const patienceMs = limits.workerPatienceMs;
	const supervisor = new Supervisor({ workers, start: processStarter(), log, patienceMs });
	const reload = (): void => supervisor.reload();
	const restart = (): void => void rollingRestart(supervisor, loadConfig, log);
	// From the start on: what the defaults do with them would leave workers behind.
	signals.on('SIGHUP', reload);
	signals.on('SIGUSR2', restart);
	const stopped = firstSignal(signals);
	try {
		const at = await Promise.race([supervisor.start(), stopped.then(() => null)]);
		if (at !== null) tellListening(io, log, config, at);
		tellDraining(log, config, await stopped);
		const endAll = (signal: NodeJS.Signals): void => {
			supervisor.kill();
			signals.off('SIGTERM', endAll);
			signals.off('SIGINT', endAll);
			// Nobody listens for it any more.
			process.kill(process.pid, signal);
		};
		signals.on('SIGTERM', endAll);
		signals.on('SIGINT', endAll);
		await supervisor.stop();
		signals.off('SIGTERM', endAll);
		signals.off('SIGINT', endAll);
		log.info({}, 'stopped');
		return 0;
	} finally {
		signals.off('SIGHUP', reload);
		signals.off('SIGUSR2', restart);
	}
}

/** A configuration that cannot be used would leave the gateway with a worker less. */
async function rollingRestart(
	supervisor: Supervisor,
	loadConfig: () => Promise<Config>,
	log: SessionLog,
): Promise<void> {
	try {
		await loadConfig();
	} catch (error) {
		const problems = error instanceof ConfigError ? error.message.split('\n') : [String(error)];
		log.error({ problems }, 'configuration cannot be used: no worker is restarted');
		return;
	}
	await supervisor.restart();
}
