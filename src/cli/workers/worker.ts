/** A worker: a whole gateway that starts, reloads and drains when its supervisor says so, and drains when there is none any more. */
import { inspect } from 'node:util';
import type { Config } from '../../config/config.ts';
import type { SessionLog } from '../../session/services.ts';
import { type Gateway, startGateway } from '../gateway.ts';
import type { CommandIo } from '../io.ts';
import { describeFailure } from '../problem.ts';
import { LinkedBus } from './bus.ts';
import type { SessionsLink } from './counts.ts';
import { isOfBus, isOfPlaces, isOfSessions, type ToWorker } from './messages.ts';
import type { PlacesToWorker } from './place-messages.ts';
import type { Seat } from './processes.ts';
import type { SessionsToWorker } from './session-book.ts';
import type { PlacesLink } from './shares.ts';

export interface WorkOptions {
	readonly seat: Seat;
	/** Reads the configuration. */
	readonly loadConfig: () => Promise<Config>;
	readonly signals: Pick<NodeJS.Process, 'on' | 'off'>;
	readonly log: SessionLog;
}

/** Also a terminal and systemd send them to every process; only the supervisor acts on them. */
const supervisors = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2'] as const;

/** Resolves with the exit status when the worker is done. The supervisor is told what goes wrong at the start. */
export async function work(io: CommandIo, options: WorkOptions): Promise<number> {
	const { seat, signals, log } = options;
	const ignore = (): void => undefined;
	for (const signal of supervisors) signals.on(signal, ignore);
	const orders = new Orders(options);
	try {
		const config = await options.loadConfig();
		const gateway = await start(config, options, orders);
		const { host, port, adminPort } = gateway;
		const { drainNoticeMs, drainTimeoutMs } = config.limits;
		orders.serve(gateway);
		seat.send({ type: 'listening', at: { host, port, adminPort }, drainMs: drainNoticeMs + drainTimeoutMs });
		const { notice } = await orders.drain;
		await gateway.close(undefined, { notice });
		log.info({}, 'worker stopped');
		return 0;
	} catch (error) {
		const { words, status } = describeFailure(error, {});
		if ((io.env['PORTCULLIS_DEBUG'] ?? '') !== '') io.err(`${inspect(error)}\n`);
		seat.send({ type: 'failed', words, status });
		return status;
	} finally {
		await seat.leave();
		for (const signal of supervisors) signals.off(signal, ignore);
	}
}

function start(
	config: Config,
	{ seat, loadConfig, log }: WorkOptions,
	{ bus, places, sessions }: Orders,
): Promise<Gateway> {
	// How many there are was settled when the supervisor was started.
	return startGateway({ ...config, workers: seat.workers }, { log, loadConfig, bus, places, sessions });
}

/** What the supervisor says, from the first moment on. */
class Orders {
	readonly bus: LinkedBus;
	readonly places: PlacesLink;
	readonly sessions: SessionsLink;
	readonly drain: Promise<{ readonly notice: boolean }>;
	readonly #log: SessionLog;
	readonly #seat: Seat;
	#gateway: Gateway | null = null;
	#onPlaces: (message: PlacesToWorker) => void = () => undefined;
	#onSessions: (message: SessionsToWorker) => void = () => undefined;
	/** Said before there was anything to reload. */
	#reloadDue = false;
	#stop: (how: { readonly notice: boolean }) => void = () => undefined;

	constructor({ seat, log }: WorkOptions) {
		this.#log = log;
		this.#seat = seat;
		this.bus = new LinkedBus(
			seat.worker,
			(message) => seat.send(message),
			(topic, error) => log.error({ topic, error }, 'what another worker said could not be dealt with'),
		);
		this.places = {
			worker: seat.worker,
			workers: seat.workers,
			send: (message) => seat.send(message),
			onMessage: (handler) => {
				this.#onPlaces = handler;
			},
		};
		this.sessions = {
			send: (message) => seat.send(message),
			onMessage: (handler) => {
				this.#onSessions = handler;
			},
		};
		this.drain = new Promise((resolve) => {
			this.#stop = resolve;
		});
		seat.onMessage((message) => this.#take(message));
		seat.onAlone(() => {
			log.error({}, 'the supervisor is gone: draining');
			this.#stop({ notice: false });
		});
	}

	serve(gateway: Gateway): void {
		this.#gateway = gateway;
		if (this.#reloadDue) this.#reload();
	}

	#take(message: ToWorker): void {
		switch (message.type) {
			case 'reload':
				this.#reload();
				return;
			case 'drain':
				this.#stop(message);
				return;
			case 'ping':
				this.#seat.send({ type: 'pong' });
				return;
			default:
				// What node:cluster says to itself comes by here too.
				if (isOfBus(message)) this.bus.receive(message);
				else if (isOfPlaces(message)) this.#onPlaces(message);
				else if (isOfSessions(message)) this.#onSessions(message);
		}
	}

	#reload(): void {
		if (this.#gateway === null) {
			this.#reloadDue = true;
			return;
		}
		this.#gateway
			.reload()
			.catch((error: unknown) => this.#log.error({ error }, 'configuration and policy could not be read again'));
	}
}
