/** SCRAM-SHA-256 verifiers as PostgreSQL stores them in pg_authid: parsed, made, and the keys behind them (RFC 5802, section 3). */
import { createHash, createHmac, pbkdf2, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import saslprep from '@mongodb-js/saslprep';
import { AUTH_LIMITS } from './limits.ts';

const pbkdf2Async = promisify(pbkdf2);

/** Bytes of SHA-256, and so of every SCRAM key. */
export const SCRAM_KEY_BYTES = 32;

export interface ScramVerifier {
	readonly iterations: number;
	readonly salt: Buffer;
	readonly storedKey: Buffer;
	readonly serverKey: Buffer;
}

const VERIFIER = /^SCRAM-SHA-256\$([1-9][0-9]{0,9}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)$/;

/**
 * Reads `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>` (base64, as in pg_authid.rolpassword).
 * Null when it is not one; the caller says where it stood, and does not print it.
 */
export function parseVerifier(text: string): ScramVerifier | null {
	const match = VERIFIER.exec(text);
	if (match === null) return null;
	const iterations = Number(match[1]);
	const salt = decodeBase64(match[2] ?? '');
	const storedKey = decodeBase64(match[3] ?? '');
	const serverKey = decodeBase64(match[4] ?? '');
	if (iterations > 0x7fffffff || salt === null || salt.length === 0) return null;
	if (storedKey?.length !== SCRAM_KEY_BYTES || serverKey?.length !== SCRAM_KEY_BYTES) return null;
	return { iterations, salt, storedKey, serverKey };
}

export function formatVerifier(verifier: ScramVerifier): string {
	const b64 = (bytes: Buffer): string => bytes.toString('base64');
	const { iterations, salt, storedKey, serverKey } = verifier;
	return `SCRAM-SHA-256$${iterations}:${b64(salt)}$${b64(storedKey)}:${b64(serverKey)}`;
}

/**
 * Makes the verifier of a password, for `portcullis hash-password`.
 * Throws RangeError for an empty password or one over AUTH_LIMITS.passwordBytesMax.
 */
export async function makeVerifier(
	password: string,
	options: { readonly iterations?: number; readonly salt?: Buffer } = {},
): Promise<ScramVerifier> {
	if (password === '') throw new RangeError('the password is empty');
	if (Buffer.byteLength(password) > AUTH_LIMITS.passwordBytesMax) {
		throw new RangeError(`the password is longer than ${AUTH_LIMITS.passwordBytesMax} bytes`);
	}
	const salt = options.salt ?? randomBytes(AUTH_LIMITS.scramSaltBytes);
	const iterations = options.iterations ?? AUTH_LIMITS.scramIterationsDefault;
	const keys = await scramKeys(password, salt, iterations);
	return { iterations, salt, storedKey: sha256(keys.clientKey), serverKey: keys.serverKey };
}

/** ClientKey and ServerKey of RFC 5802, section 3. */
export interface ScramKeys {
	readonly clientKey: Buffer;
	readonly serverKey: Buffer;
}

/** The rounds run in the thread pool. */
export async function scramKeys(password: string, salt: Buffer, iterations: number): Promise<ScramKeys> {
	const salted = await pbkdf2Async(preparePassword(password), salt, iterations, SCRAM_KEY_BYTES, 'sha256');
	return { clientKey: hmac(salted, 'Client Key'), serverKey: hmac(salted, 'Server Key') };
}

/** SASLprep (RFC 4013); a password that it refuses is used as it is, as PostgreSQL and libpq do. */
export function preparePassword(password: string): string {
	try {
		return saslprep(password);
	} catch {
		return password;
	}
}

export function hmac(key: Buffer, data: string | Buffer): Buffer {
	return createHmac('sha256', key).update(data).digest();
}

export function sha256(data: Buffer): Buffer {
	return createHash('sha256').update(data).digest();
}

/** Strict base64 (RFC 4648, padded); null for anything that does not encode back to the same text. */
export function decodeBase64(text: string): Buffer | null {
	const bytes = Buffer.from(text, 'base64');
	return bytes.toString('base64') === text ? bytes : null;
}
