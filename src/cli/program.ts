/** The commands of `portcullis`: their options, their help, and how each of them ends. */
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import type { ExplainOptions } from './explain.ts';
import { addAudit } from './audit-program.ts';
import { examples, type Run } from './command.ts';
import { CommandError, type CommandIo } from './io.ts';
import { addPerson } from './person-program.ts';
import { describeFailure } from './problem.ts';
import { version } from './version.ts';

/** Runs one command line (without node and script) and answers the exit status: 0 done, 1 failed, 2 called wrongly. */
export async function runCommandLine(args: readonly string[], io: CommandIo): Promise<number> {
	let status = 0;
	const run: Run = async (action) => {
		status = await action();
	};
	try {
		await buildProgram(io, run).parseAsync([...args], { from: 'user' });
		return status;
	} catch (error) {
		// Commander has written its own words already.
		if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
		const failure = describeFailure(error, io.env);
		io.err(failure.text);
		return failure.status;
	}
}

function buildProgram(io: CommandIo, run: Run): Command {
	const program = new Command('portcullis')
		.description('A security and policy gateway for PostgreSQL: sign-in, row and column masking, audit, on the wire.')
		.version(version())
		.exitOverride()
		.enablePositionalOptions()
		.configureOutput({ writeOut: io.out, writeErr: io.err, getOutHasColors: () => io.color })
		.showHelpAfterError('(--help shows how)');
	addServe(program, io, run);
	addCheck(program, io, run);
	addExplain(program, io, run);
	addPolicy(program, io, run);
	addAudit(program, io, run);
	addHashPassword(program, io, run);
	addPerson(program, io, run);
	addMigrate(program, io, run);
	addDemo(program, io, run);
	return program;
}

/** The modules of a command are loaded when it runs: `--help` needs none of them. */
function addServe(program: Command, io: CommandIo, run: Run): void {
	withConfig(program.command('serve'))
		.description('run the gateway; SIGHUP reads configuration and policy again, SIGTERM and SIGINT stop it')
		.addHelpText('after', examples('portcullis serve --config portcullis.yaml'))
		.action((options: { config: string }) =>
			run(async () => (await import('./serve.ts')).serve(io, { ...options, signals: process })),
		);
}

function addCheck(program: Command, io: CommandIo, run: Run): void {
	withConfig(program.command('check'))
		.description('read configuration and policies as serve would, and say what is wrong; starts nothing')
		.option('--connect', 'ask the databases too: whether what rules name is there, and masks fit their columns')
		.addHelpText('after', examples('portcullis check --config portcullis.yaml --connect'))
		.action((options: { config: string; connect?: boolean }) =>
			run(async () => (await import('./check.ts')).check(io, options)),
		);
}

function addPolicy(program: Command, io: CommandIo, run: Run): void {
	const policy = program.command('policy').description('work on the policy');
	withConfig(policy.command('test'))
		.description("run the policy's own tests (policies/cases/*.yaml) against the catalogue of the databases")
		.addHelpText('after', examples('portcullis policy test --config portcullis.yaml'))
		.action((options: { config: string }) =>
			run(async () => (await import('./policy-test.ts')).policyTest(io, options)),
		);
}

function addHashPassword(program: Command, io: CommandIo, run: Run): void {
	program
		.command('hash-password')
		.description('make the SCRAM verifier of a password, for identity.users of the configuration')
		.option('--iterations <count>', 'PBKDF2 rounds', positive)
		.addHelpText('after', examples('portcullis hash-password', 'portcullis hash-password < password.txt'))
		.action((options: { iterations?: number }) =>
			run(async () => (await import('./hash-password.ts')).hashPassword(io, options)),
		);
}

function addExplain(program: Command, io: CommandIo, run: Run): void {
	withConfig(program.command('explain'))
		.description('show how a statement would be decided, by which rules, and what would run in its place')
		.argument('<sql>', 'the statement, or - for standard input')
		.requiredOption('-u, --user <name>', 'who asks; a name in identity.users has the roles and claims given there')
		.option('-d, --database <name>', 'database as clients name it (default: the only one)')
		.option('-r, --role <name>', 'a role of theirs; may be repeated', collect)
		.option('-g, --group <name>', 'a group of theirs; may be repeated', collect)
		.option('--claim <name=value>', 'a claim of theirs; may be repeated', collectClaim)
		.option('--search-path <schemas>', 'as the session has it (default: as the database gives it)')
		.option('--json', 'print JSON')
		.addHelpText(
			'after',
			examples(
				'portcullis explain --user ben --group data-team --claim tenant=acme "select * from hr.employees"',
				'portcullis explain --user app --database shop --json - < statement.sql',
			),
		)
		.action((sql: string, options: ExplainOptions) =>
			run(async () => (await import('./explain.ts')).explain(io, sql, options)),
		);
}

function addMigrate(program: Command, io: CommandIo, run: Run): void {
	const migrate = program.command('migrate').description('come from another pooler');
	migrate
		.command('pgbouncer')
		.description('make portcullis.yaml of a pgbouncer.ini, and list what has no counterpart, with the reason')
		.argument('<file>', 'the pgbouncer.ini; what it includes and its auth_file are read too')
		.option('-o, --output <file>', 'write there instead of to standard output')
		.addHelpText('after', examples('portcullis migrate pgbouncer /etc/pgbouncer/pgbouncer.ini > portcullis.yaml'))
		.action((file: string, options: { output?: string }) =>
			run(async () => (await import('./migrate/command.ts')).migratePgbouncer(io, file, options)),
		);
}

function addDemo(program: Command, io: CommandIo, run: Run): void {
	program
		.command('demo')
		.description('start PostgreSQL, an OpenID provider and the gateway on this machine, and show what they do')
		.option('--once', 'end after the tour')
		.addHelpText('after', examples('npm run demo', 'npm run demo -- --once'))
		.action((options: { once?: boolean }) => run(async () => demo(io, options.once === true)));
}

async function demo(io: CommandIo, once: boolean): Promise<number> {
	requireDevelopmentPackages();
	const { runDemo } = await import('./demo/command.ts');
	const ending = new AbortController();
	const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
	// The second one does not wait for an orderly end.
	const end = (): void => (ending.signal.aborted ? process.exit(130) : ending.abort());
	for (const signal of signals) process.on(signal, end);
	try {
		return await runDemo(io, { once, signal: ending.signal });
	} finally {
		for (const signal of signals) process.off(signal, end);
	}
}

/** The demo's database and identity provider are not among the packages that a gateway in production has. */
function requireDevelopmentPackages(): void {
	try {
		import.meta.resolve('oidc-provider');
	} catch {
		throw new CommandError(
			'the demo needs the development packages: run npm ci && npm run demo in a clone of the repository',
		);
	}
}

function withConfig(command: Command): Command {
	return command.option('-c, --config <file>', 'the configuration', 'portcullis.yaml');
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
	return [...before, value];
}

function collectClaim(value: string, before: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
	const at = value.indexOf('=');
	if (at < 1) throw new InvalidArgumentError('It has the form name=value.');
	return { ...before, [value.slice(0, at)]: value.slice(at + 1) };
}

function positive(value: string): number {
	if (!/^[1-9]\d{0,8}$/.test(value)) throw new InvalidArgumentError('It is a number from 1 on.');
	return Number(value);
}
