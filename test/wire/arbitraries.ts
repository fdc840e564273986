/** Random messages for property tests: one generator for every kind of message, complete by type. */
import fc, { type Arbitrary } from 'fast-check';
import type { Backend } from '../../src/wire/backend.ts';
import type { BackendFields, FrontendFields, StartupFields } from '../../src/wire/encode.ts';
import { type Frontend, portalName, statementName } from '../../src/wire/frontend.ts';

/** Any text that PostgreSQL can hold: all of Unicode except NUL. */
export const text: Arbitrary<string> = fc.oneof(
	fc.string({ maxLength: 12 }),
	fc.string({ unit: 'binary', maxLength: 40 }).map((value) => value.replaceAll('\0', '\ufeff')),
);

const bytes = (least = 0, most = 60): Arbitrary<Buffer> =>
	fc.uint8Array({ minLength: least, maxLength: most }).map((value) => Buffer.from(value));
const oid = fc.nat(0xffff_ffff);
const int16 = fc.integer({ min: -0x8000, max: 0x7fff });
const int32 = fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff });
const format: Arbitrary<number> = fc.constantFrom(0, 1);
const values = fc.array(fc.option(bytes()), { maxLength: 5 });
const statement = text.map(statementName);
const portal = text.map(portalName);

/** None, one for all, or one each. */
const formatsFor = (count: number): Arbitrary<number[]> =>
	fc.oneof(
		fc.constant<number[]>([]),
		format.map((one) => [one]),
		fc.array(format, { minLength: count, maxLength: count }),
	);

const target = fc.oneof(
	statement.map((name) => ({ kind: 'S' as const, name })),
	portal.map((name) => ({ kind: 'P' as const, name })),
);

type OfFrontend<T extends Frontend['type']> = Extract<FrontendFields, { type: T }>;
type OfBackend<T extends Backend['type']> = Extract<BackendFields, { type: T }>;

const frontend: { [T in Frontend['type']]: Arbitrary<OfFrontend<T>> } = {
	Query: text.map((sql) => ({ type: 'Query', sql })),
	Parse: fc
		.tuple(statement, text, fc.array(oid, { maxLength: 5 }))
		.map(([name, sql, paramTypes]) => ({ type: 'Parse', name, sql, paramTypes })),
	Bind: fc
		.tuple(portal, statement, values, fc.array(format, { maxLength: 4 }))
		.chain(([to, from, params, resultFormats]) =>
			formatsFor(params.length).map((paramFormats) => ({
				type: 'Bind' as const,
				portal: to,
				statement: from,
				paramFormats,
				params,
				resultFormats,
			})),
		),
	Describe: target.map((what) => ({ type: 'Describe', ...what })),
	Close: target.map((what) => ({ type: 'Close', ...what })),
	Execute: fc.tuple(portal, int32).map(([name, maxRows]) => ({ type: 'Execute', portal: name, maxRows })),
	Sync: fc.constant({ type: 'Sync' }),
	Flush: fc.constant({ type: 'Flush' }),
	CopyData: bytes().map((data) => ({ type: 'CopyData', data })),
	CopyDone: fc.constant({ type: 'CopyDone' }),
	CopyFail: text.map((message) => ({ type: 'CopyFail', message })),
	FunctionCall: fc.tuple(oid, values, format).chain(([routine, args, resultFormat]) =>
		formatsFor(args.length).map((argFormats) => ({
			type: 'FunctionCall' as const,
			oid: routine,
			argFormats,
			args,
			resultFormat,
		})),
	),
	Password: bytes().map((body) => ({ type: 'Password', body })),
	Terminate: fc.constant({ type: 'Terminate' }),
};

const fieldLetters = [...'SVCMDHPpqWstcdnFLR'];
const responseFields = fc
	.uniqueArray(fc.tuple(fc.constantFrom(...fieldLetters), text), { selector: ([letter]) => letter, maxLength: 8 })
	.map((entries) => new Map(entries));

const rowField = fc.record({
	name: text,
	tableOid: oid,
	attnum: int16,
	typeOid: oid,
	typeSize: int16,
	typmod: int32,
	format,
});

const copyFormats = fc.tuple(format, fc.array(format, { maxLength: 6 }));
const notEmpty = text.filter((value) => value !== '');

