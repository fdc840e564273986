/** From the startup packet to the greeting: who it is, whether they may connect, a backend for them, and the record of it. */
import { randomInt } from 'node:crypto';
import type { SessionInfo } from '../audit/event.ts';
import type { ClientTls, Step } from '../auth/exchange.ts';
import { type Lapse, lapseOf, type Standing } from '../auth/standing.ts';
import type { BackendConnection } from '../backend/connection.ts';
import type { Lease } from '../backend/lease.ts';
import { BACKEND_LIMITS } from '../backend/limits.ts';
import { GatewayError, unreachable } from '../errors.ts';
import type { Access, Identity, LoginMethod } from '../stages.ts';
import { protocolVersions } from '../wire/codes.ts';
import {
	encodeBackendKeyData,
	encodeNegotiateProtocolVersion,
	encodeParameterStatus,
	encodeReadyForQuery,
} from '../wire/encode.ts';
import { negotiate, type StartupMessage } from '../wire/startup.ts';
import type { Inbox } from './inbox.ts';
import type { ConsoleServices, LiveSession } from './live.ts';
import type { LoanParts } from './loans.ts';
import {
	physicalName,
	type Replication,
	replicationLoginError,
	replicationOf,
	replicationStartup,
	requireReplicate,
} from './replication.ts';
import type { DatabaseServices, SessionServices } from './services.ts';
import { Session } from './session.ts';
import { shardSetting } from './shards.ts';
import { formatOptions, parseOptions, type Setting } from './startup-options.ts';
import { templateOf } from './template.ts';
import { tellUser } from './told-user.ts';

/** Startup parameters that are no settings. */
const notSettings: ReadonlySet<string> = new Set(['user', 'database', 'options', 'replication']);

/** Prefix of settings that are the gateway's own. */
const ownPrefix = 'portcullis.';

export interface LoginParts {
	readonly services: SessionServices;
	readonly inbox: Inbox;
	readonly message: StartupMessage;
	readonly tls: ClientTls | null;
	/** What is known before anybody has signed in. */
	readonly info: SessionInfo;
	/** Aborted when the client leaves or the deadline passes. */
	readonly signal: AbortSignal;
	/** It is known who they are, though not yet whether they may come in. */
	readonly known: (identity: Identity) => void;
	/** The login waits for a person: give it the longer deadline. */
	readonly waits: () => void;
	readonly over: () => void;
}

/** What goes wrong in a login: what the client is told, and what only the operator is told. */
export class LoginRefused extends Error {
	readonly error: GatewayError;
	readonly reason: string;
	/** The way in that was tried; null when it failed before one was chosen. */
	readonly method: LoginMethod | null;

	constructor(error: GatewayError, reason: string, method: LoginMethod | null) {
		super(reason);
		this.method = method;
		this.name = 'LoginRefused';
		this.error = error;
		this.reason = reason;
	}
}

interface SignedIn {
	readonly identity: Identity;
	/** Ends with AuthenticationOk, unless the client has had that; kept back until the backend is there. */
	readonly welcome: readonly Buffer[];
	readonly standing?: Standing | undefined;
}

/** The user and database that a startup packet names. FATAL 28000 without a user. */
export function namesOf(message: StartupMessage): { readonly user: string; readonly database: string } {
	const user = message.params.get('user') ?? '';
	if (user === '') throw fatal('28000', 'no PostgreSQL user name specified in startup packet');
	const database = message.params.get('database') ?? '';
	if (database !== '') return { user, database };
	return { user, database: replicationOf(message.params) === 'physical' ? physicalName : user };
}

