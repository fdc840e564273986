/** `portcullis login`, `token`, `psql` and `logout`: what a person does who works through a gateway. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { ProviderError } from '../../auth/fetch-json.ts';
import { Provider } from '../../auth/provider.ts';
import { endpointProblem, isLoopback } from '../../auth/settings.ts';
import { postAsClient } from '../../auth/token-endpoint.ts';
import { CommandError, type CommandIo } from '../io.ts';
import { openBrowser } from './browser.ts';
import { type Learnt, learn } from './learn.ts';
import { redirectProblem } from './loopback.ts';
import { type Profile, profileFile, readProfile, type Tokens, withLock, writeProfile } from './profile.ts';
import { currentSignIn, type PersonDeps, signInByBrowser, signInByDevice } from './sign-in.ts';

export interface PersonOptions {
	readonly profile: string;
}

/** What is missing stays as it was at the last sign-in. */
export interface LoginOptions extends PersonOptions {
	readonly issuer?: string;
	readonly clientId?: string;
	readonly scope?: readonly string[];
	readonly param?: Readonly<Record<string, string>>;
	/** Loopback address that the provider sends the browser back to, as it is registered there. */
	readonly redirect?: string;
	readonly host?: string;
	readonly port?: number;
	readonly sslmode?: string;
	readonly username?: string;
	/** Show the gateway the ID token in place of the access token. */
	readonly idToken?: boolean;
	readonly device?: boolean;
	/** False: only print the address. */
	readonly browser?: boolean;
}

/** Those that cannot fall back to plaintext unasked, and `disable` for whoever insists. */
const SSL_MODES = ['disable', 'require', 'verify-ca', 'verify-full'];

