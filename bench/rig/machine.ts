/** What the numbers were measured on, for the report. */
import { spawnSync } from 'node:child_process';
import { arch, cpus, loadavg, platform, release, totalmem } from 'node:os';

export interface Versions {
	readonly pgbouncer: string | null;
	readonly pgbench: string | null;
	readonly psql: string | null;
}

/** Lines of a Markdown list. */
export function describeMachine(versions: Versions): string[] {
	const all = cpus();
	const [load] = loadavg();
	const commit = spawnSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8', cwd: import.meta.dirname });
	return [
		`- ${all.length} CPUs (${all[0]?.model.trim() ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GiB, ${platform()} ${release()} ${arch()}`,
		`- load average at the beginning: ${load?.toFixed(1)} (what else ran on the machine)`,
		`- Portcullis ${commit.stdout.trim() || 'without git'}, one process on Node ${process.versions.node}`,
		`- ${versions.pgbouncer ?? 'no PgBouncer'}, ${versions.pgbench ?? 'no pgbench'}, ${versions.psql ?? 'no psql'}`,
	];
}
