/** Messages that a server sends, decoded: a union that keeps each message's bytes. */
import { unreachable } from '../errors.ts';
import { authenticationCodes, backendCodes } from './codes.ts';
import { Cursor } from './cursor.ts';
import { protocolViolation } from './errors.ts';
import { cancelKeyBytesMax } from './limits.ts';

/** The whole message, header included, as it came. A slice: copy it to keep it beyond the chunk that it lies in. */
interface Raw {
	readonly raw: Buffer;
}

/** Messages that are nothing but their type. */
type Bare =
	| 'AuthenticationOk'
	| 'AuthenticationKerberosV5'
	| 'AuthenticationCleartextPassword'
	| 'AuthenticationGSS'
	| 'AuthenticationSSPI'
	| 'BindComplete'
	| 'CloseComplete'
	| 'CopyDone'
	| 'EmptyQueryResponse'
	| 'NoData'
	| 'ParseComplete'
	| 'PortalSuspended';

export type BareBackend = { [T in Bare]: Raw & { readonly type: T } }[Bare];

export interface AuthenticationMD5Password extends Raw {
	readonly type: 'AuthenticationMD5Password';
	/** Four bytes. */
	readonly salt: Buffer;
}

export interface AuthenticationSASL extends Raw {
	readonly type: 'AuthenticationSASL';
	/** In the server's order of preference. */
	readonly mechanisms: readonly string[];
}

type Challenge = 'AuthenticationGSSContinue' | 'AuthenticationSASLContinue' | 'AuthenticationSASLFinal';

/** AuthenticationGSSContinue, AuthenticationSASLContinue and AuthenticationSASLFinal carry mechanism-specific bytes. */
export type AuthenticationData = { [T in Challenge]: Raw & { readonly type: T; readonly data: Buffer } }[Challenge];

export interface BackendKeyData extends Raw {
	readonly type: 'BackendKeyData';
	readonly pid: number;
	/** 4 to 256 bytes. */
	readonly key: Buffer;
}

export interface CommandComplete extends Raw {
	readonly type: 'CommandComplete';
	/** E.g. `SELECT 5`, `INSERT 0 1`. */
	readonly tag: string;
}

type CopyStart = 'CopyInResponse' | 'CopyOutResponse' | 'CopyBothResponse';

/** CopyInResponse, CopyOutResponse and CopyBothResponse. `format`: 0 text, 1 binary. */
export type CopyResponse = {
	[T in CopyStart]: Raw & { readonly type: T; readonly format: number; readonly columnFormats: readonly number[] };
}[CopyStart];

export interface BackendCopyData extends Raw {
	readonly type: 'CopyData';
	readonly data: Buffer;
}

export interface DataRow extends Raw {
	readonly type: 'DataRow';
	/** Slices of `raw`; null is NULL. */
	readonly values: readonly (Buffer | null)[];
}

/**
 * Fields of an ErrorResponse or NoticeResponse by their one-letter code ("Error and Notice Message Fields"): S severity,
 * V severity not localised, C SQLSTATE, M message, D detail, H hint, P position, p internal position, q internal query,
 * W where, s schema, t table, c column, d data type, n constraint, F file, L line, R routine. In the order sent.
 */
export type ResponseFields = ReadonlyMap<string, string>;

export interface ErrorResponse extends Raw {
	readonly type: 'ErrorResponse';
	readonly fields: ResponseFields;
}

export interface NoticeResponse extends Raw {
	readonly type: 'NoticeResponse';
	readonly fields: ResponseFields;
}

export interface FunctionCallResponse extends Raw {
	readonly type: 'FunctionCallResponse';
	/** Slice of `raw`; null is NULL. */
	readonly value: Buffer | null;
}

export interface NegotiateProtocolVersion extends Raw {
	readonly type: 'NegotiateProtocolVersion';
	/** Newest version that the server speaks, as in a StartupMessage. */
	readonly protocol: number;
	readonly unrecognized: readonly string[];
}

export interface NotificationResponse extends Raw {
	readonly type: 'NotificationResponse';
	readonly pid: number;
	readonly channel: string;
	readonly payload: string;
}

export interface ParameterDescription extends Raw {
	readonly type: 'ParameterDescription';
	/** Type OIDs. */
	readonly paramTypes: readonly number[];
}

