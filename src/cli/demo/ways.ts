/** The ways in: the same gateway entered by each of them, with a real client, and what the audit log says of it. */
import { spawn, spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { authorizeDevice, awaitApproval } from '../../auth/device-flow.ts';
import { Provider } from '../../auth/provider.ts';
import type { CommandIo, Paint } from '../io.ts';
import { login, personDeps, token } from '../person/commands.ts';
import { bearerLogin } from '../person/gateway-client.ts';
import { readRecords } from './audit-lines.ts';
import { LOADER, SERVICE } from './people.ts';
import type { Scene } from './scene.ts';

/** One way in. */
interface Way {
	readonly title: string;
	/** Whoever goes in. */
	readonly user: string;
	readonly client: string;
	/** Answers who the server says is there, and a line about what was seen on the way. `name`: what the session calls itself. */
	go(name: string): Promise<Seen>;
}

interface Seen {
	readonly who: string;
	readonly remark: string;
}

/** What a client is started with. */
interface Login {
	readonly user: string;
	readonly password?: string;
	/** Of libpq, such as `sslmode`. */
	readonly params?: Readonly<Record<string, string>>;
	readonly options?: string;
	readonly notice?: (text: string) => void;
}

const WHO = "select current_setting('portcullis.user')";
const PSQL = 'psql';

/** Goes all of them at once, and answers lines for the terminal. Throws when one does not lead in, or leads somebody else in. */
export async function goWays(scene: Scene, io: CommandIo, paint: Paint): Promise<string[]> {
	const entries = await Promise.all(waysOf(scene, io).map((way, index) => goWay(scene, way, `way-${index + 1}`)));
	const head = `   ${'way in'.padEnd(28)} ${'client'.padEnd(22)} ${'who the server sees'.padEnd(20)} in the audit log`;
	const lines = entries.flatMap(([line, remark]) => (remark === '' ? [line] : [line, paint.dim(`     ${remark}`)]));
	return [` ${paint.bold('The ways in')}`, '', paint.dim(head), ...lines, ''];
}

/** Its line, and what was seen on the way. */
async function goWay(scene: Scene, way: Way, name: string): Promise<readonly [string, string]> {
	const { who, remark } = await way.go(name);
	if (who !== way.user) throw new Error(`${way.title} led in ${who} in place of ${way.user}`);
	const method = await methodOf(scene.auditFolder, name);
	return [`   ${way.title.padEnd(28)} ${way.client.padEnd(22)} ${who.padEnd(20)} ${method}`, remark];
}

function waysOf(scene: Scene, io: CommandIo): Way[] {
	const { provider } = scene;
	const client = psqlVersion() ?? 'pg (Node)';
	const secret = async (name: string): Promise<string> => readFile(scene.secretFiles.get(name) ?? '', 'utf8');
	const tls = { sslmode: 'verify-full', sslrootcert: scene.tls.authority };
	const app = SERVICE.name;
	const enter = (login: Login, name: string): Promise<string> =>
		(psqlVersion() === null ? byPg : byPsql)(scene, login, name);
	const plainly =
		(remark: string, login: () => Promise<Login>): Way['go'] =>
		async (name) => ({
			who: await enter(await login(), name),
			remark,
		});
	return [
		{
			title: 'SCRAM-SHA-256',
			user: app,
			client,
			go: plainly('', async () => ({ user: app, password: await secret(app), params: { sslmode: 'disable' } })),
		},
		{
			title: 'SCRAM-SHA-256-PLUS',
			user: app,
			client,
			go: plainly('', async () => ({
				user: app,
				password: await secret(app),
				params: { ...tls, channel_binding: 'require' },
			})),
		},
		{
			title: 'client certificate',
			user: LOADER.name,
			client,
			go: plainly('', async () => ({
				user: LOADER.name,
				params: { ...tls, sslcert: scene.tls.clientCert, sslkey: scene.tls.clientKey },
			})),
		},
		{
			title: 'token as the password',
			user: 'ben',
			client,
			go: plainly('', async () => ({ user: 'ben', password: await secret('ben'), params: tls })),
		},
		{
			title: 'token of a program',
			user: `workload:${provider.workload}`,
			client,
			go: plainly('it got the token in its own name, by client credentials', async () => ({
				user: `workload:${provider.workload}`,
				password: await provider.workloadToken(),
				params: tls,
			})),
		},
		{ title: 'device flow', user: 'ana', client, go: (name) => byDevice(scene, enter, name) },
		{ title: 'OAUTHBEARER', user: 'gita', client: "portcullis' own client", go: (name) => byBearer(scene, name) },
		{ title: 'portcullis login', user: 'ana', client, go: (name) => byCommand(scene, io, enter, name) },
	];
}

type Enter = (login: Login, name: string) => Promise<string>;

/** The gateway shows a code in the terminal, and goes on when it has been approved. */
async function byDevice({ provider }: Scene, enter: Enter, name: string): Promise<Seen> {
	let said = '';
	let approval: Promise<void> | undefined;
	const notice = (text: string): void => {
		said ||= /sign in as .*/.exec(text)?.[0] ?? '';
		const code = /confirm the code (\S+)/.exec(text)?.[1];
		if (code !== undefined) approval ??= provider.approveDevice(code, 'ana');
	};
	const who = await enter({ user: 'ana', options: '-c portcullis.login=device', notice }, name);
	await approval;
	return { who, remark: `NOTICE:  ${said.replace(/\?user_code=\S+/, '?...')}` };
}

/** As libpq 18 does it: an attempt that asks where to get a token, a device flow at that provider, and another attempt. */
async function byBearer({ gateway, provider }: Scene, name: string): Promise<Seen> {
	const address = { host: gateway.host, port: gateway.port, tls: 'off' } as const;
	const asking = { user: 'gita', database: 'shop', application: name, token: null, sql: WHO };
	const first = await bearerLogin(address, asking);
	if (first.type !== 'told') throw new Error('the gateway does not say where to get a token');
	const { 'openid-configuration': document, scope } = first.failure;
	const issuer = String(document).replace('/.well-known/openid-configuration', '');
	const deps = { fetch, now: Date.now, delay: (ms: number) => sleep(Math.min(ms, 200)) };
	const client = { issuer, clientId: provider.clientId, scopes: String(scope).split(' ') };
	const metadata = await new Provider(issuer, deps).metadata();
	const authorization = await authorizeDevice(deps, metadata, client);
	await provider.approveDevice(authorization.userCode, 'gita');
	const outcome = await awaitApproval(deps, metadata, client, authorization);
	const held = outcome.type === 'approved' ? outcome.tokens.accessToken : null;
	const second = await bearerLogin(address, { ...asking, token: held });
	if (second.type !== 'signed-in')
		throw new Error(`OAUTHBEARER: ${second.type === 'refused' ? second.words : second.error}`);
	return {
		who: second.rows[0]?.[0] ?? '',
		remark: `told where to get a token: ${String(document)}`,
	};
}

/** The browser's sign-in with PKCE, by the command for people, in a home of its own. */
async function byCommand(scene: Scene, io: CommandIo, enter: Enter, name: string): Promise<Seen> {
	const { gateway, provider, folder } = scene;
	let printed = '';
	const own: CommandIo = {
		...io,
		out: (text) => {
			printed += text;
		},
		err: () => undefined,
		env: { ...io.env, HOME: folder, XDG_CONFIG_HOME: undefined },
	};
	const deps = {
		...personDeps(own),
		openBrowser: (url: string): boolean => {
			void provider.authorize(url, 'ana').then((back) => fetch(back));
			return true;
		},
	};
	await login(own, { profile: 'default', host: gateway.host, port: gateway.port }, deps);
	const remark = `portcullis login --host ${gateway.host}: ${printed.trim()}`;
	printed = '';
	await token(own, { profile: 'default' }, deps);
	return { who: await enter({ user: 'ana', password: printed.trim() }, name), remark };
}

function psqlVersion(): string | null {
	const found = spawnSync(PSQL, ['--version'], { encoding: 'utf8' });
	return found.status === 0 ? `psql ${/\d+(\.\d+)?/.exec(found.stdout)?.[0] ?? ''}` : null;
}

async function byPsql({ gateway, folder }: Scene, login: Login, name: string): Promise<string> {
	const { user, password, params = {}, options, notice } = login;
	const all = {
		host: 'localhost',
		hostaddr: gateway.host,
		port: String(gateway.port),
		dbname: 'shop',
		user,
		...params,
	};
	const conninfo = Object.entries(all).map(([key, value]) => `${key}='${value}'`);
	const child = spawn(PSQL, ['-XAt', '-c', WHO, conninfo.join(' ')], {
		stdio: ['ignore', 'pipe', 'pipe'],
		env: {
			PATH: process.env['PATH'] ?? '',
			HOME: folder,
			PGAPPNAME: name,
			PGPASSFILE: join(folder, 'no.pgpass'),
			...(password === undefined ? {} : { PGPASSWORD: password }),
			...(options === undefined ? {} : { PGOPTIONS: options }),
		},
	});
	let [out, err] = ['', ''];
	child.stdout.on('data', (chunk) => {
		out += String(chunk);
	});
	child.stderr.on('data', (chunk) => {
		err += String(chunk);
		if (err.endsWith('\n')) notice?.(err);
	});
	const status = await new Promise((resolve, reject) => {
		child.once('error', reject).once('close', resolve);
	});
	if (status !== 0) throw new Error(err.trim());
	return out.trim();
}

async function byPg({ gateway }: Scene, login: Login, name: string): Promise<string> {
	const { user, password, params = {}, options, notice } = login;
	const { sslrootcert, sslcert, sslkey } = params;
	const read = async (file: string | undefined): Promise<string | undefined> =>
		file === undefined ? undefined : readFile(file, 'utf8');
	const client = new pg.Client({
		host: gateway.host,
		port: gateway.port,
		database: 'shop',
		user,
		password,
		options,
		application_name: name,
		enableChannelBinding: params['channel_binding'] === 'require',
		...(sslrootcert === undefined
			? {}
			: { ssl: { ca: await read(sslrootcert), cert: await read(sslcert), key: await read(sslkey) } }),
	});
	client.on('notice', ({ message }) => notice?.(message ?? ''));
	client.on('error', () => undefined);
	await client.connect();
	try {
		const { rows } = await client.query<[string]>({ text: WHO, rowMode: 'array' });
		return rows[0]?.[0] ?? '';
	} finally {
		await client.end();
	}
}

/** How the audit log says that this session signed in. */
async function methodOf(folder: string, application: string): Promise<string> {
	const records = await readRecords(folder);
	const found = records.find(
		({ record }) => record.metadata.event_code === 'login' && record.actor?.app_name === application,
	);
	return found?.record.unmapped?.method ?? 'nothing';
}
