/**
 * What following a catalogue costs: time and heap of a load and of a look, with many tables, before and after the server has statistics
 * of its own catalogues. Makes a database for it, drops it.
 *
 *     NODE_OPTIONS=--expose-gc npx tsx bench/catalog.ts [postgres://postgres:secret@127.0.0.1:5432/postgres] [tables]
 *
 * Without an address it starts a server of its own, on which autovacuum does not gather those statistics in between.
 */
import pg from 'pg';
import { openQuerySession } from '../src/backend/query.ts';
import { startEmbeddedPostgres } from '../src/cli/demo/postgres.ts';
import { loadFingerprint, loadServer, loadSnapshot } from '../src/catalog/load.ts';
import { loadRelations } from '../src/catalog/overlay.ts';

const address = process.argv[2] ?? '';
const own = address === '' ? await startEmbeddedPostgres({ settings: { autovacuum: 'off' } }) : null;
const url = new URL(own === null ? address : `postgres://${own.user}:${own.password}@${own.host}:${own.port}/postgres`);
const tables = Number(process.argv[3] ?? 10_000);
const dbname = `portcullis_bench_${process.pid}`;

const SETUP = `do $$ begin for i in 1..${tables} loop
	execute format('create table %I (id bigint primary key, tenant text not null, name_%s text, email varchar(200),
		created_at timestamptz default now(), amount numeric(12,2), note_%s text, status int, payload jsonb, tags text[],
		ref_%s bigint, flag boolean default false)', 'table_number_'||i, i, i, i);
	if i % 20 = 0 then execute format('create view v_%s as select id, email from %I where amount > 10', i, 'table_number_'||i); end if;
	if i % 500 = 0 then commit; end if;
end loop; end $$`;

async function run(database: string, ...statements: string[]): Promise<void> {
	const client = new pg.Client({ connectionString: Object.assign(new URL(url), { pathname: `/${database}` }).href });
	await client.connect();
	try {
		for (const statement of statements) await client.query(statement);
	} finally {
		await client.end();
	}
}

function heapMb(): number {
	globalThis.gc?.();
	return process.memoryUsage().heapUsed / 1e6;
}

async function measure<T>(what: string, work: () => Promise<T>): Promise<T> {
	const heap = heapMb();
	const cpu = process.cpuUsage();
	const began = performance.now();
	const result = await work();
	const ms = performance.now() - began;
	const { user, system } = process.cpuUsage(cpu);
	const mine = (user + system) / 1000;
	console.log(
		`${what}: ${ms.toFixed(0)} ms, ${mine.toFixed(0)} ms of it own CPU, heap +${(heapMb() - heap).toFixed(1)} MB`,
	);
	return result;
}

await run(url.pathname.slice(1), `create database ${dbname}`);
try {
	await run(dbname, SETUP);
	const { hostname: host, port, username: user, password } = url;
	const target = { host, port: Number(port), user, dbname, tls: { mode: 'disable' as const } };
	const session = await openQuerySession({ ...target, password: () => decodeURIComponent(password) });
	const server = await measure('what comes with the server', () => loadServer(session));
	await measure(`a load of ${tables} tables, without statistics`, () => loadSnapshot(session, server, 1));
	await run(dbname, 'analyze');
	await measure('a load with statistics', () => loadSnapshot(session, server, 2));
	const load = await measure('a load again', () => loadSnapshot(session, server, 3));
	await measure('a look', () => loadFingerprint(session));
	const one = [{ schema: 'public', name: 'table_number_1' }];
	await measure('one table, in a session of a client', () => loadRelations(session, one, false));
	console.log(
		`peak of resident memory ${(process.resourceUsage().maxRSS / 1000).toFixed(0)} MB, revision ${load.snapshot.revision}`,
	);
	await session.close();
} finally {
	await run(url.pathname.slice(1), `drop database ${dbname} with (force)`);
	await own?.stop();
}
