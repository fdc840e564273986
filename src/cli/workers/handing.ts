/**
 * Connections on their way from the supervisor to a worker: none goes to one that is silent, and those that a worker had not taken
 * when it died go to another. node:cluster by itself waits for a silent one, and never closes what a dead one did not take.
 */
import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

/** Between two looks whether there is somebody else for a connection. */
const againMs = 10;

/** How node:cluster hands a connection to a worker; the worker acknowledges the number before it reads anything. */
interface NewConnection {
	readonly cmd: 'NODE_CLUSTER';
	readonly act: 'newconn';
	readonly seq: number;
}

function isNewConnection(message: unknown): message is NewConnection {
	const { cmd, act, seq } = message as Partial<NewConnection>;
	return cmd === 'NODE_CLUSTER' && act === 'newconn' && typeof seq === 'number';
}

type Send = (message: unknown, ...rest: unknown[]) => boolean;

export class Handing {
	readonly #child: ChildProcess;
	/** Not acknowledged. */
	readonly #given = new Set<number>();
	#silent = false;

	/** Before the worker has listened. */
	constructor(child: ChildProcess) {
		this.#child = child;
		const send = child.send.bind(child) as Send;
		const handing: Send = (message, ...rest) => {
			if (!isNewConnection(message)) return send(message, ...rest);
			if (this.#silent) {
				setTimeout(() => this.#takeBack(message.seq), againMs);
				return true;
			}
			this.#given.add(message.seq);
			return send(message, ...rest);
		};
		child.send = handing;
		child.prependListener('internalMessage', ({ ack }: { readonly ack?: number }) => {
			if (ack !== undefined) this.#given.delete(ack);
		});
	}

	/** From now on, connections go to others. What it was given before stays its own: it may be about to take it. */
	silent(silent: boolean): void {
		this.#silent = silent;
	}

	/** It has taken none of what it has not acknowledged. */
	#gone(): void {
		this.#silent = true;
		for (const seq of [...this.#given]) this.#takeBack(seq);
	}

	/**
	 * Resolves when the process is gone, and everything that it said was heard. Node says so by `disconnect`, but not if a connection
	 * was on its way to the process: then node:cluster would hand connections to it for ever.
	 */
	async ended(): Promise<void> {
		const child = this.#child;
		let told = false;
		child.once('disconnect', () => {
			told = true;
		});
		if (child.exitCode === null && child.signalCode === null)
			await new Promise((resolve) => child.once('exit', resolve));
		// The other end is closed, which is known when all was read.
		while (child.connected) await sleep(againMs);
		await sleep(againMs);
		if (!told) child.emit('disconnect');
		this.#gone();
	}

	/** As if the worker had said that it does not take it. */
	#takeBack(seq: number): void {
		this.#given.delete(seq);
		this.#child.emit('internalMessage', { cmd: 'NODE_CLUSTER', ack: seq, accepted: false });
	}
}
