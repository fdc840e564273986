/** A database with pgbench's accounts and the sample database, its catalogue, and the shipped policy: what a decision is made with. */
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import type { SessionInfo } from '../../src/audit/event.ts';
import { openQuerySession } from '../../src/backend/query.ts';
import { Catalog } from '../../src/catalog/catalog.ts';
import { isHarmlessFunctionName } from '../../src/catalog/safety.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/cli/demo/postgres.ts';
import { shopRolesSql, shopSql } from '../../src/cli/demo/shop.ts';
import type { PipelineContext } from '../../src/pipeline.ts';
import { parsePolicy, type Policy, readPolicy } from '../../src/policy/policy.ts';
import type { Access, Identity } from '../../src/stages.ts';
import { DATABASE } from './stage.ts';
import { ownRules, ROLE, TENANT } from './tables.ts';

export interface Decider {
	readonly postgres: EmbeddedPostgres;
	readonly catalog: Catalog;
	readonly identity: Identity;
	/** As superuser. */
	readonly client: pg.Client;
	access(): Access;
	context(): PipelineContext;
	close(): Promise<void>;
}

export const sessionInfo: SessionInfo = {
	id: 'bench',
	identity: null,
	clientAddress: '127.0.0.1',
	clientPort: 50_000,
	application: 'pgbench',
	tls: null,
	database: DATABASE,
	backendAddress: '127.0.0.1:5432',
	backendPid: 4_711,
	backendRole: ROLE,
};

const ACCOUNTS = `create table public.pgbench_accounts (aid int primary key, bid int, abalance int, filler char(84));
create table public.pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
create role ${ROLE}`;

const identity: Identity = { name: ROLE, roles: [], groups: [], claims: { tenant: TENANT }, method: 'scram-sha-256' };

/** `setup`: SQL to run before the catalogue is read. `rules`: lines for policy.csv. */
export async function openDecider(setup = '', rules = ''): Promise<Decider> {
	const postgres = await startEmbeddedPostgres({ settings: { shared_buffers: '512MB' } });
	const { host, port, user, password } = postgres;
	const admin = new pg.Client({ host, port, user, password, database: 'postgres' });
	await admin.connect();
	await admin.query(shopRolesSql('gateway'));
	await admin.query(`create database ${DATABASE}`);
	await admin.end();
	const client = new pg.Client({ host, port, user, password, database: DATABASE });
	await client.connect();
	for (const text of [shopSql(), ACCOUNTS, setup]) await client.query(text);
	const target = { host, port, user, dbname: DATABASE, password: () => password, tls: { mode: 'disable' } } as const;
	const catalog = new Catalog({ database: DATABASE, connect: () => openQuerySession(target) });
	await catalog.start();
	const policy = await shippedPolicy(`${ownRules}\n${rules}`);
	const access = (): Access => policy.accessFor(identity, DATABASE);
	const names = { searchPath: ['$user', 'public'], tempSchema: null };
	return {
		postgres,
		catalog,
		identity,
		client,
		access,
		context: () => ({ identity, database: DATABASE, access: access(), catalog, names, info: sessionInfo }),
		close: async () => {
			await catalog.close();
			await client.end();
			await postgres.stop();
		},
	};
}

async function shippedPolicy(more: string): Promise<Policy> {
	const source = await readPolicy(fileURLToPath(new URL('../../policies', import.meta.url)));
	return parsePolicy({ ...source, rules: `${source.rules}\n${more}` }, { isHarmlessFunction: isHarmlessFunctionName });
}
