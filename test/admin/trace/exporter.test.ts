/** Spans on their way to a collector that is slow to take them, refuses them, or is not there. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type ExporterLimits, type ExporterOptions, SpanExporter } from '../../../src/admin/trace/exporter.ts';
import { type Collector, startCollector } from './collector.ts';

let collector: Collector;
beforeEach(async () => {
	collector = await startCollector();
});
afterEach(() => collector.stop());

const span = (name: string): object => ({ traceId: 't', spanId: 's', name, attributes: [] });

function exporter(limits: Partial<ExporterLimits>, options: Partial<ExporterOptions> = {}): SpanExporter {
	return new SpanExporter({ url: collector.url, version: '1', limits: { retryMs: 1, ...limits }, ...options });
}

const names = (): string[] => collector.spans.map(({ name }) => name);

test('a full batch goes at once, the rest at the end', async () => {
	const sent = exporter({ batchMax: 2, intervalMs: 60_000 });
	for (const name of ['a', 'b', 'c']) sent.add(span(name));
	await expect.poll(names).toEqual(['a', 'b']);
	await sent.close();
	expect(names()).toEqual(['a', 'b', 'c']);
	expect(sent.counts).toEqual({ sent: 3, dropped: 0 });
	sent.add(span('late'));
	expect(sent.counts).toEqual({ sent: 3, dropped: 1 });
});

test('a batch that is not full goes after a while', async () => {
	const sent = exporter({ intervalMs: 5 });
	sent.add(span('a'));
	await expect.poll(names).toEqual(['a']);
	await sent.close();
});

test('the header is asked for each time', async () => {
	let secret = 'Bearer one';
	const sent = exporter({ batchMax: 1 }, { authorization: () => Promise.resolve(secret) });
	sent.add(span('a'));
	await expect.poll(names).toEqual(['a']);
	secret = 'Bearer two';
	sent.add(span('b'));
	await sent.close();
	expect(collector.headers.map(({ authorization }) => authorization)).toEqual(['Bearer one', 'Bearer two']);
});

describe('a collector that answers', () => {
	const rows: readonly {
		readonly answers: readonly number[];
		readonly counts: object;
		readonly trouble: readonly (string | null)[];
	}[] = [
		{ answers: [503, 429], counts: { sent: 1, dropped: 0 }, trouble: ['the collector answered 503', null] },
		{ answers: [400], counts: { sent: 0, dropped: 1 }, trouble: ['the collector answered 400'] },
		{ answers: [503, 503, 503], counts: { sent: 0, dropped: 1 }, trouble: ['the collector answered 503'] },
	];
	test.each(rows)('$answers', async ({ answers, counts, trouble }) => {
		collector.answers.push(...answers);
		const seen: (string | null)[] = [];
		const sent = exporter({ tries: 3 }, { onTrouble: (error) => void seen.push(error?.message ?? null) });
		sent.add(span('a'));
		await sent.close();
		expect(sent.counts).toEqual(counts);
		expect(seen).toEqual(trouble);
	});
});

test('what does not fit is dropped, and closing does not wait for a collector that is not there', async () => {
	const never: typeof fetch = (_url, init) =>
		new Promise((_resolve, reject) => {
			init?.signal?.addEventListener('abort', () => reject(new Error('aborted')));
		});
	const sent = exporter({ queueMax: 2, batchMax: 1, closeMs: 20 }, { fetch: never });
	for (const name of ['under way', 'b', 'c', 'dropped']) sent.add(span(name));
	expect(sent.counts).toEqual({ sent: 0, dropped: 1 });
	await sent.close();
	expect(sent.counts).toEqual({ sent: 0, dropped: 4 });
});
