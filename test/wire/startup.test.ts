/** First packets: lengths, layout, versions and what is negotiated. */
import { describe, expect, it } from 'vitest';
import { GatewayError } from '../../src/errors.ts';
import { protocolVersions, requestCodes } from '../../src/wire/codes.ts';
import { encodeCancelRequest, encodeSSLRequest, encodeStartupMessage } from '../../src/wire/encode.ts';
import { decodeStartup, negotiate, readStartup } from '../../src/wire/startup.ts';

/** A packet with the length that belongs to it. */
function packet(code: number, body: Buffer | string = ''): Buffer {
	const raw = Buffer.concat([Buffer.alloc(8), Buffer.from(body as string, 'latin1')]);
	raw.writeInt32BE(raw.length, 0);
	raw.writeUInt32BE(code, 4);
	return raw;
}

const v3 = protocolVersions.v3_0;

const refused: { name: string; raw: Buffer; sqlstate?: string; want: RegExp }[] = [
	{ name: 'a length below 8', raw: Buffer.from([0, 0, 0, 7, 0, 3, 0, 0]), want: /invalid length of startup packet/ },
	{ name: 'a negative length', raw: Buffer.from([0xff, 0, 0, 0]), want: /invalid length of startup packet/ },
	{ name: 'a length beyond 10,000', raw: Buffer.from([0, 0, 0x27, 0x11]), want: /invalid length of startup packet/ },
	{ name: 'HTTP', raw: Buffer.from('GET / HTTP/1.1\r\n\r\n'), want: /invalid length of startup packet/ },
	{ name: 'a TLS ClientHello', raw: Buffer.from([0x16, 3, 1, 2, 0, 1]), want: /invalid length of startup packet/ },
	{ name: 'an SSLRequest that goes on', raw: packet(requestCodes.SSLRequest, 'x'), want: /length of SSLRequest/ },
	{
		name: 'a GSSENCRequest that goes on',
		raw: packet(requestCodes.GSSENCRequest, 'x'),
		want: /length of GSSENCRequest/,
	},
	{
		name: 'a CancelRequest without a key',
		raw: packet(requestCodes.CancelRequest, '\0\0\0\x01'),
		want: /CancelRequest/,
	},
	{ name: 'a cancel key of 3 bytes', raw: encodeCancelRequest(1, Buffer.alloc(3)), want: /length of CancelRequest/ },
	{
		name: 'a cancel key of 257 bytes',
		raw: encodeCancelRequest(1, Buffer.alloc(257)),
		want: /length of CancelRequest/,
	},
	{ name: 'protocol 2.0', raw: packet(0x0002_0000), sqlstate: '0A000', want: /unsupported frontend protocol 2\.0/ },
	{ name: 'protocol 4.1', raw: packet(0x0004_0001), sqlstate: '0A000', want: /unsupported frontend protocol 4\.1/ },
	{ name: 'no terminator at all', raw: packet(v3), want: /expected terminator as last byte/ },
	{ name: 'no terminator after the parameters', raw: packet(v3, 'user\0ana\0'), want: /expected terminator/ },
	{ name: 'a name without a value', raw: packet(v3, 'user\0'), want: /expected terminator/ },
	{ name: 'a value without a NUL', raw: packet(v3, 'user\0ana'), want: /expected terminator/ },
	{ name: 'bytes after the terminator', raw: packet(v3, 'user\0ana\0\0x'), want: /expected terminator/ },
	{ name: 'a user that is not UTF-8', raw: packet(v3, 'user\0\xff\0\0'), want: /not UTF-8/ },
];

describe('refused', () => {
	it.each(refused)('$name', ({ raw, sqlstate = '08P01', want }) => {
		let error: unknown = null;
		try {
			readStartup(raw);
		} catch (thrown) {
			error = thrown;
		}
		expect(error).toBeInstanceOf(GatewayError);
		expect(error).toMatchObject({ sqlstate, severity: 'FATAL' });
		expect((error as GatewayError).message).toMatch(want);
	});

	it('a packet whose length is not its own', () => {
		expect(() => decodeStartup(Buffer.concat([encodeSSLRequest(), Buffer.from('x')]))).toThrow(/invalid length/);
	});
});

describe('accepted', () => {
	it('keeps parameters in order, and the last value of one given twice', () => {
		const pairs = [
			['user', 'ana'],
			['database', 'shop'],
			['options', '-c search_path=hr'],
			['user', 'bob'],
		] as const;
		const message = decodeStartup(encodeStartupMessage(v3, pairs));
		expect(message.type === 'StartupMessage' && [...message.params]).toEqual([
			['user', 'bob'],
			['database', 'shop'],
			['options', '-c search_path=hr'],
		]);
	});

	it('tells what was sent behind an SSLRequest, so that it can be refused', () => {
		const read = readStartup(Buffer.concat([encodeSSLRequest(), packet(v3, 'user\0eve\0\0')]));
		expect(read?.message.type).toBe('SSLRequest');
		expect(read?.rest.length).toBeGreaterThan(0);
	});
});

const versions: { protocol: number; options: string[]; want: ReturnType<typeof negotiate> }[] = [
	{ protocol: 0x0003_0000, options: [], want: { protocol: v3, unrecognized: [], mustTell: false } },
	{ protocol: 0x0003_0001, options: [], want: { protocol: v3, unrecognized: [], mustTell: false } },
	{ protocol: 0x0003_0002, options: [], want: { protocol: protocolVersions.v3_2, unrecognized: [], mustTell: false } },
	{ protocol: 0x0003_0003, options: [], want: { protocol: protocolVersions.v3_2, unrecognized: [], mustTell: true } },
	{ protocol: 0x0003_270f, options: [], want: { protocol: protocolVersions.v3_2, unrecognized: [], mustTell: true } },
	{ protocol: v3, options: ['_pq_.x'], want: { protocol: v3, unrecognized: ['_pq_.x'], mustTell: true } },
];

describe('negotiation', () => {
	it.each(versions)('$protocol with $options', ({ protocol, options, want }) => {
		const params = new Map([['user', 'ana'], ...options.map((name) => [name, '1'] as const)]);
		expect(negotiate({ protocol, params })).toEqual(want);
	});
});
