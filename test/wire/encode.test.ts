/** Encoders against bytes written down from the protocol documentation, and what they refuse. */
import { describe, expect, it } from 'vitest';
import { GatewayError } from '../../src/errors.ts';
import { decodeBackend } from '../../src/wire/backend.ts';
import { backendCodes, frontendCodes } from '../../src/wire/codes.ts';
import * as encode from '../../src/wire/encode.ts';
import { portalName, statementName } from '../../src/wire/frontend.ts';

const s = statementName('s');
const p = portalName('p');

/** The message formats of the documentation, spelled out: text in latin1, `·` is a zero byte. */
const rows: [string, Buffer, string][] = [
	['StartupMessage', encode.encodeStartupMessage(196608, [['user', 'ana']]), '···\x12·\x03··user·ana··'],
	['SSLRequest', encode.encodeSSLRequest(), '···\x08\x04\xd2\x16\x2f'],
	['GSSENCRequest', encode.encodeStartup({ type: 'GSSENCRequest' }), '···\x08\x04\xd2\x16\x30'],
	['CancelRequest', encode.encodeCancelRequest(1, Buffer.from('KEYS')), '···\x10\x04\xd2\x16\x2e···\x01KEYS'],
	['Query', encode.encodeQuery('select 1'), 'Q···\x0dselect 1·'],
	['Query beyond ASCII', encode.encodeQuery('ß'), 'Q···\x07\xc3\x9f·'],
	['Parse', encode.encodeParse(s, 'q', [23, 0]), 'P···\x12s·q··\x02···\x17····'],
	['Describe statement', encode.encodeDescribe({ kind: 'S', name: s }), 'D···\x07Ss·'],
	['Describe portal', encode.encodeDescribe({ kind: 'P', name: p }), 'D···\x07Pp·'],
	['Close', encode.encodeClose({ kind: 'P', name: p }), 'C···\x07Pp·'],
	['Execute', encode.encodeExecute(p, 10), 'E···\x0ap····\x0a'],
	['Sync', encode.encodeSync(), 'S···\x04'],
	['Flush', encode.encodeFlush(), 'H···\x04'],
	['Terminate', encode.encodeTerminate(), 'X···\x04'],
	['CopyFail', encode.encodeCopyFail('no'), 'f···\x07no·'],
	['ReadyForQuery', encode.encodeReadyForQuery('T'), 'Z···\x05T'],
	['AuthenticationOk', encode.encodeAuthenticationOk(), 'R···\x08····'],
	['AuthenticationCleartextPassword', encode.encodeAuthenticationCleartextPassword(), 'R···\x08···\x03'],
	['AuthenticationSASL', encode.encodeAuthenticationSASL(['A', 'B']), 'R···\x0d···\x0aA·B··'],
	['AuthenticationSASLContinue', encode.encodeAuthenticationSASLContinue(Buffer.from('r=')), 'R···\x0a···\x0br='],
	['AuthenticationSASLFinal', encode.encodeAuthenticationSASLFinal(Buffer.from('v=')), 'R···\x0a···\x0cv='],
	['ParameterStatus', encode.encodeParameterStatus('a', 'b'), 'S···\x08a·b·'],
	['BackendKeyData', encode.encodeBackendKeyData(2, Buffer.from('KEYS')), 'K···\x0c···\x02KEYS'],
	[
		'NegotiateProtocolVersion',
		encode.encodeNegotiateProtocolVersion(196610, ['_pq_.x']),
		'v···\x13·\x03·\x02···\x01_pq_.x·',
	],
	['CommandComplete', encode.encodeCommandComplete('SELECT 1'), 'C···\x0dSELECT 1·'],
	[
		'DataRow',
		encode.encodeDataRow(['ß', null, Buffer.from('b')]),
		'D···\x15·\x03···\x02\xc3\x9f\xff\xff\xff\xff···\x01b',
	],
	['ParseComplete', encode.encodeParseComplete(), '1···\x04'],
	['BindComplete', encode.encodeBindComplete(), '2···\x04'],
	['CloseComplete', encode.encodeCloseComplete(), '3···\x04'],
	['NoData', encode.encodeNoData(), 'n···\x04'],
	['EmptyQueryResponse', encode.encodeEmptyQueryResponse(), 'I···\x04'],
	['NoticeResponse', encode.encodeNoticeResponse(new Map([['M', 'hi']])), 'N···\x09Mhi··'],
	[
		'Bind',
		encode.encodeBind({
			portal: p,
			statement: s,
			paramFormats: [1],
			params: [null, Buffer.from('x')],
			resultFormats: [0],
		}),
		'B···\x1bp·s··\x01·\x01·\x02\xff\xff\xff\xff···\x01x·\x01··',
	],
	[
		'RowDescription',
		encode.encodeRowDescription([
			{ name: 'a', tableOid: 1, attnum: 2, typeOid: 25, typeSize: -1, typmod: -1, format: 0 },
		]),
		'T···\x1a·\x01a····\x01·\x02···\x19\xff\xff\xff\xff\xff\xff··',
	],
];

