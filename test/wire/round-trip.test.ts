/** Every message of the protocol there and back: decode(encode(fields)) is the fields, encode(decode(bytes)) the bytes. */
import fc, { type Arbitrary } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GatewayError } from '../../src/errors.ts';
import { decodeBackend } from '../../src/wire/backend.ts';
import { encodeBackend, encodeFrontend, encodeStartup } from '../../src/wire/encode.ts';
import { decodeFrontend } from '../../src/wire/frontend.ts';
import { decodeStartup, readStartup } from '../../src/wire/startup.ts';
import { backendKinds, frontendKinds, startupKinds } from './arbitraries.ts';

/** Both ways round for random fields; every proper prefix and every byte too many is refused with a GatewayError. */
function check<Fields extends { readonly type: string }>(
	fields: Arbitrary<Fields>,
	encode: (message: Fields) => Buffer,
	decode: (raw: Buffer) => Fields & { readonly raw: Buffer },
): void {
	fc.assert(
		fc.property(fields, (message) => {
			const raw = encode(message);
			const decoded = decode(raw);
			expect(decoded.raw).toBe(raw);
			expect(decoded).toEqual({ ...message, raw });
			expect(encode(decoded).equals(raw)).toBe(true);
		}),
		{ numRuns: 200 },
	);
}

describe('frontend messages', () => {
	it.each(frontendKinds)('%s', (_name, fields) => {
		check(fields, encodeFrontend, decodeFrontend);
	});
});

describe('backend messages', () => {
	it.each(backendKinds)('%s', (_name, fields) => {
		check(fields, encodeBackend, decodeBackend);
	});
});

describe('first packets', () => {
	it.each(startupKinds)('%s', (_name, fields) => {
		check(fields, encodeStartup, decodeStartup);
	});

	it.each(startupKinds)('%s in pieces: nothing before its last byte, and what follows is kept', (_name, fields) => {
		fc.assert(
			fc.property(fields, fc.uint8Array({ maxLength: 9 }), (message, after) => {
				const raw = encodeStartup(message);
				for (let length = 0; length < raw.length; length++) expect(readStartup(raw.subarray(0, length))).toBeNull();
				const read = readStartup(Buffer.concat([raw, after]));
				expect(read?.message).toEqual({ ...message, raw });
				expect(read?.rest).toEqual(Buffer.from(after));
			}),
			{ numRuns: 30 },
		);
	});
});

describe('a body that is cut short or goes on too long is refused, never misread', () => {
	// The bodies of these are bytes of any length: a shorter one is another message, not a broken one.
	const anyLength = /^(CopyData|Password|Authentication(GSSContinue|SASLContinue|SASLFinal)|BackendKeyData)$/;

	it.each(frontendKinds.filter(([name]) => !anyLength.test(name)))('frontend %s', (_name, fields) => {
		fc.assert(
			fc.property(fields, (message) => {
				checkCuts(encodeFrontend(message), decodeFrontend);
			}),
			{ numRuns: 20 },
		);
	});

	it.each(backendKinds.filter(([name]) => !anyLength.test(name)))('backend %s', (_name, fields) => {
		fc.assert(
			fc.property(fields, (message) => {
				checkCuts(encodeBackend(message), decodeBackend);
			}),
			{ numRuns: 20 },
		);
	});
});

/** Every proper prefix of the body with a length that fits it, and one byte more. */
function checkCuts(raw: Buffer, decode: (raw: Buffer) => unknown): void {
	for (let length = 5; length < raw.length; length++) expectProtocolError(() => decode(resized(raw, length)));
	expectProtocolError(() => decode(resized(raw, raw.length + 1)));
}

function resized(raw: Buffer, length: number): Buffer {
	const copy = Buffer.alloc(length, 0x41);
	raw.copy(copy, 0, 0, Math.min(length, raw.length));
	copy.writeInt32BE(length - 1, 1);
	return copy;
}

function expectProtocolError(run: () => unknown): void {
	try {
		run();
	} catch (error) {
		expect(error).toBeInstanceOf(GatewayError);
		expect((error as GatewayError).sqlstate).toMatch(/^(08P01|22021)$/);
		return;
	}
	expect.fail('accepted');
}
