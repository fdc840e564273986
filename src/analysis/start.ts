/** Starts the thread: the file beside this one, through tsx where the sources run as they are. */
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { type MessagePort, Worker } from 'node:worker_threads';
import type { ThreadData } from './messages.ts';

/** Objects that an analysis may need; a text that needs more is refused (54001) and the thread begun anew. The parser's own memory is not among them. */
const HEAP_MB = 1_024;

export function startThread(workerData: ThreadData, ports: readonly MessagePort[]): Worker {
	const options = {
		...{ workerData, transferList: [...ports], name: 'sql-analysis' },
		resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
	};
	if (!import.meta.url.endsWith('.ts')) return new Worker(new URL('thread.js', import.meta.url), options);
	const packaged = pathToFileURL(createRequire(import.meta.url).resolve('tsx/package.json'));
	const tsx = JSON.stringify(new URL('dist/esm/api/index.mjs', packaged).href);
	const thread = JSON.stringify(new URL('thread.ts', import.meta.url).href);
	const begin = `import(${tsx}).then(({ register }) => { register(); return import(${thread}); });`;
	return new Worker(begin, { ...options, eval: true });
}