/** Signs in and greets. Rejects with LoginRefused, GatewayError (FATAL, to be told) or ClientGone. */
export async function login(parts: LoginParts): Promise<LiveSession> {
	const { services, inbox, message, signal } = parts;
	const { database: databaseName } = namesOf(message);
	const { protocol, unrecognized, mustTell } = negotiate(message);
	if (mustTell) inbox.socket.write(encodeNegotiateProtocolVersion(protocol, unrecognized));
	const replication = replicationOf(message.params);
	const signedIn = await authenticate(parts, databaseName);
	const { identity } = signedIn;
	parts.known(identity);
	if (services.console?.database === databaseName) {
		if (replication !== null) throw fatal('0A000', 'the console has nothing to replicate');
		return enterConsole(parts, services.console, signedIn, protocol);
	}
	const entry = { name: databaseName, identity, replication };
	// Whoever waited for a place on what is no more goes on waiting for one on what has taken its place.
	let named = databaseNamed(services, entry);
	for (;;) {
		try {
			return await enter(parts, signedIn, protocol, { ...entry, named });
		} catch (error) {
			const now = error === named.pool.retired ? services.database(databaseName) : undefined;
			if (now === undefined || now.pool === named.pool || signal.aborted) throw error;
			named = now;
		}
	}
}

/** What was asked for, by whom. */
interface Entry {
	readonly name: string;
	readonly identity: Identity;
	readonly replication: Replication | null;
}

function databaseNamed({ database }: SessionServices, { name, replication }: Entry): DatabaseServices {
	const named = database(name);
	if (named === undefined) throw noDatabase(name, replication);
	return named;
}

/** Rejects with why the pool is retired where it was before there was anything to stand on. */
async function enter(
	parts: LoginParts,
	{ identity, welcome, standing }: SignedIn,
	protocol: number,
	{ name, replication, named }: Entry & { readonly named: DatabaseServices },
): Promise<Session> {
	const { services, message, signal } = parts;
	const access = services.accessFor(identity, name);
	requireConnect(access, name);
	const whole = onShard(named, identity, message);
	const database: DatabaseServices = { ...whole, ...whole.asRole?.(identity) };
	if (replication !== null) {
		const physical = database.physicalReplication ?? name === physicalName;
		requireReplicate(replication, { access, name, physical });
	}
	const asked = startupSettings(services, message, access);
	const told = tellUser(asked, database.tellUser ?? [], { user: identity.name, session: parts.info.id });
	const startup = { ...told, ...replicationStartup(replication) };
	const leave = await services.admission.enter(identity.name, name);
	const footing = await footingOn(database, startup, signal).catch((error: unknown) => {
		leave();
		throw replication === null ? error : replicationLoginError(error, database.backendRole);
	});
	try {
		signal.throwIfAborted();
		const info = leasedInfo(parts.info, identity, database, footing);
		await recordLogin(services, info);
		signal.throwIfAborted();
		const { retired } = database.pool;
		// In transaction mode it goes on where the database is now, with its first message.
		const stays = footing.loan === undefined || database.heir?.(identity, database.leaseAs) === undefined;
		if (retired && stays) throw changedMeanwhile(retired);
		return greet(parts, { identity, standing, database, info, footing, welcome, protocol, replication, leave });
	} catch (error) {
		leave();
		await footing.lease?.release('broken');
		throw error;
	}
}

/** Another one than what the pool says: the login is on record, and is not made again. */
function changedMeanwhile({ sqlstate, message, severity, hint, cause }: GatewayError): GatewayError {
	return new GatewayError(sqlstate, message, { severity, cause, ...(hint === undefined ? {} : { hint }) });
}

/** What a session stands on: a backend of its own, or in transaction mode the way to one. */
interface Footing {
	readonly lease: Lease | null;
	readonly loan?: LoanParts;
	readonly connection: Pick<BackendConnection, 'address' | 'pid' | 'target'>;
	/** What the client is told of it. */
	readonly told: ReadonlyMap<string, string>;
}

