/** A TCP way to a server that tests can cut: it drops bytes without a word, holds them back, refuses, or resets. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/**
 * whole: all passes. dropping: nothing passes and nothing is told, ends of connections neither; what was lost stays lost, so such a
 * connection is reset when the way is whole again. holding: nothing passes until the way is whole again, then all of it does.
 * refusing: connections are reset as soon as they are made.
 */
export type CableState = 'whole' | 'dropping' | 'holding' | 'refusing';

interface Pair {
	readonly near: Socket;
	far: Socket | null;
	lost: boolean;
}

export class Cable {
	readonly #server: Server;
	readonly #pairs = new Set<Pair>();
	/** The server's sides of connections whose end it was not told of. */
	readonly #orphans = new Set<Socket>();
	readonly #to: { readonly host: string; readonly port: number };
	#state: CableState = 'whole';

	/** Listens on a free port of 127.0.0.1, and leads to `to`, whether somebody listens there or not. */
	static async lay(to: { readonly host: string; readonly port: number }): Promise<Cable> {
		const cable = new Cable(to);
		await new Promise<void>((resolve) => {
			cable.#server.listen(0, '127.0.0.1', resolve);
		});
		return cable;
	}

	private constructor(to: { readonly host: string; readonly port: number }) {
		this.#to = to;
		this.#server = createServer({ noDelay: true, allowHalfOpen: true }, (near) => this.#accept(near));
	}

	get port(): number {
		return (this.#server.address() as AddressInfo).port;
	}

	get connections(): number {
		return this.#pairs.size;
	}

	set state(state: CableState) {
		this.#state = state;
		if (state === 'whole') this.#forgetOrphans();
		for (const pair of [...this.#pairs]) {
			if (state === 'holding') for (const socket of [pair.near, pair.far]) socket?.pause();
			if (state !== 'whole') continue;
			if (pair.lost) this.#cut(pair);
			else if (pair.far === null) this.#lead(pair);
			else for (const socket of [pair.near, pair.far]) socket.resume();
		}
	}

	/** Ends all connections with a reset, towards both sides. */
	reset(): void {
		this.#forgetOrphans();
		for (const pair of [...this.#pairs]) this.#cut(pair);
	}

	async close(): Promise<void> {
		const closed = new Promise<void>((resolve) => {
			this.#server.close(() => resolve());
		});
		this.reset();
		await closed;
	}

	#accept(near: Socket): void {
		const pair: Pair = { near, far: null, lost: false };
		this.#pairs.add(pair);
		near.on('error', () => undefined);
		near.once('close', () => {
			this.#pairs.delete(pair);
			// Nobody is told of an end over a way that is cut.
			if (pair.far === null) return;
			if (this.#state === 'dropping') this.#orphans.add(pair.far);
			else pair.far.destroy();
		});
		if (this.#state === 'refusing') this.#cut(pair);
		else if (this.#state === 'whole') this.#lead(pair);
		else if (this.#state === 'holding') near.pause();
		else {
			pair.lost = true;
			near.resume();
		}
	}

	#lead(pair: Pair): void {
		const { near } = pair;
		const far = connect({ ...this.#to, noDelay: true, allowHalfOpen: true });
		pair.far = far;
		far.on('error', () => undefined);
		far.once('close', (failed) => {
			this.#orphans.delete(far);
			if (this.#state === 'dropping') pair.lost = true;
			else if (failed) near.resetAndDestroy();
			else near.end();
		});
		this.#pipe(pair, near, far);
		this.#pipe(pair, far, near);
		near.resume();
	}

	#pipe(pair: Pair, from: Socket, to: Socket): void {
		from.on('data', (chunk) => {
			if (this.#state === 'dropping') pair.lost = true;
			else if (!to.write(chunk)) from.pause();
		});
		to.on('drain', () => {
			if (this.#state !== 'holding') from.resume();
		});
		from.on('end', () => {
			if (this.#state === 'dropping') pair.lost = true;
			else to.end();
		});
	}

	#forgetOrphans(): void {
		for (const far of this.#orphans) far.resetAndDestroy();
		this.#orphans.clear();
	}

	#cut({ near, far }: Pair): void {
		far?.resetAndDestroy();
		near.resetAndDestroy();
	}
}
