/** Malformed, truncated and oversized messages: each is refused with the SQLSTATE, severity and words that belong to it. */
import { describe, expect, it } from 'vitest';
import { GatewayError } from '../../src/errors.ts';
import { decodeBackend, decodeRowDescription } from '../../src/wire/backend.ts';
import { encodeRowDescription } from '../../src/wire/encode.ts';
import { decodeFrontend, decodePasswordMessage, decodeSASLInitialResponse } from '../../src/wire/frontend.ts';

type Part = string | number[] | Buffer;

/** A message: type letter, and a body of text (latin1), bytes and buffers, with the length that belongs to it. */
function message(type: string, ...parts: Part[]): Buffer {
	const body = Buffer.concat(
		parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : Buffer.from(part))),
	);
	const raw = Buffer.concat([Buffer.from(type, 'latin1'), Buffer.alloc(4), body]);
	raw.writeInt32BE(raw.length - 1, 1);
	return raw;
}

const int16 = (...values: number[]): Buffer =>
	Buffer.concat(values.map((value) => Buffer.from([value >> 8, value & 255])));
const int32 = (value: number): Buffer =>
	Buffer.from([value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]);

interface Row {
	readonly name: string;
	readonly raw: Buffer;
	/** SQLSTATE, or null when it is to be accepted. */
	readonly sqlstate: string | null;
	readonly words?: RegExp;
}

function check(decode: (raw: Buffer) => unknown, severity: 'ERROR' | 'FATAL', row: Row): void {
	let error: unknown = null;
	try {
		decode(row.raw);
	} catch (thrown) {
		error = thrown;
	}
	if (row.sqlstate === null) {
		expect(error).toBeNull();
		return;
	}
	expect(error).toBeInstanceOf(GatewayError);
	expect(error).toMatchObject({ sqlstate: row.sqlstate, severity });
	if (row.words !== undefined) expect((error as GatewayError).message).toMatch(row.words);
}

const framing: Row[] = [
	{ name: 'nothing', raw: Buffer.alloc(0), sqlstate: '08P01', words: /message type none/ },
	{ name: 'a type alone', raw: Buffer.from('Q'), sqlstate: '08P01' },
	{ name: 'an unknown type', raw: message('!'), sqlstate: '08P01', words: /message type 33/ },
	{ name: 'a length that is too small', raw: Buffer.from([0x53, 0, 0, 0, 3]), sqlstate: '08P01', words: /length/ },
	{ name: 'a length that is too large', raw: Buffer.from([0x53, 0, 0, 0, 5]), sqlstate: '08P01', words: /length/ },
];

describe('framing that decoders refuse', () => {
	it.each(framing)('frontend: $name', (row) => {
		check(decodeFrontend, 'FATAL', row);
	});
	it.each(framing)('backend: $name', (row) => {
		check(decodeBackend, 'FATAL', row);
	});
});

const bind = (...parts: Part[]): Buffer => message('B', 'p\0s\0', ...parts);

