/** Every metric of the gateway, read at the moment of asking; docs/metrics.md describes each. Labels are bounded. */
import type { Across, Family, Labels, Sample } from './exposition.ts';
import { hostFamilies, labelsOf } from './host-families.ts';
import type { Histogram } from './histogram.ts';
import { listenerFamilies } from './listener-families.ts';
import { type DatabaseMeter, sessionEnds } from './meters.ts';
import { peerFamilies } from './peer-families.ts';
import { poolFamilies } from './pool-families.ts';
import { processFamilies } from './process.ts';
import { readiness } from './readiness.ts';
import type { DatabaseView, GatewayView } from './view.ts';
import { oneWorker, workerFamilies } from './worker-families.ts';
import type { SessionState, Traffic } from '../session/live.ts';

const sessionStates: readonly SessionState[] = [
	'active',
	'idle',
	'idle in transaction',
	'idle in transaction (aborted)',
];

export function families(view: GatewayView): Family[] {
	return [
		...gatewayFamilies(view),
		...sessionFamilies(view),
		...loginFamilies(view),
		...peerFamilies(view),
		...statementFamilies(view),
		...decisionFamilies(view),
		...leaseFamilies(view),
		...poolFamilies(view),
		...listenerFamilies(view),
		...hostFamilies(view),
		...auditFamilies(view),
		...sinkFamilies(view),
		...catalogFamilies(view),
		...policyFamilies(view),
		...traceFamilies(view),
		...workerFamilies(oneWorker),
		...processFamilies(view.startedMs),
	];
}

// ---------------------------------------------------------------- short forms

function gauge(across: Across, name: string, help: string, samples: readonly Sample[] | number): Family {
	return { type: 'gauge', name, help, samples: samplesOf(samples), across };
}

function counter(name: string, help: string, samples: readonly Sample[] | number): Family {
	return { type: 'counter', name, help, samples: samplesOf(samples) };
}

function samplesOf(samples: readonly Sample[] | number): readonly Sample[] {
	return typeof samples === 'number' ? [{ labels: {}, value: samples }] : samples;
}

/** One sample for each database. */
function perDatabase(view: GatewayView, value: (database: DatabaseView) => number): Sample[] {
	return view.databases.map((database) => ({ labels: labelsOf(database), value: value(database) }));
}

/** One sample for each key of a record, for each meter. */
function perKey(
	view: GatewayView,
	label: string,
	values: (meter: DatabaseMeter) => Readonly<Record<string, number>>,
): Sample[] {
	return [...view.meters.databases].flatMap(([database, meter]) =>
		Object.entries(values(meter)).map(([key, value]) => ({ labels: { database, [label]: key }, value })),
	);
}

function perMeter(view: GatewayView, value: (meter: DatabaseMeter) => number): Sample[] {
	return [...view.meters.databases].map(([database, meter]) => ({ labels: { database }, value: value(meter) }));
}

function bit(value: boolean): number {
	return value ? 1 : 0;
}

// ---------------------------------------------------------------- the gateway itself

function gatewayFamilies(view: GatewayView): Family[] {
	const build = { version: view.version, node: process.version };
	return [
		gauge('max', 'portcullis_build_info', 'Version of the gateway and of Node, as labels.', [
			{ labels: build, value: 1 },
		]),
		gauge('min', 'portcullis_ready', '1 when /readyz says so.', bit(readiness(view).ready)),
		gauge('min', 'portcullis_draining', '1 once the gateway has been told to stop.', bit(view.draining())),
	];
}

// ---------------------------------------------------------------- sessions

