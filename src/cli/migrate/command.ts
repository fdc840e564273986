/** `portcullis migrate pgbouncer`: prints portcullis.yaml made of a pgbouncer.ini, and what is left to do by hand. */
import { writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { stringify } from 'yaml';
import { CommandError, type CommandIo } from '../io.ts';
import { readIni, readUsers } from './ini.ts';
import { migrate, type Migration } from './pgbouncer.ts';

export interface MigrateOptions {
	/** Where to write to; standard output without it. A file that is there already is not overwritten. */
	readonly output?: string;
}

/** Exit status 0, also when something has no counterpart. Throws CommandError for files that cannot be read or written. */
export async function migratePgbouncer(io: CommandIo, file: string, options: MigrateOptions): Promise<number> {
	const ini = await readIni(file);
	const authFile = ini.sections.get('pgbouncer')?.find(({ name }) => name === 'auth_file')?.value ?? '';
	const users = authFile === '' ? null : await readUsers(resolve(dirname(resolve(file)), authFile));
	const migration = await migrate(ini, users);
	const text = pageOf(file, migration);
	if (options.output === undefined) io.out(text);
	else {
		await writeNew(options.output, text);
		io.out(`${options.output} is written\n`);
	}
	io.err(report(migration));
	return 0;
}

async function writeNew(path: string, text: string): Promise<void> {
	try {
		// It holds verifiers.
		await writeFile(path, text, { flag: 'wx', mode: 0o600 });
	} catch (error) {
		const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
		throw new CommandError(code === 'EEXIST' ? `${path} is there already` : `${path} cannot be written (${code})`);
	}
}

function pageOf(file: string, { config, left, todo, rules }: Migration): string {
	const lines = [
		`Made from ${file} by portcullis migrate. Check it with: portcullis check --config portcullis.yaml`,
		...section('To do by hand', todo),
		...section('Rules for policies/policy.csv: nothing is allowed that no rule allows', rules),
		...section('Left out', left),
	];
	const head = lines.map((line) => (line === '' ? '#\n' : `# ${line}\n`)).join('');
	return `${head}\n${stringify(config, { lineWidth: 0 })}`;
}

function report({ left, todo, rules }: Migration): string {
	const lines = [
		...section('To do by hand', todo),
		...section('Rules for policies/policy.csv', rules),
		...section('Left out', left),
	];
	return lines.map((line) => `${line}\n`).join('');
}

function section(title: string, items: readonly string[]): string[] {
	return items.length === 0 ? [] : ['', `${title}:`, ...items.map((item) => `- ${item}`)];
}
