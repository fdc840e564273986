/** Secrets that are fresh in every run, and a finder that sees them in received bytes however they are written. */
import { createHash, randomBytes, randomInt } from 'node:crypto';
import type { Backend } from '../../src/wire/backend.ts';

/** Where a secret stands and what it is. */
export interface Secret {
	/** E.g. `people.ssn of 101`. */
	readonly place: string;
	readonly kind: 'text' | 'number' | 'decimal' | 'date' | 'bytes' | 'uuid';
	/** As PostgreSQL prints it; hex for bytes. */
	readonly text: string;
}

const LETTERS = 'abcdefghjkmnpqrstvwxyz';
const DIGITS = '23456789';

/** Letters and digits without a meaning to SQL, LIKE or regular expressions; begins with a letter. */
export function randomWord(length: number): string {
	let word = LETTERS[randomInt(LETTERS.length)] ?? 'q';
	const all = LETTERS + DIGITS;
	while (word.length < length) word += all[randomInt(all.length)];
	return word;
}

/** A number of exactly so many digits. */
export function randomNumber(digits: number): bigint {
	let text = String(randomInt(1, 10));
	while (text.length < digits) text += String(randomInt(10));
	return BigInt(text);
}

/** Between 1950 and 1999 and not in January, so that no mask by year gives the date itself. */
export function randomDate(): string {
	const two = (value: number): string => String(value).padStart(2, '0');
	return `${randomInt(1950, 2000)}-${two(randomInt(2, 13))}-${two(randomInt(2, 29))}`;
}

/** Shortest run of bytes that counts as a find. */
const RUN = 6;

export class SecretFinder {
	/** Patterns by their first six bytes; ASCII letters are lower case in patterns and in what is searched. */
	readonly #patterns = new Map<string, { bytes: Buffer; label: string }[]>();
	/** Values of binary cells too short to be looked for anywhere: hex of the whole cell. */
	readonly #cells = new Map<string, string>();

	constructor(secrets: Iterable<Secret>) {
		for (const secret of secrets) this.#learn(secret);
	}

	/** Labels of the secrets that are in the bytes or, as a whole cell, in the messages; each once. */
	find(bytes: Buffer, messages: readonly Backend[] = []): string[] {
		const found = new Set<string>();
		const text = lower(bytes);
		const keys = text.toString('latin1');
		for (let at = 0; at + RUN <= text.length; at += 1) {
			const candidates = this.#patterns.get(keys.slice(at, at + RUN));
			if (candidates === undefined) continue;
			for (const { bytes: pattern, label } of candidates) {
				if (text.subarray(at, at + pattern.length).equals(pattern)) found.add(label);
			}
		}
		for (const message of messages) {
			if (message.type === 'DataRow') this.#cellsOf(message.values, found);
			else if (message.type === 'FunctionCallResponse') this.#cellsOf([message.value], found);
		}
		return [...found];
	}

	#cellsOf(values: readonly (Buffer | null)[], found: Set<string>): void {
		for (const value of values) {
			if (value === null || value.length > 16) continue;
			const label = this.#cells.get(value.toString('hex'));
			if (label !== undefined) found.add(label);
		}
	}

	#learn(secret: Secret): void {
		for (const { text, how } of writings(secret)) this.#add(Buffer.from(text), `${secret.place} (${how})`);
		for (const { bytes, how } of binaries(secret)) {
			const label = `${secret.place} (${how})`;
			if (bytes.length >= RUN) this.#add(bytes, label);
			else this.#cells.set(bytes.toString('hex'), label);
		}
	}

	#add(bytes: Buffer, label: string): void {
		if (bytes.length < RUN) throw new Error(`too short to be looked for: ${label}`);
		const pattern = lower(bytes);
		const key = pattern.toString('latin1', 0, RUN);
		const list = this.#patterns.get(key) ?? [];
		if (list.length === 0) this.#patterns.set(key, list);
		list.push({ bytes: pattern, label });
	}
}

/** ASCII letters in lower case, byte for byte. */
function lower(bytes: Buffer): Buffer {
	const copy = Buffer.from(bytes);
	for (let at = 0; at < copy.length; at += 1) {
		const byte = copy[at] as number;
		if (byte >= 0x41 && byte <= 0x5a) copy[at] = byte + 0x20;
	}
	return copy;
}

