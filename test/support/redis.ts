/** A real redis-server for tests, on a free port, with a password and over TLS where it is asked for. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const program = 'redis-server';

/** False says loudly that tests are left out. */
export function hasRedis(): boolean {
	if (spawnSync(program, ['--version']).status === 0) return true;
	process.stderr.write(`\n!! ${program}: MISSING, its tests are LEFT OUT. Install redis-server.\n\n`);
	return false;
}

export interface TestRedis {
	readonly port: number;
	/** Ends the server and starts it again at the same port. */
	restart(): Promise<void>;
	stop(): Promise<void>;
}

export interface RedisOptions {
	/** Lines of redis.conf. */
	readonly conf?: readonly string[];
	/** PEM texts: the port speaks TLS alone. */
	readonly tls?: { readonly cert: string; readonly key: string };
}

export async function startRedis({ conf = [], tls }: RedisOptions = {}): Promise<TestRedis> {
	const folder = await mkdtemp(join(tmpdir(), 'portcullis-redis-'));
	if (tls !== undefined) {
		await writeFile(join(folder, 'server.crt'), tls.cert);
		await writeFile(join(folder, 'server.key'), tls.key);
	}
	const lines = [
		'bind 127.0.0.1',
		'save ""',
		'appendonly no',
		`dir ${folder}`,
		...(tls === undefined ? [] : ['tls-cert-file server.crt', 'tls-key-file server.key', 'tls-auth-clients no']),
		...conf,
	];
	for (let attempt = 1; ; attempt += 1) {
		const port = await freePort();
		await writeFile(join(folder, 'redis.conf'), [...lines, ...portLines(port, tls !== undefined), ''].join('\n'));
		let child: ChildProcess;
		try {
			child = await launch(folder);
		} catch (error) {
			// Somebody else has taken the port meanwhile.
			if (attempt < 5) continue;
			await rm(folder, { recursive: true, force: true });
			throw error;
		}
		return {
			port,
			restart: async () => {
				await end(child);
				child = await launch(folder);
			},
			stop: async () => {
				await end(child);
				await rm(folder, { recursive: true, force: true });
			},
		};
	}
}

function portLines(port: number, secured: boolean): string[] {
	return secured ? ['port 0', `tls-port ${port}`] : [`port ${port}`];
}

async function freePort(): Promise<number> {
	const server = createServer().listen(0, '127.0.0.1');
	await once(server, 'listening');
	const { port } = server.address() as AddressInfo;
	server.close();
	await once(server, 'close');
	return port;
}

/** Rejects with what the server said when it ends before it takes connections. */
function launch(folder: string): Promise<ChildProcess> {
	const child = spawn(program, ['redis.conf'], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
	let said = '';
	return new Promise((resolve, reject) => {
		const hear = (chunk: Buffer): void => {
			said += chunk.toString();
			if (said.includes('Ready to accept connections')) resolve(child);
		};
		child.stdout.on('data', hear);
		child.stderr.on('data', hear);
		child.once('error', reject);
		child.once('exit', () => reject(new Error(`${program} ended: ${said}`)));
	});
}

async function end(child: ChildProcess): Promise<void> {
	if (child.exitCode !== null || child.signalCode !== null) return;
	const ended = once(child, 'exit');
	child.kill('SIGKILL');
	await ended;
}
