/** Proofs of single records: made for each of them, and refused when any part is another. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { NoteError } from '../../src/audit/note.ts';
import { checkProof, proveRecord } from '../../src/audit/prove.ts';
import { leavesName, listSegments } from '../../src/audit/segment.ts';
import { decision, record } from './samples.ts';
import { accept, logText, openLog, records, success, testKey } from './support.ts';

async function makeLog(key: string | null): Promise<{ path: string; publicKey: string }> {
	const { log, path } = await openLog({ key, limits: { segmentBytesMax: 12_000 } });
	for (let n = 1; n <= 15; n += 1) {
		log.outcome(await accept(log, record({ decision: decision({ sql: `select ${n}` }) })), success);
	}
	await log.close();
	const header = records(path)[0]?.unmapped as { public_key: string };
	return { path, publicKey: header.public_key };
}

describe('a proof (C2SP tlog-proof)', () => {
	it('can be made for every record but the last checkpoint, and holds with the key alone', async () => {
		const { path, publicKey } = await makeLog(testKey);
		const lines = logText(path).trimEnd().split('\n');
		for (let sequence = 0; sequence < lines.length - 1; sequence += 1) {
			const proof = await proveRecord(path, sequence);
			expect(proof).toMatch(/^c2sp\.org\/tlog-proof@v1\nextra [A-Za-z0-9+/=]+\nindex \d+\n/);
			expect(checkProof(proof, publicKey)).toMatchObject({ sequence, record: lines[sequence], signed: true });
		}
		await expect(proveRecord(path, lines.length - 1)).rejects.toMatchObject({ code: 'ERR_PROVE_NO_CHECKPOINT' });
	});

	it('can be made without the leaf hashes, and for what is left after older segments are gone', async () => {
		const { path, publicKey } = await makeLog(testKey);
		const segments = listSegments(path);
		for (const { name } of segments) fs.rmSync(join(path, leavesName(name)));
		for (const { name } of segments.slice(0, 2)) fs.rmSync(join(path, name));
		const first = records(path)[0]?.metadata.sequence ?? 0;
		expect(first).toBeGreaterThan(5);
		for (const sequence of [first, first + 1, first + 4]) {
			expect(checkProof(await proveRecord(path, sequence), publicKey).sequence).toBe(sequence);
		}
		await expect(proveRecord(path, first - 1)).rejects.toMatchObject({ code: 'ERR_PROVE_NO_RECORD' });
	});

	it('of an unsigned log only says that record and checkpoint fit', async () => {
		const { path, publicKey } = await makeLog(null);
		expect(publicKey).toBeNull();
		expect(checkProof(await proveRecord(path, 3), null)).toMatchObject({ sequence: 3, signed: false });
	});

	it('is not made for a record that was changed', async () => {
		const { path } = await makeLog(testKey);
		const file = join(path, listSegments(path)[1]?.name ?? '');
		fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('ada@', 'eve@'));
		const changed = records(path).findIndex((line) => JSON.stringify(line).includes('eve@'));
		await expect(proveRecord(path, changed)).rejects.toMatchObject({ code: 'ERR_PROVE_DAMAGED' });
	});

	it('is refused when any part of it is another', async () => {
		const { path, publicKey } = await makeLog(testKey);
		const proof = await proveRecord(path, 7);
		const other = await proveRecord(path, 8);
		const extra = (text: string) => text.split('\n')[1] ?? '';
		const spoiled: readonly [string, string][] = [
			['another record', proof.replace(extra(proof), extra(other))],
			['another index', proof.replace('\nindex 7\n', '\nindex 6\n')],
			['one hash less', proof.replace(/(index 7\n).*\n/, '$1')],
			['one hash more', proof.replace(/(index 7\n)(.*\n)/, '$1$2$2')],
			['another size', proof.replace(/\n\n(.*)\n\d+\n/, '\n\n$1\n99\n')],
			['no record', proof.replace(/extra .*\n/, '')],
			['no first line', proof.slice(5)],
			['nothing', ''],
			['a cut end', proof.slice(0, -20)],
		];
		for (const [name, text] of spoiled) {
			let refused: unknown = null;
			try {
				checkProof(text, publicKey);
			} catch (error) {
				refused = error;
			}
			expect([name, refused instanceof NoteError]).toEqual([name, true]);
		}
	});
});
