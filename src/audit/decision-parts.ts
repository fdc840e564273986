/** What a decision adds to the records of its statement, as bytes: made once for all texts that one analysis serves. */
import { hash } from 'node:crypto';
import { withoutQuoted, withoutSecrets } from '../secrets.ts';
import type { ObjectUse, StatementDecision } from '../stages.ts';
import type { Batch } from './batch.ts';
import { members, toJson } from './json.ts';
import type { AuditLimits } from './limits.ts';
import { activityOf, authorizationOf, datastoreClass, effects, objectPart, severity, status } from './ocsf.ts';

/** Pieces of a statement's line; each begins with a comma unless it is empty. */
export interface DecisionParts {
	/** Writes the attributes, from `category_uid` on. */
	attributes(to: Batch): void;
	/** Writes the members of `unmapped`. */
	unmapped(to: Batch): void;
}

/** The parts that do not hold the statement's text. */
interface SharedParts {
	readonly activity: Buffer;
	readonly beforeText: Buffer;
	readonly afterText: Buffer;
	readonly unmapped: Buffer;
}

/** The parts of one decision after the other; those of the latest are kept. */
class Known implements DecisionParts {
	readonly #shared: SharedParts;
	readonly #of: StatementDecision;
	/** Null before the first. */
	#latest: StatementDecision | null = null;
	/** Pieces with the text, once it has come a second time. */
	#query: Buffer | null = null;
	#rewritten: Buffer | null = null;

	readonly #deniedTextMax: number;

	constructor(decision: StatementDecision, deniedTextMax: number) {
		this.#shared = sharedParts(decision);
		this.#of = decision;
		this.#deniedTextMax = deniedTextMax;
	}

	get activity(): Buffer {
		return this.#shared.activity;
	}

	/** Bytes that are kept, at most. */
	get bytes(): number {
		const { beforeText, afterText, unmapped } = this.#shared;
		const { sql, rewritten } = this.#of;
		return beforeText.length + afterText.length + unmapped.length + 3 * (sql.length + rewritten.length);
	}

	/** True when the decision differs from the first one in nothing but its text. */
	fits({ effect, node, objects, rules, error }: StatementDecision): boolean {
		const of = this.#of;
		return (
			effect === of.effect && node === of.node && objects === of.objects && rules === of.rules && error === of.error
		);
	}

	take(decision: StatementDecision): this {
		if (decision !== this.#latest) {
			this.#latest = decision;
			this.#query = null;
			this.#rewritten = null;
		} else if (this.#query === null) {
			this.#query = Buffer.from(queryText(decision, this.#deniedTextMax));
			this.#rewritten = Buffer.from(rewrittenText(decision, this.#deniedTextMax));
		}
		return this;
	}

	attributes(to: Batch): void {
		to.piece(this.#shared.beforeText);
		if (this.#query === null) to.text(queryText(this.#latest ?? this.#of, this.#deniedTextMax));
		else to.piece(this.#query);
		to.piece(this.#shared.afterText);
	}

	unmapped(to: Batch): void {
		to.piece(this.#shared.unmapped);
		if (this.#rewritten === null) to.text(rewrittenText(this.#latest ?? this.#of, this.#deniedTextMax));
		else to.piece(this.#rewritten);
	}
}

export type DecisionPartsLimits = Pick<AuditLimits, 'cachedPartBytesMax' | 'deniedTextMax'>;

/** The parts of decisions; those that are asked for again and again are kept as long as the decision is. */
export class DecisionPartsCache {
	/** By what all decisions of one analysis have in common. */
	readonly #known = new WeakMap<readonly ObjectUse[], Known>();
	readonly #limits: DecisionPartsLimits;

	constructor(limits: DecisionPartsLimits) {
		this.#limits = limits;
	}

	/** For the line of a statement; to be used before the next call. */
	of(decision: StatementDecision): DecisionParts {
		return this.#find(decision).take(decision);
	}

	/** The class and activity alone, for the line of an outcome. */
	activity(decision: StatementDecision): Buffer {
		return this.#find(decision).activity;
	}

	#find(decision: StatementDecision): Known {
		const known = this.#known.get(decision.objects);
		if (known?.fits(decision) === true) return known;
		const made = new Known(decision, this.#limits.deniedTextMax);
		if (made.bytes <= this.#limits.cachedPartBytesMax) this.#known.set(decision.objects, made);
		return made;
	}
}

function sharedParts(decision: StatementDecision): SharedParts {
	const activity = datastoreClass(activityOf(decision));
	const { activity_name: _name, ...withoutName } = activity;
	const table = decision.objects.find((use) => use.kind === 'relation');
	const denied = decision.effect === 'deny';
	const before = {
		...activity,
		severity_id: denied ? severity.Medium : severity.Informational,
		...effects[decision.effect],
		...(denied
			? {
					status_id: status.Failure,
					status: 'Failure',
					status_code: decision.error?.sqlstate ?? '42501',
					status_detail: denialDetail(decision),
				}
			: {}),
	};
	const after = {
		...(table === undefined ? {} : { table: { name: `${table.schema}.${table.name}` } }),
		...(decision.rules.length === 0
			? {}
			: { authorizations: decision.rules.map((rule) => authorizationOf(rule, decision.effect)) }),
	};
	const unmapped = {
		node: decision.node,
		...(decision.objects.length === 0 ? {} : { objects: decision.objects.map(objectPart) }),
	};
	return {
		activity: Buffer.from(members(withoutName)),
		beforeText: Buffer.from(members(before)),
		afterText: Buffer.from(members(after)),
		unmapped: Buffer.from(members(unmapped)),
	};
}

/** The server's words, unless they may quote a secret of the statement. */
function denialDetail({ sql, error }: StatementDecision): string {
	const message = error?.message ?? 'denied';
	return withoutSecrets(sql) === sql ? message : withoutQuoted(message);
}

/** As it was sent, but for secrets. What was denied never ran: of a long one the beginning will do, with its length and digest. */
function queryText({ sql, effect, fingerprint }: StatementDecision, deniedTextMax: number): string {
	const shown = withoutSecrets(sql);
	const uid = fingerprint === undefined ? '' : `,"uid":"${fingerprint}"`;
	const text =
		effect === 'deny' && shown.length > deniedTextMax
			? `${toJson(shown.slice(0, deniedTextMax))},"bytes":${Buffer.byteLength(sql)}`
			: toJson(shown);
	return `,"query_info":{"query_string":${text}${uid}}`;
}

function rewrittenText({ sql, rewritten, effect, cursor, executes }: StatementDecision, deniedTextMax: number): string {
	if (effect === 'deny') {
		const shown = withoutSecrets(sql);
		return shown.length > deniedTextMax ? `,"query_sha256":"${hash('sha256', shown, 'hex')}"` : '';
	}
	const runs = rewritten === sql ? '' : `,"rewritten":${toJson(withoutSecrets(rewritten))}`;
	const of = cursor === undefined ? '' : `,"cursor":${toJson(cursor)}`;
	return executes === undefined ? `${runs}${of}` : `${runs}${of},"executes":${toJson(withoutSecrets(executes))}`;
}
