/** A network of its own that a server is reached over (Linux namespaces), which can be cut so that packets vanish without a word. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Network {
	/** Where the server is reached. */
	readonly host: string;
	readonly port: number;
	/** Packets from there vanish from now on. */
	cut(): Promise<void>;
	mend(): Promise<void>;
	close(): Promise<void>;
}

/** Whether this machine lets us make one: it takes Linux, iproute2 and root. */
export async function hasNetworks(): Promise<boolean> {
	const name = `portcullis-${randomBytes(3).toString('hex')}`;
	try {
		await run('ip', ['netns', 'add', name]);
		await run('ip', ['netns', 'del', name]);
		return true;
	} catch {
		return false;
	}
}

/** Runs beyond the cut: it passes on what comes to where the server is. */
const FORWARDER = `
const { connect, createServer } = require('node:net');
const [port, host] = [Number(process.argv[1]), process.argv[2]];
createServer((near) => {
	const far = connect(port, host);
	for (const socket of [near, far]) socket.on('error', () => undefined);
	near.pipe(far);
	far.pipe(near);
	near.on('close', () => far.destroy());
	far.on('close', () => near.destroy());
}).listen(0, '0.0.0.0', function () { process.stdout.write(this.address().port + '\\n'); });
`;

/** A way to `to`, from here into the other network and back: the server itself need not be moved. */
export async function startNetwork(to: { readonly host: string; readonly port: number }): Promise<Network> {
	const id = randomBytes(3).toString('hex');
	const name = `portcullis-${id}`;
	const net = `10.${randomBytes(1)[0]}.${randomBytes(1)[0]}`;
	const [here, there] = [`${net}.1`, `${net}.2`];
	const inside = (...command: string[]): Promise<unknown> => run('ip', ['netns', 'exec', name, ...command]);
	await run('ip', ['netns', 'add', name]);
	let forwarder: ChildProcess | undefined;
	let gate: Server | undefined;
	const sockets = new Set<Socket>();
	const close = async (): Promise<void> => {
		forwarder?.kill('SIGKILL');
		gate?.close();
		for (const socket of sockets) socket.destroy();
		await run('ip', ['netns', 'del', name]);
	};
	try {
		await run('ip', ['link', 'add', `pcl${id}`, 'type', 'veth', 'peer', 'name', 'veth0', 'netns', name]);
		await run('ip', ['addr', 'add', `${here}/24`, 'dev', `pcl${id}`]);
		await run('ip', ['link', 'set', `pcl${id}`, 'up']);
		await inside('ip', 'addr', 'add', `${there}/24`, 'dev', 'veth0');
		await inside('ip', 'link', 'set', 'veth0', 'up');
		gate = createServer((near) => {
			const far = connect(to.port, to.host);
			for (const socket of [near, far]) {
				sockets.add(socket);
				socket.on('error', () => undefined);
				socket.once('close', () => {
					sockets.delete(socket);
					near.destroy();
					far.destroy();
				});
			}
			near.pipe(far);
			far.pipe(near);
		});
		gate.listen(0, here);
		await once(gate, 'listening');
		const { port: back } = gate.address() as { port: number };
		const command = [process.execPath, '-e', FORWARDER, String(back), here];
		forwarder = spawn('ip', ['netns', 'exec', name, ...command], { stdio: ['ignore', 'pipe', 'inherit'] });
		const [first] = (await once(forwarder.stdout as NodeJS.ReadableStream, 'data')) as [Buffer];
		const blackhole = ['ip', 'route', 'add', 'blackhole', `${here}/32`] as const;
		return {
			host: there,
			port: Number(first.toString()),
			cut: async () => {
				await inside(...blackhole);
			},
			mend: async () => {
				await inside('ip', 'route', 'del', 'blackhole', `${here}/32`);
			},
			close,
		};
	} catch (error) {
		await close();
		throw error;
	}
}
