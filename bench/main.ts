/**
 * `npm run bench`: direct, PgBouncer and the gateway (shipped policy, allow-all policy) in alternating rounds, side by side, and then
 * what deciding, filters, audit, policy and catalogue cost by themselves. See docs/benchmarks.md.
 *
 *     npm run bench -- [--quick] [--only REGEXP] [--rounds N] [--seconds N] [--cpu-prof FOLDER] [--no-build] [--no-memory]
 *         [--no-relay] [--no-parts] [--write]
 */
import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type IdleMemory, idleMemory } from './rig/idle.ts';
import { describeMachine } from './rig/machine.ts';
import { findProgram, runProgram } from './rig/programs.ts';
import { runParts } from './rig/parts.ts';
import * as report from './rig/report.ts';
import { type Row, rowsOf, type Sample, targetsOf } from './rig/rows.ts';
import { POOL_SIZE, setStage, type Stage, type Target, type TargetKind } from './rig/stage.ts';
import { maskedScript } from './rig/tables.ts';

interface Plan {
	readonly quick: boolean;
	readonly rounds: number;
	readonly seconds: number;
	readonly rows: number;
	readonly scale: number;
	readonly idleConnections: number;
	/** The same where transactions are pooled. */
	readonly idlePooled: number;
	readonly only: RegExp;
	/** Folder for V8's CPU profiles of the gateways, or null. */
	readonly cpuProf: string | null;
	readonly build: boolean;
	/** What goes through proxies, and what is measured without them. */
	readonly relay: boolean;
	readonly parts: boolean;
	/** Into bench/RESULTS.md, whatever part of it this is. */
	readonly write: boolean;
}

const repository = fileURLToPath(new URL('..', import.meta.url));
const programs = {
	pgbouncer: findProgram('pgbouncer'),
	pgbench: findProgram('pgbench'),
	psql: findProgram('psql'),
};

function readPlan(args: readonly string[]): Plan {
	const { values } = parseArgs({
		args: [...args],
		allowNegative: true,
		options: {
			quick: { type: 'boolean', default: false },
			only: { type: 'string', default: '' },
			rounds: { type: 'string' },
			seconds: { type: 'string' },
			'cpu-prof': { type: 'string' },
			build: { type: 'boolean', default: true },
			memory: { type: 'boolean', default: true },
			relay: { type: 'boolean', default: true },
			parts: { type: 'boolean', default: true },
			write: { type: 'boolean', default: false },
		},
	});
	const { quick } = values;
	return {
		quick,
		rounds: Number(values.rounds ?? (quick ? 1 : 3)),
		seconds: Number(values.seconds ?? (quick ? 1 : 5)),
		rows: quick ? 300_000 : 3_000_000,
		scale: quick ? 5 : 20,
		idleConnections: values.memory ? (quick ? 200 : 1_000) : 0,
		idlePooled: values.memory ? (quick ? 1_000 : 10_000) : 0,
		only: new RegExp(values.only),
		cpuProf: values['cpu-prof'] ?? null,
		build: values.build,
		relay: values.relay,
		parts: values.parts,
		write: values.write,
	};
}

function say(words: string): void {
	process.stderr.write(`${words}\n`);
}

/** The gateway runs as it is installed, so what was built has to be what the sources say. */
function build(): void {
	say('npm run build');
	const { status } = spawnSync('npm', ['run', '--silent', 'build'], { cwd: repository, stdio: 'inherit' });
	if (status !== 0) throw new Error('the build failed');
}

async function prepareRows(stage: Stage, plan: Plan): Promise<readonly Row[]> {
	const masked = { demo: join(stage.folder, 'masked.sql'), others: join(stage.folder, 'view.sql') };
	await writeFile(masked.demo, maskedScript(true));
	await writeFile(masked.others, maskedScript(false));
	const copyFile = join(stage.folder, 'rows.copy');
	const direct = stage.targets.find(({ kind }) => kind === 'direct');
	if (programs.psql !== null && direct !== undefined && plan.only.test('copy-in copy-out')) {
		const args = ['--no-psqlrc', '--output', copyFile, '--command', 'copy bench_rows to stdout'];
		await runProgram(programs.psql.path, args, { env: stage.env(direct) });
	} else await writeFile(copyFile, '');
	const options = { seconds: plan.seconds, rows: plan.rows, copyFile, copyBytes: statSync(copyFile).size, masked };
	return rowsOf(stage, programs, options).filter(({ id }) => plan.only.test(id));
}

