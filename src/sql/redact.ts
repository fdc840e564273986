/** What a client is told of the server's errors and notices: no values of protected rows, and positions in the client's own text. */
import type { GatewayError } from '../errors.ts';
import type { Decision, StatementDecision } from '../stages.ts';
import { mapPosition } from './edits.ts';
import { misfit } from './mask-error.ts';

/** Fields of an ErrorResponse or NoticeResponse by their letter (protocol, "Error and Notice Message Fields"). */
export type Fields = ReadonlyMap<string, string>;

const WITHHELD = 'message withheld: the statement touches protected relations';

/** Fields as the client may see them; the same map where nothing has to change. `statement` counts from 0. */
export function clientFields(fields: Fields, decision: Decision, statement: number): Fields {
	const own = decision.statements[statement] ?? decision.statements.at(-1);
	const failed = own === undefined ? undefined : failedCheck(fields, own);
	if (failed !== undefined) return checkFields(fields, failed);
	let result = fields;
	const position = Number(fields.get('P'));
	if (decision.edits.length > 0 && Number.isInteger(position) && position > 0) {
		result = new Map(fields).set('P', String(mapPosition(decision.sql, decision.edits, position)));
	}
	const told = own?.touchesProtected === true ? redactedFields(result) : result;
	const mask = own === undefined ? undefined : misfit(fields, decision, own);
	if (mask === undefined) return told;
	const message = told.get('M') ?? '';
	return new Map([...told, ['M', mask.sure ? `${mask.what} does not fit it: ${message}` : message], ['H', mask.hint]]);
}

function failedCheck(fields: Fields, statement: StatementDecision): GatewayError | undefined {
	const message = fields.get('M') ?? '';
	return statement.checks.find((check) => message.includes(check.nonce))?.error;
}

function checkFields(fields: Fields, error: GatewayError): Fields {
	const severity = fields.get('S') ?? 'ERROR';
	const result = new Map([
		['S', severity],
		['V', fields.get('V') ?? severity],
		['C', error.sqlstate],
		['M', error.message],
	]);
	if (error.position !== undefined) result.set('P', String(error.position));
	return result;
}

/** Fields without anything that could carry a value. The SQLSTATE and the names of constraints and columns stay. */
export function redactedFields(fields: Fields): Fields {
	const result = new Map(fields);
	for (const letter of ['D', 'W', 'q', 'p']) result.delete(letter);
	const how = treatment(fields.get('C') ?? '', fields.has('P'));
	if (how === 'keep') return result;
	result.set('M', how === 'blank' ? blanked(fields.get('M') ?? '') : WITHHELD);
	result.delete('H');
	return result;
}

/** A value may have quotes in it, and servers quote as their language does. */
const QUOTED = /["«»„“”‟‹›「」『』].*["«»„“”‟‹›「」『』]/s;
/** No part of a type's name. */
const NUMBER = /(?<![\p{L}_])-?\d[\w.]*/gu;

function blanked(message: string): string {
	return message.replace(QUOTED, '"..."').replace(NUMBER, '...');
}

/** Of these classes messages speak of names that no value comes to be: of constraints, savepoints, locks. */
const NAMES_ONLY: ReadonlySet<string> = new Set(['08', '21', '23', '25', '26', '34', '3B', '40', '44', '53', '57']);
/** The same of single errors: too long for a type, what is in use, and what is there already. */
const NAMES_ONLY_STATES: ReadonlySet<string> = new Set([
	...['22001', '55006', '55P03'],
	...['42611', '428C9', '42701', '42710', '42712', '42723', '42P03', '42P05', '42P06', '42P07', '42P10', '42P16'],
]);
/**
 * Where the server reads a text it says where in it, and then these speak of what stands there. Where a statement runs, they speak
 * of values, as `value::regclass` and `current_setting(value)` do.
 */
const OF_TEXTS: ReadonlySet<string> = new Set(['0A', '28', '3D', '3F', '42', '54', '55']);
/** `operator does not exist: value`, `too many dotted names: value`: without quotes. */
const UNQUOTED: ReadonlySet<string> = new Set(['42601', '42602', '42725', '42883']);

/** blank: what is in quotes goes, and so do numbers. withhold: users' own code among others, which may say anything. */
function treatment(sqlstate: string, isPlaced: boolean): 'keep' | 'blank' | 'withhold' {
	const kind = sqlstate.slice(0, 2);
	if (NAMES_ONLY.has(kind) || NAMES_ONLY_STATES.has(sqlstate)) return 'keep';
	if (kind === '22') return 'blank';
	if (!OF_TEXTS.has(kind)) return 'withhold';
	if (isPlaced) return 'keep';
	return UNQUOTED.has(sqlstate) ? 'withhold' : 'blank';
}
