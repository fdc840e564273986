/** A TCP balancer as operators put before gateways: it asks each whether it is ready, and passes new connections on to those that are. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export interface Balanced {
	readonly port: number;
	readonly adminPort: number;
}

export class Balancer {
	readonly #server: Server;
	readonly #sockets = new Set<Socket>();
	readonly #ready = new Set<Balanced>();
	readonly #timer: NodeJS.Timeout;
	#gateways: readonly Balanced[] = [];
	#turn = 0;
	/** Connections that nobody was ready for. */
	refused = 0;

	static async start(checkMs: number): Promise<Balancer> {
		const balancer = new Balancer(checkMs);
		await new Promise<void>((resolve) => {
			balancer.#server.listen(0, '127.0.0.1', resolve);
		});
		return balancer;
	}

	private constructor(checkMs: number) {
		this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
			this.#keep(socket);
			this.#pass(socket, [...this.#ready]);
		});
		this.#timer = setInterval(() => void this.check(), checkMs);
	}

	get port(): number {
		return (this.#server.address() as AddressInfo).port;
	}

	get ready(): readonly Balanced[] {
		return [...this.#ready];
	}

	/** From now on; connections that are open stay. */
	async serve(gateways: readonly Balanced[]): Promise<void> {
		this.#gateways = gateways;
		for (const gateway of this.#ready) if (!gateways.includes(gateway)) this.#ready.delete(gateway);
		await this.check();
	}

	async check(): Promise<void> {
		await Promise.all(
			this.#gateways.map(async (gateway) => {
				const answer = await fetch(`http://127.0.0.1:${gateway.adminPort}/readyz`).catch(() => null);
				if (answer?.ok === true && this.#gateways.includes(gateway)) this.#ready.add(gateway);
				else this.#ready.delete(gateway);
				await answer?.arrayBuffer();
			}),
		);
	}

	async close(): Promise<void> {
		clearInterval(this.#timer);
		const closed = new Promise<void>((resolve) => {
			this.#server.close(() => resolve());
		});
		for (const socket of this.#sockets) socket.destroy();
		await closed;
	}

	/** One after the other; the next where one does not take the connection. */
	#pass(near: Socket, candidates: readonly Balanced[]): void {
		this.#turn += 1;
		const chosen = candidates[this.#turn % Math.max(candidates.length, 1)];
		if (chosen === undefined) {
			this.refused += 1;
			near.destroy();
			return;
		}
		const far = connect({ host: '127.0.0.1', port: chosen.port, allowHalfOpen: true, noDelay: true });
		const others = candidates.filter((one) => one !== chosen);
		const again = (): void => this.#pass(near, others);
		far.once('error', again);
		far.once('connect', () => {
			far.off('error', again);
			this.#keep(far);
			near.pipe(far);
			far.pipe(near);
			near.once('close', () => far.destroy());
			far.once('close', () => near.destroy());
		});
	}

	#keep(socket: Socket): void {
		this.#sockets.add(socket);
		socket.on('error', () => undefined);
		socket.once('close', () => this.#sockets.delete(socket));
	}
}
