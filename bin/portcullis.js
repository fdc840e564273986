#!/usr/bin/env node
/** Starts the command line: what was built in dist, or else the sources through tsx in a development checkout. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const built = new URL('../dist/cli/main.js', import.meta.url);
const source = new URL('../src/cli/main.ts', import.meta.url);

if (existsSync(fileURLToPath(built))) {
	await import(built.href);
} else if (existsSync(fileURLToPath(source)) && (await registerTsx())) {
	await import(source.href);
} else {
	process.stderr.write('portcullis is not built. Run: npm ci && npm run build\n');
	process.exitCode = 1;
}

/** True when TypeScript can be imported from now on; tsx is a development dependency and may be missing. */
async function registerTsx() {
	try {
		const { register } = await import('tsx/esm/api');
		register();
		return true;
	} catch {
		return false;
	}
}
