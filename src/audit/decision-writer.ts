/** Writes what a decision adds to the records of its statement, straight into the line. */
import { hash } from 'node:crypto';
import { withoutQuoted, withoutSecrets } from '../secrets.ts';
import type { ObjectUse, RuleRef, StatementDecision } from '../stages.ts';
import type { Batch } from './batch.ts';
import { memberBytes, toJson } from './json.ts';
import {
	activityOf,
	authorizationOf,
	type DatastoreActivity,
	datastoreClass,
	effects,
	severity,
	status,
} from './ocsf.ts';
import { writeShown } from './shared-text.ts';

type Effect = StatementDecision['effect'];

interface ClassPieces {
	/** For an outcome. */
	readonly activity: Buffer;
	/** For a statement. */
	readonly full: Buffer;
}

/** A rule of the policy, as many records name it. */
interface RulePieces {
	/** `"file:line"` */
	readonly place: Buffer;
	readonly authorization: Partial<Record<Effect, Buffer>>;
}

const piece = {
	query: Buffer.from(',"query_info":{"query_string":'),
	uid: Buffer.from(',"uid":"'),
	quotationMark: Buffer.from('"'),
	brace: Buffer.from('}'),
	bracket: Buffer.from(']'),
	comma: Buffer.from(','),
	colon: Buffer.from(':'),
	table: Buffer.from(',"table":{"name":'),
	authorizations: Buffer.from(',"authorizations":['),
	node: Buffer.from(',"node":'),
	objects: Buffer.from(',"objects":['),
	kind: Buffer.from('{"kind":'),
	schema: Buffer.from(',"schema":'),
	name: Buffer.from(',"name":'),
	action: Buffer.from(',"action":'),
	columns: Buffer.from(',"columns":['),
	masks: Buffer.from(',"masks":{'),
	filters: Buffer.from(',"filters":['),
	hidden: Buffer.from(',"hidden":['),
	rules: Buffer.from(',"rules":['),
	via: Buffer.from(',"via":'),
	rewritten: Buffer.from(',"rewritten":'),
} as const;