const backend: { [T in Backend['type']]: Arbitrary<OfBackend<T>> } = {
	AuthenticationOk: fc.constant({ type: 'AuthenticationOk' }),
	AuthenticationKerberosV5: fc.constant({ type: 'AuthenticationKerberosV5' }),
	AuthenticationCleartextPassword: fc.constant({ type: 'AuthenticationCleartextPassword' }),
	AuthenticationMD5Password: bytes(4, 4).map((salt) => ({ type: 'AuthenticationMD5Password', salt })),
	AuthenticationGSS: fc.constant({ type: 'AuthenticationGSS' }),
	AuthenticationGSSContinue: bytes().map((data) => ({ type: 'AuthenticationGSSContinue', data })),
	AuthenticationSSPI: fc.constant({ type: 'AuthenticationSSPI' }),
	AuthenticationSASL: fc
		.array(notEmpty, { maxLength: 3 })
		.map((mechanisms) => ({ type: 'AuthenticationSASL', mechanisms })),
	AuthenticationSASLContinue: bytes().map((data) => ({ type: 'AuthenticationSASLContinue', data })),
	AuthenticationSASLFinal: bytes().map((data) => ({ type: 'AuthenticationSASLFinal', data })),
	BackendKeyData: fc.tuple(int32, bytes(4, 256)).map(([pid, key]) => ({ type: 'BackendKeyData', pid, key })),
	BindComplete: fc.constant({ type: 'BindComplete' }),
	CloseComplete: fc.constant({ type: 'CloseComplete' }),
	CommandComplete: text.map((tag) => ({ type: 'CommandComplete', tag })),
	CopyBothResponse: copyFormats.map(([all, columnFormats]) => ({
		type: 'CopyBothResponse',
		format: all,
		columnFormats,
	})),
	CopyData: bytes().map((data) => ({ type: 'CopyData', data })),
	CopyDone: fc.constant({ type: 'CopyDone' }),
	CopyInResponse: copyFormats.map(([all, columnFormats]) => ({ type: 'CopyInResponse', format: all, columnFormats })),
	CopyOutResponse: copyFormats.map(([all, columnFormats]) => ({ type: 'CopyOutResponse', format: all, columnFormats })),
	DataRow: values.map((row) => ({ type: 'DataRow', values: row })),
	EmptyQueryResponse: fc.constant({ type: 'EmptyQueryResponse' }),
	ErrorResponse: responseFields.map((fields) => ({ type: 'ErrorResponse', fields })),
	FunctionCallResponse: fc.option(bytes()).map((value) => ({ type: 'FunctionCallResponse', value })),
	NegotiateProtocolVersion: fc
		.tuple(oid, fc.array(text, { maxLength: 3 }))
		.map(([protocol, unrecognized]) => ({ type: 'NegotiateProtocolVersion', protocol, unrecognized })),
	NoData: fc.constant({ type: 'NoData' }),
	NoticeResponse: responseFields.map((fields) => ({ type: 'NoticeResponse', fields })),
	NotificationResponse: fc
		.tuple(int32, text, text)
		.map(([pid, channel, payload]) => ({ type: 'NotificationResponse', pid, channel, payload })),
	ParameterDescription: fc
		.array(oid, { maxLength: 5 })
		.map((paramTypes) => ({ type: 'ParameterDescription', paramTypes })),
	ParameterStatus: fc.tuple(text, text).map(([name, value]) => ({ type: 'ParameterStatus', name, value })),
	ParseComplete: fc.constant({ type: 'ParseComplete' }),
	PortalSuspended: fc.constant({ type: 'PortalSuspended' }),
	ReadyForQuery: fc.constantFrom('I' as const, 'T' as const, 'E' as const).map((status) => ({
		type: 'ReadyForQuery',
		status,
	})),
	RowDescription: fc.array(rowField, { maxLength: 4 }).map((fields) => ({ type: 'RowDescription', fields })),
};

const params = fc
	.uniqueArray(fc.tuple(notEmpty, text), { selector: ([name]) => name, maxLength: 5 })
	.map((entries) => new Map(entries));

const startup: { [T in StartupFields['type']]: Arbitrary<Extract<StartupFields, { type: T }>> } = {
	StartupMessage: fc
		.tuple(fc.integer({ min: 0, max: 0xffff }), params)
		.map(([minor, map]) => ({ type: 'StartupMessage', protocol: 0x0003_0000 + minor, params: map })),
	SSLRequest: fc.constant({ type: 'SSLRequest' }),
	GSSENCRequest: fc.constant({ type: 'GSSENCRequest' }),
	CancelRequest: fc.tuple(int32, bytes(4, 256)).map(([pid, key]) => ({ type: 'CancelRequest', pid, key })),
};

/** A generator for each kind of message, with its name. */
export const frontendKinds: readonly [string, Arbitrary<FrontendFields>][] = Object.entries(frontend);
export const backendKinds: readonly [string, Arbitrary<BackendFields>][] = Object.entries(backend);
export const startupKinds: readonly [string, Arbitrary<StartupFields>][] = Object.entries(startup);

export const anyFrontend: Arbitrary<FrontendFields> = fc.oneof(...Object.values(frontend));
export const anyBackend: Arbitrary<BackendFields> = fc.oneof(...Object.values(backend));
