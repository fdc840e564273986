/**
 * Runs PostgreSQL's own regression suite on a direct connection and through the gateway, and tells where they differ.
 *
 *     PORTCULLIS_PG_SOURCE=<source tree of the server's version> npx tsx scripts/regress.ts [--masked] [--plain] [--state folder] [test ...]
 *
 * The server's programs are those that `pg_config` names (Debian: postgresql-15 and postgresql-server-dev-15); a C compiler
 * makes the suite's library. Each file begins, both times, with the same bytes of the same data directory, so that oids
 * and transaction ids agree. With `--state` results and data directories are kept, and the next run repeats only what goes
 * through the gateway; the differences are in <folder>/diff. `--masked` masks a column of a table that no test uses. `--plain`
 * leaves out, both times, the statements that the gateway refuses to everybody (SET ROLE and the like), whose consequences
 * would hide what is behind them.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Account, Cluster, DATABASE, folderFor, run, serverAccount } from './regress/cluster.ts';
import { compare } from './regress/compare.ts';
import { PASSWORD, powerUserPolicy, PROTECTED_SQL, type Protection, startBefore } from './regress/gateway.ts';
import { DATABASE_SQL, openSuite, runTest, type Suite, withoutRefused } from './regress/suite.ts';

interface Rig {
	readonly suite: Suite;
	readonly bin: string;
	readonly account: Account | undefined;
	readonly state: string;
	readonly protection: Protection;
	readonly plain: boolean;
}

interface Row {
	readonly test: string;
	readonly statements: number;
	readonly places: number;
	readonly lines: number;
	readonly errors: ReadonlyMap<string, number>;
}

const { values, positionals } = parseArgs({
	options: {
		masked: { type: 'boolean', default: false },
		plain: { type: 'boolean', default: false },
		state: { type: 'string' },
	},
	allowPositionals: true,
});
const source = process.env['PORTCULLIS_PG_SOURCE'];
if (source === undefined) throw new Error('PORTCULLIS_PG_SOURCE has to name a source tree of PostgreSQL');
const account = await serverAccount();
const state = await folderFor(account, values.state ?? (await mkdtemp(join(tmpdir(), 'portcullis-regress-'))));
try {
	const suite = await openSuite(source, state, account);
	const bin = (await run('pg_config', ['--bindir'])).trim();
	const protection = values.masked ? 'masked' : 'none';
	const rig: Rig = { suite, bin, account, state, protection, plain: values.plain };
	for (const name of ['direct', 'through', 'diff', 'before', 'plain']) await folderFor(account, join(state, name));
	const rows: Row[] = [];
	for (const [i, test] of suite.tests.entries()) {
		const wanted = positionals.length === 0 || positionals.includes(test);
		if (wanted || !existsSync(join(state, 'direct', `${test}.done`))) await direct(rig, i);
		if (wanted) rows.push(report(await through(rig, test)));
		if (values.state === undefined) await rm(join(state, 'before', test), { recursive: true, force: true });
	}
	summary(rows);
} finally {
	if (values.state === undefined) await rm(state, { recursive: true, force: true });
}

/** Runs a file on a direct connection, unless that was done; its data directory before it is kept, and is the next one's start. */
async function direct(rig: Rig, index: number): Promise<void> {
	const test = rig.suite.tests[index] ?? '';
	const done = join(rig.state, 'direct', `${test}.done`);
	if (existsSync(done)) return;
	const before = new Cluster(join(rig.state, 'before', test), rig.bin, rig.account);
	if (index === 0) await firstCluster(before);
	const next = new Cluster(join(rig.state, 'before', rig.suite.tests[index + 1] ?? 'end'), rig.bin, rig.account);
	await next.copyFrom(before.data);
	await next.start();
	try {
		await cleanOutput(rig);
		const result = join(rig.state, 'direct', `${test}.out`);
		if (!(await runTest(rig.suite, test, { port: next.port, password: '' }, result)))
			throw new Error(`${test} does not end on a direct connection`);
	} finally {
		await next.stop();
	}
	await writeFile(done, '');
}

async function firstCluster(cluster: Cluster): Promise<void> {
	await cluster.initialise();
	await cluster.start();
	try {
		for (const text of DATABASE_SQL) await cluster.sql('postgres', text);
	} finally {
		await cluster.stop();
	}
}

async function cleanOutput({ suite, account }: Rig): Promise<void> {
	await rm(join(suite.output, 'results'), { recursive: true, force: true });
	await folderFor(account, join(suite.output, 'results'));
}

async function through(rig: Rig, test: string): Promise<Row> {
	const { suite, state } = rig;
	const script = rig.plain ? await withoutRefused(suite, test, join(state, 'plain')) : undefined;
	const direct = script !== undefined ? join(state, 'plain', `${test}.out`) : join(state, 'direct', `${test}.out`);
	if (script !== undefined) {
		await onCopy(rig, test, async ({ port }) => runTest(suite, test, { port, password: '' }, direct, script));
	}
	return onCopy(rig, test, async (cluster) => {
		if (rig.protection === 'masked') await cluster.sql(DATABASE, PROTECTED_SQL);
		const policy = await powerUserPolicy(cluster, rig.protection, suite.copied);
		const gateway = await startBefore(cluster, state, policy);
		const result = join(state, 'through', `${test}.out`);
		const ended = await runTest(suite, test, { port: gateway.port, password: PASSWORD }, result, script);
		const statements = await gateway.close();
		const { text, ...counts } = await compare(direct, result);
		await writeFile(join(state, 'diff', `${test}.diff`), text);
		if (!ended) process.stdout.write(`${test} had to be stopped\n`);
		return { test, statements, ...counts };
	});
}

/** Does something with a server that is as it was before the test, and is thrown away. */
async function onCopy<T>(rig: Rig, test: string, work: (cluster: Cluster) => Promise<T>): Promise<T> {
	const cluster = new Cluster(join(rig.state, 'gateway-data'), rig.bin, rig.account);
	await cluster.copyFrom(join(rig.state, 'before', test));
	await cluster.start();
	try {
		await cleanOutput(rig);
		return await work(cluster);
	} finally {
		await cluster.stop('immediate');
	}
}

function report(row: Row): Row {
	const refused = [...row.errors.values()].reduce((sum, count) => sum + count, 0);
	const words = `${row.statements} statements, ${row.places} differences in ${row.lines} lines, ${refused} errors of the gateway's`;
	process.stdout.write(`${row.test.padEnd(24)} ${row.places === 0 ? 'same' : 'DIFF'}  ${words}\n`);
	return row;
}

function summary(rows: readonly Row[]): void {
	const sum = (of: (row: Row) => number): number => rows.reduce((total, row) => total + of(row), 0);
	const errors = new Map<string, number>();
	for (const row of rows) {
		for (const [words, count] of row.errors) errors.set(words, (errors.get(words) ?? 0) + count);
	}
	const sorted = [...errors].sort((a, b) => b[1] - a[1]);
	for (const [words, count] of sorted) process.stdout.write(`${String(count).padStart(6)}  ${words}\n`);
	const same = rows.filter((row) => row.places === 0).length;
	process.stdout.write(
		`${rows.length} files, ${same} the same; ${sum((row) => row.statements)} statements, ` +
			`${sum((row) => row.places)} differences in ${sum((row) => row.lines)} lines\n`,
	);
}