/** Writes parts of lines; each begins with a comma unless it is empty. Keeps what all decisions have in common. */
export class DecisionWriter {
	readonly #deniedTextMax: number;
	readonly #classes: Record<'allow' | 'mask', Partial<Record<DatastoreActivity, ClassPieces>>> = {
		allow: {},
		mask: {},
	};
	readonly #rules = new WeakMap<RuleRef, RulePieces>();

	constructor(deniedTextMax: number) {
		this.#deniedTextMax = deniedTextMax;
	}

	/** The class and activity alone, for the line of an outcome. */
	activity(decision: StatementDecision): Buffer {
		return this.#class(decision).activity;
	}

	/** The attributes, from `category_uid` on. */
	attributes(to: Batch, decision: StatementDecision): void {
		to.piece(this.#class(decision).full);
		to.piece(piece.query);
		this.#text(to, decision);
		this.afterText(to, decision);
	}

	/** The attributes before the statement's text. */
	beforeText(to: Batch, decision: StatementDecision): void {
		to.piece(this.#class(decision).full);
		to.piece(piece.query);
	}

	/** The attributes behind the statement's text: its fingerprint, then what the schema has of relations and rules. */
	afterText(to: Batch, { effect, objects, rules, fingerprint }: StatementDecision): void {
		if (fingerprint !== undefined) {
			to.piece(piece.uid);
			to.text(fingerprint);
			to.piece(piece.quotationMark);
		}
		to.piece(piece.brace);
		const table = objects.find((use) => use.kind === 'relation');
		if (table !== undefined) {
			to.piece(piece.table);
			writeName(to, `${table.schema}.${table.name}`);
			to.piece(piece.brace);
		}
		if (rules.length === 0) return;
		writeList(to, piece.authorizations, rules, (rule) => to.piece(this.#authorization(rule, effect)));
	}

	/** The members of `unmapped`. */
	unmapped(to: Batch, decision: StatementDecision): void {
		this.objects(to, decision);
		if (decision.effect !== 'deny' && decision.rewritten !== decision.sql) {
			this.beforeRewritten(to);
			writeShown(to, decision.rewritten);
		}
		this.more(to, decision);
	}

	/** The members of `unmapped` before the rewritten statement, which comes with `beforeRewritten` before it where there is one. */
	objects(to: Batch, { node, objects }: StatementDecision): void {
		to.piece(piece.node);
		writeName(to, node);
		if (objects.length > 0) writeList(to, piece.objects, objects, (use) => this.#object(to, use));
	}

	beforeRewritten(to: Batch): void {
		to.piece(piece.rewritten);
	}

	/** The members of `unmapped` behind the rewritten statement. */
	more(to: Batch, { sql, effect, cursor, executes }: StatementDecision): void {
		if (effect === 'deny') {
			if (sql.length <= this.#deniedTextMax) return;
			const shown = withoutSecrets(sql);
			if (shown.length > this.#deniedTextMax) to.text(`,"query_sha256":"${hash('sha256', shown, 'hex')}"`);
			return;
		}
		if (cursor !== undefined) to.text(`,"cursor":${toJson(cursor)}`);
		if (executes !== undefined) to.text(`,"executes":${toJson(withoutSecrets(executes))}`);
	}

	/**
	 * The text as it was sent, but for secrets. What was denied never ran: of a long one the beginning will do, with its length and
	 * digest.
	 */
	#text(to: Batch, { sql, effect }: StatementDecision): void {
		const max = this.#deniedTextMax;
		const shown = effect !== 'deny' || sql.length <= max ? null : withoutSecrets(sql);
		if (shown === null) writeShown(to, sql);
		else if (shown.length <= max) to.text(toJson(shown));
		else to.text(`${toJson(shown.slice(0, max))},"bytes":${Buffer.byteLength(sql)}`);
	}

	/** An object that a statement uses, without what is empty. */
	#object(to: Batch, { kind, schema, name, action, columns, masks, filters, hidden, rules, via }: ObjectUse): void {
		to.piece(piece.kind);
		writeName(to, kind);
		to.piece(piece.schema);
		writeName(to, schema);
		to.piece(piece.name);
		writeName(to, name);
		to.piece(piece.action);
		writeName(to, action);
		if (columns.length > 0) writeNames(to, piece.columns, columns);
		writeMasks(to, masks);
		if (filters.length > 0) writeNames(to, piece.filters, filters);
		if (hidden.length > 0) writeNames(to, piece.hidden, hidden);
		if (rules.length > 0) writeList(to, piece.rules, rules, (rule) => to.piece(this.#rule(rule).place));
		if (via !== undefined) {
			to.piece(piece.via);
			writeName(to, via);
		}
		to.piece(piece.brace);
	}

	#class(decision: StatementDecision): ClassPieces {
		const { effect } = decision;
		if (effect === 'deny') return denialClass(decision);
		const activity = activityOf(decision);
		const known = this.#classes[effect];
		known[activity] ??= classPieces(activity, effect);
		return known[activity];
	}

	#authorization(rule: RuleRef, effect: Effect): Buffer {
		const { authorization } = this.#rule(rule);
		authorization[effect] ??= Buffer.from(toJson(authorizationOf(rule, effect)));
		return authorization[effect];
	}

	#rule(rule: RuleRef): RulePieces {
		let known = this.#rules.get(rule);
		if (known === undefined) {
			known = { place: Buffer.from(toJson(`${rule.file}:${rule.line}`)), authorization: {} };
			this.#rules.set(rule, known);
		}
		return known;
	}
}

/** JSON text of a text that is no statement, and mostly short. */
function writeName(to: Batch, name: string): void {
	if (!to.plain(name)) to.text(toJson(name));
}

function writeNames(to: Batch, before: Buffer, names: readonly string[]): void {
	writeList(to, before, names, (name) => writeName(to, name));
}

/** `before` opens the list, which is closed. */
function writeList<Member>(
	to: Batch,
	before: Buffer,
	members: readonly Member[],
	write: (member: Member) => void,
): void {
	to.piece(before);
	let first = true;
	for (const member of members) {
		if (!first) to.piece(piece.comma);
		first = false;
		write(member);
	}
	to.piece(piece.bracket);
}

function writeMasks(to: Batch, masks: ObjectUse['masks']): void {
	const columns = Object.keys(masks);
	if (columns.length === 0) return;
	let before = piece.masks;
	for (const column of columns) {
		to.piece(before);
		before = piece.comma;
		writeName(to, column);
		to.piece(piece.colon);
		writeName(to, masks[column] ?? '');
	}
	to.piece(piece.brace);
}

/** Of what is allowed or masked; a denial says more. */
function classPieces(of: DatastoreActivity, effect: 'allow' | 'mask'): ClassPieces {
	const { activity_name, ...withoutName } = datastoreClass(of);
	const full = { ...withoutName, activity_name, severity_id: severity.Informational, ...effects[effect] };
	return { activity: memberBytes(withoutName), full: memberBytes(full) };
}

function denialClass(decision: StatementDecision): ClassPieces {
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
