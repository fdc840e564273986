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
	const sqlstate = fields.get('C') ?? '';
	const message = fields.get('M') ?? '';
	switch (treatment(sqlstate)) {
		case 'keep':
			break;
		case 'quotes':
			result.set('M', message.replaceAll(/"(?:[^"]|"")*"/g, '"..."'));
			result.delete('H');
			break;
		default:
			result.set('M', WITHHELD);
			result.delete('H');
	}
	return result;
}

/** Classes whose messages speak of names only; those that quote values; and those of users' own code, which may say anything. */
function treatment(sqlstate: string): 'keep' | 'quotes' | 'withhold' {
	const kind = sqlstate.slice(0, 2);
	if (kind === 'P0' || kind === '00' || kind === '01' || kind === '02') return 'withhold';
	if (
		['08', '0A', '21', '23', '25', '26', '28', '34', '3B', '3D', '3F', '40', '42', '53', '54', '55', '57'].includes(
			kind,
		)
	)
		return 'keep';
	return kind === '22' ? 'quotes' : 'withhold';
}
