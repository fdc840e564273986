/** LISTEN in transaction pooling on a primary with a standby: refused in recovery, and what becomes of who listens when another host takes over. */
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Replicas, startReplicas } from '../support/replicas.ts';
import { eventually } from '../support/time.ts';
import { startToolGateway, TOOL_PASSWORD, type ToolGateway } from '../support/tools.ts';

const POLICY = `p, role:app, *, *, allow
p, role:app, *.*.*, *, allow
p, role:app, *.*.*(*), *, allow
`;

let replicas: Replicas;
let gateway: ToolGateway;

beforeAll(async () => {
	replicas = await startReplicas(1);
	const { primary, standbys } = replicas;
	const { user, password } = primary;
	const at = {
		host: ['127.0.0.1', ...standbys.map((standby) => standby.host)],
		port: [primary.port, ...standbys.map((standby) => standby.port)],
		...{ user, password: { env: 'SECRET' }, dbname: 'postgres' },
		pool: { mode: 'transaction', size: 2 },
	};
	gateway = await startToolGateway({
		users: { app: ['app'] },
		databases: { main: { ...at, targetSessionAttrs: 'read-write' }, reading: { ...at, targetSessionAttrs: 'standby' } },
		policy: POLICY,
		secrets: { SECRET: password },
		limits: { hostCheckMs: 100, failoverWaitMs: 120_000 },
	});
});

afterAll(async () => {
	await gateway?.stop();
	await replicas?.stop();
});

interface Hearing {
	readonly client: pg.Client;
	readonly heard: string[];
	readonly ended: string[];
}

async function connect(
	database: string,
	port: number = gateway.port,
	user = 'app',
	password = TOOL_PASSWORD,
): Promise<Hearing> {
	const client = new pg.Client({ host: '127.0.0.1', port, user, password, database });
	const heard: string[] = [];
	const ended: string[] = [];
	client.on('notification', ({ channel, payload }) => heard.push(`${channel}=${payload}`));
	client.on('error', (error: Error & { code?: string }) => ended.push(error.code ?? String(error)));
	await client.connect();
	return { client, heard, ended };
}

/** SQLSTATE and words, or `ok`. */
const outcome = (work: Promise<unknown>): Promise<string> =>
	work.then(
		() => 'ok',
		(error: Error & { code?: string }) => `${error.code} ${error.message}`,
	);

test('a server in recovery says by itself that it does not listen', async () => {
	const [standby] = replicas.standbys;
	const { user, password } = replicas.primary;
	const ours = await connect('reading');
	const own = await connect('postgres', standby?.port, user, password);
	for (const sql of [
		'listen a',
		'unlisten a',
		'unlisten *',
		'begin',
		'listen a',
		'select 1',
		'rollback',
		'select 1; listen a',
	]) {
		const want = await outcome(own.client.query(sql));
		expect([sql, await outcome(ours.client.query(sql))]).toEqual([sql, want]);
	}
	const prepared = { name: 'listens', text: 'listen a' };
	expect(await outcome(ours.client.query(prepared))).toBe('25006 cannot execute LISTEN during recovery');
	await Promise.all([ours.client.end(), own.client.end()]);
});

test('who listens is ended when another host takes over, and hears what is notified there once it is back', async () => {
	const [standby] = replicas.standbys;
	if (standby === undefined) throw new Error('no standby');
	const [one, idle] = [await connect('main'), await connect('main')];
	await one.client.query('listen news');
	await idle.client.query('select 1');
	await replicas.sql('postgres', "notify news, 'before'");
	await eventually(() => expect(one.heard).toEqual(['news=before']));

	await replicas.crash();
	await eventually(() => expect(one.ended).toContain('57P01'));
	// As a job queue does: it comes back at once, and listens as soon as there is a server again.
	const comes = connect('main');
	const listens = idle.client.query('listen news');
	await standby.promote();
	const back = await comes;
	await back.client.query('listen news');
	await listens;
	await standby.sql('postgres', "notify news, 'after'");
	await eventually(() => expect([back.heard, idle.heard]).toEqual([['news=after'], ['news=after']]));
	expect((await idle.client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
	expect(idle.ended).toEqual([]);
	await Promise.all([back.client.end(), idle.client.end()]);
});
