/** The gateway in front of the suite's server, with the policy that an operator would write for somebody who may do everything. */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { formatVerifier, makeVerifier } from '../../src/auth/verifier.ts';
import { relationSafety, routineSafety } from '../../src/catalog/safety.ts';
import { type Gateway, startGateway } from '../../src/cli/gateway.ts';
import { loadConfig } from '../../src/config/load.ts';
import { type Cluster, DATABASE, HOST, SUPERUSER } from './cluster.ts';

export const PASSWORD = 'regression';

/** `masked`: the same with a mask on a column of a table that no test uses, so that there is something to protect. */
export type Protection = 'none' | 'masked';

/** Made in the database before the gateway starts when something is to be protected. */
export const PROTECTED_SQL = 'create schema portcullis_regress create table people (id int primary key, ssn text)';

export interface RunningGateway {
	readonly port: number;
	/** Ends it; gives how many statements its audit log has. */
	close(): Promise<number>;
}

/**
 * Everything that a policy lets a rule allow: wildcards for what is the database's own, names for what of PostgreSQL's own is
 * not harmless or is written to, and for the tables that files of the server are copied to and from.
 */
export async function powerUserPolicy(
	cluster: Cluster,
	protection: Protection,
	copied: readonly string[],
): Promise<string> {
	const rule = (object: string, effect = 'allow', action = '*'): string =>
		`p, role:dba, ${object.includes(',') ? `"${object}"` : object}, ${action}, ${effect}`;
	const lines = [DATABASE, `${DATABASE}.*.*`, `${DATABASE}.*.*(*)`].map((object) => rule(object));
	for (const line of (await cluster.sql(DATABASE, ROUTINES)).split('\n').filter(Boolean)) {
		const [schema = '', name = '', types = '', argNames = ''] = line.split('\t');
		const args = argNames === '' ? [] : argNames.split(',');
		if (!routineSafety({ schema, name, argNames: args, builtin: true }).safe)
			lines.push(rule(`${DATABASE}.${schema}.${name}(${types})`));
	}
	for (const line of (await cluster.sql(DATABASE, RELATIONS)).split('\n').filter(Boolean)) {
		const [schema = '', name = ''] = line.split('\t');
		if (relationSafety(schema, name).safe !== true || WRITTEN.has(name))
			lines.push(rule(`${DATABASE}.${schema}.${name}`));
	}
	for (const table of copied) lines.push(rule(`${DATABASE}.public.${table}`, 'allow', 'copy'));
	if (protection === 'masked') lines.push(rule(`${DATABASE}.portcullis_regress.people.ssn`, 'mask, nothing', 'select'));
	return `${lines.join('\n')}\n`;
}

/** Relations of the system that the tests write to. */
const WRITTEN: ReadonlySet<string> = new Set(['pg_class', 'pg_database', 'pg_depend']);

const ROUTINES = `
	set search_path = '';
	select concat_ws(e'\\t', n.nspname, p.proname, t.types, t.types)
	from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace,
		lateral (select coalesce(pg_catalog.string_agg(pg_catalog.format_type(t, null), ',' order by o), '') as types
			from pg_catalog.unnest(p.proargtypes) with ordinality x(t, o)) t
	where p.oid < 16384`;

const RELATIONS = `
	select concat_ws(e'\\t', n.nspname, c.relname)
	from pg_class c join pg_namespace n on n.oid = c.relnamespace
	where n.nspname in ('pg_catalog', 'information_schema') and c.relkind in ('r', 'v') and c.oid < 16384`;

/** Starts the gateway in this process. */
export async function startBefore(cluster: Cluster, state: string, policy: string): Promise<RunningGateway> {
	const folder = join(state, 'gateway');
	await rm(folder, { recursive: true, force: true });
	await mkdir(join(folder, 'policies'), { recursive: true });
	const model = new URL('../../policies/model.conf', import.meta.url);
	await writeFile(join(folder, 'policies', 'model.conf'), await readFile(model));
	await writeFile(join(folder, 'policies', 'policy.csv'), policy);
	await writeFile(
		join(folder, 'policies', 'masks.yaml'),
		policy.includes(' mask,') ? stringify({ masks: { nothing: 'null' } }) : '',
	);
	const scram = formatVerifier(await makeVerifier(PASSWORD, { iterations: 4096 }));
	const file = join(folder, 'portcullis.yaml');
	const config = {
		listen: { host: HOST, port: 0 },
		identity: { users: [{ name: SUPERUSER, password: { scram }, roles: ['dba'] }] },
		databases: { [DATABASE]: { host: HOST, port: cluster.port, user: SUPERUSER } },
		policies: './policies',
		audit: { path: './audit' },
	};
	await writeFile(file, stringify(config));
	const said = (fields: object, message: string): void => {
		process.stderr.write(`gateway: ${message} ${JSON.stringify(fields)}\n`);
	};
	const gateway: Gateway = await startGateway(await loadConfig(file, {}), {
		log: { info: () => undefined, warn: said, error: said },
	});
	return {
		port: gateway.port,
		close: async () => {
			await gateway.close(0);
			return statementsIn(join(folder, 'audit'));
		},
	};
}

async function statementsIn(folder: string): Promise<number> {
	let count = 0;
	for (const name of await readdir(folder)) {
		if (!name.endsWith('.jsonl')) continue;
		count += (await readFile(join(folder, name), 'utf8')).split('"event_code":"statement"').length - 1;
	}
	return count;
}
