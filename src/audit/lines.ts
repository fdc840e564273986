/** Writes records as lines of JSON in the OCSF schema. What repeats (log, session, decision) is serialised once and kept. */
import type { Batch } from './batch.ts';
import { DecisionPartsCache } from './decision-parts.ts';
import type { AuditParameter, Outcome, StatementRecord } from './event.ts';
import { members, toJson } from './json.ts';
import type { AuditLimits } from './limits.ts';
import { ocsfVersion, status } from './ocsf.ts';
import { parametersText } from './parameters.ts';
import { SessionPartsCache } from './session-parts.ts';
import { TimePart } from './time-part.ts';

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

type How = Outcome['status'];
type Manner = `${StatementRecord['protocol']} ${StatementRecord['phase']}`;

/** For each of a few names, what is written where it stands. */
function pieces<Name extends string>(names: readonly Name[], text: (name: Name) => string): Record<Name, Buffer> {
	return Object.fromEntries(names.map((name) => [name, Buffer.from(text(name))])) as Record<Name, Buffer>;
}

const endings: readonly How[] = ['success', 'failure', 'denied', 'cancelled', 'unknown'];
const manners: readonly Manner[] = [
	'simple prepare',
	'simple execute',
	'extended prepare',
	'extended execute',
	'function-call prepare',
	'function-call execute',
];

/** What stands between the values of statements and outcomes. */
const piece = {
	transaction: Buffer.from('"transaction":'),
	nextTransaction: Buffer.from(',"transaction":'),
	statement: Buffer.from(',"statement":'),
	manner: pieces(manners, (manner) => {
		const [protocol, phase] = manner.split(' ');
		return `,"protocol":"${protocol}","phase":"${phase}"`;
	}),
	status: pieces(endings, (how) => `,"severity_id":1,"status_id":${outcomeStatus[how]}`),
	duration: Buffer.from(',"duration":'),
	statusAndDuration: pieces(endings, (how) => `,"severity_id":1,"status_id":${outcomeStatus[how]},"duration":`),
	rows: Buffer.from(',"rows":'),
	bytes: Buffer.from(',"bytes":'),
	durationUs: Buffer.from(',"duration_us":'),
	end: Buffer.from('}}'),
} as const;

function place(to: Batch, record: StatementRecord, before: Buffer): void {
	to.piece(before);
	to.number(record.transaction);
	to.piece(piece.statement);
	to.number(record.statement);
}

function endedText(how: How, tag: string | null): string {
	return `,"ended":"${how}"${tag === null ? '' : `,"tag":${toJson(tag)}`}`;
}

/** Makes the lines of one log. A line ends without a line feed; numbers are those of the tree's leaves. */
export class Lines {
	readonly #options: LinesOptions;
	readonly #sessions = new SessionPartsCache();
	readonly #decisions: DecisionPartsCache;
	readonly #heads = new Map<EventCode, Buffer>();
	/** The members that a uid stands in, up to its number. */
	readonly #uid: Buffer;
	readonly #correlation: Buffer;
	readonly #time = new TimePart();
	/** How the last one ended, and what is written of that: of many statements it is the same. */
	#how: How = 'success';
	#tag: string | null = null;
	#ended = Buffer.from(endedText('success', null));
	#revision: string | null = null;
	#policy = Buffer.alloc(0);

	constructor(options: LinesOptions) {
		this.#options = options;
		this.#decisions = new DecisionPartsCache(options.limits);
		this.#uid = Buffer.from(`,"uid":"${options.logId}-`);
		this.#correlation = Buffer.from(`","correlation_uid":"${options.logId}-`);
	}

	/** Writes the line of a statement. `parameters`: what `parameters` below made of them. */
	statement(to: Batch, record: StatementRecord, parameters: string, timeMs: number, sequence: number): void {
		const decision = this.#decisions.of(record.decision);
		this.#head(to, 'statement', sequence);
		this.#timePart(to, timeMs);
		decision.attributes(to);
		to.piece(this.#policyPart(record.policyRevision));
		this.#sessions.write(to, record.session, record.backend);
		decision.unmapped(to);
		place(to, record, piece.nextTransaction);
		to.piece(piece.manner[`${record.protocol} ${record.phase}`]);
		if (parameters !== '') to.text(parameters);
		to.piece(piece.end);
		to.endLine();
	}

	/** Writes the line of an outcome of the statement whose record has the number `of.sequence`. */
	outcome(
		to: Batch,
		of: { readonly sequence: number; readonly record: StatementRecord },
		outcome: Outcome,
		timeMs: number,
		sequence: number,
	): void {
		const { status: how, sqlstate, tag, rows, bytes, durationMs } = outcome;
		this.#head(to, 'outcome', sequence);
		to.piece(this.#correlation);
		to.number(of.sequence);
		this.#timePart(to, timeMs);
		if (sqlstate === null) to.piece(piece.statusAndDuration[how]);
		else {
			to.piece(piece.status[how]);
			to.text(`,"status_code":${toJson(sqlstate)}`);
			to.piece(piece.duration);
		}
		to.number(Math.round(durationMs));
		to.piece(this.#decisions.activity(of.record.decision));
		to.piece(this.#sessions.of(of.record.session).short);
		place(to, of.record, piece.transaction);
		to.piece(this.#endedPart(how, tag));
		if (rows !== null) {
			to.piece(piece.rows);
			to.number(rows);
		}
		to.piece(piece.bytes);
		to.number(bytes);
		to.piece(piece.durationUs);
		to.number(Math.round(durationMs * 1000));
		to.piece(piece.end);
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
		this.#head(to, code, sequence);
		if (correlation !== null) to.text(`","correlation_uid":"${correlation}`);
		this.#timePart(to, timeMs);
		to.text(`${members(body)}}`);
		to.endLine();
	}

	/** The parameters as a member of `unmapped`, or ''. Copies what it needs out of the buffers. */
	parameters(parameters: readonly AuditParameter[] | undefined): string {
		if (parameters === undefined || parameters.length === 0) return '';
		if (this.#options.parameters === 'off') return `,"parameter_count":${parameters.length}`;
		return `,"parameters":[${parametersText(parameters, this.#options.limits)}]`;
	}

	/** The beginning of every line, up to the record's uid, which is left open. */
	#head(to: Batch, code: EventCode, sequence: number): void {
		to.piece(this.#headOf(code));
		to.number(sequence);
		to.piece(this.#uid);
		to.number(sequence);
	}

	/** Ends what stands before it, and says when; the same for all that one millisecond has. */
	#timePart(to: Batch, timeMs: number): void {
		to.piece(this.#time.at(timeMs));
	}

	#endedPart(how: How, tag: string | null): Buffer {
		if (how !== this.#how || tag !== this.#tag) {
			this.#how = how;
			this.#tag = tag;
			this.#ended = Buffer.from(endedText(how, tag));
		}
		return this.#ended;
	}

	#headOf(code: EventCode): Buffer {
		const known = this.#heads.get(code);
		if (known !== undefined) return known;
		const product = { name: 'Portcullis', version: this.#options.productVersion };
		const profiles = ['security_control'];
		// An outcome has no attribute of the profile, and there is one for each statement, whose record tells the program's version.
		const more = code === 'outcome' ? { product: { name: product.name } } : { product, profiles };
		const metadata = { version: ocsfVersion, ...more, event_code: code };
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
