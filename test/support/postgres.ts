/** A real PostgreSQL for tests: one server a run (test/support/global-setup.ts), a database of its own for each test file. */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';

/** Coordinates of the shared server; `user` is its superuser. Do not change settings or roles of the server without undoing it. */
export interface TestPostgres {
	readonly host: string;
	readonly port: number;
	readonly user: string;
	readonly password: string;
	/** E.g. 18.4. */
	readonly version: string;
}

/** A database that is the caller's alone. */
export interface TestDatabase extends TestPostgres {
	readonly database: string;
	readonly url: string;
	/** Runs SQL text (several statements too) as the superuser and answers the rows of the last statement. */
	sql(text: string): Promise<Record<string, unknown>[]>;
	/** Ends its connections and removes it. */
	drop(): Promise<void>;
}

/** The shared server, started by the first caller of the run. `native`: the `native` folder of another version's package. */
export async function startPostgres(options: { readonly native?: string } = {}): Promise<TestPostgres> {
	const query = options.native === undefined ? '' : `?native=${encodeURIComponent(options.native)}`;
	const response = await fetch(`${inject('testBroker')}/${query}`);
	const body = await response.text();
	if (!response.ok) throw new Error(body);
	return JSON.parse(body) as TestPostgres;
}

/** Makes a database with a fresh name, as a copy of `template` when given, and runs `setup` (SQL text) in it. */
export async function createDatabase(
	options: { readonly server?: TestPostgres; readonly setup?: string; readonly template?: string } = {},
): Promise<TestDatabase> {
	const server = options.server ?? (await startPostgres());
	const database = `test_${randomBytes(6).toString('hex')}`;
	const template = options.template === undefined ? '' : ` template ${options.template}`;
	await runSql(server, 'postgres', `create database ${database}${template}`);
	const url = `postgres://${server.user}:${server.password}@${server.host}:${server.port}/${database}`;
	const made: TestDatabase = {
		host: server.host,
		port: server.port,
		user: server.user,
		password: server.password,
		version: server.version,
		database,
		url,
		sql: (text) => runSql(server, database, text),
		drop: async () => {
			await runSql(server, 'postgres', `drop database if exists ${database} with (force)`);
		},
	};
	if (options.setup !== undefined) await made.sql(options.setup);
	return made;
}

async function runSql(server: TestPostgres, database: string, text: string): Promise<Record<string, unknown>[]> {
	const { host, port, user, password } = server;
	const client = new pg.Client({ host, port, user, password, database });
	client.on('error', () => undefined);
	await client.connect();
	try {
		const result: unknown = await client.query(text);
		const last: unknown = Array.isArray(result) ? result.at(-1) : result;
		return (last as pg.QueryResult<Record<string, unknown>>).rows;
	} finally {
		await client.end();
	}
}
