/** Writes records as lines of JSON in the OCSF schema. What repeats (log, session, decision) is serialised once and kept. */
import { hash } from 'node:crypto';
import type { StatementDecision } from '../stages.ts';
import type { AuditParameter, Outcome, SessionInfo, StatementRecord } from './event.ts';
import { toJson } from './json.ts';
import {
	activityOf,
	authorizationOf,
	databasePart,
	datastoreActivity,
	effects,
	eventClass,
	objectPart,
	ocsfVersion,
	sessionUnmapped,
	severity,
	status,
	whoParts,
} from './ocsf.ts';
import { renderParameter } from './parameters.ts';

/** What `metadata.event_code` can be. */
export type EventCode =
	| 'statement'
	| 'outcome'
	| 'login'
	| 'login-failed'
	| 'logout'
	| 'cancel'
	| 'guard-breach'
	| 'policy-reload'
	| 'config'
	| 'segment'
	| 'audit-start'
	| 'audit-stop'
	| 'audit-gap'
	| 'audit-retention'
	| 'checkpoint';

export interface LinesOptions {
	/** Unique id of the log; every record's uid is `logId-sequence`. */
	readonly logId: string;
	/** Name of the log, as checkpoints bear it. */
	readonly origin: string;
	/** Version of this program. */
	readonly productVersion: string;
	readonly parameters: 'on' | 'off';
	readonly parameterBytesMax: number;
	readonly cachedPartCharsMax: number;
}

const outcomeStatus = {
	success: status.Success,
	failure: status.Failure,
	denied: status.Failure,
	cancelled: status.Other,
	unknown: status.Unknown,
} as const satisfies Record<Outcome['status'], number>;

interface DecisionParts {
	/** Attributes, from `,"category_uid"` on. */
	readonly attributes: string;
	/** Members of `unmapped`. */
	readonly unmapped: string;
	/** The class and activity alone, for the outcome. */
	readonly activity: string;
}

/** Members of an object as JSON text, each after a comma: `,"a":1,"b":2`; '' for an empty object. */
function members(value: object): string {
	const text = toJson(value);
	return text === '{}' ? '' : `,${text.slice(1, -1)}`;
}

export function datastoreClass(activity: keyof typeof datastoreActivity): object {
	const { category_uid, class_uid } = eventClass.datastore;
	const activity_id = datastoreActivity[activity];
	return {
		category_uid,
		class_uid,
		activity_id,
		activity_name: activity,
		type_uid: class_uid * 100 + activity_id,
	};
}

function decisionParts(decision: StatementDecision): DecisionParts {
	const activity = datastoreClass(activityOf(decision));
	const table = decision.objects.find((use) => use.kind === 'relation');
	const denied = decision.effect === 'deny';
	const attributes = {
		...activity,
		severity_id: denied ? severity.Medium : severity.Informational,
		...effects[decision.effect],
		...(denied
			? {
					status_id: status.Failure,
					status: 'Failure',
					status_code: decision.error?.sqlstate ?? '42501',
					status_detail: decision.error?.message ?? 'denied',
				}
			: {}),
		query_info: { query_string: decision.sql, uid: hash('sha256', decision.sql, 'hex').slice(0, 32) },
		...(table === undefined ? {} : { table: { name: `${table.schema}.${table.name}` } }),
		...(decision.rules.length === 0
			? {}
			: { authorizations: decision.rules.map((rule) => authorizationOf(rule, decision.effect)) }),
	};
	const unmapped = {
		node: decision.node,
		...(decision.objects.length === 0 ? {} : { objects: decision.objects.map(objectPart) }),
		...(decision.rewritten === decision.sql ? {} : { rewritten: decision.rewritten }),
	};
	return { attributes: members(attributes), unmapped: members(unmapped), activity: members(activity) };
}

/** Who, from where, to which database; `unmapped` comes last and is left open. */
function sessionPart(session: SessionInfo): string {
	const text = members({ ...whoParts(session), database: databasePart(session), unmapped: sessionUnmapped(session) });
	return text.slice(0, -1);
}

function place(record: StatementRecord): string {
	return `"transaction":${record.transaction},"statement":${record.statement}`;
}

/** The same for an outcome: enough to know whose it is; the record of the statement has the rest. */
function shortSessionPart(session: SessionInfo): string {
	const { name } = session.identity ?? { name: '(none)' };
	const actor = { user: { name }, session: { uid: session.id } };
	const { src_endpoint } = whoParts(session);
	return `${members({ actor, src_endpoint, database: databasePart(session) })},"unmapped":{`;
}

interface SessionParts {
	readonly full: string;
	readonly short: string;
}

