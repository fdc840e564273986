/** The rows of the benchmark: what is done to each target, and in which unit it counts. */
import { closeSync, openSync } from 'node:fs';
import { leaseMicros, readLeases } from './leases.ts';
import { type Percentiles, pgbench, type PgbenchOptions, type QueryMode } from './pgbench.ts';
import { type Program, runProgram } from './programs.ts';
import type { Stage, Target, TargetKind } from './stage.ts';
import { drainQuery } from './transfer.ts';

/** What one run of a row has shown. */
export interface Sample {
	/** Units done, and units a second. */
	readonly units: number;
	readonly rate: number;
	readonly latency: Percentiles | null;
	/** CPU time of the proxy for each unit, in microseconds; null where there is no proxy. */
	readonly cpuMicros: number | null;
	/** How long a client waited for a server connection, on average, sign-ins included; null where nobody tells. */
	readonly leaseMicros?: number | null;
}

export interface Row {
	readonly id: string;
	readonly title: string;
	readonly unit: 'transactions' | 'connections' | 'thousand rows' | 'MB';
	/** Which pooling it is about. */
	readonly pooling: 'session' | 'reuse' | 'transaction';
	run(target: Target): Promise<Sample>;
}

export interface Programs {
	readonly pgbench: Program | null;
	readonly psql: Program | null;
}

export interface RowOptions {
	readonly seconds: number;
	/** Of the table that is read and copied as a whole. */
	readonly rows: number;
	/** File with its rows in COPY's text format. */
	readonly copyFile: string;
	readonly copyBytes: number;
	/** Scripts of the masked row: through the policy that masks, and for everybody else. */
	readonly masked: { readonly demo: string; readonly others: string };
}

/** Those that a row is run on. */
export const targetsOf: Readonly<Record<Row['pooling'], readonly TargetKind[]>> = {
	session: ['direct', 'pgbouncer', 'demo', 'demo-workers', 'open'],
	reuse: ['direct', 'pgbouncer', 'demo-reuse'],
	transaction: ['direct', 'pgbouncer-pooled', 'demo-pooled', 'demo-workers-pooled'],
};

const modes: readonly QueryMode[] = ['simple', 'extended', 'prepared'];

/** Those rows that the programs of this machine allow. */
export function rowsOf(stage: Stage, programs: Programs, options: RowOptions): Row[] {
	return [...pgbenchRows(stage, programs.pgbench, options), ...transferRows(stage, programs.psql, options)];
}

type Workload = Pick<PgbenchOptions, 'mode' | 'clients' | 'script' | 'reconnect' | 'loginsPerSecond'>;

/** Makes a row of a pgbench workload, which may differ by target. */
type RowMaker = (id: string, title: string, workload: (target: Target) => Workload) => Row;

function pgbenchRows(stage: Stage, program: Program | null, { seconds, masked }: RowOptions): Row[] {
	if (program === null) return [];
	const maker =
		(pooling: Row['pooling']): RowMaker =>
		(id, title, workload) => ({
			id,
			title,
			pooling,
			unit: id.endsWith('connect') ? 'connections' : 'transactions',
			run: async (target) => {
				const common = { program: program.path, env: stage.env(target), folder: stage.folder, seconds };
				const { proxy, adminPort } = target;
				const meter = proxy === null ? undefined : () => proxy.cpuMicros();
				const leases = () => (adminPort === undefined ? null : readLeases(adminPort));
				const before = await leases();
				const { transactions, rate, latency, perTransaction } = await pgbench({
					...common,
					...workload(target),
					meter,
				});
				const after = await leases();
				const lease = before === null || after === null ? null : leaseMicros(before, after);
				return { units: transactions, rate, latency, cpuMicros: perTransaction, leaseMicros: lease };
			},
		});
	const reuse = connectRow(maker('reuse'), 'reuse-connect');
	return [...sessionRows(maker('session'), masked), reuse, ...pooledRows(maker('transaction'), masked)];
}

