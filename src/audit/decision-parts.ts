/** What a decision adds to the records of its statement, as bytes: made once for all texts that one analysis serves. */
import { hash } from 'node:crypto';
import { withoutQuoted, withoutSecrets } from '../secrets.ts';
import type { ObjectUse, RuleRef, StatementDecision } from '../stages.ts';
import { Batch } from './batch.ts';
import { memberBytes, toJson } from './json.ts';
import type { AuditLimits } from './limits.ts';
import {
	activityOf,
	authorizationOf,
	type DatastoreActivity,
	datastoreClass,
	effects,
	objectPart,
	severity,
	status,
} from './ocsf.ts';

/** Pieces of a statement's line; each begins with a comma unless it is empty. */
export interface DecisionParts {
	/** Writes the attributes, from `category_uid` on. */
	attributes(to: Batch): void;
	/** Writes the members of `unmapped`. */
	unmapped(to: Batch): void;
}

/** The parts that do not hold the statement's text; what is behind it begins with the fingerprint. */
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
	/** Both pieces whole, once the latest has come a second time. */
	#attributes: Buffer | null = null;
	#unmapped: Buffer | null = null;

	readonly #deniedTextMax: number;

	constructor(decision: StatementDecision, deniedTextMax: number, vocabulary: Vocabulary) {
		this.#shared = sharedParts(decision, vocabulary);
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
	fits({ effect, node, objects, rules, error, fingerprint }: StatementDecision): boolean {
		const of = this.#of;
		return (
			effect === of.effect &&
			node === of.node &&
			objects === of.objects &&
			rules === of.rules &&
			error === of.error &&
			fingerprint === of.fingerprint
		);
	}

	take(decision: StatementDecision): this {
		if (decision !== this.#latest) {
			this.#latest = decision;
			this.#attributes = null;
			this.#unmapped = null;
		} else if (this.#attributes === null) {
			this.#attributes = bytesOf((to) => this.#writeAttributes(to));
			this.#unmapped = bytesOf((to) => this.#writeUnmapped(to));
		}
		return this;
	}

	attributes(to: Batch): void {
		if (this.#attributes === null) this.#writeAttributes(to);
		else to.piece(this.#attributes);
	}

	unmapped(to: Batch): void {
		if (this.#unmapped === null) this.#writeUnmapped(to);
		else to.piece(this.#unmapped);
	}

	#writeAttributes(to: Batch): void {
		to.piece(this.#shared.beforeText);
		writeQuery(to, this.#latest ?? this.#of, this.#deniedTextMax);
		to.piece(this.#shared.afterText);
	}

	#writeUnmapped(to: Batch): void {
		to.piece(this.#shared.unmapped);
		writeRewritten(to, this.#latest ?? this.#of, this.#deniedTextMax);
	}
}

export type DecisionPartsLimits = Pick<AuditLimits, 'cachedPartBytesMax' | 'deniedTextMax'>;

/** The parts of decisions; those that are asked for again and again are kept as long as the decision is. */
export class DecisionPartsCache {
	/** By what all decisions of one analysis have in common. */
	readonly #known = new WeakMap<readonly ObjectUse[], Known>();
	readonly #vocabulary = new Vocabulary();
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
		const made = new Known(decision, this.#limits.deniedTextMax, this.#vocabulary);
		if (made.bytes <= this.#limits.cachedPartBytesMax) this.#known.set(decision.objects, made);
		return made;
	}
}

/** What many decisions have in common, made once: a handful of classes, and each rule of the policy. */
class Vocabulary {
	readonly #classes = new Map<string, { readonly activity: Buffer; readonly full: Buffer }>();
	readonly #rules = new WeakMap<RuleRef, Map<string, string>>();

	/** Of what is allowed or masked; a denial says more. */
	classOf(activity: DatastoreActivity, effect: 'allow' | 'mask'): { readonly activity: Buffer; readonly full: Buffer } {
		const key = `${activity} ${effect}`;
		let known = this.#classes.get(key);
		if (known === undefined) {
			const { activity_name, ...withoutName } = datastoreClass(activity);
			known = {
				activity: memberBytes(withoutName),
				full: memberBytes({
					...withoutName,
					activity_name,
					severity_id: severity.Informational,
					...effects[effect],
				}),
			};
			this.#classes.set(key, known);
		}
		return known;
	}

	/** `authorizations`, or ''. */
	authorizations(rules: readonly RuleRef[], effect: StatementDecision['effect']): string {
		if (rules.length === 0) return '';
		return `,"authorizations":[${rules.map((rule) => this.#authorization(rule, effect)).join(',')}]`;
	}

	#authorization(rule: RuleRef, effect: StatementDecision['effect']): string {
		let known = this.#rules.get(rule);
		if (known === undefined) {
			known = new Map();
			this.#rules.set(rule, known);
		}
		let text = known.get(effect);
		if (text === undefined) {
			text = toJson(authorizationOf(rule, effect));
			known.set(effect, text);
		}
		return text;
	}
}

function sharedParts(decision: StatementDecision, vocabulary: Vocabulary): SharedParts {
	const { effect, objects, rules, node, fingerprint } = decision;
	const uid = fingerprint === undefined ? '' : `,"uid":"${fingerprint}"`;
	const table = objects.find((use) => use.kind === 'relation');
	const name = table === undefined ? '' : `,"table":${toJson({ name: `${table.schema}.${table.name}` })}`;
	const { activity, full } =
		effect === 'deny' ? denialClass(decision) : vocabulary.classOf(activityOf(decision), effect);
	return {
		activity,
		beforeText: full,
		afterText: Buffer.from(`${uid}}${name}${vocabulary.authorizations(rules, effect)}`),
		unmapped: memberBytes({ node, ...(objects.length === 0 ? {} : { objects: objects.map(objectPart) }) }),
	};
}

function denialClass(decision: StatementDecision): { readonly activity: Buffer; readonly full: Buffer } {
	const activity = datastoreClass(activityOf(decision));
	const { activity_name: _name, ...withoutName } = activity;
	const full = {
		...activity,
		severity_id: severity.Medium,
		...effects.deny,
		status_id: status.Failure,
		status: 'Failure',
		status_code: decision.error?.sqlstate ?? '42501',
		status_detail: denialDetail(decision),
	};
	return { activity: memberBytes(withoutName), full: memberBytes(full) };
}

/** The server's words, unless they may quote a secret of the statement. */
function denialDetail({ sql, error }: StatementDecision): string {
	const message = error?.message ?? 'denied';
	return withoutSecrets(sql) === sql ? message : withoutQuoted(message);
}

const queryStart = Buffer.from(',"query_info":{"query_string":');
const rewrittenStart = Buffer.from(',"rewritten":');

/**
 * `query_info`, left open: the text as it was sent, but for secrets. What was denied never ran: of a long one the beginning will do,
 * with its length and digest.
 */
function writeQuery(to: Batch, { sql, effect }: StatementDecision, deniedTextMax: number): void {
	to.piece(queryStart);
	if (effect !== 'deny' || sql.length <= deniedTextMax) {
		writeShown(to, sql);
		return;
	}
	const shown = withoutSecrets(sql);
	if (shown.length <= deniedTextMax) to.text(toJson(shown));
	else to.text(`${toJson(shown.slice(0, deniedTextMax))},"bytes":${Buffer.byteLength(sql)}`);
}

/** JSON text of a statement without its secrets. */
function writeShown(to: Batch, sql: string): void {
	if (!to.plain(sql)) to.text(toJson(withoutSecrets(sql)));
}

function writeRewritten(to: Batch, decision: StatementDecision, deniedTextMax: number): void {
	const { sql, rewritten, effect, cursor, executes } = decision;
	if (effect === 'deny') {
		const shown = withoutSecrets(sql);
		if (shown.length > deniedTextMax) to.text(`,"query_sha256":"${hash('sha256', shown, 'hex')}"`);
		return;
	}
	if (rewritten !== sql) {
		to.piece(rewrittenStart);
		writeShown(to, rewritten);
	}
	if (cursor !== undefined) to.text(`,"cursor":${toJson(cursor)}`);
	if (executes !== undefined) to.text(`,"executes":${toJson(withoutSecrets(executes))}`);
}

/** What is written, to be kept. */
function bytesOf(write: (to: Batch) => void): Buffer {
	const batch = new Batch(1024);
	write(batch);
	return Buffer.from(batch.bytes);
}