const frontend: Row[] = [
	{ name: 'Query', raw: message('Q', 'select 1\0'), sqlstate: null },
	{ name: 'Query without a NUL', raw: message('Q', 'select 1'), sqlstate: '08P01', words: /invalid string/ },
	{
		name: 'Query with a NUL inside',
		raw: message('Q', 'select 1\0; drop table t\0'),
		sqlstate: '08P01',
		words: /^invalid message format$/,
	},
	{ name: 'Query in Latin-1', raw: message('Q', "select 'é'\0"), sqlstate: '22021', words: /UTF8/ },
	{ name: 'Query with a lone continuation byte', raw: message('Q', "'\x80'\0"), sqlstate: '22021' },
	{ name: 'Query with an overlong slash', raw: message('Q', '\xc0\xaf\0'), sqlstate: '22021' },
	{ name: 'Query with an encoded surrogate', raw: message('Q', '\xed\xa0\x80\0'), sqlstate: '22021' },
	{ name: 'Query beyond U+10FFFF', raw: message('Q', '\xf4\x90\x80\x80\0'), sqlstate: '22021' },
	{ name: 'Query with a cut character', raw: message('Q', 'select 1 \xe2\x98\0'), sqlstate: '22021' },
	{ name: 'long Query that is not UTF-8 at its end', raw: message('Q', `${'x'.repeat(999)}\xff\0`), sqlstate: '22021' },
	{ name: 'Query with a byte order mark', raw: message('Q', '\xef\xbb\xbfselect 1\0'), sqlstate: null },
	{ name: 'Parse', raw: message('P', 's\0select $1\0', int16(1), int32(23)), sqlstate: null },
	{ name: 'Parse whose name is not UTF-8', raw: message('P', '\xff\0select 1\0', int16(0)), sqlstate: '22021' },
	{ name: 'Parse without types', raw: message('P', 's\0select 1\0'), sqlstate: '08P01' },
	{
		name: 'Parse with fewer types than it says',
		raw: message('P', 's\0select 1\0', int16(2), int32(23)),
		sqlstate: '08P01',
	},
	{ name: 'Parse with 65,535 types and no room', raw: message('P', 's\0select 1\0', int16(0xffff)), sqlstate: '08P01' },
	{ name: 'Bind', raw: bind(int16(0, 1), int32(1), 'x', int16(0)), sqlstate: null },
	{ name: 'Bind with one format for all', raw: bind(int16(1, 1, 2), int32(-1), int32(0), int16(0)), sqlstate: null },
	{
		name: 'Bind with two formats for one, of which the server complains once it knows the statement',
		raw: bind(int16(2, 0, 0, 1), int32(-1), int16(0)),
		sqlstate: null,
	},
	{
		name: 'Bind with a value length of -2',
		raw: bind(int16(0, 1), int32(-2), int16(0)),
		sqlstate: '08P01',
		words: /-2/,
	},
	{ name: 'Bind with a value beyond its end', raw: bind(int16(0, 1), int32(100), 'x', int16(0)), sqlstate: '08P01' },
	{ name: 'Bind with 2 GiB of value', raw: bind(int16(0, 1), int32(0x7fffffff), int16(0)), sqlstate: '08P01' },
	{ name: 'Bind with 65,535 values and no room', raw: bind(int16(0, 0xffff)), sqlstate: '08P01' },
	{ name: 'Bind that goes on', raw: bind(int16(0, 0, 0), 'x'), sqlstate: '08P01', words: /^invalid message format$/ },
	{ name: 'Describe of a statement', raw: message('D', 'Ss\0'), sqlstate: null },
	{
		name: 'Describe of something else',
		raw: message('D', 'Xs\0'),
		sqlstate: '08P01',
		words: /DESCRIBE message subtype 88/,
	},
	{ name: 'Describe of nothing', raw: message('D'), sqlstate: '08P01' },
	{ name: 'Close of something else', raw: message('C', 's\0'), sqlstate: '08P01' },
	{
		name: 'Close of something else that has a name',
		raw: message('C', 'sx\0'),
		sqlstate: '08P01',
		words: /CLOSE message subtype 115/,
	},
	{ name: 'Execute', raw: message('E', '\0', int32(0)), sqlstate: null },
	{ name: 'Execute without a limit', raw: message('E', '\0'), sqlstate: '08P01' },
	{ name: 'Sync with a body', raw: message('S', 'x'), sqlstate: '08P01' },
	{ name: 'Flush with a body', raw: message('H', 'x'), sqlstate: '08P01' },
	{ name: 'Terminate with a body', raw: message('X', 'x'), sqlstate: '08P01' },
	{ name: 'CopyDone with a body', raw: message('c', 'x'), sqlstate: '08P01' },
	{ name: 'CopyFail', raw: message('f', 'no\0'), sqlstate: null },
	{ name: 'CopyFail without words', raw: message('f'), sqlstate: '08P01' },
	{ name: 'FunctionCall', raw: message('F', int32(870), int16(0, 1), int32(1), 'A', int16(0)), sqlstate: null },
	{ name: 'FunctionCall without a result format', raw: message('F', int32(870), int16(0, 0)), sqlstate: '08P01' },
	{
		name: 'FunctionCall with two formats for one, of which the server complains once it knows the function',
		raw: message('F', int32(870), int16(2, 0, 0, 1), int32(-1), int16(0)),
		sqlstate: null,
	},
];

describe('bodies from a client', () => {
	it.each(frontend)('$name', (row) => {
		check(decodeFrontend, 'ERROR', row);
	});
});

const passwords: Row[] = [
	{ name: 'a password', raw: Buffer.from('secret\0'), sqlstate: null },
	{ name: 'a password without a NUL', raw: Buffer.from('secret'), sqlstate: '08P01' },
	{ name: 'a password with a NUL inside', raw: Buffer.from('a\0b\0'), sqlstate: '08P01' },
	{ name: 'a password that is not UTF-8', raw: Buffer.from([0xff, 0]), sqlstate: '22021' },
];
const initial: Row[] = [
	{ name: 'with data', raw: Buffer.concat([Buffer.from('M\0'), int32(1), Buffer.from('x')]), sqlstate: null },
	{ name: 'without data', raw: Buffer.concat([Buffer.from('M\0'), int32(-1)]), sqlstate: null },
	{ name: 'without a length', raw: Buffer.from('M\0'), sqlstate: '08P01' },
	{
		name: 'with a length beyond its end',
		raw: Buffer.concat([Buffer.from('M\0'), int32(2), Buffer.from('x')]),
		sqlstate: '08P01',
	},
	{ name: 'that goes on', raw: Buffer.concat([Buffer.from('M\0'), int32(-1), Buffer.from('x')]), sqlstate: '08P01' },
];

