/** What each SHOW of the console shows. Columns have PgBouncer's names wherever they mean the same. */
import type { LiveSession } from '../../session/live.ts';
import type { DatabaseMeter } from '../meters.ts';
import { readiness } from '../readiness.ts';
import type { DatabaseView, GatewayView } from '../view.ts';
import type { ShowName } from './command.ts';
import { type Column, columns, type Value } from './table.ts';

/** A key of the configuration as SHOW CONFIG shows it. */
export interface ConfigRow {
	/** E.g. `listen.port`. */
	readonly key: string;
	/** Secrets as `[redacted]`. */
	readonly value: string;
	/** Whether a change takes effect without a restart. */
	readonly changeable: boolean;
}

export interface ShowInputs {
	readonly view: GatewayView;
	/** In force now. */
	readonly config: () => readonly ConfigRow[];
	/** Number of this worker; by default the only one. */
	readonly worker?: number;
}

interface Show {
	readonly columns: readonly Column[];
	readonly rows: (inputs: ShowInputs) => readonly (readonly Value[])[];
}

/** Commands and what they do, for HELP. */
const help: readonly (readonly [string, string])[] = [
	['SHOW HELP', 'this list'],
	['SHOW VERSION', 'version of the gateway'],
	['SHOW DATABASES', 'databases, their pools, and whether they are paused or disabled'],
	['SHOW HOSTS', 'hosts of each database that has several, what they are, and how far standbys are behind'],
	['SHOW POOLS', 'clients and server connections of each database, and who waits'],
	['SHOW CLIENTS', 'sessions that are signed in'],
	['SHOW SERVERS', 'server connections in use, and those that hear notifications (L)'],
	['SHOW STATS', 'counters of each database since the start'],
	['SHOW CONFIG', 'configuration in force, without secrets'],
	['SHOW READINESS', 'what /readyz says'],
	['SHOW WORKERS', 'processes of the gateway, and what each has to do'],
	['RELOAD', 'read the configuration and the policy again'],
	['PAUSE [database] [NOWAIT]', 'let clients that need a server connection wait, until nobody has one'],
	['RESUME [database]', 'end of PAUSE or KILL'],
	['KILL [database]', 'end all sessions at once, and pause'],
	['KILL_CLIENT id', 'end one session (id as in SHOW CLIENTS)'],
	['DISABLE database', 'refuse new sessions'],
	['ENABLE database', 'end of DISABLE'],
];

/** Complete by type: a SHOW without its table does not compile. */
export const shows: Readonly<Record<ShowName, Show>> = {
	help: { columns: columns('command description'), rows: () => help },
	version: { columns: columns('version'), rows: ({ view }) => [[`Portcullis ${view.version}`]] },
	databases: {
		columns: columns(
			'name host port:int4 database force_user pool_size:int4 pool_mode max_client_connections:int4 current_connections:int4 current_client_connections:int4 paused:int4 disabled:int4',
		),
		rows: ({ view }) => view.databases.map((database) => databaseRow(view, database)),
	},
	hosts: {
		columns: columns(
			'database shard host port:int4 state used:int4 lag_ms:int8 lag_bytes:int8 timeline:int4 connections:int4 state_seconds:int8 reason',
		),
		rows: ({ view }) => view.databases.flatMap(hostRows),
	},
	pools: {
		columns: columns(
			'database user cl_active:int4 cl_waiting:int4 sv_active:int4 sv_login:int4 maxwait:int4 maxwait_us:int4 pool_mode sv_idle:int4 sv_pinned:int4 pins sv_listen:int4 cl_listen:int4 channels:int4',
		),
		rows: ({ view }) => view.databases.map((database) => poolRow(view, database)),
	},
	clients: {
		columns: columns(
			'type user database state addr port:int4 connect_time request_time link remote_pid:int4 tls application_name prepared_statements:int4 method id',
		),
		rows: ({ view }) => live(view).map(clientRow),
	},
	servers: {
		columns: columns('type user database state addr connect_time link remote_pid:int4 application_name'),
		rows: ({ view }) => [
			...live(view).flatMap((session) => (session.console || session.leased === false ? [] : [serverRow(session)])),
			...view.databases.flatMap(listenerRows),
		],
	},
	stats: {
		columns: columns(
			'database total_server_assignment_count:int8 total_query_count:int8 total_allowed_count:int8 total_masked_count:int8 total_denied_count:int8 total_received:int8 total_sent:int8 total_query_time:int8 total_wait_time:int8',
		),
		rows: ({ view }) => [...view.meters.databases].map(([name, meter]) => statsRow(view, name, meter)),
	},
	config: {
		columns: columns('key value changeable'),
		rows: ({ config }) => config().map(({ key, value, changeable }) => [key, value, changeable ? 'yes' : 'no']),
	},
	readiness: {
		columns: columns('check ok:int4 reason'),
		rows: ({ view }) => readiness(view).checks.map(({ name, ok, reason }) => [name, ok ? 1 : 0, reason]),
	},
	workers: {
		columns: columns(
			'worker:int4 pid:int4 state start_time sessions:int4 waiting:int4 policy audit_records:int8 memory_mb:int4',
		),
		rows: ({ view, worker = 1 }) => [workerRow(view, worker)],
	},
};

