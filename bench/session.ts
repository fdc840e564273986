/**
 * What a transaction costs inside of the gateway, without sockets: CPU microseconds from the client's bytes to the client's bytes,
 * through framing, decision, audit log and relay. The rest of what `npm run bench` shows is the kernel's and Node's.
 *
 *     npx tsx bench/session.ts [simple|repeated|masked|extended|prepared]
 */
import { EventEmitter } from 'node:events';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AuditLog } from '../src/audit/log.ts';
import type { ByteSink } from '../src/backend/connection.ts';
import { Pipeline } from '../src/pipeline.ts';
import { Conversation } from '../src/session/conversation.ts';
import { Intake } from '../src/session/intake.ts';
import { Relay } from '../src/session/relay.ts';
import type { SessionServices } from '../src/session/services.ts';
import { defaultSessionLimits } from '../src/session/limits.ts';
import {
	encodeBackend,
	encodeBind,
	encodeDataRow,
	encodeDescribe,
	encodeExecute,
	encodeParse,
	encodeQuery,
	encodeSync,
} from '../src/wire/encode.ts';
import { backendRules, frontendRules } from '../src/wire/framer.ts';
import { portalName, statementName } from '../src/wire/frontend.ts';
import { type Decider, openDecider, sessionInfo } from './rig/decider.ts';

const CLIENTS = 16;
const TRANSACTIONS = Number(process.env['TX'] ?? 150_000);

const select = 'SELECT abalance FROM pgbench_accounts WHERE aid = $1;';
const portal = portalName('');
const field = { name: 'abalance', attnum: 3, typeOid: 23, typeSize: 4, typmod: -1, format: 0 } as const;

interface Mode {
	readonly name: string;
	/** What a client sends first, and is answered. */
	readonly opening?: readonly [Buffer, Buffer];
	readonly request: (count: number) => Buffer;
	readonly reply: (accounts: number) => Buffer;
}

const parsed = encodeBackend({ type: 'ParseComplete' });
const bound = encodeBackend({ type: 'BindComplete' });
const ready = encodeBackend({ type: 'ReadyForQuery', status: 'I' });

function rows(tableOid: number, more: readonly Buffer[] = []): Buffer {
	const description = encodeBackend({ type: 'RowDescription', fields: [{ ...field, tableOid }] });
	const done = encodeBackend({ type: 'CommandComplete', tag: 'SELECT 1' });
	return Buffer.concat([...more, description, encodeDataRow(['-1234567']), done, ready]);
}

function bind(name: string, count: number): Buffer {
	const params = [Buffer.from(String(10_000 + (count % 80_000)))];
	return Buffer.concat([
		encodeBind({ portal, statement: statementName(name), paramFormats: [], params, resultFormats: [0] }),
		encodeDescribe({ kind: 'P', name: portal }),
		encodeExecute(portal, 0),
		encodeSync(),
	]);
}

const statement = statementName('P0_1');
const modes: readonly Mode[] = [
	{
		name: 'simple',
		request: (count) => encodeQuery(select.replace('$1', String(count))),
		reply: (accounts) => rows(accounts),
	},
	{ name: 'repeated', request: () => encodeQuery(select.replace('$1', '7')), reply: (accounts) => rows(accounts) },
	{
		name: 'masked',
		request: (count) => encodeQuery(`select id, name, email, ssn from hr.employees where id = ${count};`),
		reply: () => rows(0),
	},
	{
		name: 'extended',
		request: (count) => Buffer.concat([encodeParse(statementName(''), select), bind('', count)]),
		reply: (accounts) => rows(accounts, [parsed, bound]),
	},
	{
		name: 'prepared',
		opening: [Buffer.concat([encodeParse(statement, select), encodeSync()]), Buffer.concat([parsed, ready])],
		request: (count) => bind('P0_1', count),
		reply: (accounts) => rows(accounts, [bound]),
	},
];

/** A socket that takes everything at once. */
class FakeSocket extends EventEmitter {
	readonly writableLength = 0;
	readonly writableNeedDrain = false;
	readonly #taken: (bytes: Buffer) => void;

	constructor(taken: (bytes: Buffer) => void) {
		super();
		this.#taken = taken;
	}

