/** Serves one PostgreSQL of each version asked for, and the compiled program, to all test files of a run, and clears up when it ends. */
import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, statfs, symlink } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { TestProject } from 'vitest/node';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/cli/demo/postgres.ts';

declare module 'vitest' {
	interface ProvidedContext {
		/** URL that answers with the coordinates of a running PostgreSQL, or at /program with the compiled program's path; the first request makes it. */
		readonly testBroker: string;
	}
}

/** Unit tests alone never pay for a server or a build, so these are made by the first request and not here. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
	const servers = new Map<string, Promise<EmbeddedPostgres>>();
	let program: Promise<CompiledProgram> | undefined;
	const postgres = async (native: string): Promise<string> => {
		let server = servers.get(native);
		if (server === undefined) {
			const start = async (): Promise<EmbeddedPostgres> =>
				startEmbeddedPostgres({
					settings: SETTINGS,
					parent: await memoryFolder(),
					...(native === '' ? {} : { native }),
				});
			server = start();
			servers.set(native, server);
		}
		return JSON.stringify(await server);
	};
	const broker = createServer((request, response) => {
		const { pathname, searchParams } = new URL(request.url ?? '/', 'http://broker');
		const answer =
			pathname === '/program'
				? (program ??= compile()).then(({ file }) => file)
				: postgres(searchParams.get('native') ?? '');
		answer.then(
			(text) => response.end(text),
			(error: unknown) => response.writeHead(500).end(String(error)),
		);
	});
	await new Promise<void>((resolve) => {
		broker.listen(0, '127.0.0.1', resolve);
	});
	project.provide('testBroker', `http://127.0.0.1:${(broker.address() as AddressInfo).port}`);
	return async () => {
		broker.close();
		broker.closeAllConnections();
		const started = await Promise.allSettled(servers.values());
		await Promise.all(started.map(async (start) => start.status === 'fulfilled' && start.value.stop()));
		const compiled = await program?.catch(() => undefined);
		if (compiled !== undefined) await rm(compiled.folder, { recursive: true, force: true });
	};
}

/** Making a database there takes a fifth of the processor time that it takes on a disk, and every file of tests makes some. */
async function memoryFolder(): Promise<string> {
	const folder = '/dev/shm';
	const mounts = await readFile('/proc/mounts', 'utf8').catch(() => '');
	const options = mounts
		.split('\n')
		.find((line) => line.split(' ')[1] === folder)
		?.split(' ')[3];
	// Where the account that it runs as cannot enter the checkout, the server's programs are copied beside its data.
	if (options === undefined || options.split(',').includes('noexec')) return tmpdir();
	const room = await statfs(folder).catch(() => undefined);
	return room !== undefined && room.bavail * room.bsize > MEMORY_BYTES ? folder : tmpdir();
}

interface CompiledProgram {
	/** Everything of it, to be removed in the end. */
	readonly folder: string;
	readonly file: string;
}

/** As `npm run build` does it, with what the program looks for beside `dist`. Types are checked elsewhere. */
async function compile(): Promise<CompiledProgram> {
	const root = fileURLToPath(new URL('../..', import.meta.url));
	const folder = await mkdtemp(join(tmpdir(), 'portcullis-program-'));
	const compiler = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc');
	const options = ['--noCheck', '--sourceMap', 'false', '--outDir', join(folder, 'dist')];
	await promisify(execFile)(process.execPath, [compiler, '-p', join(root, 'tsconfig.build.json'), ...options]);
	for (const name of ['package.json', 'bin', 'policies'])
		await cp(join(root, name), join(folder, name), { recursive: true });
	await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
	return { folder, file: join(folder, 'bin', 'portcullis.js') };
}

/** What there has to be for the databases of all files that run at a time, and for the server's own log. */
const MEMORY_BYTES = 2 ** 31;

const SETTINGS = {
	// A quarter of the default: it lies in memory.
	max_wal_size: '256MB',
	max_connections: '300',
	max_prepared_transactions: '10',
	wal_level: 'logical',
	max_wal_senders: '50',
};
