/** Signed notes (C2SP signed-note) and checkpoints (C2SP tlog-checkpoint) with Ed25519 keys: write, read, verify. Does no I/O. */
import { createPrivateKey, createPublicKey, hash, sign, timingSafeEqual, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { type Hash, hashFromBase64, hashToBase64 } from './merkle.ts';

/** Says who is to blame: the text or the key that was given. */
export class NoteError extends Error {
	readonly code: 'ERR_NOTE_MALFORMED' | 'ERR_NOTE_KEY' | 'ERR_NOTE_SIGNATURE';

	constructor(code: NoteError['code'], message: string) {
		super(message);
		this.name = 'NoteError';
		this.code = code;
	}
}

/** Type byte of Ed25519 in signed-note. */
const ed25519 = 0x01;
/** DER before the 32 bytes of a raw key: SubjectPublicKeyInfo and PKCS#8 of Ed25519 (RFC 8410). */
const publicPrefix = Buffer.from('302a300506032b6570032100', 'hex');
const privatePrefix = Buffer.from('302e020100300506032b657004220420', 'hex');

/** A public key under the name that signatures are made with. */
export interface NoteVerifier {
	readonly name: string;
	readonly keyId: Buffer;
	readonly publicKey: KeyObject;
	/** `name+keyid+base64(type, key)`: what an outsider needs to check signatures. */
	readonly text: string;
}

export interface NoteSigner {
	readonly verifier: NoteVerifier;
	sign(message: string): Buffer;
}

function checkName(name: string): string {
	// signed-note: not empty, without white space or plus; controls would break the line that it stands on.
	if (name === '' || /[\s+\p{Cc}]/u.test(name)) {
		throw new NoteError(
			'ERR_NOTE_KEY',
			'the name of a checkpoint key must not be empty nor contain white space or "+"',
		);
	}
	return name;
}

function rawPublicKey(key: KeyObject): Buffer {
	return key.export({ format: 'der', type: 'spki' }).subarray(publicPrefix.length);
}

function makeVerifier(name: string, publicKey: KeyObject): NoteVerifier {
	if (publicKey.asymmetricKeyType !== 'ed25519') {
		throw new NoteError('ERR_NOTE_KEY', `the key must be an Ed25519 key, not ${publicKey.asymmetricKeyType}`);
	}
	const typed = Buffer.concat([Buffer.from([ed25519]), rawPublicKey(publicKey)]);
	const named = Buffer.concat([Buffer.from(`${checkName(name)}\n`), typed]);
	const keyId = Buffer.from(hash('sha256', named, 'hex'), 'hex').subarray(0, 4);
	return { name, keyId, publicKey, text: `${name}+${keyId.toString('hex')}+${typed.toString('base64')}` };
}

/**
 * Reads a public key: PEM, or the `name+keyid+key` of signed-note. `name` is used where the text has none (PEM).
 * Throws NoteError ERR_NOTE_KEY.
 */
export function parseVerifier(text: string, name: string): NoteVerifier {
	const trimmed = text.trim();
	if (trimmed.startsWith('-----BEGIN')) {
		let key: KeyObject;
		try {
			key = createPublicKey(trimmed);
		} catch {
			throw new NoteError('ERR_NOTE_KEY', 'the PEM text holds no public key');
		}
		return makeVerifier(name, key);
	}
	const match = /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})$/.exec(trimmed);
	const typed = Buffer.from(match?.[3] ?? '', 'base64');
	if (match?.[1] === undefined || typed.length !== 33 || typed[0] !== ed25519) {
		throw new NoteError('ERR_NOTE_KEY', 'a public key is PEM text or name+keyid+key with an Ed25519 key');
	}
	const der = Buffer.concat([publicPrefix, typed.subarray(1)]);
	const verifier = makeVerifier(match[1], createPublicKey({ key: der, format: 'der', type: 'spki' }));
	if (verifier.keyId.toString('hex') !== match[2]) {
		throw new NoteError('ERR_NOTE_KEY', `the key id of ${match[1]} does not fit its key`);
	}
	return verifier;
}

/**
 * Reads the public keys of a text, one after the other: a log may have had several. `names`: those that PEM keys may go by.
 * Throws NoteError ERR_NOTE_KEY, also when there is none.
 */
export function parseVerifiers(text: string, names: readonly string[]): NoteVerifier[] {
	const pem = text.match(/-----BEGIN [A-Z ]+-----[^-]*-----END [A-Z ]+-----/g);
	if (pem !== null) return pem.flatMap((block) => names.map((name) => parseVerifier(block, name)));
	const lines = text.split('\n').filter((line) => line.trim() !== '');
	if (lines.length === 0) throw new NoteError('ERR_NOTE_KEY', 'there is no public key');
	return lines.map((line) => parseVerifier(line, ''));
}

