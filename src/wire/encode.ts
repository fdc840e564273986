/** Messages of both directions as bytes: the inverse of startup, frontend and backend. */
import { type GatewayError, unreachable } from '../errors.ts';
import type { Backend, ResponseFields, RowField, TransactionStatus } from './backend.ts';
import { authenticationCodes, backendCodes, frontendCodes, requestCodes } from './codes.ts';
import type { Frontend, PortalName, StatementName } from './frontend.ts';
import type { Startup } from './startup.ts';
import { Writer } from './writer.ts';

type WithoutRaw<M> = M extends { readonly raw: Buffer } ? Omit<M, 'raw'> : never;

/** A message as its fields alone, without the bytes that it came in. */
export type FrontendFields = WithoutRaw<Frontend>;
export type BackendFields = WithoutRaw<Backend>;
export type StartupFields = WithoutRaw<Startup>;

// ---------------------------------------------------------------- first packets

/** Protocol, "StartupMessage". `protocol` as in `protocolVersions`. Raises 22021 for a NUL in a name or value. */
export function encodeStartupMessage(protocol: number, params: Iterable<readonly [string, string]>): Buffer {
	const writer = new Writer(null).uint32(protocol);
	for (const [name, value] of params) writer.text(name).text(value);
	return writer.uint8(0).finish();
}

export function encodeSSLRequest(): Buffer {
	return new Writer(null, 8).uint32(requestCodes.SSLRequest).finish();
}

/** Protocol, "CancelRequest". */
export function encodeCancelRequest(pid: number, key: Uint8Array): Buffer {
	return new Writer(null).uint32(requestCodes.CancelRequest).int32(pid).bytes(key).finish();
}

/** Any first packet from its fields. */
export function encodeStartup(message: StartupFields): Buffer {
	switch (message.type) {
		case 'StartupMessage':
			return encodeStartupMessage(message.protocol, message.params);
		case 'SSLRequest':
			return encodeSSLRequest();
		case 'GSSENCRequest':
			return new Writer(null, 8).uint32(requestCodes.GSSENCRequest).finish();
		case 'CancelRequest':
			return encodeCancelRequest(message.pid, message.key);
		default:
			return unreachable(message);
	}
}

// ---------------------------------------------------------------- what a client sends

/** Raises 22021 for a NUL in the text. */
export function encodeQuery(sql: string): Buffer {
	return new Writer(frontendCodes.Query, sql.length + 6).text(sql).finish();
}

/** Raises 22021 for a NUL in the name or text. `paramTypes`: OIDs, 0 leaves the type to the server. */
export function encodeParse(name: StatementName, sql: string, paramTypes: readonly number[] = []): Buffer {
	const bytes = name.length + sql.length + 4 * paramTypes.length + 9;
	return new Writer(frontendCodes.Parse, bytes).text(name).text(sql).uint32s(paramTypes).finish();
}

/** Everything but `type` of a Bind. */
export function encodeBind(bind: Omit<Extract<FrontendFields, { type: 'Bind' }>, 'type'>): Buffer {
	const writer = new Writer(frontendCodes.Bind).text(bind.portal).text(bind.statement).int16s(bind.paramFormats);
	writer.count(bind.params.length);
	for (const param of bind.params) writer.value(param);
	return writer.int16s(bind.resultFormats).finish();
}

export function encodeDescribe(target: DescribeTarget): Buffer {
	return encodeTarget(frontendCodes.Describe, target);
}

export function encodeClose(target: DescribeTarget): Buffer {
	return encodeTarget(frontendCodes.Close, target);
}

/** What Describe and Close name: a statement (S) or a portal (P). */
export type DescribeTarget =
	| { readonly kind: 'S'; readonly name: StatementName }
	| { readonly kind: 'P'; readonly name: PortalName };

function encodeTarget(code: number, target: DescribeTarget): Buffer {
	return new Writer(code).uint8(target.kind.charCodeAt(0)).text(target.name).finish();
}

/** `maxRows` 0: no limit. */
export function encodeExecute(portal: PortalName, maxRows: number): Buffer {
	return new Writer(frontendCodes.Execute).text(portal).int32(maxRows).finish();
}

export function encodeSync(): Buffer {
	return bare(frontendCodes.Sync);
}

export function encodeFlush(): Buffer {
	return bare(frontendCodes.Flush);
}

export function encodeTerminate(): Buffer {
	return bare(frontendCodes.Terminate);
}

export function encodeCopyFail(message: string): Buffer {
	return new Writer(frontendCodes.CopyFail).text(message).finish();
}