/** Makes the lines of one log. A line ends without a line feed; numbers are those of the tree's leaves. */
export class Lines {
	readonly #options: LinesOptions;
	readonly #sessions = new WeakMap<SessionInfo, SessionParts>();
	readonly #decisions = new WeakMap<StatementDecision, DecisionParts>();
	readonly #heads = new Map<EventCode, string>();
	#isoMs = Number.NaN;
	#iso = '';
	#revision = '';
	#policy = '';

	constructor(options: LinesOptions) {
		this.#options = options;
	}

	uid(sequence: number): string {
		return `${this.#options.logId}-${sequence}`;
	}

	statement(record: StatementRecord, parameters: string, timeMs: number, sequence: number): string {
		const decision = this.#decision(record.decision);
		return (
			this.#head('statement', timeMs, sequence, null) +
			decision.attributes +
			this.#policyPart(record.policyRevision) +
			this.#session(record.session).full +
			decision.unmapped +
			`,${place(record)}` +
			`,"protocol":"${record.protocol}","phase":"${record.phase}"${parameters}}}`
		);
	}

	outcome(
		of: { readonly id: string; readonly record: StatementRecord },
		outcome: Outcome,
		timeMs: number,
		sequence: number,
	): string {
		const { record } = of;
		const { status: how, sqlstate, tag, rows, bytes, durationMs } = outcome;
		return (
			this.#head('outcome', timeMs, sequence, of.id) +
			this.#decision(record.decision).activity +
			`,"severity_id":1,"status_id":${outcomeStatus[how]},"status":"${how}"` +
			(sqlstate === null ? '' : `,"status_code":${toJson(sqlstate)}`) +
			`,"duration":${Math.round(durationMs)}` +
			this.#session(record.session).short +
			place(record) +
			(tag === null ? '' : `,"tag":${toJson(tag)}`) +
			(rows === null ? '' : `,"rows":${rows}`) +
			`,"bytes":${bytes},"duration_us":${Math.round(durationMs * 1000)}}}`
		);
	}

	/** Any other record. `body` has the schema's attributes from `category_uid` on. */
	event(code: EventCode, body: object, timeMs: number, sequence: number, correlation: string | null = null): string {
		return `${this.#head(code, timeMs, sequence, correlation)}${members(body)}}`;
	}

	/** The parameters as a member of `unmapped`, or ''. Copies what it needs out of the buffers. */
	parameters(parameters: readonly AuditParameter[] | undefined): string {
		if (parameters === undefined || parameters.length === 0) return '';
		if (this.#options.parameters === 'off') return `,"parameter_count":${parameters.length}`;
		const max = this.#options.parameterBytesMax;
		return `,"parameters":${toJson(parameters.map((parameter) => renderParameter(parameter, max)))}`;
	}

	#head(code: EventCode, timeMs: number, sequence: number, correlation: string | null): string {
		if (timeMs !== this.#isoMs) {
			this.#isoMs = timeMs;
			this.#iso = new Date(timeMs).toISOString();
		}
		const also = correlation === null ? '' : `,"correlation_uid":"${correlation}"`;
		return `${this.#headOf(code)}${sequence},"uid":"${this.#options.logId}-${sequence}"${also},"original_time":"${this.#iso}"},"time":${timeMs}`;
	}

	#headOf(code: EventCode): string {
		const known = this.#heads.get(code);
		if (known !== undefined) return known;
		const metadata = {
			version: ocsfVersion,
			product: { name: 'Portcullis', version: this.#options.productVersion },
			profiles: ['security_control'],
			log_name: this.#options.origin,
			event_code: code,
		};
		const head = `{"metadata":${toJson(metadata).slice(0, -1)},"sequence":`;
		this.#heads.set(code, head);
		return head;
	}

	#policyPart(revision: string): string {
		if (revision !== this.#revision || this.#policy === '') {
			this.#revision = revision;
			this.#policy = `,"policy":${toJson({ name: 'policies', version: revision, is_applied: true })}`;
		}
		return this.#policy;
	}

	#session(session: SessionInfo): SessionParts {
		let parts = this.#sessions.get(session);
		if (parts === undefined) {
			parts = { full: sessionPart(session), short: shortSessionPart(session) };
			this.#sessions.set(session, parts);
		}
		return parts;
	}

	#decision(decision: StatementDecision): DecisionParts {
		let parts = this.#decisions.get(decision);
		if (parts === undefined) {
			parts = decisionParts(decision);
			const chars = parts.attributes.length + parts.unmapped.length;
			if (chars <= this.#options.cachedPartCharsMax) this.#decisions.set(decision, parts);
		}
		return parts;
	}
}
