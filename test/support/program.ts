/** The command line as it is shipped, compiled once a run, for tests that start it as a process of its own. */
import { inject } from 'vitest';

/**
 * What to spawn for it (`spawn(program[0], [...program.slice(1), 'serve'])`): Node and the file that package.json's `bin`
 * names, in a folder that has compiled sources in `dist`. It starts in half the time that the sources would need.
 */
export async function compiledProgram(): Promise<readonly [node: string, file: string]> {
	const response = await fetch(`${inject('testBroker')}/program`);
	const body = await response.text();
	if (!response.ok) throw new Error(body);
	return [process.execPath, body];
}
