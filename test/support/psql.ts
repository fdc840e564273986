/** Runs the real psql; where it is missing, the tests that need it are left out and the run says so loudly. */
import { execFile, spawnSync } from 'node:child_process';

/** What a run of psql gave. */
export interface PsqlResult {
	readonly status: number;
	readonly stdout: string;
	readonly stderr: string;
}

export interface PsqlTarget {
	readonly host: string;
	readonly port: number;
	readonly user: string;
	readonly password: string;
	readonly database: string;
}

/** True when psql can be run. `describe.skipIf(!hasPsql())`. Says loudly when it cannot. */
export function hasPsql(): boolean {
	const found = spawnSync('psql', ['--version'], { encoding: 'utf8' });
	if (found.status === 0) return true;
	const line = '!'.repeat(90);
	process.stderr.write(
		`\n${line}\n!! psql IS MISSING: the tests that run psql are LEFT OUT. Install postgresql-client.\n${line}\n\n`,
	);
	return false;
}

/** Feeds `script` (SQL and backslash commands) to psql. Unaligned tuples (`a|b`) unless `args` say otherwise. */
export async function psql(
	target: PsqlTarget,
	script: string,
	args: readonly string[] = ['-A', '-t'],
): Promise<PsqlResult> {
	const { host, port, user, password, database } = target;
	const env = {
		PATH: process.env['PATH'] ?? '',
		PGPASSWORD: password,
		PGCONNECT_TIMEOUT: '10',
		LC_ALL: 'C',
		HOME: '/nonexistent',
	};
	return new Promise((resolve) => {
		const child = execFile(
			'psql',
			['-X', '-h', host, '-p', String(port), '-U', user, '-d', database, ...args],
			{ env, timeout: 30_000 },
			(error, stdout, stderr) => {
				const status = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
				resolve({ status, stdout, stderr });
			},
		);
		child.stdin?.end(script);
	});
}