/** The real ones. */
export function personDeps(io: CommandIo): PersonDeps {
	return {
		fetch: globalThis.fetch,
		now: Date.now,
		randomBytes,
		delay: async (ms, signal) => {
			await sleep(ms, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
		},
		openBrowser: (url) => openBrowser(url, io.env),
	};
}

/** Signs in and keeps the tokens. Throws CommandError. */
export async function login(io: CommandIo, options: LoginOptions, deps = personDeps(io)): Promise<number> {
	const file = profileFile(options.profile, io.env);
	const where = await merged(io, options, file);
	const say = (line: string): void => io.err(`${line}\n`);
	const quiet = options.browser === false ? { ...deps, openBrowser: () => false } : deps;
	const tokens = await told(() =>
		options.device === true ? signInByDevice(where, deps, say) : signInByBrowser(where, quiet, say),
	);
	await withLock(file, deps, () => writeProfile(file, { ...where, tokens }));
	io.out(`Signed in as ${tokens.user}${until(tokens, deps.now())}.\n`);
	return 0;
}

/** What was said now goes before what was said the last time, and that before what the gateway says. */
async function merged(io: CommandIo, options: LoginOptions, file: string): Promise<Omit<Profile, 'tokens'>> {
	const before = await readProfile(file);
	const gateway = gatewayOf(options, before);
	const moved = before !== null && options.host !== undefined && options.host !== before.gateway.host;
	// What was said of another provider, or of the provider of another gateway, holds for that one only.
	const same = moved || (options.issuer !== undefined && options.issuer !== before?.issuer) ? null : before;
	const known = options.issuer !== undefined || same !== null;
	const learnt = known ? null : await askGateway(io, options, gateway);
	const issuer = options.issuer ?? same?.issuer ?? learnt?.issuer ?? '';
	const clientId = options.clientId ?? same?.clientId ?? learnt?.clientId ?? null;
	if (clientId === null) throw new CommandError(`the first sign-in at ${issuer} needs --client-id`, 2);
	const problem = endpointProblem(issuer);
	if (problem !== null) throw new CommandError(`${learnt === null ? '--issuer ' : ''}${issuer}: ${problem}`, 2);
	const redirect = options.redirect ?? same?.redirect ?? null;
	const wrong = redirect === null ? null : redirectProblem(redirect);
	if (wrong !== null) throw new CommandError(`--redirect ${redirect}: ${wrong}`, 2);
	const { PORTCULLIS_CLIENT_SECRET: secret } = io.env;
	return {
		version: 1,
		issuer,
		clientId,
		clientSecret: secret ?? same?.clientSecret ?? null,
		scopes: [...(options.scope ?? same?.scopes ?? learnt?.scopes ?? [])],
		stay: options.scope === undefined && (same?.stay ?? learnt !== null),
		parameters: options.param ?? same?.parameters ?? learnt?.parameters ?? {},
		redirect,
		// Whoever could stand in between would get the token.
		gateway: learnt?.verifiable === true ? { ...gateway, sslmode: gateway.sslmode ?? 'verify-full' } : gateway,
		use: options.idToken === undefined ? (same?.use ?? 'access') : options.idToken ? 'id' : 'access',
		username: options.username ?? same?.username ?? learnt?.username ?? null,
		prefix: same?.prefix ?? learnt?.prefix ?? '',
	};
}

function gatewayOf(options: LoginOptions, before: Profile | null): Profile['gateway'] {
	const sslmode = options.sslmode ?? before?.gateway.sslmode ?? null;
	if (sslmode !== null && !SSL_MODES.includes(sslmode)) {
		throw new CommandError(`--sslmode ${sslmode}: must be one of ${SSL_MODES.join(', ')}`, 2);
	}
	return {
		host: options.host ?? before?.gateway.host ?? 'localhost',
		port: options.port ?? before?.gateway.port ?? 6432,
		sslmode,
	};
}

async function askGateway(io: CommandIo, options: LoginOptions, { host, port }: Profile['gateway']): Promise<Learnt> {
	if (options.host === undefined)
		throw new CommandError('the first sign-in needs --host, the name of the gateway, or --issuer and --client-id', 2);
	const learnt = await learn(host, port, io.env);
	io.err(`${host}:${port} sends its people to ${learnt.issuer.replaceAll(/\p{Cc}/gu, '?')}\n`);
	return learnt;
}

/** Prints the token alone, for `PGPASSWORD=$(portcullis token)`. */
export async function token(io: CommandIo, options: PersonOptions, deps = personDeps(io)): Promise<number> {
	const { tokens } = await told(() => currentSignIn(profileFile(options.profile, io.env), deps));
	io.out(`${tokens.token}\n`);
	return 0;
}

/** Forgets the tokens, and tells the provider where it wants to know (RFC 7009). */
export async function logout(io: CommandIo, options: PersonOptions, deps = personDeps(io)): Promise<number> {
	const file = profileFile(options.profile, io.env);
	const profile = await readProfile(file);
	if (profile?.tokens == null) {
		io.out('Nobody was signed in.\n');
		return 0;
	}
	await withLock(file, deps, () => writeProfile(file, { ...profile, tokens: null }));
	try {
		await revoke(profile, profile.tokens, deps);
		io.out(`Signed out ${profile.tokens.user}.\n`);
	} catch (error) {
		if (!(error instanceof ProviderError)) throw error;
		io.err(`portcullis: the provider could not be told: ${error.message}\n`);
		io.out(`Forgot the sign-in of ${profile.tokens.user}.\n`);
	}
	return 0;
}

async function revoke(profile: Profile, { token: held, refreshToken }: Tokens, deps: PersonDeps): Promise<void> {
	const { revocationEndpoint } = await new Provider(profile.issuer, deps).metadata();
	if (revocationEndpoint === null) return;
	const { clientId, clientSecret } = profile;
	const client = { clientId, clientSecret: clientSecret ?? undefined };
	const told = async (token: string): Promise<number> => {
		const request = { form: { token }, anyBody: true };
		return (await postAsClient(deps.fetch, revocationEndpoint, client, request)).status;
	};
	const status = await told(refreshToken ?? held);
	if (status !== 200) throw new ProviderError(`${revocationEndpoint}: status ${status}`);
	// With the refresh token should go what came of it (RFC 7009, section 2.1); at some providers it does not.
	if (refreshToken !== null) await told(held);
}

export interface PsqlDeps extends PersonDeps {
	/** Where SIGINT, SIGTERM and SIGHUP come from. */
	readonly signals: Pick<NodeJS.Process, 'on' | 'off'>;
}

/** Runs psql with the token as its password, on this terminal. Answers its exit status. */
export async function psql(
	io: CommandIo,
	database: string,
	args: readonly string[],
	options: PersonOptions,
	deps: PsqlDeps = { ...personDeps(io), signals: process },
): Promise<number> {
	const { profile, tokens } = await told(() => currentSignIn(profileFile(options.profile, io.env), deps));
	const { host, port } = profile.gateway;
	const sslmode = sslModeFor(profile.gateway, io.env);
	// psql lets what stands here go before its options and the environment: the token goes to this gateway only.
	const conninfo = Object.entries({ dbname: database, host, port: String(port), user: tokens.user, ...sslmode })
		.map(([name, value]) => `${name}='${value.replace(/[\\']/g, '\\$&')}'`)
		.join(' ');
	const { PGHOSTADDR: _elsewhere, PGOPTIONS: wishes = '', ...env } = io.env;
	return run(['-d', conninfo, ...args], deps.signals, {
		...env,
		PGPASSWORD: tokens.token,
		PGOPTIONS: `${wishes} -c portcullis.login=password`.trimStart(),
	});
}

/** A token is worth as much as a password, so it is never sent in the clear to another machine. */
function sslModeFor(
	{ host, sslmode }: Profile['gateway'],
	{ PGSSLMODE: wish }: NodeJS.ProcessEnv,
): { sslmode?: string } {
	if (sslmode !== null) return { sslmode };
	if (wish === 'require' || wish === 'verify-ca' || wish === 'verify-full') return { sslmode: wish };
	return host === 'localhost' || host.startsWith('/') || isLoopback(host) ? {} : { sslmode: 'require' };
}

async function run(args: readonly string[], signals: PsqlDeps['signals'], env: NodeJS.ProcessEnv): Promise<number> {
	const child = spawn('psql', args, { stdio: 'inherit', env });
	// The terminal sends ^C to psql too, which knows what to do with it.
	const ignore = (): void => undefined;
	const pass = (signal: NodeJS.Signals): void => void child.kill(signal);
	signals.on('SIGINT', ignore);
	for (const signal of ['SIGTERM', 'SIGHUP'] as const) signals.on(signal, pass);
	try {
		return await new Promise<number>((resolve, reject) => {
			child.once('error', (error: NodeJS.ErrnoException) => {
				reject(new CommandError(error.code === 'ENOENT' ? 'psql is not installed' : `psql: ${error.message}`));
			});
			child.once('close', (status, signal) => resolve(status ?? 128 + constants.signals[signal ?? 'SIGTERM']));
		});
	} finally {
		signals.off('SIGINT', ignore);
		for (const signal of ['SIGTERM', 'SIGHUP'] as const) signals.off(signal, pass);
	}
}

/** A provider that cannot be asked ends a command with one line, like everything else that the person can understand. */
async function told<T>(work: () => Promise<T>): Promise<T> {
	try {
		return await work();
	} catch (error) {
		if (error instanceof ProviderError) throw new CommandError(error.message);
		throw error;
	}
}

function until({ expiresAtMs, refreshToken }: Tokens, nowMs: number): string {
	if (refreshToken !== null) return '; the token is renewed by itself';
	if (expiresAtMs === null) return '';
	const minutes = Math.max(0, Math.round((expiresAtMs - nowMs) / 60_000));
	return minutes < 120 ? ` for ${minutes} minutes` : ` for ${Math.round(minutes / 60)} hours`;
}
