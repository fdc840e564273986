/** A person who knows the name of the gateway and nothing else: what `portcullis login --host` learns, and from whom it does not. */
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type LoginOptions, login, token } from '../../../src/cli/person/commands.ts';
import { readProfile } from '../../../src/cli/person/profile.ts';
import { makeCertificate } from '../../support/certificates.ts';
import { startGateway, type TestGateway } from '../../support/gateway.ts';
import { arrive, type TestPerson } from './person.ts';

const authority = makeCertificate({ name: 'Portcullis', authority: true });
const certificate = makeCertificate({ name: 'localhost', hosts: ['localhost'], issuer: authority });

let folder: string;
let gateway: TestGateway;

beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), 'portcullis-learn-'));
	await writeFile(join(folder, 'gateway.crt'), certificate.cert);
	await writeFile(join(folder, 'gateway.key'), certificate.key, { mode: 0o600 });
	gateway = await startGateway({
		configure: (config) => {
			config.listen['tls'] = { mode: 'allow', cert: join(folder, 'gateway.crt'), key: join(folder, 'gateway.key') };
			const [issuer] = config.identity.issuers;
			Object.assign(issuer ?? {}, { prefix: 'acme:', scopes: ['openid', 'profile'] });
		},
	});
});

afterAll(async () => {
	await gateway.stop();
	await rm(folder, { recursive: true });
});

async function person(env: NodeJS.ProcessEnv = {}): Promise<TestPerson> {
	const made = await arrive(env);
	onTestFinished(() => made.leave());
	made.browser = (url) => {
		void gateway.provider.authorize(url, 'ana').then((back) => fetch(back));
		return true;
	};
	return made;
}

/** The same machine by a name that is not taken for it, so it is asked as another one is. */
const ELSEWHERE = 'LocalHost';

test('the name of the gateway is enough', async () => {
	const ana = await person();
	const { host, port } = gateway;
	await login(ana.io, { profile: 'default', host, port }, ana.deps);
	expect(ana.written.err).toContain(`${host}:${port} sends its people to ${gateway.provider.issuer}\n`);
	expect(ana.written.out).toBe('Signed in as acme:ana; the token is renewed by itself.\n');
	const profile = await readProfile(ana.file);
	expect(profile).toMatchObject({
		issuer: gateway.provider.issuer,
		clientId: gateway.provider.clientId,
		scopes: ['openid', 'profile'],
		username: 'preferred_username',
		prefix: 'acme:',
		gateway: { host, port },
	});
	ana.written.out = '';
	await token(ana.io, { profile: 'default' }, ana.deps);
	const client = await gateway.connect('app', { user: 'acme:ana', password: ana.written.out.trim() });
	await client.end();
	// The next time nothing has to be said, nor asked.
	ana.written.err = '';
	await login(ana.io, { profile: 'default' }, ana.deps);
	expect(ana.written.err).not.toContain('sends its people');
});

test('what was asked is no attempt at guessing, and on record', async () => {
	const ana = await person();
	const { host, port } = gateway;
	await login(ana.io, { profile: 'default', host, port }, ana.deps);
	expect(JSON.stringify((await gateway.audit()).slice(-8))).toContain(
		'no token yet: the client asked where to get one',
	);
});

describe('it comes to nothing, and one line says why', () => {
	/** Answers every connection by `act`. */
	async function server(act: (socket: Socket) => void): Promise<{ host: string; port: number }> {
		const made: Server = createServer((socket) => {
			socket.on('error', () => undefined);
			act(socket);
		});
		await once(made.listen(0, '127.0.0.1'), 'listening');
		onTestFinished(() => void made.close());
		return { host: '127.0.0.1', port: (made.address() as AddressInfo).port };
	}

	const rows: { name: string; options: () => Promise<Partial<LoginOptions>> | Partial<LoginOptions>; want: RegExp }[] =
		[
			{ name: 'nothing said', options: () => ({}), want: /^the first sign-in needs --host, the name of the gateway/ },
			{
				name: 'nobody listens',
				options: async () => ({ host: '127.0.0.1', port: 1 }),
				want: /^127\.0\.0\.1:1: nobody listens there: is that the gateway, and is it up\?$/,
			},
			{
				name: 'no such host',
				options: () => ({ host: 'gateway.invalid' }),
				want: /^gateway\.invalid:6432: no such host is known$/,
			},
			{
				name: 'a PostgreSQL server in its place',
				options: () => ({ host: gateway.backend.host, port: gateway.backend.port }),
				want: /does not say where to sign in \((it asks|it does not ask|role|.*does not exist).*--issuer and --client-id do$/,
			},
			{
				name: 'something that is no gateway',
				options: () => server((socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n')),
				want: /^127\.0\.0\.1:\d+: /,
			},
			{
				name: 'a server that hangs up',
				options: () => server((socket) => socket.destroy()),
				want: /^127\.0\.0\.1:\d+: /,
			},
			{
				name: 'a gateway that sends its people to a page over plaintext',
				options: () => server((socket) => void sendTo(socket, 'http://evil.example.com')),
				want: /^http:\/\/evil\.example\.com: must be https/,
			},
			{
				name: 'a gateway that sends them to no page',
				options: () => server((socket) => void sendTo(socket, 'javascript:alert(1)//')),
				want: /must be https/,
			},
		];
	test.each(rows)('$name', async ({ options, want }) => {
		const ana = await person();
		const said = await options();
		await expect(login(ana.io, { profile: 'default', ...said }, ana.deps)).rejects.toThrow(want);
		expect(await readProfile(ana.file)).toBeNull();
	});

	/** The messages of a gateway, with an issuer of somebody's choice. */
	async function sendTo(socket: Socket, issuer: string): Promise<void> {
		await once(socket, 'data');
		socket.write(Buffer.from('R\0\0\0\x18\0\0\0\x0aOAUTHBEARER\0\0'.replace('\x18', '\x15'), 'latin1'));
		await once(socket, 'data');
		const json = Buffer.from(
			JSON.stringify({
				status: 'invalid_token',
				'openid-configuration': `${issuer}/.well-known/openid-configuration`,
				scope: '',
				portcullis: { client_id: 'psql' },
			}),
		);
		const head = Buffer.from('R\0\0\0\0\0\0\0\x0b', 'latin1');
		head.writeInt32BE(json.length + 8, 1);
		socket.write(Buffer.concat([head, json]));
		await once(socket, 'data');
		socket.end(Buffer.from('E\0\0\0\x10C28000\0Mno\0\0\0', 'latin1'));
	}
});

describe('another machine', () => {
	test('is not believed without a good certificate', async () => {
		const ana = await person();
		const asked = login(ana.io, { profile: 'default', host: ELSEWHERE, port: gateway.port }, ana.deps);
		await expect(asked).rejects.toThrow(/certificate.*PGSSLROOTCERT names the file of the authority/);
	});

	test('is, with one of an authority that the person names', async () => {
		const ana = await person();
		const file = join(ana.home, 'root.crt');
		await writeFile(file, authority.cert);
		Object.assign(ana.io.env, { PGSSLROOTCERT: file });
		const asked = login(ana.io, { profile: 'default', host: ELSEWHERE, port: gateway.port }, ana.deps);
		await expect(asked).resolves.toBe(0);
		// And the token will be shown to nobody else.
		expect(await readProfile(ana.file)).toMatchObject({ gateway: { host: ELSEWHERE, sslmode: 'verify-full' } });
	});
});
