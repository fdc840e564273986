/** Writes metrics as Prometheus reads them: text format 0.0.4, families in the order given, labels escaped. */
export type Labels = Readonly<Record<string, string>>;

export interface Sample {
	readonly labels: Labels;
	readonly value: number;
}

/** A Histogram, or what several of them make together. */
export interface HistogramNumbers {
	/** Upper bounds, ascending. */
	readonly bounds: readonly number[];
	/** For each bound, and one for what exceeds all. Not cumulative. */
	readonly counts: ArrayLike<number>;
	readonly sum: number;
	readonly count: number;
}

/**
 * What the workers of a gateway make of their numbers together: the sum, the greatest, the least, or `each` for itself with a label
 * `worker`, where a sum would say nothing.
 */
export type Across = 'sum' | 'max' | 'min' | 'each';

/** What `GET /metrics` answers as Content-Type. */
export const expositionType = 'text/plain; version=0.0.4; charset=utf-8';

export type Family =
	| {
			readonly type: 'counter';
			/** Counters end in `_total`, times in `_seconds`, sizes in `_bytes`. */
			readonly name: string;
			readonly help: string;
			readonly samples: readonly Sample[];
			/** By default the sum. */
			readonly across?: 'sum' | 'each';
	  }
	| {
			readonly type: 'gauge';
			readonly name: string;
			readonly help: string;
			readonly samples: readonly Sample[];
			readonly across: Across;
	  }
	| {
			readonly type: 'histogram';
			readonly name: string;
			readonly help: string;
			readonly histograms: readonly { readonly labels: Labels; readonly histogram: HistogramNumbers }[];
	  };

/** The whole page. Families without samples are there with their help, so that it shows what there could be. */
export function exposition(families: Iterable<Family>): string {
	let page = '';
	for (const family of families) {
		const { name, help, type } = family;
		page += `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${type}\n`;
		if (family.type === 'histogram') {
			for (const { labels, histogram } of family.histograms) page += histogramLines(name, labels, histogram);
		} else for (const { labels, value } of family.samples) page += line(name, labels, value);
	}
	return page;
}

function histogramLines(name: string, labels: Labels, histogram: HistogramNumbers): string {
	let lines = '';
	let below = 0;
	for (const [at, bound] of histogram.bounds.entries()) {
		below += histogram.counts[at] ?? 0;
		lines += line(`${name}_bucket`, { ...labels, le: String(bound) }, below);
	}
	lines += line(`${name}_bucket`, { ...labels, le: '+Inf' }, histogram.count);
	lines += line(`${name}_sum`, labels, histogram.sum);
	return lines + line(`${name}_count`, labels, histogram.count);
}

function line(name: string, labels: Labels, value: number): string {
	const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(text)}"`);
	return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${numberText(value)}\n`;
}

function numberText(value: number): string {
	if (Number.isNaN(value)) return 'NaN';
	if (value === Number.POSITIVE_INFINITY) return '+Inf';
	return value === Number.NEGATIVE_INFINITY ? '-Inf' : String(value);
}

function escapeLabel(text: string): string {
	return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function escapeHelp(text: string): string {
	return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}