function* writings(secret: Secret): Generator<{ text: string; how: string }> {
	const { text, kind } = secret;
	yield { text, how: 'as it is' };
	yield { text: reverse(text), how: 'reversed' };
	const bytes = kind === 'bytes' ? Buffer.from(text, 'hex') : Buffer.from(text);
	yield* encodings(bytes);
	yield { text: [...bytes].join(','), how: 'byte values' };
	switch (kind) {
		case 'text':
			yield* parts(text);
			yield { text: [...text].join(','), how: 'characters, comma' };
			yield { text: [...text].join(', '), how: 'characters, comma and space' };
			yield { text: [...text].join('\n'), how: 'characters, lines' };
			yield { text: [...text].join(' '), how: 'characters, spaces' };
			return;
		case 'date': {
			const [year, month, day] = text.split('-');
			yield { text: `${month}/${day}/${year}`, how: 'as month/day/year' };
			yield { text: `${day}/${month}/${year}`, how: 'as day/month/year' };
			yield { text: `${month}-${day}-${year}`, how: 'as month-day-year' };
			yield { text: `${day}-${month}-${year}`, how: 'as day-month-year' };
			yield { text: `${day}.${month}.${year}`, how: 'as day.month.year' };
			return;
		}
		case 'uuid':
			yield { text: text.replaceAll('-', ''), how: 'without dashes' };
			return;
		case 'bytes':
			yield { text: text.slice(0, 16), how: 'first half' };
			yield { text: text.slice(-16), how: 'last half' };
			yield { text: escapeFormat(bytes), how: 'bytea escapes' };
			return;
		case 'number':
		case 'decimal':
			if (text.length >= 12) yield { text: text.slice(0, 8), how: 'first digits' };
			return;
	}
}

/** Encodings that hold a value as a whole, and hashes of it, which tell a guesser as much. */
function* encodings(bytes: Buffer): Generator<{ text: string; how: string }> {
	yield { text: bytes.toString('hex'), how: 'hex' };
	yield { text: bytes.toString('base64').replace(/=+$/, ''), how: 'base64' };
	yield { text: bytes.toString('latin1').split('').join('\0'), how: 'utf16' };
	for (const hash of ['md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512']) {
		const digest = createHash(hash).update(bytes).digest('hex');
		yield { text: digest, how: hash };
	}
	yield { text: createHash('sha256').update(bytes).digest().toString('latin1'), how: 'sha256 as text' };
}

/** Runs of at least eight characters: the halves, the middle, and overlapping pieces between. */
function* parts(text: string): Generator<{ text: string; how: string }> {
	const length = 8;
	if (text.length < 2 * length) return;
	for (let at = 0; at + length <= text.length; at += 4)
		yield { text: text.slice(at, at + length), how: `part at ${at}` };
	yield { text: text.slice(-length), how: 'last part' };
}

function* binaries({ text, kind }: Secret): Generator<{ bytes: Buffer; how: string }> {
	switch (kind) {
		case 'text':
			return;
		case 'bytes':
			yield { bytes: Buffer.from(text, 'hex'), how: 'bytes' };
			return;
		case 'uuid':
			yield { bytes: Buffer.from(text.replaceAll('-', ''), 'hex'), how: 'binary uuid' };
			return;
		case 'date': {
			const days = Math.round((Date.parse(`${text}T00:00:00Z`) - Date.UTC(2000, 0, 1)) / 86_400_000);
			const int4 = Buffer.alloc(4);
			int4.writeInt32BE(days);
			yield { bytes: int4, how: 'binary date' };
			return;
		}
		case 'number':
			yield* binaryIntegers(BigInt(text));
			yield { bytes: binaryNumeric(text), how: 'binary numeric' };
			return;
		case 'decimal':
			yield* binaryFloat(Number(text));
			yield { bytes: binaryNumeric(text), how: 'binary numeric' };
			return;
	}
}

function* binaryIntegers(value: bigint): Generator<{ bytes: Buffer; how: string }> {
	const int8 = Buffer.alloc(8);
	int8.writeBigInt64BE(value);
	yield { bytes: int8, how: 'binary int8' };
	yield* binaryFloat(Number(value));
	if (value > 0x7fff_ffffn) return;
	const int4 = Buffer.alloc(4);
	int4.writeInt32BE(Number(value));
	yield { bytes: int4, how: 'binary int4' };
}

function* binaryFloat(value: number): Generator<{ bytes: Buffer; how: string }> {
	const float8 = Buffer.alloc(8);
	float8.writeDoubleBE(value);
	yield { bytes: float8, how: 'binary float8' };
}

/** Digits to base 10,000 as numeric_send writes them, without the header (weight and scale may differ). */
function binaryNumeric(text: string): Buffer {
	const [whole = '', fraction = ''] = text.split('.');
	const padded =
		whole.padStart(Math.ceil(whole.length / 4) * 4, '0') + fraction.padEnd(Math.ceil(fraction.length / 4) * 4, '0');
	const digits = padded.match(/\d{4}/g) ?? [];
	const bytes = Buffer.alloc(digits.length * 2);
	for (const [at, digit] of digits.entries()) bytes.writeInt16BE(Number(digit), at * 2);
	return bytes;
}

/** bytea_output = escape. */
function escapeFormat(bytes: Buffer): string {
	let text = '';
	for (const byte of bytes) {
		if (byte === 0x5c) text += '\\\\';
		else if (byte < 0x20 || byte > 0x7e) text += `\\${byte.toString(8).padStart(3, '0')}`;
		else text += String.fromCharCode(byte);
	}
	return text;
}

function reverse(text: string): string {
	return [...text].reverse().join('');
}

/** Random bytes in hex. */
export function randomHex(bytes: number): string {
	return randomBytes(bytes).toString('hex');
}
