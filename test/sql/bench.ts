/** A pipeline over a real database for the tests of the analysis: decides as somebody, and runs what it decided as the gateway's role. */
import pg from 'pg';
import { Analyst } from '../../src/analysis/analyst.ts';
import { openQuerySession } from '../../src/backend/query.ts';
import { Catalog } from '../../src/catalog/catalog.ts';
import { Pipeline, type PipelineContext, type PipelineOptions } from '../../src/pipeline.ts';
import type { Policy } from '../../src/policy/policy.ts';
import type { Decision, Identity } from '../../src/stages.ts';
import { policyOf } from '../policy/support.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';

/** By hand: every text goes to the thread that long ones are analysed in, and has to be decided alike. */
const ASIDE = process.env['PORTCULLIS_ASIDE'] === '1';

/** Role that the gateway signs in with in these tests; one for all databases of the shared server. */
export const ROLE = 'sql_bench';
const PASSWORD = 'sql-bench';

export interface BenchOptions {
	/** SQL run as superuser; it may grant to ROLE. Everything in the schemas that it makes is granted at the end. */
	readonly setup: string;
	/** policy.csv. The database's name in it is `db`. */
	readonly rules: string;
	/** masks.yaml. */
	readonly masks?: string;
	readonly who: Identity;
	/** search_path of the session; default: public. */
	readonly path?: readonly string[];
	readonly pipeline?: Partial<PipelineOptions>;
}

/** What came back: rows as text, or an error's fields. */
export type Answer =
	| {
			readonly kind: 'rows';
			readonly names: readonly string[];
			readonly rows: readonly (readonly (string | null)[])[];
			readonly tag: string;
	  }
	| {
			readonly kind: 'error';
			readonly sqlstate: string;
			readonly message: string;
			readonly position: number | undefined;
	  };

export interface Ask {
	readonly who?: Identity;
	readonly path?: readonly string[] | null;
	readonly temp?: string | null;
	readonly types?: readonly number[];
}

/** One database, one pipeline, one connection as the gateway's role. */
export interface Bench {
	readonly database: TestDatabase;
	readonly catalog: Catalog;
	readonly pipeline: Pipeline;
	readonly policy: Policy;
	/** A connection as the gateway's role. */
	readonly client: pg.Client;
	context(ask?: Ask): PipelineContext;
	decide(sql: string, ask?: Ask): Promise<Decision>;
	/** Decides, and runs what was decided in a transaction that is rolled back. A refusal comes back as its error. */
	run(sql: string, ask?: Ask & { readonly values?: readonly (string | null)[] }): Promise<Answer>;
	/** Runs SQL as it stands, as the gateway's role, in a transaction that is rolled back. */
	direct(sql: string, values?: readonly (string | null)[]): Promise<Answer>;
	close(): Promise<void>;
}

export async function openBench(options: BenchOptions): Promise<Bench> {
	const database = await createDatabase({ setup: `${ROLE_SQL};${options.setup};${GRANTS}` });
	const catalog = new Catalog({ database: 'db', connect: () => openQuerySession(target(database)) });
	await catalog.start();
	const policy = await policyOf(options.rules, options.masks === undefined ? {} : { masks: options.masks });
	const client = new pg.Client({
		host: database.host,
		port: database.port,
		database: database.database,
		user: ROLE,
		password: PASSWORD,
	});
	await client.connect();
	const path = options.path ?? ['public'];
	await client.query(`set search_path = ${path.map((name) => `"${name}"`).join(', ')}`);
	const analyst = ASIDE ? new Analyst({ waitingMax: 1_000_000_000, timeoutMs: 600_000 }) : null;
	const aside = analyst === null ? {} : { analyst, asideMin: 0 };
	const pipeline = new Pipeline({ audit: null, ...aside, ...options.pipeline });
	const context = (ask: Ask = {}): PipelineContext => {
		const identity = ask.who ?? options.who;
		return {
			identity,
			database: 'db',
			access: policy.accessFor(identity, 'db'),
			catalog,
			names: { searchPath: ask.path === undefined ? path : ask.path, tempSchema: ask.temp ?? null },
			info: INFO,
		};
	};
	const decide = async (sql: string, ask: Ask = {}): Promise<Decision> =>
		pipeline.decide(context(ask), sql, ask.types ?? []);
	return {
		database,
		catalog,
		pipeline,
		policy,
		client,
		context,
		decide,
		run: async (sql, ask = {}) => {
			const decision = await decide(sql, ask);
			if (decision.effect === 'deny') return refused(decision);
			const answer = await transacted(client, decision.rewritten, ask.values);
			return asClient(pipeline, decision, answer);
		},
		direct: (sql, values) => transacted(client, sql, values),
		close: async () => {
			await analyst?.close();
			await client.end();
			await catalog.close();
			await database.drop();
		},
	};
}

