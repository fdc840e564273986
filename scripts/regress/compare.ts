/** Compares what psql printed on a direct connection and through the gateway: places that differ, and who refused what. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);

export interface Comparison {
	/** Places where the two differ. */
	readonly places: number;
	/** Lines that only one of them has. */
	readonly lines: number;
	/** Errors that only the gateway gave, without their quoted names, and how often. */
	readonly errors: ReadonlyMap<string, number>;
	/** As diff -U3 prints it. */
	readonly text: string;
}

/** Both are files. */
export async function compare(direct: string, through: string): Promise<Comparison> {
	const text = await differences(direct, through);
	const body = text.split('\n').slice(2);
	const errors = new Map<string, number>();
	for (const line of body) {
		const words = /^\+.*?(?:ERROR|FATAL):\s+(.*)$/.exec(line)?.[1];
		if (words !== undefined) errors.set(words, (errors.get(words) ?? 0) + 1);
	}
	return {
		places: body.filter((line) => line.startsWith('@@')).length,
		lines: body.filter((line) => line.startsWith('+') || line.startsWith('-')).length,
		errors,
		text,
	};
}

/** diff ends with 1 where files differ. */
async function differences(direct: string, through: string): Promise<string> {
	try {
		await execute('diff', ['-a', '-U3', direct, through], { maxBuffer: 1 << 28 });
		return '';
	} catch (error) {
		const { code, stdout } = error as { code?: number; stdout?: string };
		if (code !== 1 || stdout === undefined) throw error;
		return stdout;
	}
}