function workerRow(view: GatewayView, worker: number): readonly Value[] {
	const waiting = view.databases.reduce((sum, { gate }) => sum + gate.stats.waiting, 0);
	const state = view.draining() ? 'draining' : 'active';
	const memoryMb = Math.round(process.memoryUsage.rss() / 1_048_576);
	const { records } = view.audit();
	const work = [live(view).length, waiting, view.policy().revision, records, memoryMb];
	return [worker, process.pid, state, timeText(view.startedMs), ...work];
}

function live(view: GatewayView): LiveSession[] {
	return [...view.sessions()].filter(({ ended }) => !ended);
}

function sessionsOf(view: GatewayView, name: string): LiveSession[] {
	return live(view).filter(({ info }) => info.database === name);
}

function databaseRow(view: GatewayView, database: DatabaseView): readonly Value[] {
	const { name, port, dbname, role, poolMode, poolSize, sessionsMax, gate, cluster } = database;
	const host = cluster === null ? database.host : cluster.hosts.map((one) => one.host).join(',');
	const { leased, connecting } = gate.stats;
	const clients = sessionsOf(view, name).length;
	const state = [gate.paused ? 1 : 0, gate.disabled ? 1 : 0];
	return [
		shownName(database),
		host,
		port,
		dbname,
		role,
		poolSize,
		poolMode,
		sessionsMax,
		leased + connecting,
		clients,
		...state,
	];
}

function shownName({ name, shard }: DatabaseView): string {
	return shard === null ? name : `${name}/${shard}`;
}

function hostRows({ name, shard, cluster }: DatabaseView): readonly (readonly Value[])[] {
	return (cluster?.hosts ?? []).map((one) => {
		const { host, port, state, used, lag, timeline, connections, sinceMs, reason } = one;
		const bytes = lag === null || lag.bytes === null ? null : Number(lag.bytes);
		const behind = [lag === null || lag.ms === null ? null : Math.round(lag.ms), bytes];
		const more = [timeline, connections, Math.floor(sinceMs / 1000), reason];
		return [name, shard ?? '', host, port, state, used ? 1 : 0, ...behind, ...more];
	});
}

function poolRow(view: GatewayView, database: DatabaseView): readonly Value[] {
	const { name, role, poolMode, gate } = database;
	const { leased, connecting, waiting, idle = 0, pinned = {} } = gate.stats;
	const waitUs = Math.round(gate.longestWaitMs * 1000);
	const clients = sessionsOf(view, name).length;
	const longest = [Math.floor(waitUs / 1_000_000), waitUs % 1_000_000];
	const pins = Object.entries(pinned).filter(([, count]) => count > 0);
	const kept = [pins.reduce((sum, [, count]) => sum + count, 0), pins.map((pin) => pin.join(' ')).join(', ')];
	const heard = heardRow(database);
	return [
		shownName(database),
		role,
		clients,
		waiting,
		leased,
		connecting,
		...longest,
		poolMode,
		idle,
		...kept,
		...heard,
	];
}

/** Connections that hear notifications, sessions that they hear for, and channels. */
function heardRow({ listeners }: DatabaseView): number[] {
	const all = listeners.map(({ stats }) => stats);
	const sum = (value: (stats: (typeof all)[number]) => number): number => all.reduce((s, one) => s + value(one), 0);
	return [
		sum(({ connection }) => (connection === null ? 0 : 1)),
		sum(({ hearers }) => hearers),
		sum(({ channels }) => channels),
	];
}

/** The connections that hear notifications are nobody's, and not of the pool. */
function listenerRows({ name, listeners }: DatabaseView): readonly (readonly Value[])[] {
	return listeners.flatMap(({ stats: { role, connection } }) =>
		connection === null
			? []
			: [['L', role, name, 'listen', connection.address, timeText(connection.sinceMs), '', connection.pid, '']],
	);
}

function clientRow(session: LiveSession): readonly Value[] {
	const { info, state, startedMs, quietMs, preparedStatements } = session;
	const { id, identity, database, clientAddress, clientPort, tls, application } = info;
	return [
		'C',
		identity?.name ?? '',
		database,
		state,
		clientAddress,
		clientPort,
		timeText(startedMs),
		timeText(Date.now() - quietMs),
		info.backendAddress ?? '',
		info.backendPid,
		tls === null ? '' : `${tls.version}/${tls.cipher}`,
		application,
		preparedStatements,
		identity?.method ?? '',
		id,
	];
}

function serverRow({ info, state, startedMs }: LiveSession): readonly Value[] {
	const { id, database, backendAddress, backendPid, backendRole, application } = info;
	const where = [backendAddress ?? '', timeText(startedMs)];
	return ['S', backendRole ?? '', database, state, ...where, id, backendPid, application];
}

function statsRow(view: GatewayView, name: string, meter: DatabaseMeter): readonly Value[] {
	const gate = view.databases.find((database) => database.name === name)?.gate;
	let received = meter.fromClient;
	let sent = meter.toClient;
	for (const { traffic } of sessionsOf(view, name)) {
		received += traffic.fromClient;
		sent += traffic.toClient;
	}
	const { allow, mask, deny } = meter.effects;
	return [
		name,
		gate?.results.granted ?? 0,
		allow + mask + deny,
		allow,
		mask,
		deny,
		received,
		sent,
		Math.round(meter.durations.sum * 1e6),
		Math.round((gate?.durations.sum ?? 0) * 1e6),
	];
}

/** As PgBouncer writes times, in UTC. */
function timeText(ms: number): string {
	return `${new Date(ms).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}
