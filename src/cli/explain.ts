/** `portcullis explain`: what would be decided on a statement, by which rules, and what would run in its place. */
import { text } from 'node:stream/consumers';
import type { SessionInfo } from '../audit/event.ts';
import { isHarmlessFunctionName } from '../catalog/safety.ts';
import type { Config, DatabaseConfig } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { Pipeline } from '../pipeline.ts';
import { loadPolicy } from '../policy/policy.ts';
import { parseSearchPath } from '../session/search-path.ts';
import type { Answer, Decision, Identity, ObjectUse, RuleRef, StatementDecision } from '../stages.ts';
import { catalogOf, openSession } from './backends.ts';
import { detailsOf, type ObjectView, wayTo } from './explain-object.ts';
import { CommandError, type CommandIo, type Paint, paint } from './io.ts';

export interface ExplainOptions {
	readonly config: string;
	readonly user: string;
	readonly database?: string;
	readonly role?: readonly string[];
	readonly group?: readonly string[];
	readonly claim?: Readonly<Record<string, string>>;
	readonly searchPath?: string;
	readonly json?: boolean;
}

/** Exit status 0, whatever the decision. Throws for a configuration, policy, name or database that will not do. */
export async function explain(io: CommandIo, argument: string, options: ExplainOptions): Promise<number> {
	const config = await loadConfig(options.config, io.env);
	const sql = argument === '-' ? await text(io.stdin) : argument;
	const database = databaseOf(config, options.database);
	const identity = identityOf(config, options);
	const policy = await loadPolicy(config.policies, { isHarmlessFunction: isHarmlessFunctionName });
	const catalog = catalogOf(database, config);
	try {
		await catalog.start();
		const access = policy.accessFor(identity, database.name);
		const searchPath = parseSearchPath(options.searchPath ?? (await ownSearchPath(database, config)));
		const names = { searchPath, tempSchema: null };
		const info = sessionInfo(identity, database.name);
		const context = { identity, database: database.name, access, catalog, names, info };
		const connect = access.onDatabase('connect');
		const decision = await new Pipeline({ audit: null }).decide(context, sql);
		const colors = paint(io.color);
		const told = { access, snapshot: catalog.snapshot(), identity, database: database.name, connect };
		if (options.json) io.out(`${JSON.stringify(asJson(told, decision), null, 2)}\n`);
		else io.out(`${describe(told, decision, colors).join('\n')}\n`);
		return 0;
	} finally {
		await catalog.close();
	}
}

/** What a session begins with: the setting of the server, the database or the gateway's role. */
async function ownSearchPath(database: DatabaseConfig, config: Config): Promise<string> {
	const session = await openSession(database, config);
	try {
		return (await session.query('show search_path'))[0]?.[0] ?? '';
	} finally {
		await session.close();
	}
}

function databaseOf(config: Config, name: string | undefined): DatabaseConfig {
	const known = config.databases.map((database) => database.name).join(', ');
	const [first, second] = config.databases;
	if (name === undefined) {
		if (first === undefined || second !== undefined) throw new CommandError(`--database is needed: one of ${known}`, 2);
		return first;
	}
	const found = config.databases.find((database) => database.name === name);
	if (found === undefined)
		throw new CommandError(`the configuration has no database ${JSON.stringify(name)}, only ${known}`);
	return found;
}

/** A service account as the configuration has it; anyone else as the options say, since only a token would tell. */
function identityOf(config: Config, options: ExplainOptions): Identity {
	const account = config.identity.users.find(({ name }) => name === options.user);
	return {
		name: options.user,
		roles: [...(account?.roles ?? []), ...(options.role ?? [])],
		groups: options.group ?? [],
		claims: { ...account?.claims, ...options.claim },
		method: account === undefined ? 'token' : 'scram-sha-256',
	};
}

function sessionInfo(identity: Identity, database: string): SessionInfo {
	return {
		id: 'explain',
		identity,
		clientAddress: '',
		clientPort: 0,
		application: 'explain',
		tls: null,
		database,
		backendAddress: null,
		backendPid: null,
		backendRole: null,
	};
}

/** Who was asked about, where, and what the words are made from. */
interface Told extends Omit<ObjectView, 'objects'> {
	readonly identity: Identity;
	readonly database: string;
	readonly connect: Answer;
}

