/** Constants as the analysis sees them: their type, their text in what it writes, and stand-ins for those whose value it must not see. */
import type { A_Const } from '@pgsql/types';
import { TYPE } from './names.ts';
import { quoteLiteral } from './quote.ts';

/** What a constant is known by when many statements that differ in it are analysed as one (see template.ts). */
export interface StandIn {
	readonly type: number;
	/** Stands for `constantText` of each of them; undefined where that is. */
	readonly text: string | undefined;
}

const STAND_IN = Symbol('stand-in');

type Constant = A_Const & { [STAND_IN]?: StandIn };

/** From now on `constantType` and `constantText` answer this for the constant. */
export function putStandIn(constant: A_Const, standIn: StandIn): void {
	(constant as Constant)[STAND_IN] = standIn;
}

/** As make_const of the server: integers that do not fit int4 are int8, others numeric; a string is untyped. */
export function constantType(constant: A_Const): number {
	const standIn = (constant as Constant)[STAND_IN];
	if (standIn !== undefined) return standIn.type;
	if (constant.ival !== undefined) return TYPE.int4;
	if (constant.boolval !== undefined) return TYPE.bool;
	if (constant.bsval !== undefined) return TYPE.bit;
	if (constant.fval === undefined) return TYPE.unknown;
	const value = integerOf(constant.fval.fval ?? '');
	return value !== undefined && BigInt.asIntN(64, value) === value ? TYPE.int8 : TYPE.numeric;
}

/** The constant as it may be written elsewhere in the text; undefined for kinds that are never moved. */
export function constantText(constant: A_Const): string | undefined {
	const standIn = (constant as Constant)[STAND_IN];
	if (standIn !== undefined) return standIn.text;
	if (constant.ival !== undefined) return `(${constant.ival.ival ?? 0})`;
	if (constant.fval !== undefined) return `(${constant.fval.fval ?? '0'})`;
	if (constant.sval !== undefined) return quoteLiteral(constant.sval.sval ?? '');
	if (constant.boolval !== undefined) return constant.boolval.boolval === true ? 'true' : 'false';
	return undefined;
}

/** As pg_strtoint64: decimal, 0x, 0o or 0b, with underscores. */
function integerOf(text: string): bigint | undefined {
	const [, sign, digits] = /^(-?)(\d+|0x[\da-f]+|0o[0-7]+|0b[01]+)$/i.exec(text.replaceAll('_', '')) ?? [];
	if (digits === undefined) return undefined;
	return sign === '-' ? -BigInt(digits) : BigInt(digits);
}
