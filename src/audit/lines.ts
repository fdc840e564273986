/** Writes records as lines of JSON in the OCSF schema. What repeats (log, session, decision) is serialised once and kept. */
import type { Batch } from './batch.ts';
import { DecisionPartsCache } from './decision-parts.ts';
import type { AuditParameter, Outcome, StatementRecord } from './event.ts';
import { members, toJson } from './json.ts';
import type { AuditLimits } from './limits.ts';
import { ocsfVersion, status } from './ocsf.ts';
import { parametersText } from './parameters.ts';
import { SessionPartsCache } from './session-parts.ts';

/** What `metadata.event_code` can be. */
export const eventCodes = [
	'statement',
	'outcome',
	'login',
	'login-failed',
	'logout',
	'cancel',
	'guard-breach',
	'policy-reload',
	'config',
	'segment',
	'audit-start',
	'audit-stop',
	'audit-gap',
	'audit-retention',
	'checkpoint',
] as const;

export type EventCode = (typeof eventCodes)[number];

export interface LinesOptions {
	/** Unique id of the log; every record's uid is `logId-sequence`. */
	readonly logId: string;
	/** Version of this program. */
	readonly productVersion: string;
	readonly parameters: 'on' | 'off';
	readonly limits: Pick<
		AuditLimits,
		'parameterBytesMax' | 'parametersBytesMax' | 'cachedPartBytesMax' | 'deniedTextMax'
	>;
}

const outcomeStatus = {
	success: status.Success,
	failure: status.Failure,
	denied: status.Failure,
	cancelled: status.Other,
	unknown: status.Unknown,
} as const satisfies Record<Outcome['status'], number>;

function place(record: StatementRecord): string {
	return `"transaction":${record.transaction},"statement":${record.statement}`;
}

/** Command tags are words and numbers as a rule: those need no escapes. */
function quoteTag(tag: string): string {
	return /^[A-Z0-9 ]*$/.test(tag) ? `"${tag}"` : toJson(tag);
}

/** Makes the lines of one log. A line ends without a line feed; numbers are those of the tree's leaves. */
export class Lines {
	readonly #options: LinesOptions;
	readonly #sessions = new SessionPartsCache();
	readonly #decisions: DecisionPartsCache;
	readonly #heads = new Map<EventCode, Buffer>();
	#timeMs = Number.NaN;
	#time = '';
	#revision: string | null = null;
	#policy = Buffer.alloc(0);

	constructor(options: LinesOptions) {
		this.#options = options;
		this.#decisions = new DecisionPartsCache(options.limits);
	}

	uid(sequence: number): string {
		return `${this.#options.logId}-${sequence}`;
	}

	/** Writes the line of a statement. `parameters`: what `parameters` below made of them. */
	statement(to: Batch, record: StatementRecord, parameters: string, timeMs: number, sequence: number): void {
		const decision = this.#decisions.of(record.decision);
		this.#head(to, 'statement', timeMs, sequence, null);
		decision.attributes(to);
		to.piece(this.#policyPart(record.policyRevision));
		to.piece(this.#sessions.of(record.session).full);
		decision.unmapped(to);
		to.text(`,${place(record)},"protocol":"${record.protocol}","phase":"${record.phase}"${parameters}}}`);
		to.endLine();
	}

	/** Writes the line of an outcome of the statement whose record has the uid `of.id`. */
	outcome(
		to: Batch,
		of: { readonly id: string; readonly record: StatementRecord },
		outcome: Outcome,
		timeMs: number,
		sequence: number,
	): void {
		const { status: how, sqlstate, tag, rows, bytes, durationMs } = outcome;
		const code = sqlstate === null ? '' : `,"status_code":${toJson(sqlstate)}`;
		const ended = `,"severity_id":1,"status_id":${outcomeStatus[how]}${code},"duration":${Math.round(durationMs)}`;
		this.#head(to, 'outcome', timeMs, sequence, of.id, ended);
		to.piece(this.#decisions.activity(of.record.decision));
		to.piece(this.#sessions.of(of.record.session).short);
		const result = `${tag === null ? '' : `,"tag":${quoteTag(tag)}`}${rows === null ? '' : `,"rows":${rows}`}`;
		to.text(
			`${place(of.record)},"ended":"${how}"${result},"bytes":${bytes},"duration_us":${Math.round(durationMs * 1000)}}}`,
		);
		to.endLine();
	}

	/** Writes any other line. `body` has the schema's attributes from `category_uid` on. */
	event(
		to: Batch,
		code: EventCode,
		body: object,
		timeMs: number,
		sequence: number,
		correlation: string | null = null,
	): void {
		this.#head(to, code, timeMs, sequence, correlation);
		to.text(`${members(body)}}`);
		to.endLine();
	}

	/** The parameters as a member of `unmapped`, or ''. Copies what it needs out of the buffers. */
	parameters(parameters: readonly AuditParameter[] | undefined): string {
		if (parameters === undefined || parameters.length === 0) return '';
		if (this.#options.parameters === 'off') return `,"parameter_count":${parameters.length}`;
		return `,"parameters":[${parametersText(parameters, this.#options.limits)}]`;
	}

	/** The beginning of every line, up to and with `time`, and `more` members behind it: one write for all of it. */
	#head(to: Batch, code: EventCode, timeMs: number, sequence: number, correlation: string | null, more = ''): void {
		if (timeMs !== this.#timeMs) {
			this.#timeMs = timeMs;
			this.#time = `","original_time":"${new Date(timeMs).toISOString()}"},"time":${timeMs}`;
		}
		to.piece(this.#headOf(code));
		const also = correlation === null ? '' : `","correlation_uid":"${correlation}`;
		to.text(`${sequence},"uid":"${this.#options.logId}-${sequence}${also}${this.#time}${more}`);
	}

	#headOf(code: EventCode): Buffer {
		const known = this.#heads.get(code);
		if (known !== undefined) return known;
		const metadata = {
			version: ocsfVersion,
			product: { name: 'Portcullis', version: this.#options.productVersion },
			profiles: ['security_control'],
			event_code: code,
		};
		const head = Buffer.from(`{"metadata":${toJson(metadata).slice(0, -1)},"sequence":`);
		this.#heads.set(code, head);
		return head;
	}

	#policyPart(revision: string): Buffer {
		if (revision !== this.#revision) {
			this.#revision = revision;
			this.#policy = Buffer.from(`,"policy":${toJson({ name: 'policies', version: revision })}`);
		}
		return this.#policy;
	}
}