/** Each target begins a round as often as any other. */
function inOrder(targets: readonly Target[], round: number): readonly Target[] {
	const from = round % targets.length;
	return [...targets.slice(from), ...targets.slice(0, from)];
}

async function measureRow(row: Row, all: readonly Target[], rounds: number): Promise<report.Measured> {
	const targets = all.filter(({ kind }) => targetsOf[row.pooling].includes(kind));
	const samples = new Map<TargetKind, Sample[]>(targets.map(({ kind }) => [kind, []]));
	const failures = new Map<TargetKind, string>();
	for (let round = 0; round < rounds; round += 1) {
		for (const target of inOrder(targets, round)) {
			if (failures.has(target.kind)) continue;
			try {
				samples.get(target.kind)?.push(await row.run(target));
			} catch (error) {
				failures.set(target.kind, error instanceof Error ? error.message : String(error));
			}
		}
	}
	const measured = { row, samples, failures };
	const rates = targets.map(({ kind }) => `${kind} ${report.cell(measured, kind, ({ rate }) => rate, 0)}`);
	say(`${row.title}: ${rates.join(', ')} ${row.unit} a second`);
	for (const line of report.failureList([measured])) say(line);
	return measured;
}

/**
 * Code is compiled and caches are filled before anything counts: by the row of each group with the most clients, but for those
 * whose clients take long to come, and connections one after the other until there were enough of them.
 */
async function warmUp(rows: readonly Row[], targets: readonly Target[], connections: number): Promise<void> {
	const groups = new Map<string, Row>();
	for (const row of rows) {
		const [, group = row.id, clients = '0'] = /^(.*?)(?:-(\d+))?$/.exec(row.id) ?? [];
		if (Number(clients) <= warmUpClientsMax || !groups.has(group)) groups.set(group, row);
	}
	for (const row of groups.values()) {
		for (const target of targets) {
			if (target.proxy === null || !targetsOf[row.pooling].includes(target.kind)) continue;
			for (let done = 0; done < (row.unit === 'connections' ? connections : 1); ) {
				const sample = await row.run(target).catch(() => null);
				if (sample === null) break;
				done += sample.units;
			}
		}
	}
}

/** Clients of a row that is run to warm up. */
const warmUpClientsMax = 64;

async function measureMemory(stage: Stage, plan: Plan): Promise<Map<TargetKind, IdleMemory>> {
	const memory = new Map<TargetKind, IdleMemory>();
	if (!plan.only.test('memory')) return memory;
	for (const target of stage.targets) {
		const connections = target.kind.endsWith('-pooled') ? plan.idlePooled : plan.idleConnections;
		// What an idle client takes is the same in both ways of session mode.
		if (target.proxy === null || connections === 0 || target.kind === 'demo-reuse') continue;
		say(`memory: ${connections} idle connections to ${target.kind}`);
		await idleMemory(stage, target, 50);
		memory.set(target.kind, await idleMemory(stage, target, connections));
	}
	return memory;
}

function tables(
	all: readonly report.Measured[],
	kinds: readonly TargetKind[],
	memory: ReadonlyMap<TargetKind, IdleMemory>,
	plan: Plan,
): string[] {
	const idle = (pooled: boolean): string[] => {
		const own = new Map([...memory].filter(([kind]) => kind.endsWith('-pooled') === pooled));
		const count = (pooled ? plan.idlePooled : plan.idleConnections).toLocaleString('en');
		return own.size === 0 ? [] : [`### Memory of the proxy, ${count} idle clients\n\n${report.memoryTable(own)}`];
	};
	const half = (pooling: Row['pooling'], title: string): string[] => {
		const measured = all.filter(({ row }) => row.pooling === pooling);
		const shown = kinds.filter((kind) => targetsOf[pooling].includes(kind));
		const figures =
			measured.length === 0
				? []
				: [
						`### Units a second\n\n${report.throughputTable(measured, shown)}`,
						`### CPU of the proxy, microseconds a unit\n\n${report.cpuTable(measured, shown)}`,
						`### Latency\n\n${report.latencyTable(measured, shown)}`,
						...(pooling === 'transaction'
							? [`### Time of a lease, microseconds\n\n${report.leaseTable(measured, 'demo-pooled')}`]
							: []),
					];
		const parts = [...figures, ...(pooling === 'reuse' ? [] : idle(pooling === 'transaction'))];
		return parts.length === 0 ? [] : [`## ${title}`, ...parts];
	};
	const failures = report.failureList(all);
	return [
		...half('session', 'A server connection for each client'),
		...half('reuse', 'The same with `pool.reuse`: the next client gets the server connection'),
		...half('transaction', `Transaction pooling, ${POOL_SIZE} server connections`),
		...(failures.length === 0 ? [] : [`## Failed\n\n${failures.join('\n')}`]),
	];
}