/**
 * Reads a private key: PEM (PKCS#8, e.g. from `openssl genpkey -algorithm ed25519`) or 32 bytes of seed as base64.
 * Errors never repeat the text. Throws NoteError ERR_NOTE_KEY.
 */
export function parseSigner(secret: string, name: string): NoteSigner {
	const trimmed = secret.trim();
	let key: KeyObject;
	try {
		const seed = Buffer.from(trimmed, 'base64');
		key = trimmed.startsWith('-----BEGIN')
			? createPrivateKey(trimmed)
			: createPrivateKey({ key: Buffer.concat([privatePrefix, seed]), format: 'der', type: 'pkcs8' });
		if (!trimmed.startsWith('-----BEGIN') && seed.length !== 32) throw new Error('length');
	} catch {
		throw new NoteError(
			'ERR_NOTE_KEY',
			'a checkpoint key is an Ed25519 private key: PKCS#8 PEM, or 32 bytes as base64',
		);
	}
	const verifier = makeVerifier(name, createPublicKey(key));
	return { verifier, sign: (message) => sign(null, Buffer.from(message), key) };
}

/** The note: text, an empty line, a signature line. `text` ends with a line feed. */
export function signNote(text: string, signer: NoteSigner): string {
	const signature = Buffer.concat([signer.verifier.keyId, signer.sign(text)]);
	return `${text}\n\u2014 ${signer.verifier.name} ${signature.toString('base64')}\n`;
}

export interface NoteSignature {
	readonly name: string;
	readonly keyId: Buffer;
	readonly signature: Buffer;
}

export interface Note {
	/** The signed text, with its last line feed. */
	readonly text: string;
	readonly signatures: readonly NoteSignature[];
}

/** Throws NoteError ERR_NOTE_MALFORMED. */
export function parseNote(note: string): Note {
	const malformed = (what: string) => new NoteError('ERR_NOTE_MALFORMED', `not a signed note: ${what}`);
	const gap = note.lastIndexOf('\n\n');
	if (gap < 0 || !note.endsWith('\n')) throw malformed('an empty line must stand between text and signatures');
	const lines = note.slice(gap + 2, -1).split('\n');
	const signatures = lines.map((line): NoteSignature => {
		const match = /^\u2014 ([^\s+]+) ([A-Za-z0-9+/]+={0,2})$/.exec(line);
		const bytes = Buffer.from(match?.[2] ?? '', 'base64');
		if (match?.[1] === undefined || bytes.length < 5) throw malformed('a signature line is "\u2014 name base64"');
		return { name: match[1], keyId: bytes.subarray(0, 4), signature: bytes.subarray(4) };
	});
	return { text: note.slice(0, gap + 1), signatures };
}

/** Throws NoteError ERR_NOTE_SIGNATURE unless the note carries a good signature of one of these keys. */
export function verifyNote(note: Note, verifiers: readonly NoteVerifier[]): void {
	for (const { name, keyId, signature } of note.signatures) {
		const verifier = verifiers.find((known) => known.name === name && timingSafeEqual(known.keyId, keyId));
		if (verifier === undefined) continue;
		if (verify(null, Buffer.from(note.text), verifier.publicKey, signature)) return;
		throw new NoteError('ERR_NOTE_SIGNATURE', `its signature by ${name} is wrong`);
	}
	const names = [...new Set(verifiers.map(({ name }) => name))].join(', ');
	throw new NoteError(
		'ERR_NOTE_SIGNATURE',
		`it is not signed by a key of ${names === '' ? 'anybody' : names} that is known`,
	);
}

/** The head of a log's tree: its first `size` records have this root. */
export interface Checkpoint {
	/** Name of the log. */
	readonly origin: string;
	readonly size: number;
	readonly root: Hash;
}

/** The text that is signed (C2SP tlog-checkpoint). */
export function checkpointText(checkpoint: Checkpoint): string {
	return `${checkpoint.origin}\n${checkpoint.size}\n${hashToBase64(checkpoint.root)}\n`;
}

/** Reads the text of a checkpoint; further lines (extensions) are allowed. Throws NoteError ERR_NOTE_MALFORMED. */
export function parseCheckpoint(text: string): Checkpoint {
	const [origin, size, root] = text.split('\n');
	const parsed = root === undefined ? null : hashFromBase64(root);
	if (!origin || size === undefined || !/^(0|[1-9][0-9]{0,14})$/.test(size) || parsed === null) {
		throw new NoteError('ERR_NOTE_MALFORMED', 'not a checkpoint: it has lines for origin, size and root hash');
	}
	return { origin, size: Number(size), root: parsed };
}