/** Any frontend message from its fields. */
export function encodeFrontend(message: FrontendFields): Buffer {
	switch (message.type) {
		case 'Query':
			return encodeQuery(message.sql);
		case 'Parse':
			return encodeParse(message.name, message.sql, message.paramTypes);
		case 'Bind':
			return encodeBind(message);
		case 'Describe':
			return encodeDescribe(message);
		case 'Close':
			return encodeClose(message);
		case 'Execute':
			return encodeExecute(message.portal, message.maxRows);
		case 'Sync':
		case 'Flush':
		case 'CopyDone':
		case 'Terminate':
			return bare(frontendCodes[message.type]);
		case 'CopyData':
			return withBody(frontendCodes.CopyData, message.data);
		case 'Password':
			return withBody(frontendCodes.Password, message.body);
		case 'CopyFail':
			return encodeCopyFail(message.message);
		case 'FunctionCall': {
			const writer = new Writer(frontendCodes.FunctionCall).uint32(message.oid).int16s(message.argFormats);
			writer.count(message.args.length);
			for (const arg of message.args) writer.value(arg);
			return writer.int16(message.resultFormat).finish();
		}
		default:
			return unreachable(message);
	}
}

// ---------------------------------------------------------------- what a server sends

/** ErrorResponse of a GatewayError (protocol, "Error and Notice Message Fields"). Its cause is never told. */
export function encodeGatewayError(error: GatewayError): Buffer {
	return encodeErrorResponse(errorFields(error));
}

/** Fields of a GatewayError as an ErrorResponse tells them: S, V, C, M and, where given, D, H, P, and R with F and L. A NUL becomes U+FFFD. */
export function errorFields(error: GatewayError): ResponseFields {
	const fields = new Map([
		['S', error.severity],
		['V', error.severity],
		['C', error.sqlstate],
		['M', error.message],
	]);
	if (error.detail !== undefined) fields.set('D', error.detail);
	if (error.hint !== undefined) fields.set('H', error.hint);
	if (error.position !== undefined) fields.set('P', String(error.position));
	// A server tells all three or none.
	if (error.raisedBy !== undefined) fields.set('F', 'portcullis').set('L', '0').set('R', error.raisedBy);
	return fields;
}

export function encodeErrorResponse(fields: ResponseFields): Buffer {
	return encodeResponse(backendCodes.ErrorResponse, fields);
}

export function encodeNoticeResponse(fields: ResponseFields): Buffer {
	return encodeResponse(backendCodes.NoticeResponse, fields);
}

export function encodeReadyForQuery(status: TransactionStatus): Buffer {
	return new Writer(backendCodes.ReadyForQuery, 6).uint8(status.charCodeAt(0)).finish();
}

export function encodeAuthenticationOk(): Buffer {
	return authentication('AuthenticationOk').finish();
}

export function encodeAuthenticationCleartextPassword(): Buffer {
	return authentication('AuthenticationCleartextPassword').finish();
}

/** `mechanisms` in order of preference. */
export function encodeAuthenticationSASL(mechanisms: readonly string[]): Buffer {
	const writer = authentication('AuthenticationSASL');
	for (const mechanism of mechanisms) writer.text(mechanism);
	return writer.uint8(0).finish();
}

export function encodeAuthenticationSASLContinue(data: Uint8Array): Buffer {
	return authentication('AuthenticationSASLContinue').bytes(data).finish();
}

export function encodeAuthenticationSASLFinal(data: Uint8Array): Buffer {
	return authentication('AuthenticationSASLFinal').bytes(data).finish();
}

export function encodeParameterStatus(name: string, value: string): Buffer {
	return new Writer(backendCodes.ParameterStatus).text(name).text(value).finish();
}

/** `key`: 4 bytes in protocol 3.0, 4 to 256 in 3.2. */
export function encodeBackendKeyData(pid: number, key: Uint8Array): Buffer {
	return new Writer(backendCodes.BackendKeyData).int32(pid).bytes(key).finish();
}

/** `protocol`: newest version that is spoken, as in a StartupMessage. `unrecognized`: options by name. */
export function encodeNegotiateProtocolVersion(protocol: number, unrecognized: readonly string[]): Buffer {
	const writer = new Writer(backendCodes.NegotiateProtocolVersion).uint32(protocol).int32(unrecognized.length);
	for (const name of unrecognized) writer.text(name);
	return writer.finish();
}

/** `tag`: e.g. `SELECT 5`. */
export function encodeCommandComplete(tag: string): Buffer {
	return new Writer(backendCodes.CommandComplete).text(tag).finish();
}

export function encodeRowDescription(fields: readonly RowField[]): Buffer {
	const writer = new Writer(backendCodes.RowDescription, 7 + 40 * fields.length).count(fields.length);
	for (const field of fields) {
		writer.text(field.name).uint32(field.tableOid).int16(field.attnum);
		writer.uint32(field.typeOid).int16(field.typeSize).int32(field.typmod).int16(field.format);
	}
	return writer.finish();
}