describe('bytes', () => {
	it.each(rows)('%s', (_name, bytes, want) => {
		expect(bytes.toString('latin1')).toBe(want.replaceAll('·', '\0'));
	});
});

describe('type bytes are the letters of the documentation', () => {
	it('from a client', () => {
		expect(String.fromCharCode(...Object.values(frontendCodes))).toBe('BCdcfDEHFPpQSX');
	});
	it('from a server', () => {
		expect(String.fromCharCode(...Object.values(backendCodes))).toBe('RRRRRRRRRRK23CWdcGHDIEVvnNAtS1sZT');
	});
});

describe('a GatewayError on the wire', () => {
	it('tells all that a client may know, and not its cause', () => {
		const cause = new Error('secret');
		const error = new GatewayError('42501', 'no', { detail: 'd', hint: 'h', position: 8, severity: 'FATAL', cause });
		const raw = encode.encodeGatewayError(error);
		expect(raw.toString()).not.toContain('secret');
		expect(decodeBackend(raw)).toMatchObject({
			fields: new Map([
				['S', 'FATAL'],
				['V', 'FATAL'],
				['C', '42501'],
				['M', 'no'],
				['D', 'd'],
				['H', 'h'],
				['P', '8'],
			]),
		});
	});

	it('gets through whatever it quotes', () => {
		const raw = encode.encodeGatewayError(new GatewayError('42501', 'column "a\0b"'));
		expect(decodeBackend(raw)).toMatchObject({
			fields: new Map(Object.entries({ S: 'ERROR', V: 'ERROR', C: '42501', M: 'column "a\ufffdb"' })),
		});
	});
});

describe('what cannot be written is refused, not cut short', () => {
	const refused: [string, () => Buffer, string][] = [
		['NUL in a query', () => encode.encodeQuery('select 1\0; drop'), '22021'],
		['NUL in a name', () => encode.encodeParse(statementName('a\0'), 'q'), '22021'],
		['NUL in a startup parameter', () => encode.encodeStartupMessage(196608, [['user', 'a\0superuser\0on']]), '22021'],
		['65,536 values', () => encode.encodeDataRow(new Array<null>(65536).fill(null)), '54000'],
	];
	it.each(refused)('%s', (_name, run, sqlstate) => {
		expect(run).toThrow(expect.objectContaining({ sqlstate }));
	});

	it('65,535 values are not too many', () => {
		expect(decodeBackend(encode.encodeDataRow(new Array<null>(65535).fill(null)))).toHaveProperty(
			'values.length',
			65535,
		);
	});

	it('every message is the caller’s own: writing into one does not change the next', () => {
		encode.encodeSync().fill(0);
		expect(encode.encodeSync().toString('latin1')).toBe('S\0\0\0\x04');
	});
});
