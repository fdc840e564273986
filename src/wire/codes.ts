/** The numbers of the protocol: message type bytes by name, request codes, versions, authentication kinds. */
import type { Backend } from './backend.ts';
import type { Frontend } from './frontend.ts';

/** Type bytes of messages that a client sends (protocol, "Message Formats"). `Password` stands for the whole `p` family. */
export const frontendCodes = {
	Bind: 0x42, // B
	Close: 0x43, // C
	CopyData: 0x64, // d
	CopyDone: 0x63, // c
	CopyFail: 0x66, // f
	Describe: 0x44, // D
	Execute: 0x45, // E
	Flush: 0x48, // H
	FunctionCall: 0x46, // F
	Parse: 0x50, // P
	Password: 0x70, // p
	Query: 0x51, // Q
	Sync: 0x53, // S
	Terminate: 0x58, // X
} as const satisfies Record<Frontend['type'], number>;

/** Type bytes of messages that a server sends (protocol, "Message Formats"). Every Authentication* message is an `R`. */
export const backendCodes = {
	AuthenticationOk: 0x52, // R
	AuthenticationKerberosV5: 0x52,
	AuthenticationCleartextPassword: 0x52,
	AuthenticationMD5Password: 0x52,
	AuthenticationGSS: 0x52,
	AuthenticationGSSContinue: 0x52,
	AuthenticationSSPI: 0x52,
	AuthenticationSASL: 0x52,
	AuthenticationSASLContinue: 0x52,
	AuthenticationSASLFinal: 0x52,
	BackendKeyData: 0x4b, // K
	BindComplete: 0x32, // 2
	CloseComplete: 0x33, // 3
	CommandComplete: 0x43, // C
	CopyBothResponse: 0x57, // W
	CopyData: 0x64, // d
	CopyDone: 0x63, // c
	CopyInResponse: 0x47, // G
	CopyOutResponse: 0x48, // H
	DataRow: 0x44, // D
	EmptyQueryResponse: 0x49, // I
	ErrorResponse: 0x45, // E
	FunctionCallResponse: 0x56, // V
	NegotiateProtocolVersion: 0x76, // v
	NoData: 0x6e, // n
	NoticeResponse: 0x4e, // N
	NotificationResponse: 0x41, // A
	ParameterDescription: 0x74, // t
	ParameterStatus: 0x53, // S
	ParseComplete: 0x31, // 1
	PortalSuspended: 0x73, // s
	ReadyForQuery: 0x5a, // Z
	RowDescription: 0x54, // T
} as const satisfies Record<Backend['type'], number>;

type Authentication = Extract<Backend['type'], `Authentication${string}`>;

/** The Int32 that follows the header of an `R` message. */
export const authenticationCodes = {
	AuthenticationOk: 0,
	AuthenticationKerberosV5: 2,
	AuthenticationCleartextPassword: 3,
	AuthenticationMD5Password: 5,
	AuthenticationGSS: 7,
	AuthenticationGSSContinue: 8,
	AuthenticationSSPI: 9,
	AuthenticationSASL: 10,
	AuthenticationSASLContinue: 11,
	AuthenticationSASLFinal: 12,
} as const satisfies Record<Authentication, number>;

/** What stands in place of a protocol version in the first packet of a connection that asks for something else. */
export const requestCodes = {
	CancelRequest: 80877102,
	SSLRequest: 80877103,
	GSSENCRequest: 80877104,
} as const;

/** Protocol versions as the first packet writes them: major in the upper 16 bits, minor in the lower. */
export const protocolVersions = { v3_0: 0x0003_0000, v3_2: 0x0003_0002 } as const;