async function footingOn(
	database: DatabaseServices,
	startup: Readonly<Record<string, string>>,
	signal: AbortSignal,
): Promise<Footing> {
	const { pool, leaseAs: as, pooling: rules } = database;
	if (rules === undefined || startup['replication'] !== undefined) {
		const readBuffer = Buffer.allocUnsafeSlow(BACKEND_LIMITS.firstReadBytes);
		const lease = await pool.lease({ startup, signal, as, readBuffer, reuse: mayReuse(database, startup) });
		return { lease, connection: lease.connection, told: lease.connection.parameters };
	}
	const { settings, told, base, searchPath, connection } = await templateOf({ pool, as, startup, signal });
	const loan: LoanParts = { pool, as, startup: settings, told, base, searchPath, rules };
	return { lease: null, loan, connection, told };
}

/** A connection that tells the server of one session is that one's alone. */
function mayReuse({ reusing, tellUser = [] }: DatabaseServices, startup: Readonly<Record<string, string>>): boolean {
	return reusing !== undefined && !tellUser.includes('setting') && startup['replication'] === undefined;
}

async function authenticate(parts: LoginParts, database: string): Promise<SignedIn> {
	const { services, inbox, message, tls, info, signal } = parts;
	const { user } = namesOf(message);
	const options = message.params.get('options');
	const address = info.clientAddress;
	const exchange = services.bridge.begin({ user, database, options, tls, address, signal });
	let step: Step = await exchange.step(null);
	for (;;) {
		switch (step.type) {
			case 'done':
				return { identity: step.identity, welcome: step.messages, standing: step.standing };
			case 'fail':
				for (const bytes of step.messages) inbox.socket.write(bytes);
				throw new LoginRefused(step.error, step.reason, step.method);
			case 'wait':
				parts.waits();
				for (const bytes of step.messages) inbox.socket.write(bytes);
				step = await Promise.race([step.next, inbox.left()]);
				break;
			case 'send':
				inbox.socket.write(Buffer.concat(step.messages));
				step = await exchange.step(await inbox.password());
				break;
			default:
				return unreachable(step);
		}
	}
}

/** `options=-c portcullis.shard=NAME` asks for a shard; whether that is for the client to say is the configuration's. */
function onShard(database: DatabaseServices, identity: Identity, message: StartupMessage): DatabaseServices {
	const options = parseOptions(message.params.get('options') ?? '');
	const asked = options.findLast(({ name }) => name === shardSetting)?.value ?? null;
	if (database.onShard !== undefined) return database.onShard(identity, asked);
	if (asked === null) return database;
	throw fatal('22023', `database "${database.name}" has no shards, so ${shardSetting} cannot be set for it`);
}

function noDatabase(name: string, replication: Replication | null): GatewayError {
	const hint =
		replication === 'physical' && name === physicalName
			? { hint: 'Physical replication needs a database of this name in the configuration of the gateway.' }
			: {};
	return new GatewayError('3D000', `database "${name}" does not exist`, { severity: 'FATAL', ...hint });
}

function requireConnect(access: Access, database: string): void {
	if (access.onDatabase('connect').allowed) return;
	const detail = 'No rule of the policy allows it.';
	throw new GatewayError('42501', `permission denied for database "${database}"`, { severity: 'FATAL', detail });
}

/** What the backend is started with: the client's settings, each looked at first. FATAL 42501 for one that is not harmless. */
function startupSettings(
	services: SessionServices,
	message: StartupMessage,
	access: Access,
): Readonly<Record<string, string>> {
	const options = parseOptions(message.params.get('options') ?? '').filter(({ name }) => !name.startsWith(ownPrefix));
	const startup: Record<string, string> = {};
	for (const [name, value] of message.params) {
		if (!notSettings.has(name) && !name.startsWith('_pq_.')) startup[name] = value;
	}
	const all: readonly Setting[] = [
		...options,
		...Object.entries(startup).map(([name, value]) => ({ name: name.toLowerCase(), value })),
	];
	const { startupSettingsMax } = services.limits;
	if (all.length > startupSettingsMax) throw fatal('54000', `more than ${startupSettingsMax} startup settings`);
	for (const { name, value } of all) {
		const safety = services.settingSafety(name, value);
		if (safety.safe || (safety.grantable && access.onDatabase('set').allowed)) continue;
		throw fatal('42501', `parameter "${name}" cannot be set through the gateway: ${safety.reason}`);
	}
	return options.length === 0 ? startup : { ...startup, options: formatOptions(options) };
}