/** A role cannot be made twice at a time; whoever comes second finds it made. */
const ROLE_SQL = `do $$ begin create role ${ROLE} login password '${PASSWORD}';
	exception when duplicate_object or unique_violation then null; end $$`;

const GRANTS = `do $$ declare s text; begin
	for s in select quote_ident(nspname) from pg_namespace where nspname !~ '^pg_' and nspname not in ('information_schema', 'locked') loop
		execute format('grant usage, create on schema %s to ${ROLE}', s);
		execute format('grant all on all tables in schema %s to ${ROLE}', s);
		execute format('grant all on all sequences in schema %s to ${ROLE}', s);
	end loop;
	execute format('grant temporary on database %I to ${ROLE}', current_database());
end $$`;

const INFO = {
	id: 'bench',
	identity: null,
	clientAddress: '127.0.0.1',
	clientPort: 0,
	application: '',
	tls: null,
	database: 'db',
	backendAddress: null,
	backendPid: null,
	backendRole: ROLE,
};

function target(database: TestDatabase): Parameters<typeof openQuerySession>[0] {
	const { host, port } = database;
	return { host, port, user: ROLE, dbname: database.database, password: () => PASSWORD, tls: { mode: 'disable' } };
}

function refused(decision: Decision): Answer {
	const { error } = decision;
	if (error === undefined) throw new Error('a denial without an error');
	return { kind: 'error', sqlstate: error.sqlstate, message: error.message, position: error.position };
}

/** Everything as the server's text; every statement in a transaction of its own that is rolled back. */
async function transacted(client: pg.Client, sql: string, values?: readonly (string | null)[]): Promise<Answer> {
	await client.query('begin');
	try {
		return await ask(client, sql, values);
	} finally {
		await client.query('rollback');
	}
}

export async function ask(client: pg.Client, sql: string, values?: readonly (string | null)[]): Promise<Answer> {
	try {
		const query = { text: sql, rowMode: 'array' as const, types: { getTypeParser: () => String } };
		const result: unknown = await client.query(values === undefined ? query : { ...query, values: [...values] });
		const last = (Array.isArray(result) ? result.at(-1) : result) as pg.QueryArrayResult<(string | null)[]>;
		return {
			kind: 'rows',
			names: last.fields.map((field) => field.name),
			rows: last.rows,
			tag: `${last.command} ${last.rowCount ?? ''}`,
		};
	} catch (error) {
		if (!(error instanceof pg.DatabaseError)) throw error;
		const position = error.position === undefined ? undefined : Number(error.position);
		return { kind: 'error', sqlstate: error.code ?? '', message: error.message, position };
	}
}

/** What the client is told: errors redacted and mapped back, rows of the gateway's own RETURNING kept from it. */
function asClient(pipeline: Pipeline, decision: Decision, answer: Answer): Answer {
	if (answer.kind === 'rows') {
		return decision.statements.at(-1)?.hidesRows === true ? { ...answer, names: [], rows: [] } : answer;
	}
	const fields = new Map([
		['S', 'ERROR'],
		['C', answer.sqlstate],
		['M', answer.message],
		...(answer.position === undefined ? [] : [['P', String(answer.position)] as const]),
	]);
	const told = pipeline.clientFields(fields, decision, 0);
	const position = told.get('P');
	return {
		kind: 'error',
		sqlstate: told.get('C') ?? '',
		message: told.get('M') ?? '',
		position: position === undefined ? undefined : Number(position),
	};
}

/** The same thing with another value for one of its properties. */
export function withOther<T extends object>(whole: T, name: keyof T, value: () => unknown): T {
	return new Proxy(whole, {
		get: (target, key) => {
			const own: unknown = key === name ? value() : Reflect.get(target, key, target);
			return typeof own === 'function' && key !== name ? (own.bind(target) as unknown) : own;
		},
	});
}
