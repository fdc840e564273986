/** Every limit on what is read from the wire, in one table; each is checked on the declared length before buffering. */
import type { Backend } from './backend.ts';
import type { Frontend } from './frontend.ts';

const kib = 1024;
const mib = 1024 * kib;

/** What PostgreSQL itself allows for messages without a payload of their own (PQ_SMALL_MESSAGE_LIMIT). */
const smallBytes = 10_000;

/** What PostgreSQL itself allows for any message (PQ_LARGE_MESSAGE_LIMIT, MaxAllocSize - 1). */
const largeBytes = 0x3fff_fffe;

/** A whole first packet: StartupMessage, SSLRequest, GSSENCRequest or CancelRequest (MAX_STARTUP_PACKET_LENGTH). */
export const startupBytesMax = 10_000;

/** Cancel keys of protocol 3.2 have at most this many bytes ("BackendKeyData"); those of 3.0 have 4. */
export const cancelKeyBytesMax = 256;

/**
 * The largest declared length (as in the header: body plus the four bytes of the length itself) by message.
 * CopyData passes through in slices, so its limit costs no memory; the others are held as a whole.
 */
export const frontendLengthMax = {
	Bind: 64 * mib,
	Close: smallBytes,
	CopyData: largeBytes,
	CopyDone: 4,
	CopyFail: smallBytes,
	Describe: smallBytes,
	Execute: smallBytes,
	Flush: 4,
	FunctionCall: 64 * mib,
	Parse: 16 * mib,
	Password: 64 * kib,
	Query: 16 * mib,
	Sync: 4,
	Terminate: 4,
} as const satisfies Record<Frontend['type'], number>;

/** The largest declared length by message. DataRow, CopyData and FunctionCallResponse pass through in slices. */
export const backendLengthMax = {
	AuthenticationOk: 8,
	AuthenticationKerberosV5: 8,
	AuthenticationCleartextPassword: 8,
	AuthenticationMD5Password: 12,
	AuthenticationGSS: 8,
	AuthenticationGSSContinue: 64 * kib,
	AuthenticationSSPI: 8,
	AuthenticationSASL: smallBytes,
	AuthenticationSASLContinue: 64 * kib,
	AuthenticationSASLFinal: 64 * kib,
	BackendKeyData: 8 + cancelKeyBytesMax,
	BindComplete: 4,
	CloseComplete: 4,
	CommandComplete: smallBytes,
	CopyBothResponse: smallBytes,
	CopyData: largeBytes,
	CopyDone: 4,
	CopyInResponse: smallBytes,
	CopyOutResponse: smallBytes,
	DataRow: 0x7fff_ffff, // a row of several large values may exceed MaxAllocSize
	EmptyQueryResponse: 4,
	ErrorResponse: 16 * mib, // carries the text of internal queries and of values
	FunctionCallResponse: largeBytes,
	NegotiateProtocolVersion: 64 * kib,
	NoData: 4,
	NoticeResponse: 16 * mib,
	NotificationResponse: 64 * kib, // payloads have at most 8,000 bytes
	ParameterDescription: 512 * kib, // 65,535 parameters
	ParameterStatus: mib,
	ParseComplete: 4,
	PortalSuspended: 4,
	ReadyForQuery: 5,
	RowDescription: mib, // 1,664 columns
} as const satisfies Record<Backend['type'], number>;