function leasedInfo(
	info: SessionInfo,
	identity: Identity,
	database: DatabaseServices,
	{ connection }: Footing,
): SessionInfo {
	const { address, pid, target } = connection;
	// Decisions are made for this role: by another, names would mean something else.
	if (target.user !== database.backendRole)
		throw new Error(`leased as ${target.user} in place of ${database.backendRole}`);
	const shard = typeof database.shard === 'string' ? { shard: database.shard } : {};
	return { ...info, identity, backendAddress: address, backendPid: pid, backendRole: target.user, ...shard };
}

/** Nobody is let in whose login is not on record. */
function recordLogin(services: SessionServices, session: SessionInfo): Promise<void> {
	return new Promise((resolve, reject) => {
		services.audit.event({ type: 'login', session }, (error) => {
			if (error === null) resolve();
			else reject(new GatewayError(error.sqlstate, error.message, { severity: 'FATAL', cause: error }));
		});
	});
}

interface Greeting {
	readonly identity: Identity;
	readonly standing: Standing | undefined;
	readonly database: DatabaseServices;
	readonly info: SessionInfo;
	readonly footing: Footing;
	readonly welcome: readonly Buffer[];
	readonly protocol: number;
	readonly replication: Replication | null;
	/** Gives back the place among the sessions. */
	readonly leave: () => void;
}

/** In libpq's order: AuthenticationOk, ParameterStatus, BackendKeyData, ReadyForQuery. */
function greet(parts: LoginParts, greeting: Greeting): Session {
	const { inbox } = parts;
	const { identity, standing, database, info, footing, welcome, protocol, replication, leave } = greeting;
	const services = database.services ?? parts.services;
	const { lease, loan } = footing;
	// In transaction mode the process is another one from time to time.
	const pid = lease?.connection.pid ?? randomInt(1, 2 ** 31);
	const cancel = services.cancels.register(pid, protocol === protocolVersions.v3_2 ? 32 : 4);
	cancel.point(lease?.connection ?? null);
	const statuses = [...footing.told].map(([name, value]) => encodeParameterStatus(name, value));
	const { socket } = inbox;
	const rest = inbox.detach();
	const keyData = encodeBackendKeyData(cancel.pid, cancel.key);
	socket.write(Buffer.concat([...welcome, ...statuses, keyData, encodeReadyForQuery('I')]));
	const over = (): void => {
		leave();
		parts.over();
	};
	const ends = { lease, loan, socket, cancel, rest, over };
	const session = new Session({ services, database, identity, standing, replication, info, ...ends });
	session.start();
	return session;
}

/** The gateway's own database: the same way in, with the gateway itself in place of a backend. */
async function enterConsole(
	parts: LoginParts,
	console: ConsoleServices,
	{ identity, welcome, standing }: SignedIn,
	protocol: number,
): Promise<LiveSession> {
	const { services, inbox, signal } = parts;
	const access = services.accessFor(identity, console.database);
	console.admit(access);
	const info = { ...parts.info, identity };
	await recordLogin(services, info);
	signal.throwIfAborted();
	const cancel = services.cancels.register(process.pid, protocol === protocolVersions.v3_2 ? 32 : 4);
	const { pid, key } = cancel;
	const { socket } = inbox;
	const over = (): void => {
		cancel.release();
		parts.over();
	};
	const lapse = (nowMs: number): Lapse | null => lapseOf(standing, identity, nowMs);
	const rest = inbox.detach();
	return console.open({ identity, standing, lapse, access, info, socket, welcome, pid, key, rest, over });
}

function fatal(sqlstate: string, message: string): GatewayError {
	return new GatewayError(sqlstate, message, { severity: 'FATAL' });
}