describe('bodies of the p family', () => {
	it.each(passwords)('$name', (row) => {
		check(decodePasswordMessage, 'ERROR', row);
	});
	it.each(initial)('SASLInitialResponse $name', (row) => {
		check(decodeSASLInitialResponse, 'ERROR', row);
	});
	it('are read as what they are', () => {
		expect(decodePasswordMessage(Buffer.from('pässwörd\0'))).toBe('pässwörd');
		const first = decodeSASLInitialResponse(
			Buffer.concat([Buffer.from('SCRAM-SHA-256\0'), int32(3), Buffer.from('n,,')]),
		);
		expect(first).toEqual({ mechanism: 'SCRAM-SHA-256', data: Buffer.from('n,,') });
		expect(decodeSASLInitialResponse(Buffer.concat([Buffer.from('M\0'), int32(-1)])).data).toBeNull();
	});
});

const backend: Row[] = [
	{ name: 'ReadyForQuery', raw: message('Z', 'I'), sqlstate: null },
	{ name: 'ReadyForQuery of an unknown status', raw: message('Z', 'X'), sqlstate: '08P01', words: /status 88/ },
	{ name: 'an unknown authentication request', raw: message('R', int32(4)), sqlstate: '08P01', words: /request 4/ },
	{ name: 'AuthenticationOk that goes on', raw: message('R', int32(0), 'x'), sqlstate: '08P01' },
	{ name: 'AuthenticationMD5Password with a short salt', raw: message('R', int32(5), 'abc'), sqlstate: '08P01' },
	{ name: 'AuthenticationSASL without an end', raw: message('R', int32(10), 'SCRAM-SHA-256\0'), sqlstate: '08P01' },
	{ name: 'BackendKeyData with a short key', raw: message('K', int32(1), 'abc'), sqlstate: '08P01', words: /3 bytes/ },
	{
		name: 'BackendKeyData with a long key',
		raw: message('K', int32(1), Buffer.alloc(257)),
		sqlstate: '08P01',
		words: /257/,
	},
	{ name: 'ErrorResponse without an end', raw: message('E', 'SERROR\0'), sqlstate: '08P01' },
	{
		name: 'ErrorResponse with a field twice',
		raw: message('E', 'Ma\0Mb\0\0'),
		sqlstate: '08P01',
		words: /field M given twice/,
	},
	{ name: 'ErrorResponse that goes on', raw: message('E', '\0x'), sqlstate: '08P01' },
	{ name: 'ErrorResponse that is not UTF-8', raw: message('E', 'M\xff\0\0'), sqlstate: null },
	{ name: 'RowDescription with fewer fields than it says', raw: message('T', int16(2)), sqlstate: '08P01' },
	{ name: 'RowDescription with 65,535 fields and no room', raw: message('T', int16(0xffff)), sqlstate: '08P01' },
	{ name: 'DataRow with fewer values than it says', raw: message('D', int16(2), int32(-1)), sqlstate: '08P01' },
	{ name: 'DataRow with a value length of -2', raw: message('D', int16(1), int32(-2)), sqlstate: '08P01' },
	{
		name: 'NegotiateProtocolVersion with a count below zero',
		raw: message('v', int32(196610), int32(-1)),
		sqlstate: '08P01',
	},
	{
		name: 'NegotiateProtocolVersion with a vast count',
		raw: message('v', int32(196610), int32(0x7fffffff)),
		sqlstate: '08P01',
	},
	{ name: 'ParameterStatus without a value', raw: message('S', 'TimeZone\0'), sqlstate: '08P01' },
	{ name: 'NoData with a body', raw: message('n', 'x'), sqlstate: '08P01' },
];

describe('bodies from a server', () => {
	it.each(backend)('$name', (row) => {
		check(decodeBackend, 'FATAL', row);
	});

	it('the guard reads RowDescription alone, with the same care', () => {
		const field = { name: 'ssn', tableOid: 16384, attnum: 3, typeOid: 25, typeSize: -1, typmod: -1, format: 0 };
		const raw = encodeRowDescription([field, field]);
		expect(decodeRowDescription(raw)).toEqual([field, field]);
		for (const broken of [raw.subarray(0, -1), Buffer.concat([raw, Buffer.from('x')])]) {
			check(decodeRowDescription, 'FATAL', { name: 'broken', raw: broken, sqlstate: '08P01' });
		}
	});
});