export interface ParameterStatus extends Raw {
	readonly type: 'ParameterStatus';
	readonly name: string;
	readonly value: string;
}

/** I idle, T in a transaction block, E in a failed one. */
export type TransactionStatus = 'I' | 'T' | 'E';

export interface ReadyForQuery extends Raw {
	readonly type: 'ReadyForQuery';
	readonly status: TransactionStatus;
}

/** One column of a RowDescription. */
export interface RowField {
	readonly name: string;
	/** OID of the table that the column is a plain column of, else 0. */
	readonly tableOid: number;
	/** Attribute number in that table, else 0. */
	readonly attnum: number;
	readonly typeOid: number;
	/** pg_type.typlen: negative is variable. */
	readonly typeSize: number;
	readonly typmod: number;
	/** 0 text, 1 binary; 0 while it is not known (Describe of a statement). */
	readonly format: number;
}

export interface RowDescription extends Raw {
	readonly type: 'RowDescription';
	readonly fields: readonly RowField[];
}

export type Backend =
	| BareBackend
	| AuthenticationMD5Password
	| AuthenticationSASL
	| AuthenticationData
	| BackendKeyData
	| CommandComplete
	| CopyResponse
	| BackendCopyData
	| DataRow
	| ErrorResponse
	| NoticeResponse
	| FunctionCallResponse
	| NegotiateProtocolVersion
	| NotificationResponse
	| ParameterDescription
	| ParameterStatus
	| ReadyForQuery
	| RowDescription;

type Authentication = Extract<Backend['type'], `Authentication${string}`>;

/** What a type byte alone tells: `Authentication` stands for all `R` messages. */
export type BackendName = Exclude<Backend['type'], Authentication> | 'Authentication';

const nameByCode: readonly (BackendName | undefined)[] = (() => {
	const names = new Array<BackendName | undefined>(256).fill(undefined);
	for (const [name, code] of Object.entries(backendCodes))
		names[code] = name as Exclude<Backend['type'], Authentication>;
	names[backendCodes.AuthenticationOk] = 'Authentication';
	return names;
})();

const authenticationByCode: ReadonlyMap<number, Authentication> = new Map(
	Object.entries(authenticationCodes).map(([name, code]) => [code, name as Authentication]),
);

/** The name of a backend message by its type byte; undefined for a byte that is none. */
export function backendName(code: number): BackendName | undefined {
	return nameByCode[code];
}

/** Decodes one whole message, header included. Raises 08P01 FATAL for anything malformed: a server that errs so is not understood. */
export function decodeBackend(raw: Buffer): Backend {
	const type = raw.length < 5 ? undefined : nameByCode[raw[0] as number];
	if (type === undefined) throw protocolViolation(`invalid backend message type ${raw[0] ?? 'none'}`);
	if (raw.readInt32BE(1) !== raw.length - 1) throw protocolViolation('invalid message length');
	const cursor = new Cursor(raw, 5, protocolViolation);
	const message = type === 'Authentication' ? decodeAuthentication(raw, cursor) : decodeBody(type, raw, cursor);
	cursor.finish();
	return message;
}

/** Fields of a RowDescription, without the wrapper: for the result guard. */
export function decodeRowDescription(raw: Buffer): readonly RowField[] {
	const cursor = new Cursor(raw, 5, protocolViolation);
	const fields = rowFields(cursor);
	cursor.finish();
	return fields;
}

function decodeBody(type: Exclude<BackendName, 'Authentication'>, raw: Buffer, cursor: Cursor): Backend {
	switch (type) {
		case 'BindComplete':
		case 'CloseComplete':
		case 'CopyDone':
		case 'EmptyQueryResponse':
		case 'NoData':
		case 'ParseComplete':
		case 'PortalSuspended':
			return { type, raw };
		case 'BackendKeyData':
			return { type, raw, pid: cursor.int32(), key: cancelKey(cursor) };
		case 'CommandComplete':
			return { type, raw, tag: cursor.looseText() };
		case 'CopyBothResponse':
		case 'CopyInResponse':
		case 'CopyOutResponse':
			return { type, raw, format: cursor.uint8(), columnFormats: cursor.int16s(cursor.count()) };
		case 'CopyData':
			return { type, raw, data: cursor.rest() };
		case 'DataRow':
			return { type, raw, values: rowValues(cursor) };
		case 'ErrorResponse':
		case 'NoticeResponse':
			return { type, raw, fields: responseFields(cursor) };
		case 'FunctionCallResponse':
			return { type, raw, value: cursor.value() };
		case 'NegotiateProtocolVersion':
			return { type, raw, protocol: cursor.uint32(), unrecognized: optionNames(cursor) };
		case 'NotificationResponse':
			return { type, raw, pid: cursor.int32(), channel: cursor.looseText(), payload: cursor.looseText() };
		case 'ParameterDescription':
			return { type, raw, paramTypes: cursor.uint32s(cursor.count()) };
		case 'ParameterStatus':
			return { type, raw, name: cursor.looseText(), value: cursor.looseText() };
		case 'ReadyForQuery':
			return { type, raw, status: transactionStatus(cursor.uint8()) };
		case 'RowDescription':
			return { type, raw, fields: rowFields(cursor) };
		default:
			return unreachable(type);
	}
}

