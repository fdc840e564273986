/** Messages that a client sends, decoded: a union that keeps each message's bytes. */
import { unreachable } from '../errors.ts';
import { frontendCodes } from './codes.ts';
import { Cursor } from './cursor.ts';
import { malformedMessage, protocolViolation } from './errors.ts';

declare const nameBrand: unique symbol;

/** Name of a prepared statement; '' is the unnamed one. */
export type StatementName = string & { readonly [nameBrand]: 'statement' };

/** Name of a portal; '' is the unnamed one. */
export type PortalName = string & { readonly [nameBrand]: 'portal' };

/** Mints a StatementName. */
export function statementName(name: string): StatementName {
	return name as StatementName;
}

/** Mints a PortalName. */
export function portalName(name: string): PortalName {
	return name as PortalName;
}

/** The whole message, header included, as it came. A slice: copy it to keep it beyond the chunk that it lies in. */
interface Raw {
	readonly raw: Buffer;
}

export interface Query extends Raw {
	readonly type: 'Query';
	readonly sql: string;
}

export interface Parse extends Raw {
	readonly type: 'Parse';
	readonly name: StatementName;
	readonly sql: string;
	/** Type OIDs; 0 leaves the type to the server. */
	readonly paramTypes: readonly number[];
}

export interface Bind extends Raw {
	readonly type: 'Bind';
	readonly portal: PortalName;
	readonly statement: StatementName;
	/** Format codes: none (all text), one (for all) or one each; the server says so of any other number of them. */
	readonly paramFormats: readonly number[];
	/** Slices of `raw`; null is NULL. */
	readonly params: readonly (Buffer | null)[];
	/** Format codes: none (all text), one (for all) or one each. */
	readonly resultFormats: readonly number[];
}

/** What Describe and Close name: a statement (S) or a portal (P). */
type Target = { readonly kind: 'S'; readonly name: StatementName } | { readonly kind: 'P'; readonly name: PortalName };

export type Describe = Raw & { readonly type: 'Describe' } & Target;

export type Close = Raw & { readonly type: 'Close' } & Target;

export interface Execute extends Raw {
	readonly type: 'Execute';
	readonly portal: PortalName;
	/** 0: no limit. Negative values mean no limit too, as in PostgreSQL. */
	readonly maxRows: number;
}

export interface Sync extends Raw {
	readonly type: 'Sync';
}

export interface Flush extends Raw {
	readonly type: 'Flush';
}

export interface FrontendCopyData extends Raw {
	readonly type: 'CopyData';
	/** Slice of `raw`. */
	readonly data: Buffer;
}

export interface FrontendCopyDone extends Raw {
	readonly type: 'CopyDone';
}

export interface CopyFail extends Raw {
	readonly type: 'CopyFail';
	readonly message: string;
}

export interface FunctionCall extends Raw {
	readonly type: 'FunctionCall';
	/** OID of the function. */
	readonly oid: number;
	/** As `paramFormats` of Bind. */
	readonly argFormats: readonly number[];
	/** Slices of `raw`; null is NULL. */
	readonly args: readonly (Buffer | null)[];
	readonly resultFormat: number;
}

/** The `p` family: PasswordMessage, SASLInitialResponse, SASLResponse, GSSResponse. Which one, only the login knows. */
export interface Password extends Raw {
	readonly type: 'Password';
	/** Slice of `raw`. Secret. */
	readonly body: Buffer;
}

export interface Terminate extends Raw {
	readonly type: 'Terminate';
}

export type Frontend =
	| Query
	| Parse
	| Bind
	| Describe
	| Close
	| Execute
	| Sync
	| Flush
	| FrontendCopyData
	| FrontendCopyDone
	| CopyFail
	| FunctionCall
	| Password
	| Terminate;

const nameByCode: readonly (Frontend['type'] | undefined)[] = (() => {
	const names = new Array<Frontend['type'] | undefined>(256).fill(undefined);
	for (const [name, code] of Object.entries(frontendCodes)) names[code] = name as Frontend['type'];
	return names;
})();

/** The name of a frontend message by its type byte; undefined for a byte that is none. */
export function frontendName(code: number): Frontend['type'] | undefined {
	return nameByCode[code];
}

/**
 * Decodes one whole message, header included. Raises 08P01 FATAL for an unknown type or a length that is not the
 * message's; 08P01 ERROR for a malformed body; 22021 ERROR for names or text that are not UTF-8.
 */
