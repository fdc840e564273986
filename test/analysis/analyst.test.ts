/** The thread as its keeper sees it: it may hang, die or never start, and whoever waits may leave. */
import { EventEmitter } from 'node:events';
import type { Worker } from 'node:worker_threads';
import { afterEach, expect, test } from 'vitest';
import { Analyst, type AnalystOptions, type LongText } from '../../src/analysis/analyst.ts';
import type { FromThread, Job } from '../../src/analysis/messages.ts';
import type { CatalogSnapshot } from '../../src/catalog/snapshot.ts';
import { GatewayError } from '../../src/errors.ts';
import { defaultSqlLimits } from '../../src/sql/parse.ts';
import type { Access } from '../../src/stages.ts';
import { eventually } from '../support/time.ts';

/** A thread that does nothing by itself. */
class FakeThread extends EventEmitter {
	readonly jobs: Job[] = [];
	ended = false;

	postMessage(job: Job): void {
		this.jobs.push(job);
	}

	unref(): void {}

	terminate(): Promise<number> {
		this.ended = true;
		return Promise.resolve(0);
	}

	tell(message: FromThread): void {
		this.emit('message', message);
	}

	done(): void {
		this.tell({ type: 'analysed', doubt: false, missing: [], missingRoutines: [], rewritten: null });
	}
}

let analyst: Analyst | undefined;
let threads: FakeThread[] = [];

function start(options: Partial<AnalystOptions> = {}): Analyst {
	threads = [];
	const startThread = (): Worker => {
		const thread = new FakeThread();
		threads.push(thread);
		return thread as unknown as Worker;
	};
	analyst = new Analyst({ waitingMax: 1_000, timeoutMs: 600_000, startThread, ...options });
	return analyst;
}

afterEach(() => analyst?.close());

const catalog = { revision: 1, serverVersion: 180_000, user: 'gateway' } as CatalogSnapshot;
const access = { database: 'db', revision: '1', shape: '', unrestricted: false } as Access;

function text(sql: string, more: Partial<LongText> = {}): LongText {
	const begin = (): ReturnType<LongText['begin']> => ({
		...{ catalog, access, searchPath: [], tempSchema: null, parameterTypes: [] },
		...{ touchesProtected: () => undefined, castTargets: () => [] },
	});
	return { sql, limits: defaultSqlLimits, user: 'a', begin, ...more };
}

const codeOf = (analysis: Promise<unknown>): Promise<unknown> =>
	analysis.then(
		() => 'analysed',
		(error: unknown) => (error as GatewayError).sqlstate,
	);

const texts = (thread = 0): string[] => (threads[thread]?.jobs ?? []).map(({ sql }) => sql);

test('one text at a time, and users take turns', async () => {
	const made = start();
	const all = [made.analyse(text('a1')), made.analyse(text('a2')), made.analyse(text('b1', { user: 'b' }))];
	expect(texts()).toEqual(['a1']);
	for (let n = 0; n < 3; n += 1) threads[0]?.done();
	await Promise.all(all);
	expect(texts()).toEqual(['a1', 'a2', 'b1']);
	expect(threads.length).toBe(1);
});

test('a text that is too long in the thread is refused, and the next has another thread', async () => {
	const made = start({ timeoutMs: 20 });
	expect(await codeOf(made.analyse(text('slow')))).toBe('54001');
	expect(threads[0]?.ended).toBe(true);
	// Whatever it says now is of nobody.
	const next = made.analyse(text('next'));
	threads[0]?.done();
	threads[1]?.done();
	await next;
	expect(texts(1)).toEqual(['next']);
});

test.each(['error', 'exit', 'messageerror'])(
	'a thread that ends by %s takes its text with it, and no other',
	async (event) => {
		const made = start();
		const [lost, kept] = [made.analyse(text('lost')), made.analyse(text('kept'))];
		threads[0]?.emit(event, new Error('out of memory'));
		expect(await codeOf(lost)).toBe('54001');
		expect(texts(1)).toEqual(['kept']);
		threads[1]?.done();
		expect(await codeOf(kept)).toBe('analysed');
	},
);

test('a thread that cannot be started is an error of the text', async () => {
	const made = start({
		startThread: () => {
			throw new Error('no more threads');
		},
	});
	expect(await codeOf(made.analyse(text('one')))).toBe('54001');
	expect(await codeOf(made.analyse(text('two')))).toBe('54001');
});

test('who leaves waits no more; what is in the thread is stopped when it asks', async () => {
	const made = start();
	const leaving = new AbortController();
	const [first, second] = ['first', 'second'].map((sql) => codeOf(made.analyse(text(sql, { signal: leaving.signal }))));
	const third = codeOf(made.analyse(text('third')));
	leaving.abort(new GatewayError('57014', 'canceling statement due to user request'));
	expect([await first, await second]).toEqual(['57014', '57014']);
	expect(made.waiting).toBe('third'.length);
	threads[0]?.tell({ type: 'stopped' });
	expect(texts()).toEqual(['first', 'third']);
	threads[0]?.done();
	expect(await third).toBe('analysed');
	expect(await codeOf(made.analyse(text('late', { signal: leaving.signal })))).toBe('57014');
});

test('there is room for so much, and no more', async () => {
	const made = start({ waitingMax: 20 });
	const under = codeOf(made.analyse(text('x'.repeat(500))));
	const waits = codeOf(made.analyse(text('y'.repeat(10))));
	expect(await codeOf(made.analyse(text('z')))).toBe('53400');
	for (let n = 0; n < 2; n += 1) threads[0]?.done();
	expect([await under, await waits]).toEqual(['analysed', 'analysed']);
});

test('a thread that nobody needs gives its memory back', async () => {
	const made = start({ idleMs: 1 });
	const one = made.analyse(text('one'));
	threads[0]?.done();
	await one;
	await eventually(() => expect(threads[0]?.ended).toBe(true));
	const two = made.analyse(text('two'));
	threads[1]?.done();
	await two;
});

test('closed, it refuses what is there and what comes', async () => {
	const made = start();
	const all = [codeOf(made.analyse(text('one'))), codeOf(made.analyse(text('two')))];
	await made.close();
	expect([...(await Promise.all(all)), await codeOf(made.analyse(text('three')))]).toEqual(['57P01', '57P01', '57P01']);
	expect(threads[0]?.ended).toBe(true);
});

test('what cannot be begun is refused with its own reason', async () => {
	const made = start();
	const begin = (): never => {
		throw new GatewayError('57P03', 'the catalogue is not known');
	};
	expect(await codeOf(made.analyse(text('one', { begin })))).toBe('57P03');
});
