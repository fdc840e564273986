/** One writer for one audit directory: a Unix socket in it that the kernel closes with the process, however that ends. */
import * as fs from 'node:fs';
import * as net from 'node:net';
import { join } from 'node:path';
import { GatewayError } from '../errors.ts';
import { makeDirectory } from './segment.ts';

/** Of one log. */
const logLockName = 'lock';
/** Of the folder of all logs of a gateway, which may be that of one log too. */
const folderLockName = 'gateway.lock';
/** sun_path holds 108 bytes on Linux, 104 elsewhere. */
const socketPathBytesMax = 103;
const answerTimeoutMs = 1_000;
const attemptsMax = 5;

export interface DirectoryLock {
	/** False once another process took the lock's place (somebody removed the file by hand). */
	holds(): boolean;
	release(): Promise<void>;
}

type Probe = { readonly state: 'free' | 'stale' } | { readonly state: 'held'; readonly by: string };

/** A directory's socket under a name that is short enough, however long the directory's own is. */
function reachable(directory: string, fd: number, name: string): string {
	const direct = join(directory, name);
	if (Buffer.byteLength(direct) <= socketPathBytesMax) return direct;
	if (process.platform === 'linux') return `/proc/self/fd/${fd}/${name}`;
	throw new GatewayError('F0000', `audit directory ${directory}: the path is too long for the lock in it`);
}

function listen(path: string): Promise<net.Server | null> {
	return new Promise((resolve, reject) => {
		const server = net.createServer((socket) => {
			socket.on('error', () => socket.destroy());
			socket.end(`${process.pid}`);
		});
		server.once('error', (error: NodeJS.ErrnoException) => {
			if (error.code === 'EADDRINUSE') resolve(null);
			else reject(error);
		});
		// In a worker of node:cluster too: else the socket would be its supervisor's, and be gone with that while the worker still writes.
		server.listen({ path, exclusive: true }, () => {
			server.unref();
			resolve(server);
		});
	});
}

/** Asks who listens. A process that is stopped still holds its lock: the kernel takes the connection for it. */
function probe(path: string): Promise<Probe> {
	return new Promise((resolve, reject) => {
		let by = '';
		let connected = false;
		const socket = net.connect(path);
		const held = () => {
			socket.destroy();
			resolve({ state: 'held', by: /^\d+$/.test(by) ? `process ${by}` : 'another process' });
		};
		socket.setTimeout(answerTimeoutMs, held);
		socket.on('connect', () => {
			connected = true;
		});
		socket.on('data', (bytes) => {
			by += bytes.toString('latin1');
		});
		socket.on('end', held);
		socket.on('error', (error: NodeJS.ErrnoException) => {
			if (connected || error.code === 'EAGAIN') held();
			else if (error.code === 'ECONNREFUSED') resolve({ state: 'stale' });
			else if (error.code === 'ENOENT') resolve({ state: 'free' });
			else reject(error);
		});
	});
}

/**
 * Takes the lock. Throws GatewayError F0001 (lock_file_exists) when a living process has it, F0000 when the directory cannot hold
 * one. A lock whose process is gone (kill -9, crash, power) is recognised by nobody listening, and taken over.
 */
export function lockDirectory(directory: string): Promise<DirectoryLock> {
	return lock(directory, logLockName);
}

/**
 * One gateway for one folder, however many logs it has there: one for each worker, or one in the folder itself. Throws as
 * `lockDirectory`.
 */
export function lockFolder(folder: string): Promise<DirectoryLock> {
	makeDirectory(folder);
	return lock(folder, folderLockName);
}

async function lock(directory: string, lockName: string): Promise<DirectoryLock> {
	const fd = fs.openSync(directory, fs.constants.O_RDONLY);
	try {
		const path = reachable(directory, fd, lockName);
		for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
			const server = await listen(path);
			if (server !== null) return held(join(directory, lockName), server, fd);
			await clearStale(directory, lockName, fd);
		}
		throw new GatewayError('F0001', `audit directory ${directory}: other processes contend for it`);
	} catch (error) {
		fs.closeSync(fd);
		if (error instanceof GatewayError) throw error;
		const why = error instanceof Error ? error.message : String(error);
		throw new GatewayError('F0000', `audit directory ${directory}: cannot make the lock in it: ${why}`, {
			cause: error,
		});
	}
}

/** Removes the socket that nobody listens on. Throws F0001 when somebody does. */
async function clearStale(directory: string, lockName: string, fd: number): Promise<void> {
	const hint = 'Two gateways cannot write one: give each an audit.path of its own.';
	const inUse = (by: string) => new GatewayError('F0001', `audit directory ${directory} is in use by ${by}`, { hint });
	const found = await probe(reachable(directory, fd, lockName));
	if (found.state === 'held') throw inUse(found.by);
	if (found.state === 'free') return;
	// Moved aside first and asked again: another process may have taken over between the question and the move.
	const aside = `${lockName}.${process.pid}`;
	try {
		fs.renameSync(join(directory, lockName), join(directory, aside));
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
		throw error;
	}
	const moved = await probe(reachable(directory, fd, aside));
	if (moved.state === 'held') {
		fs.renameSync(join(directory, aside), join(directory, lockName));
		throw inUse(moved.by);
	}
	fs.rmSync(join(directory, aside), { force: true });
}

function held(file: string, server: net.Server, fd: number): DirectoryLock {
	const own = fs.statSync(file).ino;
	return {
		holds: () => fs.statSync(file, { throwIfNoEntry: false })?.ino === own,
		release: () =>
			new Promise((resolve) => {
				server.close(() => {
					fs.closeSync(fd);
					resolve();
				});
			}),
	};
}