function sessionFamilies(view: GatewayView): Family[] {
	const states = new Map<string, Map<SessionState, number>>();
	const traffic = new Map<string, Traffic[]>();
	for (const name of view.meters.databases.keys()) {
		states.set(name, new Map(sessionStates.map((state) => [state, 0])));
		traffic.set(name, []);
	}
	for (const session of view.sessions()) {
		if (session.ended) continue;
		const { database } = session.info;
		const counts = states.get(database);
		counts?.set(session.state, (counts.get(session.state) ?? 0) + 1);
		traffic.get(database)?.push(session.traffic);
	}
	const now = [...states].flatMap(([database, counts]) =>
		[...counts].map(([state, value]) => ({ labels: { database, state }, value })),
	);
	return [
		gauge('sum', 'portcullis_sessions', 'Client sessions that are signed in.', now),
		gauge('max', 'portcullis_sessions_max', 'Client sessions that there may be at a time.', view.sessionsMax),
		gauge('sum', 'portcullis_connecting', 'Client connections that have not signed in yet.', view.connecting()),
		counter(
			'portcullis_sessions_started_total',
			'Sessions that signed in.',
			perMeter(view, ({ sessions }) => sessions),
		),
		counter('portcullis_sessions_ended_total', 'Sessions that ended, by reason.', endSamples(view)),
		...trafficFamilies(view, traffic),
	];
}

function endSamples(view: GatewayView): Sample[] {
	return perKey(view, 'reason', ({ ends }) =>
		Object.fromEntries(sessionEnds.map((reason) => [reason, ends.get(reason) ?? 0])),
	);
}

function trafficFamilies(view: GatewayView, live: ReadonlyMap<string, readonly Traffic[]>): Family[] {
	const bytes = (received: keyof Traffic, sent: keyof Traffic): Sample[] =>
		[...view.meters.databases].flatMap(([database, meter]) => {
			const sum = (key: keyof Traffic): number =>
				(live.get(database) ?? []).reduce((total, traffic) => total + traffic[key], meter[key]);
			return [
				{ labels: { database, direction: 'received' }, value: sum(received) },
				{ labels: { database, direction: 'sent' }, value: sum(sent) },
			];
		});
	return [
		counter('portcullis_client_bytes_total', 'Bytes on the connections of clients.', bytes('fromClient', 'toClient')),
		counter(
			'portcullis_backend_bytes_total',
			'Bytes on the connections to servers.',
			bytes('fromBackend', 'toBackend'),
		),
	];
}

function loginFamilies({ meters }: GatewayView): Family[] {
	const samples = [...meters.logins].map(([key, value]) => {
		const [method = '', result = ''] = key.split(' ');
		return { labels: { method, result }, value };
	});
	const cancels = Object.entries(meters.cancels).map(([result, value]) => ({ labels: { result }, value }));
	return [
		counter('portcullis_logins_total', 'Logins, by the way in that was tried and what became of it.', samples),
		counter('portcullis_cancel_requests_total', 'Cancel requests, by whether their key was known.', cancels),
	];
}

// ---------------------------------------------------------------- statements

function statementFamilies(view: GatewayView): Family[] {
	return [
		counter(
			'portcullis_statements_total',
			'Statements that were to run, by what the policy made of them.',
			perKey(view, 'effect', ({ effects }) => effects),
		),
		counter(
			'portcullis_statements_prepared_total',
			'Statements that were prepared by themselves, by what the policy made of them.',
			perKey(view, 'effect', ({ prepared }) => prepared),
		),
		counter(
			'portcullis_statement_outcomes_total',
			'Statements that were forwarded, by how they ended.',
			perKey(view, 'status', ({ outcomes }) => outcomes),
		),
		counter(
			'portcullis_rows_total',
			'Rows returned or affected.',
			perMeter(view, ({ rows }) => rows),
		),
		counter(
			'portcullis_result_bytes_total',
			'Bytes of results.',
			perMeter(view, ({ resultBytes }) => resultBytes),
		),
		counter(
			'portcullis_guard_breaches_total',
			'Results that the guard stopped because a protected column was about to pass.',
			perMeter(view, ({ breaches }) => breaches),
		),
		{
			type: 'histogram',
			name: 'portcullis_statement_duration_seconds',
			help: 'From the record of a statement to the end of its result.',
			histograms: histogramsOf(view.meters.databases, ({ durations }) => durations),
		},
	];
}

