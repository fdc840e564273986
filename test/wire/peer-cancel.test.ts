/** Cancel requests between gateways: what goes in comes out, and nothing else is taken for one. */
import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { encodeForwardedCancel, type ForwardedCancel, readForwardedCancel } from '../../src/wire/peer-cancel.ts';
import { decodeStartup } from '../../src/wire/startup.ts';

function cancelOf(forwarded: ForwardedCancel): { readonly pid: number; readonly key: Buffer } {
	const message = decodeStartup(encodeForwardedCancel(forwarded));
	if (message.type !== 'CancelRequest') throw new Error(`a ${message.type}`);
	return message;
}

const forwarded = { pid: 4711, key: randomBytes(32), clientAddress: '192.0.2.7', clientPort: 50_123 };

describe('a forwarded cancel request', () => {
	test.each([
		{ name: 'protocol 3.2', ...forwarded },
		{ name: 'protocol 3.0', ...forwarded, key: randomBytes(4) },
		{ name: 'a negative pid', ...forwarded, pid: -1 },
		{ name: 'IPv6', ...forwarded, clientAddress: '2001:db8:1111:2222:3333:4444:255.255.255.255' },
		{ name: 'from nowhere known', ...forwarded, clientAddress: '', clientPort: 0 },
	])('is read as it was written: $name', ({ name: _name, ...one }) => {
		const { pid, key } = cancelOf(one);
		expect(readForwardedCancel(pid, key)).toEqual(one);
	});

	test('says nothing of an address that is none', () => {
		for (const clientAddress of ['<script>', 'a\nb', '1'.repeat(46)]) {
			const { pid, key } = cancelOf({ ...forwarded, clientAddress });
			expect(readForwardedCancel(pid, key)?.clientAddress).toBe('');
		}
	});

	test('is made of keys that gateways give out alone', () => {
		for (const bytes of [0, 3, 5, 31, 33, 256])
			expect(() => encodeForwardedCancel({ ...forwarded, key: Buffer.alloc(bytes) })).toThrow(RangeError);
	});
});

describe('what is none', () => {
	const { pid, key } = cancelOf(forwarded);

	test('keys of every length that a client may send', () => {
		for (let bytes = 4; bytes <= 256; bytes += 1) expect(readForwardedCancel(pid, randomBytes(bytes))).toBeNull();
	});

	test('the mark with anything but a whole request behind it', () => {
		for (let end = 0; end < key.length; end += 1) {
			// Cut so that four bytes of the key are left, it is a request with that key.
			if (end === key.length - 28) continue;
			expect([end, readForwardedCancel(pid, key.subarray(0, end))]).toEqual([end, null]);
		}
		expect(readForwardedCancel(pid, Buffer.concat([key, Buffer.alloc(1)]))).toBeNull();
	});

	test('a length of the address that leads out of it, and an address of other characters', () => {
		const at = 16;
		for (const length of [0, 8, 10, 46, 255]) {
			const other = Buffer.from(key);
			other[at] = length;
			expect(readForwardedCancel(pid, other)).toBeNull();
		}
		const other = Buffer.from(key);
		other.write('<', at + 1);
		expect(readForwardedCancel(pid, other)).toBeNull();
	});
});