function describe(told: Told, decision: Decision, colors: Paint): string[] {
	const { identity, database, connect } = told;
	const claims = Object.entries(identity.claims).map(([name, value]) => `${name}=${String(value)}`);
	const parts = [
		...identity.roles.map((name) => `role:${name}`),
		...identity.groups.map((name) => `group:${name}`),
		...claims.map((claim) => `claim ${claim}`),
	];
	const lines = [
		field('who', `user:${identity.name}${parts.length === 0 ? '' : ` (${parts.join(', ')})`}`, colors),
		field('database', `${database}${connect.allowed ? '' : colors.red(' (may not connect)')}`, colors),
	];
	for (const [index, statement] of decision.statements.entries()) {
		if (decision.statements.length > 1) lines.push('', colors.bold(`statement ${index + 1}`));
		lines.push(...describeStatement(statement, told, colors));
	}
	if (decision.statements.length === 0) lines.push(field('decision', 'allow (there is no statement)', colors));
	if (decision.rewritten !== decision.sql) lines.push('', field('runs', decision.rewritten.trim(), colors));
	else if (decision.effect !== 'deny') lines.push(field('runs', 'as it stands', colors));
	return lines;
}

function describeStatement(statement: StatementDecision, told: Told, colors: Paint): string[] {
	const { effect, error } = statement;
	const shown = { allow: colors.green, mask: colors.yellow, deny: colors.red }[effect](effect);
	const lines = [field('decision', `${shown} ${colors.dim(statement.node)}`, colors)];
	if (error !== undefined) {
		lines.push(field('error', `${error.sqlstate} ${error.message}`, colors));
		for (const more of [error.detail, error.hint]) if (more !== undefined) lines.push(field('', more, colors));
	}
	const view = { ...told, objects: statement.objects };
	lines.push(...statement.objects.flatMap((object) => describeObject(object, view, colors)));
	// An error says by itself which rule it was, or that there is none.
	if (error === undefined || statement.rules.length > 0) {
		lines.push(...list('rules', [...statement.rules].sort(byPlace).map(describeRule), colors));
	}
	return lines;
}

function describeObject(object: ObjectUse, view: ObjectView, colors: Paint): string[] {
	const name = object.schema === '' ? object.name : `${object.schema}.${object.name}`;
	const columns = object.columns.length === 0 ? '' : ` (${object.columns.join(', ')})`;
	const way = wayTo(object, view.objects);
	return [
		field('object', `${object.action} ${object.kind} ${colors.bold(name)}${columns}${way}`, colors),
		...detailsOf(object, view).map((detail) => field('', colors.yellow(detail), colors)),
	];
}

function byPlace(one: RuleRef, other: RuleRef): number {
	return one.file === other.file ? one.line - other.line : one.file < other.file ? -1 : 1;
}

function describeRule(rule: RuleRef): string {
	return `${rule.file}:${rule.line}  ${rule.text.replace(/\s+/g, ' ')}`;
}

function list(name: string, values: readonly string[], colors: Paint): string[] {
	if (values.length === 0) return [field(name, 'none matches', colors)];
	return values.map((value, index) => field(index === 0 ? name : '', value, colors));
}

const NAME_COLUMNS = 10;

function field(name: string, value: string, colors: Paint): string {
	const indented = value.split('\n').join(`\n${' '.repeat(NAME_COLUMNS)}`);
	return `${colors.dim(name.padEnd(NAME_COLUMNS))}${indented}`;
}

function asJson({ identity, database, connect, ...told }: Told, decision: Decision): object {
	const { name, roles, groups, claims } = identity;
	return {
		user: name,
		roles,
		groups,
		claims,
		database,
		connect: connect.allowed,
		decision: decision.effect,
		rewritten: decision.rewritten,
		statements: decision.statements.map(({ effect, node, sql, rewritten, objects, rules, error }) => ({
			decision: effect,
			node,
			sql,
			rewritten,
			objects: objects.map((object) => ({
				...object,
				rules: object.rules.map(describeRule),
				reasons: detailsOf(object, { ...told, objects }),
			})),
			rules: rules.map(describeRule),
			...(error === undefined
				? {}
				: { error: { sqlstate: error.sqlstate, message: error.message, detail: error.detail, hint: error.hint } }),
		})),
	};
}
