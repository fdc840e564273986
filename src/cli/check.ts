/** `portcullis check`: reads configuration and policies as `serve` would, and says what is wrong, without starting anything. */
import { kafkaClientProblem } from '../audit/sinks/kafka.ts';
import { authProblems } from '../auth/settings.ts';
import { isHarmlessFunctionName } from '../catalog/safety.ts';
import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { loadPolicy, type Policy } from '../policy/policy.ts';
import { formatProblem, PolicyError, type PolicyProblem } from '../policy/problem.ts';
import { redisClientProblem } from '../policy/watcher/redis.ts';
import { authSettings } from './auth-settings.ts';
import { catalogOf, openSession } from './backends.ts';
import { CommandError, type CommandIo, paint } from './io.ts';
import { maskMisfits } from './mask-fit.ts';
import { settingProblems } from './setting-fit.ts';
import { shareOf } from './workers/place-messages.ts';

export interface CheckOptions {
	readonly config: string;
	/** Asks the databases too: whether relations and columns are there, and masks fit. */
	readonly connect?: boolean;
}

/** Exit status 0. Throws ConfigError or PolicyError with all mistakes of the first that has any. */
export async function check(io: CommandIo, options: CheckOptions): Promise<number> {
	const colors = paint(io.color);
	const config = await loadConfig(options.config, io.env);
	const problems = [...authProblems(authSettings(config)), ...packageProblems(config)];
	if (problems.length > 0)
		throw new CommandError(problems.map((problem) => `${options.config}: ${problem}`).join('\n'));
	const policy = await loadPolicy(config.policies, { isHarmlessFunction: isHarmlessFunctionName });
	const found = options.connect === true ? await inDatabases(config, policy) : [];
	const told = [...policy.warnings, ...found].map(formatProblem);
	const warnings = [...config.warnings, ...told, ...claimWarnings(config, policy)];
	for (const line of sharing(config)) io.out(`${line}\n`);
	for (const warning of warnings) io.out(`${colors.yellow('warning')}  ${warning}\n`);
	io.out(`${colors.green('ok')}  ${summary(config, policy)}\n`);
	return 0;
}

/** What each database says of the policy. Throws PolicyError for what a running gateway would refuse, CommandError for one out of reach. */
async function inDatabases(config: Config, policy: Policy): Promise<PolicyProblem[]> {
	const problems: PolicyProblem[] = [];
	for (const database of config.databases) {
		const catalog = catalogOf(database, config);
		try {
			await catalog.start();
			const snapshot = catalog.snapshot();
			problems.push(...policy.problems(database.name, snapshot.relations()));
			problems.push(...(await settingProblems(policy.expressionsIn(database.name), snapshot)));
			const session = await openSession(database, config);
			try {
				problems.push(...(await maskMisfits(policy.masksIn(database.name), snapshot, (sql) => session.query(sql))));
			} finally {
				await session.close();
			}
		} catch (error) {
			const reason = catalog.stats.problem ?? (error instanceof Error ? error.message : String(error));
			throw new CommandError(`${database.name}: the database cannot be asked: ${reason}`);
		} finally {
			await catalog.close();
		}
	}
	const errors = problems.filter(({ severity }) => severity === 'error');
	if (errors.length > 0) throw new PolicyError(errors);
	return problems;
}

/** What the sinks and the watcher need beside their keys. */
function packageProblems(config: Config): string[] {
	const problem = config.audit.sinks.some((sink) => sink.type === 'kafka') ? kafkaClientProblem() : null;
	const watcher = config.policyWatcher?.over.type === 'redis' ? redisClientProblem() : null;
	return [problem, watcher].filter((one) => one !== null);
}

/** Claims that masks and filters name and that nobody can have: they would be missing for everybody. */
function claimWarnings(config: Config, policy: Policy): string[] {
	const { issuers, users } = config.identity;
	const known = new Set([
		...issuers.flatMap((issuer) => issuer.claims),
		...users.flatMap((user) => Object.keys(user.claims)),
	]);
	return policy.claims
		.filter((claim) => !known.has(claim))
		.map((claim) => `masks.yaml names claims.${claim}, which no issuer and no user of the configuration has`);
}

/** What workers make of the sizes in the configuration. */
function sharing({ workers, databases }: Config): string[] {
	if (workers === 1) return [];
	const parts = databases.map(({ name, pool }) => {
		const [most, least] = [1, workers].map((worker) => shareOf(pool.size, worker, workers));
		return `${most === least ? most : `${least} or ${most}`} of ${pool.size} for ${name}`;
	});
	return [`${workers} workers; server connections of each, which they lend each other: ${parts.join(', ')}`];
}

function summary(config: Config, policy: Policy): string {
	const { issuers, users } = config.identity;
	return [
		count(config.databases.length, 'database'),
		count(issuers.length, 'issuer'),
		count(users.length, 'service account'),
		`${count(policy.rules.length, 'rule')} and ${count(policy.links.length, 'link')} (policy ${policy.revision})`,
	].join(', ');
}

function count(number: number, noun: string): string {
	return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