	write(bytes: Buffer): boolean {
		this.#taken(bytes);
		return true;
	}

	cork(): void {}
	uncork(): void {}
	pause(): void {}
	resume(): void {}
}

/** One client with its backend; `turn` does one transaction and calls back. */
class FakeClient {
	readonly #intake: Intake;
	readonly #relay: ByteSink;
	#reply: Buffer = Buffer.alloc(0);
	#left = 0;
	#done: () => void = () => undefined;

	constructor(services: SessionServices, decider: Decider) {
		const client = new FakeSocket((bytes) => this.#answered(bytes.length));
		const backend = new FakeSocket(() => setImmediate(() => this.#relay.data(this.#reply)));
		const parameters = new Map([['search_path', '"$user", public']]);
		const connection = { socket: backend, parameters } as unknown;
		const conversation = new Conversation({
			services,
			database: { name: 'shop', catalog: decider.catalog, backendRole: 'bench', pool: null as never },
			identity: decider.identity,
			info: { ...sessionInfo, identity: decider.identity },
			lease: { connection } as never,
			client,
			ending: {
				fail: (error) => {
					throw error;
				},
			},
		});
		this.#intake = new Intake(conversation, client, () => undefined);
		this.#relay = new Relay(conversation, client, () => undefined);
	}

	turn(request: Buffer, reply: Buffer, done: () => void): void {
		this.#reply = reply;
		this.#left = reply.length;
		this.#done = done;
		this.#intake.receive(request);
	}

	#answered(bytes: number): void {
		this.#left -= bytes;
		if (this.#left === 0) this.#done();
	}
}

async function run(clients: readonly FakeClient[], mode: Mode, accounts: number, transactions: number): Promise<void> {
	let begun = 0;
	let ended = 0;
	const reply = mode.reply(accounts);
	const requests = Array.from({ length: 4_096 }, (_, i) => mode.request(100_000 + i * 17));
	await new Promise<void>((resolve) => {
		const next = (client: FakeClient): void => {
			if (begun === transactions) return;
			const request = requests[begun++ % requests.length] as Buffer;
			client.turn(Buffer.from(request), reply, () => {
				ended += 1;
				if (ended === transactions) resolve();
				else setImmediate(() => next(client));
			});
		};
		for (const client of clients) next(client);
	});
}

async function measure(decider: Decider, mode: Mode, accounts: number): Promise<void> {
	const path = fs.mkdtempSync(join(tmpdir(), 'portcullis-bench-'));
	const audit = await AuditLog.open({ path, durability: 'os' });
	// A first level of the cache that is too small for the texts of this: each of them is new, as with pgbench.
	const pipeline = new Pipeline({ audit, ...(mode.name === 'repeated' ? {} : { cacheBytesMax: 300_000 }) });
	const services = {
		limits: defaultSessionLimits,
		clientRules: frontendRules(),
		serverRules: backendRules(),
		accessFor: () => decider.access(),
		pipeline,
		audit,
		passedRows: new WeakMap(),
		now: Date.now,
	} as unknown as SessionServices;
	const clients = Array.from({ length: CLIENTS }, () => new FakeClient(services, decider));
	const { opening } = mode;
	if (opening !== undefined) {
		for (const client of clients) await new Promise<void>((resolve) => client.turn(...opening, resolve));
	}
	await run(clients, mode, accounts, Math.floor(TRANSACTIONS / 3));
	const cpu = process.cpuUsage();
	await run(clients, mode, accounts, TRANSACTIONS);
	const { user, system } = process.cpuUsage(cpu);
	const each = (micros: number): string => (micros / TRANSACTIONS).toFixed(1);
	console.log(
		`${mode.name.padEnd(10)} ${each(user + system)} us a transaction (${each(user)} user, ${each(system)} system)`,
	);
	await audit.close();
	fs.rmSync(path, { recursive: true });
}

const decider = await openDecider();
try {
	const found = await decider.client.query<{ oid: number }>("select 'pgbench_accounts'::regclass::oid::int as oid");
	const wanted = process.argv[2];
	for (const mode of modes) {
		if (wanted === undefined || wanted === mode.name) await measure(decider, mode, found.rows[0]?.oid ?? 0);
	}
} finally {
	await decider.close();
}
