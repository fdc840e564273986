/** Starts the thread of the Kafka sink as `npm run build` makes it: node 20 takes no TypeScript there. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { afterAll } from 'vitest';
import type { KafkaSettings } from '../../../src/audit/sinks/kafka.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const options = ['--ignoreConfig', '--noCheck', '--module', 'nodenext', '--target', 'es2023', '--types', 'node'];

/** Compiles it once for a file of tests; within the project, so that the client is found. */
export function threadStarter(): (settings: KafkaSettings) => Worker {
	const caches = join(root, 'node_modules', '.cache');
	mkdirSync(caches, { recursive: true });
	const folder = mkdtempSync(join(caches, 'kafka-thread-'));
	afterAll(() => rmSync(folder, { recursive: true, force: true }));
	const source = join(root, 'src/audit/sinks/kafka-thread.ts');
	const where = ['--rewriteRelativeImportExtensions', '--rootDir', join(root, 'src'), '--outDir', folder, source];
	execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), ...options, ...where], { cwd: root });
	const thread = pathToFileURL(join(folder, 'audit/sinks/kafka-thread.js'));
	return (settings) => new Worker(thread, { workerData: settings });
}
