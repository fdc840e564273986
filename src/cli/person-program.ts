/** The commands for people (`login`, `token`, `psql`, `logout`): their options and help; what they do is in person/. */
import { type Command, InvalidArgumentError } from 'commander';
import { examples, type Run } from './command.ts';
import type { CommandIo } from './io.ts';
import type { LoginOptions, PersonOptions } from './person/commands.ts';

export function addPerson(program: Command, io: CommandIo, run: Run): void {
	addLogin(program, io, run);
	addPsql(program, io, run);
	withProfile(program.command('token'))
		.description('print the token of the sign-in, renewed if it is about to end')
		.addHelpText(
			'after',
			examples(
				'portcullis token',
				'PGPASSWORD="$(portcullis token)" psql "host=gateway.example.com user=ana dbname=shop"',
			),
		)
		.action((options: PersonOptions) => run(async () => (await import('./person/commands.ts')).token(io, options)));
	withProfile(program.command('logout'))
		.description('forget the sign-in, and tell the provider')
		.addHelpText('after', examples('portcullis logout'))
		.action((options: PersonOptions) => run(async () => (await import('./person/commands.ts')).logout(io, options)));
}

function addLogin(program: Command, io: CommandIo, run: Run): void {
	withProfile(program.command('login'))
		.description("sign in at the company's OpenID provider; what is said once is remembered")
		.option('--issuer <url>', 'the provider, where the gateway is not to be asked for it')
		.option('--client-id <id>', 'client of the gateway there; its secret, if it has one, in PORTCULLIS_CLIENT_SECRET')
		.option('--scope <scope>', 'what to ask for; may be repeated', collect)
		.option('--param <name=value>', 'more for the provider, e.g. resource=urn:db; may be repeated', collectPair)
		.option(
			'--redirect <url>',
			'where the provider sends the browser back to (default: any port of 127.0.0.1, /callback)',
		)
		.option('--host <name>', 'the gateway')
		.option('--port <number>', 'its port', port)
		.option('--sslmode <mode>', 'for psql (default: require, or better as PGSSLMODE says)')
		.option('--username <claim>', 'claim with the name that the gateway knows')
		.option('--id-token', 'show the gateway the ID token')
		.option('--no-id-token', 'show the gateway the access token')
		.option('--device', 'approve a code on any device in place of opening a browser here')
		.option('--no-browser', 'print the address only')
		.addHelpText(
			'after',
			examples(
				'portcullis login --host gateway.example.com',
				'portcullis login --host gateway.example.com --issuer https://id.example.com --client-id psql',
				'portcullis login --device',
			),
		)
		.action((options: LoginOptions) => run(async () => (await import('./person/commands.ts')).login(io, options)));
}

function addPsql(program: Command, io: CommandIo, run: Run): void {
	withProfile(program.command('psql'))
		.description('run psql on a database behind the gateway, signed in')
		.argument('<database>', 'as the gateway names it')
		.argument('[args...]', 'for psql')
		.passThroughOptions()
		.addHelpText('after', examples('portcullis psql shop', `portcullis psql shop -c 'select 1'`))
		.action((database: string, args: readonly string[], options: PersonOptions) =>
			run(async () => (await import('./person/commands.ts')).psql(io, database, args, options)),
		);
}

function withProfile(command: Command): Command {
	return command.option('--profile <name>', 'for more than one gateway', 'default');
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
	return [...before, value];
}

function collectPair(value: string, before: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
	const at = value.indexOf('=');
	if (at < 1) throw new InvalidArgumentError('It has the form name=value.');
	return { ...before, [value.slice(0, at)]: value.slice(at + 1) };
}

function port(value: string): number {
	const number = Number(value);
	if (!/^\d{1,5}$/.test(value) || number < 1 || number > 65_535) throw new InvalidArgumentError('It is a port.');
	return number;
}
