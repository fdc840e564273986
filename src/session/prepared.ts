/** Prepared statements and portals as the gateway knows them: what was decided, and what the backend has of it. */
import type { SharedStatement } from '../backend/shared-statements.ts';
import type { Decision, SessionEffect, StatementDecision } from '../stages.ts';
import type { PortalName, StatementName } from '../wire/frontend.ts';
import type { Shown } from './cursors.ts';
import type { Run } from './run.ts';

/** One prepared statement. A Parse of the same name makes a new one. */
export interface Prepared {
	readonly name: StatementName;
	/** As the client sent it. */
	readonly sql: string;
	/** Made by PREPARE: only its own text could make it anew. */
	readonly bySql: boolean;
	/** As in Parse; 0 or missing where the client left the type to the server. */
	readonly paramTypes: readonly number[];
	/** In force; replaced when it was decided again. */
	decision: Decision;
	/** What the backend has under this name; null when it has nothing (the gateway closed it, and the new text failed). */
	readonly serverText: string | null;
	/** As in ParameterDescription, once one was seen. */
	knownTypes: readonly number[] | null;
	/** The result guard has seen what it returns. */
	verified: boolean;
	/** Segment of the latest Describe that will show it to the guard. */
	describedIn: number;
	/** Transaction mode: what it returns, as somebody was told; null while nobody was. */
	shape: string | null;
	/** Transaction mode: text under which the unnamed statement was parsed last. */
	placedText: string | null;
	/** Transaction mode: what the unnamed statement returns since it was parsed again; null: it was not, or nobody knew before. */
	reparsed: Pick<SharedStatement, 'shape' | 'describing'> | null;
	/** Transaction mode: it was prepared for this client alone, because settings were not as they are between transactions. */
	privately: SharedStatement | null;
	/** Transaction mode: the backend on which it has the client's own name; null: none. */
	madeReal: object | null;
	/** Its text there, of the last that it was made real with. */
	realText: string | null;
}

/** Of a statement that no backend has yet. */
export const unplaced = {
	shape: null,
	placedText: null,
	reparsed: null,
	privately: null,
	madeReal: null,
	realText: null,
} as const;

/** One portal. */
export interface Portal {
	readonly name: PortalName;
	readonly prepared: Prepared;
	/** As it was decided at Bind. */
	readonly decision: Decision;
	readonly segment: number;
	readonly run: Run;
	readonly shown: Shown;
}

/** Bytes that it takes, roughly: the statement may be gone by its name, and lasts as long as its portals. There is one without a name. */
export function portalWeight({ name, prepared, shown }: Pick<Portal, 'name' | 'prepared' | 'shown'>): number {
	if (name === '') return 0;
	let weight = 200;
	for (const text of new Set([prepared.sql, shown.sql, shown.rewritten])) weight += text.length;
	return weight;
}

/** What EXECUTE or Bind runs of a PREPARE: the statement by itself, with all that it does but for being prepared. */
export function afterPrepare(decision: Decision, statement: StatementDecision): Decision {
	const { sql, rewritten } = statement;
	const effects = statement.effects.filter((effect) => effect.type !== 'prepare');
	return { ...decision, sql, rewritten, edits: [], statements: [{ ...statement, effects }] };
}

/** The one statement of a Parse; undefined when the text is empty. */
export function statementOf(decision: Decision): StatementDecision | undefined {
	return decision.statements[0];
}

/** RowDescription and rows of the statement stay with the gateway. */
export function hidesRows(decision: Decision): boolean {
	return decision.statements[0]?.hidesRows === true;
}

/** What it does to the session has to be known before anything else is decided. */
export function unsettles(decision: Decision): boolean {
	for (const { effects } of decision.statements) if (effects.some(isUnsettling)) return true;
	return false;
}

function isUnsettling(effect: SessionEffect): boolean {
	switch (effect.type) {
		case 'set':
			return changesNames(effect);
		case 'names-unknown':
		case 'ddl':
		case 'prepare':
		case 'deallocate':
			return true;
		default:
			return false;
	}
}

/** What it runs changes what names mean, as soon as its rows are asked for. */
export function movesNames({ statements }: Decision): boolean {
	return statements.some(({ effects }) => effects.some(changesNames));
}

/** It gives a setting back what the session began with, which a shared backend does not know. */
export function resets(decision: Decision): boolean {
	return decision.statements.some(
		({ node, effects }) =>
			node === 'DiscardStmt' ||
			effects.some((effect) => (effect.type === 'set' ? effect.reset === true : isResetAll(node, effect))),
	);
}

function isResetAll(node: string, effect: SessionEffect): boolean {
	return node === 'VariableSetStmt' && effect.type === 'names-unknown';
}

/** search_path, or what moves "$user". */
export function changesNames(effect: SessionEffect): boolean {
	switch (effect.type) {
		case 'set':
			return effect.name === 'search_path' || effect.name === 'role' || effect.name === 'session_authorization';
		case 'names-unknown':
			return true;
		default:
			return false;
	}
}