/** Strings are written as UTF-8 text. */
export function encodeDataRow(values: readonly (Uint8Array | string | null)[]): Buffer {
	const writer = new Writer(backendCodes.DataRow).count(values.length);
	for (const value of values) writer.value(value);
	return writer.finish();
}

export function encodeParseComplete(): Buffer {
	return bare(backendCodes.ParseComplete);
}

export function encodeBindComplete(): Buffer {
	return bare(backendCodes.BindComplete);
}

export function encodeCloseComplete(): Buffer {
	return bare(backendCodes.CloseComplete);
}

export function encodeNoData(): Buffer {
	return bare(backendCodes.NoData);
}

export function encodeEmptyQueryResponse(): Buffer {
	return bare(backendCodes.EmptyQueryResponse);
}

/** Any backend message from its fields. */
export function encodeBackend(message: BackendFields): Buffer {
	switch (message.type) {
		case 'AuthenticationOk':
		case 'AuthenticationKerberosV5':
		case 'AuthenticationCleartextPassword':
		case 'AuthenticationGSS':
		case 'AuthenticationSSPI':
			return authentication(message.type).finish();
		case 'AuthenticationMD5Password':
			return authentication(message.type).bytes(message.salt).finish();
		case 'AuthenticationSASL':
			return encodeAuthenticationSASL(message.mechanisms);
		case 'AuthenticationGSSContinue':
		case 'AuthenticationSASLContinue':
		case 'AuthenticationSASLFinal':
			return authentication(message.type).bytes(message.data).finish();
		case 'BackendKeyData':
			return encodeBackendKeyData(message.pid, message.key);
		case 'BindComplete':
		case 'CloseComplete':
		case 'CopyDone':
		case 'EmptyQueryResponse':
		case 'NoData':
		case 'ParseComplete':
		case 'PortalSuspended':
			return bare(backendCodes[message.type]);
		case 'CommandComplete':
			return encodeCommandComplete(message.tag);
		case 'CopyBothResponse':
		case 'CopyInResponse':
		case 'CopyOutResponse':
			return new Writer(backendCodes[message.type]).uint8(message.format).int16s(message.columnFormats).finish();
		case 'CopyData':
			return withBody(backendCodes.CopyData, message.data);
		default:
			return encodeAnswer(message);
	}
}

type Answer = Extract<
	BackendFields,
	{
		type:
			| 'DataRow'
			| 'ErrorResponse'
			| 'FunctionCallResponse'
			| 'NegotiateProtocolVersion'
			| 'NoticeResponse'
			| 'NotificationResponse'
			| 'ParameterDescription'
			| 'ParameterStatus'
			| 'ReadyForQuery'
			| 'RowDescription';
	}
>;

function encodeAnswer(message: Answer): Buffer {
	switch (message.type) {
		case 'DataRow':
			return encodeDataRow(message.values);
		case 'ErrorResponse':
		case 'NoticeResponse':
			return encodeResponse(backendCodes[message.type], message.fields);
		case 'FunctionCallResponse':
			return new Writer(backendCodes.FunctionCallResponse).value(message.value).finish();
		case 'NegotiateProtocolVersion':
			return encodeNegotiateProtocolVersion(message.protocol, message.unrecognized);
		case 'NotificationResponse': {
			const writer = new Writer(backendCodes.NotificationResponse).int32(message.pid);
			return writer.text(message.channel).text(message.payload).finish();
		}
		case 'ParameterDescription':
			return new Writer(backendCodes.ParameterDescription).uint32s(message.paramTypes).finish();
		case 'ParameterStatus':
			return encodeParameterStatus(message.name, message.value);
		case 'ReadyForQuery':
			return encodeReadyForQuery(message.status);
		case 'RowDescription':
			return encodeRowDescription(message.fields);
		default:
			return unreachable(message);
	}
}

function encodeResponse(code: number, fields: ResponseFields): Buffer {
	const writer = new Writer(code);
	// An error must get through: a NUL in what it quotes is shown, not refused.
	for (const [letter, text] of fields) writer.uint8(letter.charCodeAt(0)).text(text.replaceAll('\0', '\ufffd'));
	return writer.uint8(0).finish();
}

function authentication(type: keyof typeof authenticationCodes): Writer {
	return new Writer(backendCodes[type]).int32(authenticationCodes[type]);
}

function withBody(code: number, body: Uint8Array): Buffer {
	return new Writer(code, 5 + body.length).bytes(body).finish();
}

/** A message that is nothing but its type: each call its own bytes, as socket writes keep what they are given. */
function bare(code: number): Buffer {
	return Buffer.from([code, 0, 0, 0, 4]);
}