export function decodeFrontend(raw: Buffer): Frontend {
	const type = raw.length < 5 ? undefined : nameByCode[raw[0] as number];
	if (type === undefined) throw protocolViolation(`invalid frontend message type ${raw[0] ?? 'none'}`);
	if (raw.readInt32BE(1) !== raw.length - 1) throw protocolViolation('invalid message length');
	switch (type) {
		case 'Query':
			return decodeQuery(raw);
		case 'Parse':
			return decodeParse(raw);
		case 'Bind':
			return decodeBind(raw);
		case 'Describe':
		case 'Close':
			return decodeTarget(type, raw);
		case 'Execute':
			return decodeExecute(raw);
		case 'CopyFail':
			return decodeCopyFail(raw);
		case 'FunctionCall':
			return decodeFunctionCall(raw);
		case 'CopyData':
			return { type, raw, data: raw.subarray(5) };
		case 'Password':
			return { type, raw, body: raw.subarray(5) };
		case 'Sync':
		case 'Flush':
		case 'CopyDone':
		case 'Terminate':
			body(raw).finish();
			return { type, raw };
		default:
			return unreachable(type);
	}
}

/** A password as the body of a `p` message (protocol, "PasswordMessage"). 08P01 ERROR, 22021 ERROR. */
export function decodePasswordMessage(passwordBody: Buffer): string {
	const cursor = new Cursor(passwordBody, 0, malformedMessage);
	const password = cursor.text('password');
	cursor.finish();
	return password;
}

/** Protocol, "SASLInitialResponse". */
export interface SASLInitialResponse {
	readonly mechanism: string;
	/** Null when the client sends no initial response. */
	readonly data: Buffer | null;
}

/** The body of the first `p` message after AuthenticationSASL. 08P01 ERROR, 22021 ERROR. */
export function decodeSASLInitialResponse(passwordBody: Buffer): SASLInitialResponse {
	const cursor = new Cursor(passwordBody, 0, malformedMessage);
	const mechanism = cursor.text('SASL mechanism');
	const data = cursor.value();
	cursor.finish();
	return { mechanism, data };
}

function body(raw: Buffer): Cursor {
	return new Cursor(raw, 5, malformedMessage);
}

function decodeQuery(raw: Buffer): Query {
	const cursor = body(raw);
	const sql = cursor.text('query');
	cursor.finish();
	return { type: 'Query', raw, sql };
}

function decodeParse(raw: Buffer): Parse {
	const cursor = body(raw);
	const name = statementName(cursor.text('statement name'));
	const sql = cursor.text('query');
	const paramTypes = cursor.uint32s(cursor.count());
	cursor.finish();
	return { type: 'Parse', raw, name, sql, paramTypes };
}

function decodeBind(raw: Buffer): Bind {
	const cursor = body(raw);
	const portal = portalName(cursor.text('portal name'));
	const statement = statementName(cursor.text('statement name'));
	const paramFormats = cursor.int16s(cursor.count());
	const params = values(cursor, cursor.count());
	const resultFormats = cursor.int16s(cursor.count());
	cursor.finish();
	return { type: 'Bind', raw, portal, statement, paramFormats, params, resultFormats };
}

function decodeTarget(type: 'Describe' | 'Close', raw: Buffer): Describe | Close {
	const cursor = body(raw);
	const kind = cursor.uint8();
	const name = cursor.text('name');
	cursor.finish();
	switch (kind) {
		case 0x53:
			return { type, raw, kind: 'S', name: statementName(name) };
		case 0x50:
			return { type, raw, kind: 'P', name: portalName(name) };
		default:
			throw malformedMessage(`invalid ${type.toUpperCase()} message subtype ${kind}`);
	}
}

function decodeExecute(raw: Buffer): Execute {
	const cursor = body(raw);
	const portal = portalName(cursor.text('portal name'));
	const maxRows = cursor.int32();
	cursor.finish();
	return { type: 'Execute', raw, portal, maxRows };
}

function decodeCopyFail(raw: Buffer): CopyFail {
	const cursor = body(raw);
	const message = cursor.text('COPY error message');
	cursor.finish();
	return { type: 'CopyFail', raw, message };
}

function decodeFunctionCall(raw: Buffer): FunctionCall {
	const cursor = body(raw);
	const oid = cursor.uint32();
	const argFormats = cursor.int16s(cursor.count());
	const args = values(cursor, cursor.count());
	const resultFormat = cursor.int16();
	cursor.finish();
	return { type: 'FunctionCall', raw, oid, argFormats, args, resultFormat };
}

function values(cursor: Cursor, count: number): (Buffer | null)[] {
	// Each value has at least its length, so a count beyond the message is refused before room is made for it.
	if (count * 4 > cursor.remaining) throw malformedMessage('insufficient data left in message');
	const list = new Array<Buffer | null>(count);
	for (let i = 0; i < count; i++) list[i] = cursor.value();
	return list;
}