function histogramsOf<T>(
	of: ReadonlyMap<string, T>,
	histogram: (one: T) => Histogram,
): { readonly labels: Labels; readonly histogram: Histogram }[] {
	return [...of].map(([database, one]) => ({ labels: { database }, histogram: histogram(one) }));
}

function decisionFamilies(view: GatewayView): Family[] {
	const { hits, misses, looks, remembered } = view.pipeline();
	const results = [
		{ labels: { result: 'hit' }, value: hits },
		{ labels: { result: 'miss' }, value: misses },
	];
	return [
		counter('portcullis_decisions_total', 'Texts that were decided, by whether the decision was remembered.', results),
		gauge('sum', 'portcullis_decisions_remembered', 'Decisions that are remembered.', remembered.decisions),
		gauge('sum', 'portcullis_decisions_remembered_bytes', 'What they take, roughly.', remembered.bytes),
		counter('portcullis_decision_looks_total', 'Times that an unknown name made the catalogue be looked at.', looks),
		{
			type: 'histogram',
			name: 'portcullis_decision_duration_seconds',
			help: 'Analysing and deciding a text that was not remembered.',
			histograms: [{ labels: {}, histogram: view.meters.decisions }],
		},
	];
}

// ---------------------------------------------------------------- servers

function leaseFamilies(view: GatewayView): Family[] {
	const connections = view.databases.flatMap((database) => {
		const { leased, connecting } = database.gate.stats;
		return [
			{ labels: { ...labelsOf(database), state: 'leased' }, value: leased },
			{ labels: { ...labelsOf(database), state: 'connecting' }, value: connecting },
		];
	});
	const results = view.databases.flatMap((database) =>
		Object.entries(database.gate.results).map(([result, value]) => ({
			labels: { ...labelsOf(database), result },
			value,
		})),
	);
	const waits = view.databases.map((database) => ({
		labels: labelsOf(database),
		histogram: database.gate.durations,
	}));
	return [
		gauge(
			'sum',
			'portcullis_pool_size',
			'Server connections that there may be.',
			perDatabase(view, ({ gate }) => gate.stats.size),
		),
		gauge('sum', 'portcullis_pool_connections', 'Server connections.', connections),
		gauge(
			'sum',
			'portcullis_pool_waiting',
			'Clients that wait for a server connection.',
			perDatabase(view, ({ gate }) => gate.stats.waiting),
		),
		gauge(
			'max',
			'portcullis_pool_longest_wait_seconds',
			'How long the first of those that wait has waited.',
			perDatabase(view, ({ gate }) => gate.longestWaitMs / 1000),
		),
		counter('portcullis_leases_total', 'Server connections that were asked for, by what became of it.', results),
		counter(
			'portcullis_lease_waits_total',
			'Leases that had to wait for a place.',
			perDatabase(view, ({ gate }) => gate.waits),
		),
		{
			type: 'histogram',
			name: 'portcullis_lease_duration_seconds',
			help: 'From asking for a server connection to having it, or not.',
			histograms: waits,
		},
		gauge(
			'max',
			'portcullis_database_paused',
			'1 after PAUSE.',
			perDatabase(view, ({ gate }) => bit(gate.paused)),
		),
		gauge(
			'max',
			'portcullis_database_disabled',
			'1 after DISABLE.',
			perDatabase(view, ({ gate }) => bit(gate.disabled)),
		),
	];
}

