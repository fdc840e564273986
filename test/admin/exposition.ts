/** Reads Prometheus text format 0.0.4 strictly, as the specification has it, so that what the gateway writes can be held against it. */

export interface ReadSample {
	readonly name: string;
	readonly labels: Readonly<Record<string, string>>;
	readonly value: number;
}

export interface ReadFamily {
	readonly name: string;
	readonly help: string;
	readonly type: string;
	readonly samples: readonly ReadSample[];
}

/** Throws Error with the line for anything that is not as specified, series that are there twice included. */
export function readExposition(page: string): Map<string, ReadFamily> {
	if (!page.endsWith('\n')) throw new Error('the last line has no line feed');
	const families = new Map<string, ReadFamily & { samples: ReadSample[] }>();
	const seen = new Set<string>();
	let help: readonly [string, string] | null = null;
	for (const line of page.slice(0, -1).split('\n')) {
		const fail = (why: string): never => {
			throw new Error(`${why}: ${line}`);
		};
		const helped = /^# HELP ([a-zA-Z_:][\w:]*) (.+)$/.exec(line);
		if (helped !== null) {
			help = [helped[1] ?? '', helped[2] ?? ''];
			continue;
		}
		const typed = /^# TYPE ([a-zA-Z_:][\w:]*) (counter|gauge|histogram)$/.exec(line);
		if (typed !== null) {
			const [, name = '', type = ''] = typed;
			if (help?.[0] !== name) fail('no HELP before');
			if (families.has(name)) fail('family is there twice');
			families.set(name, { name, type, help: help?.[1] ?? '', samples: [] });
			continue;
		}
		const sample = readSample(line) ?? fail('no sample');
		const family = [...families.values()].at(-1);
		if (family === undefined || !belongs(sample.name, family)) fail('sample outside of its family');
		const key = sample.name + JSON.stringify(Object.entries(sample.labels).toSorted(([a], [b]) => (a < b ? -1 : 1)));
		if (seen.has(key)) fail('series is there twice');
		seen.add(key);
		family?.samples.push(sample);
	}
	for (const family of families.values()) checkFamily(family);
	return families;
}

function belongs(name: string, family: ReadFamily): boolean {
	if (family.type !== 'histogram') return name === family.name;
	return ['_bucket', '_sum', '_count'].some((suffix) => name === family.name + suffix);
}

function readSample(line: string): ReadSample | null {
	const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (NaN|[+-]Inf|[-+0-9.e]+)$/.exec(line);
	if (match === null) return null;
	const labels: Record<string, string> = {};
	let rest = match[2] ?? '';
	while (rest !== '') {
		const label = /^([a-zA-Z_]\w*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)/.exec(rest);
		if (label === null) return null;
		const text = (label[2] ?? '').replaceAll(/\\(.)/g, (_, character: string) =>
			character === 'n' ? '\n' : character,
		);
		labels[label[1] ?? ''] = text;
		rest = rest.slice(label[0].length);
	}
	const text = match[3] ?? '';
	return { name: match[1] ?? '', labels, value: Number(text.replace('Inf', 'Infinity')) };
}

/** Counters are named so and never negative; buckets of a histogram grow and end with what it counted. */
function checkFamily({ name, type, samples }: ReadFamily): void {
	if (type === 'counter' && !name.endsWith('_total')) throw new Error(`${name}: a counter without _total`);
	if (type !== 'counter' && name.endsWith('_total')) throw new Error(`${name}: _total, but no counter`);
	if (type !== 'gauge' && samples.some(({ value }) => !(value >= 0))) throw new Error(`${name}: below zero`);
	if (type !== 'histogram') return;
	const bySeries = new Map<string, ReadSample[]>();
	for (const sample of samples) {
		const { le: _le, ...labels } = sample.labels;
		const key = JSON.stringify(labels);
		bySeries.set(key, [...(bySeries.get(key) ?? []), sample]);
	}
	for (const series of bySeries.values()) {
		const buckets = series.filter((sample) => sample.name.endsWith('_bucket'));
		const count = series.find((sample) => sample.name.endsWith('_count'));
		const grows = buckets.every(({ value }, at) => at === 0 || value >= (buckets[at - 1]?.value ?? 0));
		if (!grows) throw new Error(`${name}: buckets that shrink`);
		if (buckets.at(-1)?.labels['le'] !== '+Inf' || buckets.at(-1)?.value !== count?.value)
			throw new Error(`${name}: +Inf is not the count`);
	}
}