function decodeAuthentication(raw: Buffer, cursor: Cursor): Backend {
	const code = cursor.int32();
	const type = authenticationByCode.get(code);
	switch (type) {
		case undefined:
			throw protocolViolation(`unknown authentication request ${code}`);
		case 'AuthenticationOk':
		case 'AuthenticationKerberosV5':
		case 'AuthenticationCleartextPassword':
		case 'AuthenticationGSS':
		case 'AuthenticationSSPI':
			return { type, raw };
		case 'AuthenticationMD5Password':
			return { type, raw, salt: cursor.bytes(4) };
		case 'AuthenticationSASL':
			return { type, raw, mechanisms: stringList(cursor) };
		case 'AuthenticationGSSContinue':
		case 'AuthenticationSASLContinue':
		case 'AuthenticationSASLFinal':
			return { type, raw, data: cursor.rest() };
		default:
			return unreachable(type);
	}
}

function cancelKey(cursor: Cursor): Buffer {
	const length = cursor.remaining;
	if (length < 4 || length > cancelKeyBytesMax) throw protocolViolation(`invalid cancel key of ${length} bytes`);
	return cursor.rest();
}

function rowValues(cursor: Cursor): (Buffer | null)[] {
	const count = cursor.count();
	if (count * 4 > cursor.remaining) throw protocolViolation('insufficient data left in message');
	const list = new Array<Buffer | null>(count);
	for (let i = 0; i < count; i++) list[i] = cursor.value();
	return list;
}

function rowFields(cursor: Cursor): RowField[] {
	const count = cursor.count();
	// Each field has at least 19 bytes, so a count beyond the message is refused before room is made for it.
	if (count * 19 > cursor.remaining) throw protocolViolation('insufficient data left in message');
	const list = new Array<RowField>(count);
	for (let i = 0; i < count; i++) {
		list[i] = {
			name: cursor.looseText(),
			tableOid: cursor.uint32(),
			attnum: cursor.int16(),
			typeOid: cursor.uint32(),
			typeSize: cursor.int16(),
			typmod: cursor.int32(),
			format: cursor.int16(),
		};
	}
	return list;
}

function responseFields(cursor: Cursor): ResponseFields {
	const fields = new Map<string, string>();
	for (let code = cursor.uint8(); code !== 0; code = cursor.uint8()) {
		const letter = String.fromCharCode(code);
		if (fields.has(letter)) throw protocolViolation(`field ${letter} given twice in ErrorResponse or NoticeResponse`);
		fields.set(letter, cursor.looseText());
	}
	return fields;
}

/** Strings up to an empty one, as in AuthenticationSASL. */
function stringList(cursor: Cursor): string[] {
	const list: string[] = [];
	for (let text = cursor.looseText(); text !== ''; text = cursor.looseText()) list.push(text);
	return list;
}

function optionNames(cursor: Cursor): string[] {
	const count = cursor.int32();
	if (count < 0 || count > cursor.remaining) throw protocolViolation('insufficient data left in message');
	const names = new Array<string>(count);
	for (let i = 0; i < count; i++) names[i] = cursor.looseText();
	return names;
}

function transactionStatus(code: number): TransactionStatus {
	switch (code) {
		case 0x49:
			return 'I';
		case 0x54:
			return 'T';
		case 0x45:
			return 'E';
		default:
			throw protocolViolation(`invalid transaction status ${code} in ReadyForQuery`);
	}
}
