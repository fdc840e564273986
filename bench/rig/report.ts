/** Tables of what was measured: medians over the rounds, each with its ratio to PgBouncer in the same round. */
import type { IdleMemory } from './idle.ts';
import type { Percentiles } from './pgbench.ts';
import type { Row, Sample } from './rows.ts';
import type { TargetKind } from './stage.ts';

/** Samples of one row, by target, one for each round. A failure has the words of what went wrong instead. */
export interface Measured {
	readonly row: Pick<Row, 'title' | 'unit' | 'pooling'>;
	readonly samples: ReadonlyMap<TargetKind, readonly Sample[]>;
	readonly failures: ReadonlyMap<TargetKind, string>;
}

export const captions: Readonly<Record<TargetKind, string>> = {
	direct: 'direct',
	pgbouncer: 'PgBouncer',
	demo: 'Portcullis, shipped policy',
	'demo-workers': 'the same, two workers',
	'demo-reuse': 'Portcullis, shipped policy',
	open: 'Portcullis, allow-all',
	'pgbouncer-pooled': 'PgBouncer',
	'demo-pooled': 'Portcullis, shipped policy',
	'demo-workers-pooled': 'the same, two workers',
};

/** What a kind is compared with. */
function baseOf(kind: TargetKind, { row }: Measured): TargetKind {
	return kind.endsWith('-pooled') || row.pooling === 'transaction' ? 'pgbouncer-pooled' : 'pgbouncer';
}

export function median(values: readonly number[]): number {
	const sorted = values.toSorted((a, b) => a - b);
	const middle = sorted.length >> 1;
	if (sorted.length % 2 === 1) return sorted[middle] ?? Number.NaN;
	return ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
}

type Measure = (sample: Sample) => number | null;

/** `12,345 (1.02)`: the median over the rounds, and the median of its ratios to PgBouncer, round by round. */
export function cell(measured: Measured, kind: TargetKind, of: Measure, digits: number): string {
	const own = measured.samples.get(kind) ?? [];
	const values = own.map(of);
	if (!values.some((value) => value !== null)) return measured.failures.has(kind) ? 'failed' : '-';
	const text = format(median(values.filter((value) => value !== null)), digits);
	const other = baseOf(kind, measured);
	if (kind === other) return text;
	const base = measured.samples.get(other)?.map(of) ?? [];
	const ratios = values.flatMap((value, round) => {
		const divisor = base[round];
		return value === null || divisor === null || divisor === undefined || divisor === 0 ? [] : [value / divisor];
	});
	return ratios.length === 0 ? text : `${text} (${median(ratios).toFixed(2)})`;
}

function format(value: number, digits: number): string {
	return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** A table in Markdown; all columns but the first to the right. */
export function table(head: readonly string[], lines: readonly (readonly string[])[]): string {
	const widths = head.map((title, i) => Math.max(title.length, ...lines.map((line) => line[i]?.length ?? 0)));
	const print = (line: readonly string[]): string =>
		`| ${line.map((text, i) => (i === 0 ? text.padEnd(widths[i] ?? 0) : text.padStart(widths[i] ?? 0))).join(' | ')} |`;
	const rule = `| ${widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
	return [print(head), rule, ...lines.map(print)].join('\n');
}

/** One table over all rows. */
function measureTable(all: readonly Measured[], kinds: readonly TargetKind[], of: Measure, digits: number): string {
	const lines = all.map((measured) => [
		measured.row.title,
		measured.row.unit,
		...kinds.map((kind) => cell(measured, kind, of, digits)),
	]);
	return table(['workload', 'unit', ...kinds.map((kind) => captions[kind])], lines);
}

export function throughputTable(all: readonly Measured[], kinds: readonly TargetKind[]): string {
	return measureTable(all, kinds, ({ rate }) => rate, 0);
}

export function cpuTable(all: readonly Measured[], kinds: readonly TargetKind[]): string {
	return measureTable(
		all,
		kinds.filter((kind) => kind !== 'direct'),
		({ cpuMicros }) => cpuMicros,
		1,
	);
}

export function latencyTable(all: readonly Measured[], kinds: readonly TargetKind[]): string {
	const lines = all.flatMap((measured) => {
		const timed = [...measured.samples.values()].some((samples) => samples.some(({ latency }) => latency !== null));
		if (!timed) return [];
		return (['p50', 'p95', 'p99'] as const).map((rank: keyof Percentiles) => [
			measured.row.title,
			rank,
			...kinds.map((kind) => cell(measured, kind, ({ latency }) => latency?.[rank] ?? null, 3)),
		]);
	});
	return table(['workload', 'ms', ...kinds.map((kind) => captions[kind])], lines);
}

/** Of gateways alone: nobody else is asked. */
export function leaseTable(all: readonly Measured[], kind: TargetKind): string {
	const lines = all.map((measured) => [
		measured.row.title,
		cell(measured, kind, (sample) => sample.leaseMicros ?? null, 0),
	]);
	return table(['workload', captions[kind]], lines);
}

export function memoryTable(memory: ReadonlyMap<TargetKind, IdleMemory>): string {
	const base = memory.get('pgbouncer') ?? memory.get('pgbouncer-pooled');
	const show = (bytes: number, of: number | undefined): string => {
		const text = `${(bytes / 1_024).toFixed(1)}`;
		return of === undefined || of === bytes ? text : `${text} (${(bytes / of).toFixed(1)})`;
	};
	const lines = [...memory].map(([kind, { signedIn, used }]) => [
		captions[kind],
		show(signedIn, base?.signedIn),
		show(used, base?.used),
	]);
	return table(['kB a connection', 'signed in', 'after a statement'], lines);
}

export function failureList(all: readonly Measured[]): string[] {
	return all.flatMap(({ row, failures }) =>
		[...failures].map(([kind, words]) => `- ${row.title}, ${captions[kind]}: ${words.split('\n')[0] ?? ''}`),
	);
}
