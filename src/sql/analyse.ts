/** Analyses one statement: what it reads, writes and calls is checked against the policy, and the text that may run in its place is made. */
import type { Node } from '@pgsql/types';
import { GatewayError } from '../errors.ts';
import type { Edit, ObjectUse, RuleRef, SessionEffect, StatementDecision } from '../stages.ts';
import { checkParameterTypes } from './casts.ts';
import { castTargets, finishCoercions } from './coercions.ts';
import type { Relation, Routine } from '../catalog/snapshot.ts';
import { cursorEffects, cursorOf } from './cursor.ts';
import { applyEdits } from './edits.ts';
import { fingerprintOf } from './fingerprint.ts';
import { PolicyMisfit } from './protection.ts';
import { finishReads } from './protected-read.ts';
import { type RelationName, UnknownObject } from './names.ts';
import { tagOf } from './nodes.ts';
import type { ParsedStatement } from './parse.ts';
import { shownParameters } from './shown-parameters.ts';
import type { SourceText } from './source.ts';
import { queryNode } from './query.ts';
import { residueOf } from './residue.ts';
import { statement } from './statement.ts';
import { waived } from './unrestricted.ts';
import { type AnalysisContext, newWalk, type UseNote, type Walk } from './walk.ts';

/** A statement's decision with the edits (offsets in the whole text) that make it. */
export interface Analysis {
	readonly decision: StatementDecision;
	readonly edits: readonly Edit[];
	/** A name was not known: look at the catalogue again before believing this. */
	readonly doubt: boolean;
	/** Relations that were not found and where: perhaps only the session itself sees them yet. */
	readonly missing: readonly RelationName[];
	/** The same of routines, by their names. */
	readonly missingRoutines: readonly string[];
	/** Relations that the statement makes, or what it makes of one. */
	readonly made: readonly Relation[];
	/** Routines that the statement makes. */
	readonly madeRoutines: readonly Routine[];
	/** Schemas that the statement makes. */
	readonly madeSchemas: readonly string[];
	/** Relations that are no longer there under the names that they had. */
	readonly gone: readonly Relation[];
}

/** Decides one statement. Never throws for what a client can write: a refusal is a decision with effect `deny`. */
export function analyse(context: AnalysisContext, source: SourceText, parsed: ParsedStatement): Analysis {
	const walk = newWalk(context, source, queryNode, 'statement', [], parsed.start);
	const sql = source.slice(parsed.start, parsed.end).trim();
	const node = tagOf(parsed.node);
	try {
		checkParameterTypes(walk);
		statement(walk, parsed.node);
		finishCoercions(walk);
		finishReads(walk);
		const edits = isUntouched(walk) ? [] : walk.edits.sorted();
		const rewritten = applyEdits(source.bytes, edits, parsed.start, parsed.end);
		return {
			decision: { ...allowed(walk, parsed.node, sql, rewritten.trim()), ...shownParameters(walk, parsed.node, sql) },
			edits,
			doubt: walk.doubt,
			missing: walk.absent,
			missingRoutines: walk.sought,
			made: walk.made,
			madeRoutines: walk.madeRoutines,
			madeSchemas: walk.madeSchemas,
			gone: walk.gone,
		};
	} catch (error) {
		const refusal = asRefusal(error, parsed.node);
		const unknown = error instanceof UnknownObject;
		const effects = waived(walk, parsed.node, refusal);
		return {
			decision:
				effects === undefined
					? refused(walk, node, sql, refusal)
					: passed(allowed(walk, parsed.node, sql, sql), effects),
			edits: [],
			doubt: unknown,
			missing: unknown ? error.search : [],
			missingRoutines: unknown && error.routine !== undefined ? [error.routine] : [],
			made: [],
			madeRoutines: [],
			madeSchemas: [],
			gone: [],
		};
	}
}

/** Whoever may do everything gets the server's own reading of a text, unless something of the system is masked in it. */
function isUntouched(walk: Walk): boolean {
	return walk.context.access.unrestricted && walk.reads.size === 0 && walk.checks.length === 0 && !walk.hidesRows;
}

/** What the analysis had come to before it gave up is noted; the text runs as it is. */
function passed(decision: StatementDecision, effects: readonly SessionEffect[]): StatementDecision {
	// What was not analysed may leave anything in the session.
	const noted = [...decision.effects, ...effects, { type: 'leaves', what: 'unknown', of: decision.node } as const];
	return { ...decision, effect: 'allow', touchesProtected: false, checks: [], hidesRows: false, effects: noted };
}

/** Errors that are answers to the client; anything else is a fault of the gateway and is refused without a guess. */
function asRefusal(error: unknown, node: Node): GatewayError {
	if (error instanceof GatewayError) return error;
	if (error instanceof PolicyMisfit) {
		return new GatewayError(
			'42501',
			`permission denied for relation ${error.relation.schema}.${error.relation.name}: ${error.message}`,
			{
				hint: 'The policy has to be mended; until then the relation is refused.',
			},
		);
	}
	if (error instanceof RangeError)
		return new GatewayError('54001', 'the statement is too complex for the gateway to analyse', { cause: error });
	return new GatewayError('XX000', `the gateway could not analyse the statement (${tagOf(node)}), so it is refused`, {
		cause: error,
	});
}

function allowed(walk: Walk, parsed: Node, sql: string, rewritten: string): StatementDecision {
	const node = tagOf(parsed);
	const objects = [...walk.uses.values()].map(objectUse);
	const targets = castTargets(walk);
	return {
		...(targets.length === 0 ? {} : { castTargets: targets }),
		effect: walk.masks ? 'mask' : 'allow',
		node,
		sql,
		...fingerprintOf(sql),
		...cursorOf(parsed),
		rewritten,
		objects,
		rules: rulesOf(objects),
		touchesProtected: walk.touchesProtected && !isUntouched(walk),
		checks: walk.checks,
		hidesRows: walk.hidesRows,
		effects: [...walk.effects, ...cursorEffects(parsed), ...residueOf(walk.context.catalog, parsed, objects)],
	};
}

function refused(walk: Walk, node: string, sql: string, error: GatewayError): StatementDecision {
	const objects = [...walk.uses.values()].map(objectUse);
	return {
		effect: 'deny',
		node,
		sql,
		...fingerprintOf(sql),
		rewritten: sql,
		objects,
		rules: [...new Set([...walk.denials, ...rulesOf(objects)])],
		touchesProtected: walk.touchesProtected,
		checks: [],
		hidesRows: false,
		effects: [],
		error,
	};
}

function rulesOf(objects: readonly ObjectUse[]): readonly RuleRef[] {
	return [...new Set(objects.flatMap((object) => object.rules))];
}

function objectUse(note: UseNote): ObjectUse {
	return {
		kind: note.kind,
		schema: note.schema,
		name: note.name,
		action: note.action,
		columns: [...note.columns],
		masks: Object.fromEntries(note.masks),
		filters: [...note.filters],
		hidden: [...note.hidden],
		rules: [...note.rules],
		...(note.via === undefined ? {} : { via: note.via }),
	};
}