/** A whole run replaces bench/RESULTS.md; a part of one, or a quick one, is only printed unless `--write` says otherwise. */
async function publish(plan: Plan, sections: readonly string[]): Promise<void> {
	const text = `${sections.join('\n\n')}\n`;
	console.log(text);
	if (!plan.write && (plan.quick || plan.only.source !== '(?:)' || !plan.relay)) return;
	const file = join(repository, 'bench', 'RESULTS.md');
	await writeFile(file, text);
	say(`written: ${file}`);
}

function kindsHere(): readonly TargetKind[] {
	const all = [...new Set(Object.values(targetsOf).flat())];
	return programs.pgbouncer === null ? all.filter((kind) => !kind.startsWith('pgbouncer')) : all;
}

/** What goes through proxies, as sections of the report. */
async function measureRelay(plan: Plan): Promise<readonly string[]> {
	const kinds = kindsHere();
	const { cpuProf, scale, rows } = plan;
	const stage = await setStage({
		kinds,
		...programs,
		scale,
		rows,
		say,
		nodeArgs: (kind) => (cpuProf === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${join(cpuProf, kind)}`]),
	});
	// Whoever breaks it off leaves nothing running.
	for (const signal of ['SIGINT', 'SIGTERM'] as const)
		process.once(signal, () => void stage.stop().finally(() => process.exit(1)));
	try {
		const all = await prepareRows(stage, plan);
		const memory = await measureMemory(stage, plan);
		await warmUp(all, stage.targets, plan.quick ? 500 : 3_000);
		const measured: report.Measured[] = [];
		for (const row of all) measured.push(await measureRow(row, stage.targets, plan.rounds));
		return [`Server: PostgreSQL ${stage.postgres.version}.`, ...tables(measured, kinds, memory, plan)];
	} finally {
		await stage.stop();
	}
}

async function main(): Promise<void> {
	const plan = readPlan(process.argv.slice(2));
	const began = performance.now();
	const machine = describeMachine({
		pgbouncer: programs.pgbouncer?.version ?? null,
		pgbench: programs.pgbench?.version ?? null,
		psql: programs.psql?.version ?? null,
	});
	if (plan.build) build();
	for (const [name, found] of Object.entries(programs)) {
		if (found === null)
			say(`${name} is missing on this machine: what needs it is left out (Debian has it as a package)`);
	}
	const relay = plan.relay ? await measureRelay(plan) : [];
	const parts = plan.parts ? runParts(plan.only, plan.quick, say) : [];
	const minutes = ((performance.now() - began) / 60_000).toFixed(1);
	const how = `${plan.quick ? 'a quick run, ' : ''}${plan.rounds} ${plan.rounds === 1 ? 'round' : 'rounds'} of ${plan.seconds} s a row`;
	await publish(plan, [
		'# Benchmark results',
		`Written by \`npm run bench\` on ${new Date().toISOString().slice(0, 10)}, in ${minutes} minutes: ${how}, targets in alternating order. Numbers are medians of the rounds; in parentheses the median ratio to PgBouncer of the same round. What is measured, and what the numbers mean, is in [docs/benchmarks.md](../docs/benchmarks.md).`,
		[...machine, `- load average at the end: ${loadavg()[0]?.toFixed(1)}`].join('\n'),
		...relay,
		...parts,
	]);
}

await main();