function sessionRows(row: RowMaker, masked: RowOptions['masked']): Row[] {
	const select = modes.flatMap((mode) =>
		(mode === 'prepared' ? [1, 16, 64, 256] : [1, 16, 64]).map((clients) =>
			row(`select-${mode}-${clients}`, `select-only, ${mode}, ${clients} clients`, () => ({
				mode,
				clients,
				script: 'select-only',
			})),
		),
	);
	const more = (['simple', 'prepared'] as const).flatMap((mode) => [
		row(`masked-${mode}-16`, `one masked row of employees, ${mode}, 16 clients`, ({ kind }) => ({
			mode,
			clients: 16,
			script: { file: kind.startsWith('demo') ? masked.demo : masked.others },
		})),
		row(`tpcb-${mode}-16`, `TPC-B, ${mode}, 16 clients`, () => ({ mode, clients: 16, script: 'tpcb-like' })),
	]);
	return [...select, ...more, connectRow(row, 'connect')];
}

function connectRow(row: RowMaker, id: string): Row {
	return row(id, 'connect, one statement, disconnect; 8 clients', () => ({
		mode: 'simple',
		clients: 8,
		script: 'select-only',
		reconnect: true,
	}));
}

/** PgBouncer 1.18 does not know statements that are prepared by name when it pools transactions; its row says so. */
function pooledRows(row: RowMaker, masked: RowOptions['masked']): Row[] {
	const loginsPerSecond = 64;
	const select = modes.flatMap((mode) =>
		(mode === 'simple' ? [1, 16, 64, 256, 1_000] : [16, 1_000]).map((clients) =>
			row(`pooled-${mode}-${clients}`, `select-only, ${mode}, ${clients.toLocaleString('en')} clients`, () => ({
				mode,
				clients,
				script: 'select-only',
				loginsPerSecond,
			})),
		),
	);
	const maskedRow = row('pooled-masked-simple-64', 'one masked row of employees, simple, 64 clients', ({ kind }) => ({
		mode: 'simple',
		clients: 64,
		script: { file: kind.startsWith('demo') ? masked.demo : masked.others },
		loginsPerSecond,
	}));
	const tpcb = row('pooled-tpcb-simple-64', 'TPC-B, simple, 64 clients', () => ({
		mode: 'simple',
		clients: 64,
		script: 'tpcb-like',
		loginsPerSecond,
	}));
	return [...select, maskedRow, tpcb, connectRow(row, 'pooled-connect')];
}

function transferRows(stage: Stage, psql: Program | null, options: RowOptions): Row[] {
	const { rows, copyFile, copyBytes } = options;
	const result: Row = {
		id: 'rows',
		pooling: 'session',
		title: `a result of ${rows.toLocaleString('en')} rows`,
		unit: 'thousand rows',
		run: async (target) => timed(target, rows / 1_000, () => drainQuery(stage, target, 'select * from bench_rows')),
	};
	if (psql === null) return [result];
	const megabytes = copyBytes / 1e6;
	const run = (target: Target, command: string, stdin?: number): Promise<string> => {
		const args = ['--no-psqlrc', '--quiet', '--set=ON_ERROR_STOP=1', '--command', command];
		return runProgram(psql.path, args, {
			env: stage.env(target),
			discard: true,
			...(stdin === undefined ? {} : { stdin }),
		});
	};
	const out: Row = {
		id: 'copy-out',
		pooling: 'session',
		title: `COPY out, ${megabytes.toFixed(0)} MB`,
		unit: 'MB',
		run: async (target) => timed(target, megabytes, () => run(target, 'copy bench_rows to stdout')),
	};
	const into: Row = {
		id: 'copy-in',
		pooling: 'session',
		title: `COPY in, ${megabytes.toFixed(0)} MB`,
		unit: 'MB',
		run: async (target) => {
			await stage.sql('truncate bench_copy');
			const file = openSync(copyFile, 'r');
			try {
				return await timed(target, megabytes, () => run(target, 'copy bench_copy from stdin', file));
			} finally {
				closeSync(file);
			}
		},
	};
	return [result, out, into];
}

async function timed({ proxy }: Target, units: number, work: () => Promise<unknown>): Promise<Sample> {
	const before = proxy?.cpuMicros() ?? null;
	const began = performance.now();
	await work();
	const rate = (units * 1_000) / (performance.now() - began);
	const after = proxy?.cpuMicros() ?? null;
	return { units, rate, latency: null, cpuMicros: before === null || after === null ? null : (after - before) / units };
}
