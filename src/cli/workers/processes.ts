/** Workers as processes of node:cluster: the same command line once more, with a number, sharing the supervisor's ports. */
import cluster from 'node:cluster';
import { Handing } from './handing.ts';
import type { FromWorker, ToWorker } from './messages.ts';

/** One process, from its start to its end. */
export interface WorkerProcess {
	readonly pid: number;
	/** Does nothing once it is gone. */
	send(message: ToWorker): void;
	/** At once, by SIGKILL. */
	kill(): void;
	/** Whether it gets no new connections for now. */
	rest(silent: boolean): void;
	readonly onMessage: (handler: (message: FromWorker) => void) => void;
	/** Called once, with how it ended in words, after the last of what it said. */
	readonly onExit: (handler: (how: string) => void) => void;
}

/** Starts worker `worker` of `workers`. */
export type StartWorker = (worker: number, workers: number) => WorkerProcess;

const variable = 'PORTCULLIS_WORKER';

/** Connections are handed out in turn, to those that take them. */
export function processStarter(): StartWorker {
	// Else the environment may say otherwise; then the kernel chooses, and most go to the same few.
	cluster.schedulingPolicy = cluster.SCHED_RR;
	cluster.setupPrimary();
	return (number, workers) => {
		const worker = cluster.fork({ [variable]: `${number}/${workers}` });
		const { process: child } = worker;
		child.on('error', () => undefined);
		const handing = new Handing(child);
		const gone = handing.ended();
		const ended = new Promise<string>((resolve) => {
			worker.once('exit', (code, signal) => {
				const how = signal ? `signal ${signal}` : `exit status ${code}`;
				// What it said last may come after its end.
				void gone.then(() => resolve(how));
			});
		});
		return {
			pid: child.pid ?? 0,
			send: (message) => {
				// Its end is told by `onExit`; what was on its way to it is lost then.
				if (worker.isConnected()) child.send(message, () => undefined);
			},
			kill: () => void child.kill('SIGKILL'),
			rest: (silent) => handing.silent(silent),
			onMessage: (handler) => worker.on('message', (message: FromWorker) => handler(message)),
			onExit: (handler) => void ended.then(handler),
		};
	};
}

/** What a worker knows of its supervisor. */
export interface Seat {
	readonly worker: number;
	readonly workers: number;
	/** Does nothing once the supervisor is gone. */
	send(message: FromWorker): void;
	readonly onMessage: (handler: (message: ToWorker) => void) => void;
	/** The supervisor is gone. */
	readonly onAlone: (handler: () => void) => void;
	/** Lets the process end; resolves when all that was sent is on its way. */
	leave(): Promise<void>;
}

/** Null: this process is no worker. */
export function seatOf(process: NodeJS.Process): Seat | null {
	const own = cluster.worker;
	const found = /^(\d+)\/(\d+)$/.exec(process.env[variable] ?? '');
	if (!cluster.isWorker || own === undefined || found === null) return null;
	// What node:cluster does by itself when the supervisor is gone is to end the process at once.
	own.exitedAfterDisconnect = true;
	const last = { sent: Promise.resolve(), left: false };
	return {
		worker: Number(found[1]),
		workers: Number(found[2]),
		send: (message) => {
			if (!process.connected) return;
			last.sent = new Promise((resolve) => process.send?.(message, undefined, undefined, () => resolve()));
		},
		onMessage: (handler) => process.on('message', (message: ToWorker) => handler(message)),
		onAlone: (handler) => {
			process.once('disconnect', () => {
				if (!last.left) handler();
			});
		},
		leave: async () => {
			await last.sent;
			last.left = true;
			if (process.connected) process.disconnect();
		},
	};
}