function catalogFamilies(view: GatewayView): Family[] {
	return [
		gauge(
			'min',
			'portcullis_catalog_current',
			'1 while the catalogue is known; statements are refused while it is not.',
			perDatabase(view, ({ catalog }) => bit(catalog.stats.state === 'current')),
		),
		gauge(
			'max',
			'portcullis_catalog_age_seconds',
			'Since the catalogue was last looked at; NaN before the first look that succeeded.',
			perDatabase(view, ({ catalog }) => (catalog.stats.ageMs ?? Number.NaN) / 1000),
		),
		gauge(
			'max',
			'portcullis_catalog_revision',
			'Grows by one with every change of the catalogue that was seen.',
			perDatabase(view, ({ catalog }) => catalog.stats.revision),
		),
		counter(
			'portcullis_catalog_looks_total',
			'Times that the catalogue was looked at.',
			perDatabase(view, ({ catalog }) => catalog.stats.looks),
		),
		counter(
			'portcullis_catalog_failures_total',
			'Looks that failed.',
			perDatabase(view, ({ catalog }) => catalog.stats.failures),
		),
	];
}

// ---------------------------------------------------------------- audit and policy

function auditFamilies(view: GatewayView): Family[] {
	const audit = view.audit();
	return [
		gauge('sum', 'portcullis_audit_size', 'Records in the audit log.', audit.records),
		counter('portcullis_audit_written_bytes_total', 'Bytes written to the audit log.', audit.bytes),
		counter('portcullis_audit_writes_total', 'Writes, each of a group of records.', audit.writes),
		counter('portcullis_audit_failures_total', 'Writes that failed.', audit.failures),
		counter('portcullis_audit_lost_total', 'Outcomes and events that could not be kept.', audit.lost),
		gauge('sum', 'portcullis_audit_queued', 'Records that wait to be written.', audit.queued),
		gauge(
			'min',
			'portcullis_audit_healthy',
			'0 since the last write failed: statements are refused.',
			bit(audit.healthy),
		),
		gauge(
			'max',
			'portcullis_audit_blocked',
			'1 while a sink is so far behind that statements are refused.',
			bit(audit.blockedBy !== null),
		),
		gauge('min', 'portcullis_audit_signed', '1 when checkpoints are signed.', bit(audit.signed)),
	];
}

function sinkFamilies(view: GatewayView): Family[] {
	const { sinks } = view.audit();
	const perSink = (value: (sink: (typeof sinks)[number]) => number): Sample[] =>
		sinks.map((sink) => ({ labels: { sink: sink.sink }, value: value(sink) }));
	return [
		counter(
			'portcullis_audit_sink_delivered_total',
			'Records handed over to a sink.',
			perSink((sink) => sink.delivered),
		),
		counter(
			'portcullis_audit_sink_retries_total',
			'Deliveries that were tried again.',
			perSink((sink) => sink.retries),
		),
		gauge(
			'sum',
			'portcullis_audit_sink_lag_records',
			'Records that a sink has not taken yet.',
			perSink((sink) => sink.lagRecords),
		),
		gauge(
			'sum',
			'portcullis_audit_sink_lag_bytes',
			'Their size.',
			perSink((sink) => sink.lagBytes),
		),
		gauge(
			'min',
			'portcullis_audit_sink_up',
			'0 since the last delivery failed.',
			perSink((sink) => bit(sink.lastError === null)),
		),
	];
}

function policyFamilies(view: GatewayView): Family[] {
	const { revision, rules, loadedMs } = view.policy();
	const reloads = Object.entries(view.meters.reloads).map(([result, value]) => ({ labels: { result }, value }));
	return [
		gauge('max', 'portcullis_policy_info', 'Revision of the policy in force, as a label.', [
			{ labels: { revision }, value: 1 },
		]),
		gauge('max', 'portcullis_policy_rules', 'Rules of the policy in force.', rules),
		gauge('min', 'portcullis_policy_loaded_timestamp_seconds', 'When it was loaded.', loadedMs / 1000),
		counter('portcullis_policy_reloads_total', 'Loads of the policy, the one at the start included.', reloads),
	];
}

function traceFamilies({ spans }: GatewayView): Family[] {
	const samples = Object.entries(spans ?? {}).map(([result, value]) => ({ labels: { result }, value }));
	return [
		counter('portcullis_spans_total', 'Spans of traced statements, by whether the collector took them.', samples),
	];
}
