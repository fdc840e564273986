/** Signed notes, checkpoints and keys, against another implementation and spoiled in every way. */
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { emptyRoot, leafHash } from '../../src/audit/merkle.ts';
import {
	checkpointText,
	NoteError,
	parseCheckpoint,
	parseNote,
	parseSigner,
	parseVerifier,
	parseVerifiers,
	signNote,
	verifyNote,
} from '../../src/audit/note.ts';
import { testKey } from './support.ts';

const codeOf = (run: () => unknown): string => {
	try {
		run();
		return 'none';
	} catch (error) {
		return error instanceof NoteError ? error.code : String(error);
	}
};

describe('C2SP signed-note', () => {
	// The example of golang.org/x/mod/sumdb/note, which the specification comes from.
	const goKey = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
	const goNote =
		'If you think cryptography is the answer to your problem,\n' +
		"then you don't know what your problem is.\n" +
		'\n' +
		'— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n';

	it('verifies a note made by another implementation', () => {
		expect(() => verifyNote(parseNote(goNote), [parseVerifier(goKey, '')])).not.toThrow();
	});

	it('makes the same key text as another implementation', () => {
		expect(parseVerifier(goKey, '').text).toBe(goKey);
	});

	const text = checkpointText({ origin: 'log.example/audit', size: 7, root: leafHash(Buffer.from('x')) });
	const signer = parseSigner(testKey, 'log.example/audit');
	const note = signNote(text, signer);

	it('signs what it verifies', () => {
		expect(() => verifyNote(parseNote(note), [signer.verifier])).not.toThrow();
		expect(parseCheckpoint(parseNote(note).text)).toEqual({
			origin: 'log.example/audit',
			size: 7,
			root: leafHash(Buffer.from('x')),
		});
	});

	const spoiled: readonly { name: string; note: string; want: string }[] = [
		{ name: 'another size', note: note.replace('\n7\n', '\n8\n'), want: 'ERR_NOTE_SIGNATURE' },
		{
			name: 'another origin',
			note: note.replace('log.example/audit\n7', 'log.example/other\n7'),
			want: 'ERR_NOTE_SIGNATURE',
		},
		{ name: 'another signer name', note: note.replace('— log.example/audit', '— eve'), want: 'ERR_NOTE_SIGNATURE' },
		{ name: 'a cut signature', note: `${note.slice(0, -12)}\n`, want: 'ERR_NOTE_SIGNATURE' },
		{ name: 'no signature', note: text, want: 'ERR_NOTE_MALFORMED' },
		{ name: 'no line end', note: note.trimEnd(), want: 'ERR_NOTE_MALFORMED' },
		{ name: 'nothing', note: '', want: 'ERR_NOTE_MALFORMED' },
	];
	it.each(spoiled)('refuses $name', ({ note: bad, want }) => {
		expect(codeOf(() => verifyNote(parseNote(bad), [signer.verifier]))).toBe(want);
	});

	it('refuses every flipped bit of a signature', () => {
		const at = note.lastIndexOf(' ') + 1;
		const bytes = Buffer.from(note.slice(at), 'base64');
		for (let bit = 0; bit < bytes.length * 8; bit += 7) {
			const flipped = Buffer.from(bytes);
			flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
			const bad = `${note.slice(0, at)}${flipped.toString('base64')}\n`;
			expect(codeOf(() => verifyNote(parseNote(bad), [signer.verifier]))).toBe('ERR_NOTE_SIGNATURE');
		}
	});
});

describe('keys', () => {
	const { privateKey, publicKey } = generateKeyPairSync('ed25519');
	const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
	const privatePem = privateKey.export({ format: 'pem', type: 'pkcs8' });
	const publicPem = publicKey.export({ format: 'pem', type: 'spki' });

	it('come as PEM or as the text of signed-note', () => {
		const signer = parseSigner(privatePem.toString(), 'n');
		const note = parseNote(signNote('text\n', signer));
		expect(() => verifyNote(note, [parseVerifier(publicPem.toString(), 'n')])).not.toThrow();
		expect(() => verifyNote(note, [parseVerifier(signer.verifier.text, 'ignored')])).not.toThrow();
	});

	const bad: readonly { name: string; run: () => unknown }[] = [
		{
			name: 'RSA private',
			run: () => parseSigner(rsa.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(), 'n'),
		},
		{
			name: 'RSA public',
			run: () => parseVerifier(rsa.publicKey.export({ format: 'pem', type: 'spki' }).toString(), 'n'),
		},
		{ name: 'short seed', run: () => parseSigner('AAAA', 'n') },
		{ name: 'long seed', run: () => parseSigner(Buffer.alloc(33).toString('base64'), 'n') },
		{ name: 'empty', run: () => parseSigner('', 'n') },
		{ name: 'a name with a space', run: () => parseSigner(testKey, 'a b') },
		{ name: 'a name with a plus', run: () => parseSigner(testKey, 'a+b') },
		{ name: 'an empty name', run: () => parseSigner(testKey, '') },
		{
			name: 'a key id that does not fit',
			run: () => parseVerifier('PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW', ''),
		},
		{ name: 'words', run: () => parseVerifier('hello', 'n') },
		{ name: 'broken PEM', run: () => parseVerifier('-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----', 'n') },
	];
	it.each(bad)('refuses $name', ({ run }) => {
		expect(codeOf(run)).toBe('ERR_NOTE_KEY');
	});

	it('can be several in one text', () => {
		const other = generateKeyPairSync('ed25519').publicKey.export({ format: 'pem', type: 'spki' });
		expect(parseVerifiers(`${publicPem.toString()}\n${other.toString()}`, ['a', 'b'])).toHaveLength(4);
		const texts = ['a', 'b'].map((name) => parseSigner(testKey, name).verifier.text);
		expect(parseVerifiers(`${texts.join('\n')}\n`, []).map((verifier) => verifier.text)).toEqual(texts);
		expect(codeOf(() => parseVerifiers('\n', ['a']))).toBe('ERR_NOTE_KEY');
	});

	it('that openssl makes will do', ({ skip }) => {
		let pem: string;
		try {
			pem = execFileSync('openssl', ['genpkey', '-algorithm', 'ed25519'], {
				encoding: 'utf8',
				stdio: ['ignore', 'pipe', 'ignore'],
			});
		} catch {
			return skip('openssl is not installed');
		}
		expect(parseSigner(pem, 'n').verifier.text).toMatch(/^n\+[0-9a-f]{8}\+/);
	});
});

describe('C2SP tlog-checkpoint', () => {
	const root = emptyRoot;
	const good = checkpointText({ origin: 'o', size: 0, root });
	const rows: readonly { name: string; text: string; ok: boolean }[] = [
		{ name: 'as written', text: good, ok: true },
		{ name: 'with an extension line', text: `${good}extension\n`, ok: true },
		{ name: 'a size with a leading zero', text: good.replace('\n0\n', '\n00\n'), ok: false },
		{ name: 'a negative size', text: good.replace('\n0\n', '\n-1\n'), ok: false },
		{ name: 'a size beyond safe integers', text: good.replace('\n0\n', '\n99999999999999999999\n'), ok: false },
		{ name: 'a short root', text: 'o\n1\nAAAA\n', ok: false },
		{ name: 'no origin', text: good.slice(1), ok: false },
		{ name: 'nothing', text: '', ok: false },
	];
	it.each(rows)('$name', ({ text, ok }) => {
		expect(codeOf(() => parseCheckpoint(text))).toBe(ok ? 'none' : 'ERR_NOTE_MALFORMED');
	});
});
