/** The tamper table: each kind of manipulation, and whether verifying finds it and names the record. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { AuditLog } from '../../src/audit/log.ts';
import { hashToBytes, leafHash } from '../../src/audit/merkle.ts';
import { parseSigner } from '../../src/audit/note.ts';
import { leavesName, listSegments } from '../../src/audit/segment.ts';
import { type Finding, verifyLog } from '../../src/audit/verify.ts';
import { decision, record } from './samples.ts';
import { accept, openLog, records, success, temporaryDirectory, testKey } from './support.ts';

/** Files of a log with several segments and two runs; `checkpoint` is the last one, as it would be kept elsewhere. */
interface Sample {
	readonly files: ReadonlyMap<string, Buffer>;
	readonly checkpoint: string;
	readonly size: number;
}

async function makeSample(key: string | null): Promise<Sample> {
	const path = fs.mkdtempSync(join(os.tmpdir(), 'portcullis-audit-'));
	try {
		const log = await AuditLog.open({ path, durability: 'os', key, limits: { segmentBytesMax: 12_000 } });
		for (let n = 1; n <= 20; n += 1) {
			const sql = `select ${n}`;
			log.outcome(await accept(log, record({ statement: n, decision: decision({ sql, rewritten: sql }) })), success);
		}
		await log.close();
		const again = await AuditLog.open({ path, durability: 'os', key });
		await accept(again, record());
		await again.close();
		const files = new Map(fs.readdirSync(path).map((name) => [name, fs.readFileSync(join(path, name))]));
		return { files, checkpoint: files.get('checkpoint')?.toString() ?? '', size: records(path).length };
	} finally {
		fs.rmSync(path, { recursive: true });
	}
}

function copyOf(sample: Sample): string {
	const path = temporaryDirectory();
	for (const [name, bytes] of sample.files) fs.writeFileSync(join(path, name), bytes);
	return path;
}

/** Rewrites the lines of segment `number`. */
function edit(path: string, number: number, change: (lines: string[]) => string[]): void {
	const segment = listSegments(path).find((candidate) => candidate.number === number);
	if (segment === undefined) throw new Error(`no segment ${number}`);
	const file = join(path, segment.name);
	const before = fs.readFileSync(file, 'utf8');
	const after = change(before.trimEnd().split('\n')).map((line) => `${line}\n`);
	if (after.join('') === before) throw new Error('nothing was changed');
	fs.writeFileSync(file, after.join(''));
}

/** What a careful forger does as well: makes the leaf hashes beside the segment fit. */
function forgeLeaves(path: string): void {
	for (const segment of listSegments(path)) {
		const lines = fs.readFileSync(join(path, segment.name), 'utf8').trimEnd().split('\n');
		const leaves = lines.map((line) => hashToBytes(leafHash(Buffer.from(line))));
		fs.writeFileSync(join(path, leavesName(segment.name)), Buffer.concat(leaves));
	}
}

const replaced = (lines: string[], index: number, by: (line: string) => string) =>
	lines.map((line, at) => (at === index ? by(line) : line));
const brief = (findings: readonly Finding[]) =>
	findings.map(({ kind, records: range }) => (range === null ? kind : `${kind} ${range.join('-')}`));

let signed: Sample;
let unsigned: Sample;
beforeAll(async () => {
	signed = await makeSample(testKey);
	unsigned = await makeSample(null);
});

describe('a log as it was written', () => {
	it("verifies, with the key, with the log's own word for it, and without any", async () => {
		const publicKey = publicKeyOf(signed);
		const path = copyOf(signed);
		const report = await verifyLog(path, { publicKey, checkpoint: signed.checkpoint });
		expect(report).toMatchObject({ ok: true, findings: [], first: 0, size: signed.size, key: 'given' });
		expect(report.segments).toBeGreaterThan(3);
		expect(report.signed).toBe(report.checkpoints);
		// Everything but the last checkpoint's own record.
		expect(report.covered).toBe(signed.size - 1);
		expect(await verifyLog(path)).toMatchObject({ ok: true, key: 'from the log' });
		expect(await verifyLog(copyOf(unsigned))).toMatchObject({
			ok: true,
			key: 'none',
			signed: 0,
			covered: unsigned.size - 1,
		});
	});

	it('verifies while it is written, and compressed', async () => {
		const { log, path } = await openLog({ key: testKey });
		for (let n = 0; n < 10; n += 1) await accept(log, record());
		expect(await verifyLog(path)).toMatchObject({ ok: true, size: 12 });
		const packed = copyOf(signed);
		for (const { name } of listSegments(packed).slice(0, 2)) {
			fs.writeFileSync(join(packed, `${name}.gz`), gzipSync(fs.readFileSync(join(packed, name))));
			fs.rmSync(join(packed, name));
		}
		expect(await verifyLog(packed, { checkpoint: signed.checkpoint })).toMatchObject({ ok: true, size: signed.size });
	});

	it('verifies without the leaf hashes: they only serve to say which record it was', async () => {
		const path = copyOf(signed);
		for (const name of fs.readdirSync(path)) if (name.endsWith('.leaves')) fs.rmSync(join(path, name));
		expect(await verifyLog(path)).toMatchObject({ ok: true });
	});

	it("verifies over a change of key and of name, with both keys or the log's own word for them", async () => {
		const keys = [testKey, Buffer.alloc(32, 9).toString('base64')];
		const { log, path } = await openLog({ key: keys[0] ?? '', origin: 'first' });
		await accept(log, record());
		await log.close();
		const again = await openLog({ path, key: keys[1] ?? '', origin: 'second' });
		await accept(again.log, record());
		await again.log.close();
		const checkpoint = fs.readFileSync(join(path, 'checkpoint'), 'utf8');
		const publicKeys = keys.map((key, index) => parseSigner(key, ['first', 'second'][index] ?? '').verifier.text);
		expect(await verifyLog(path)).toMatchObject({ ok: true, signed: 2, origin: 'second' });
		expect(await verifyLog(path, { publicKey: publicKeys.join('\n'), checkpoint })).toMatchObject({
			ok: true,
			signed: 2,
		});
		expect((await verifyLog(path, { publicKey: publicKeys[1] ?? '' })).findings).toMatchObject([
			{ kind: 'checkpoint', line: 5 },
		]);
	});

	it('that is empty is no failure', async () => {
		expect(await verifyLog(temporaryDirectory())).toMatchObject({ ok: true, size: 0, origin: null });
	});
});

function publicKeyOf(sample: Sample): string {
	const header = JSON.parse(
		[...sample.files.values()]
			.map(String)
			.find((text) => text.includes('"segment"'))
			?.split('\n')[0] ?? '',
	) as {
		unmapped: { public_key: string };
	};
	return header.unmapped.public_key;
}

/** Sequence of the header of segment 2, and so on: computed, for the numbers below depend on the length of records. */
function firstOf(sample: Sample, number: number): number {
	const path = copyOf(sample);
	const name = listSegments(path).find((segment) => segment.number === number)?.name ?? '';
	return (
		JSON.parse(fs.readFileSync(join(path, name), 'utf8').split('\n')[0] ?? '') as { metadata: { sequence: number } }
	).metadata.sequence;
}

interface Tampering {
	readonly name: string;
	readonly tamper: (path: string) => void;
	/** With the leaf hashes as they were. */
	readonly want: (start: number) => string[];
	/** With the leaf hashes forged to fit: the interval is known, the record is not. */
	readonly wantForged?: RegExp;
}

const tamperings: readonly Tampering[] = [
	{
		name: 'one character of a record',
		tamper: (path) => edit(path, 2, (lines) => replaced(lines, 3, (line) => line.replace('ada@', 'eve@'))),
		want: (start) => [`changed ${start + 3}-${start + 3}`],
		wantForged: /altered/,
	},
	{
		name: 'two records',
		tamper: (path) =>
			edit(path, 2, (lines) =>
				replaced(
					replaced(lines, 2, (line) => `${line} `),
					4,
					(line) => line.replace('time', 'tyme'),
				),
			),
		want: (start) => [`changed ${start + 2}-${start + 2}`, `changed ${start + 4}-${start + 4}`],
		wantForged: /altered/,
	},
	{
		name: 'a record removed',
		tamper: (path) => edit(path, 2, (lines) => lines.toSpliced(3, 1)),
		want: (start) => [`removed ${start + 3}-${start + 3}`],
		wantForged: /altered|removed/,
	},
	{
		name: 'a record removed and the rest renumbered',
		tamper: (path) =>
			edit(path, 2, (lines) =>
				lines
					.toSpliced(3, 1)
					.map((line, index) =>
						index < 3 ? line : line.replace(/"sequence":(\d+)/, (_all, n: string) => `"sequence":${Number(n) - 1}`),
					),
			),
		want: () => ['changed', 'removed'],
		wantForged: /altered|removed/,
	},
	{
		name: 'a record inserted',
		tamper: (path) => edit(path, 2, (lines) => lines.toSpliced(3, 0, lines[2] ?? '')),
		want: (start) => [`inserted ${start + 3}-${start + 3}`],
		wantForged: /altered|inserted/,
	},
	{
		name: 'two records swapped',
		tamper: (path) => edit(path, 2, (lines) => lines.toSpliced(2, 2, lines[3] ?? '', lines[2] ?? '')),
		want: (start) => [`reordered ${start + 3}-${start + 3}`],
		wantForged: /altered/,
	},
	{
		name: 'the end of a segment cut off',
		tamper: (path) => edit(path, 2, (lines) => lines.slice(0, -2)),
		want: () => ['removed', 'removed'],
		wantForged: /removed/,
	},
	{
		name: 'the first record (header) changed',
		tamper: (path) =>
			edit(path, 2, (lines) => replaced(lines, 0, (line) => line.replace('"severity_id":1', '"severity_id":2'))),
		want: (start) => [`changed ${start}-${start}`],
		wantForged: /altered/,
	},
	{
		name: 'a line that is no record',
		tamper: (path) => edit(path, 2, (lines) => replaced(lines, 3, () => 'nonsense')),
		want: (start) => [`changed ${start + 3}-${start + 3}`],
		wantForged: /altered/,
	},
	{
		name: 'a whole segment removed',
		tamper: (path) => {
			for (const name of fs.readdirSync(path)) if (name.startsWith('audit-00000002')) fs.rmSync(join(path, name));
		},
		want: () => ['removed'],
		wantForged: /removed/,
	},
	{
		name: 'the first segment removed',
		tamper: (path) => {
			for (const name of fs.readdirSync(path)) if (name.startsWith('audit-00000001')) fs.rmSync(join(path, name));
		},
		want: () => ['removed'],
		wantForged: /removed/,
	},
	{
		name: 'a checkpoint changed',
		tamper: (path) =>
			edit(path, 2, (lines) =>
				lines.map((line) =>
					line.replace(/"root_hash":"(.)/, (_all, first) => `"root_hash":"${first === 'A' ? 'B' : 'A'}`),
				),
			),
		want: () => ['checkpoint', 'changed', 'changed'],
	},
];

describe('the tamper table', () => {
	describe.each(tamperings)('$name', ({ tamper, want, wantForged }) => {
		it('is found, and said which', async () => {
			const path = copyOf(signed);
			tamper(path);
			const { ok, findings } = await verifyLog(path, { publicKey: publicKeyOf(signed), checkpoint: signed.checkpoint });
			expect(ok).toBe(false);
			const expected = want(firstOf(signed, 2));
			const exact = expected.every((text) => /\d/.test(text));
			if (exact) expect(brief(findings)).toEqual(expected);
			else expect(findings.map((finding) => finding.kind)).toEqual(expect.arrayContaining(expected));
			for (const finding of findings) expect(finding.message).not.toBe('');
		});

		it('is found in an unsigned log too', async () => {
			const path = copyOf(unsigned);
			tamper(path);
			expect((await verifyLog(path)).ok).toBe(false);
		});

		if (wantForged === undefined) return;
		it('is found when the leaf hashes were forged as well', async () => {
			const path = copyOf(signed);
			tamper(path);
			forgeLeaves(path);
			const { findings } = await verifyLog(path, { publicKey: publicKeyOf(signed), checkpoint: signed.checkpoint });
			expect(brief(findings).join('\n')).toMatch(wantForged);
		});
	});

	it('the end of the log cut off: found by the checkpoint kept elsewhere, even when the copy beside it was replaced', async () => {
		const path = copyOf(signed);
		const last = listSegments(path).at(-1);
		for (const name of fs.readdirSync(path))
			if (name.startsWith(`audit-${String(last?.number).padStart(8, '0')}`)) fs.rmSync(join(path, name));
		fs.rmSync(join(path, 'checkpoint'));
		const left = records(path).length;
		expect((await verifyLog(path)).ok).toBe(true); // nothing in what is left can tell
		const { findings } = await verifyLog(path, { checkpoint: signed.checkpoint });
		// The last checkpoint covers all but itself.
		expect(brief(findings)).toEqual([`cut-off ${left}-${signed.size - 2}`]);
	});

	it('all of it set back to an older state and gone on with from there: found by the checkpoint kept elsewhere', async () => {
		const { log, path } = await openLog({ key: testKey });
		await accept(log, record());
		await log.close();
		const older = temporaryDirectory();
		fs.cpSync(path, older, { recursive: true });
		const later = await openLog({ path, key: testKey });
		for (let n = 0; n < 3; n += 1) await accept(later.log, record({ statement: n }));
		await later.log.close();
		const checkpoint = fs.readFileSync(join(path, 'checkpoint'), 'utf8');
		expect(brief((await verifyLog(older, { checkpoint })).findings).join()).toMatch(/^cut-off 5-/);
		const forked = await openLog({ path: older, key: testKey });
		for (let n = 0; n < 9; n += 1) await accept(forked.log, record({ statement: n + 100 }));
		await forked.log.close();
		expect(await verifyLog(older)).toMatchObject({ ok: true });
		expect(brief((await verifyLog(older, { checkpoint })).findings).join()).toMatch(/^altered /);
	});

	it('the last records cut off: found by the copy of the checkpoint beside the log, or by the leaf hashes', async () => {
		const path = copyOf(signed);
		const last = listSegments(path).at(-1)?.number ?? 0;
		edit(path, last, (lines) => lines.slice(0, -3));
		expect((await verifyLog(path)).ok).toBe(false);
		forgeLeaves(path);
		expect(brief((await verifyLog(path)).findings).join()).toMatch(/cut-off/);
	});

	it('a rewritten log under another key: found by the key that is given', async () => {
		const other = Buffer.alloc(32, 9).toString('base64');
		const forged = await makeSample(other);
		const report = await verifyLog(copyOf(forged), {
			publicKey: publicKeyOf(signed).replace(/^[^+]+/, (name) => name),
		});
		expect(report.ok).toBe(false);
		expect(report.findings.map((finding) => finding.kind)).toContain('checkpoint');
	});

	it('a log stripped of its signatures: found by the key that is given', async () => {
		const report = await verifyLog(copyOf(unsigned), { publicKey: publicKeyOf(signed) });
		expect(report.ok).toBe(false);
	});

	it('changed leaf hashes alone are told from changed records', async () => {
		const path = copyOf(signed);
		const name = join(path, leavesName(listSegments(path)[1]?.name ?? ''));
		const bytes = fs.readFileSync(name);
		bytes[70] = (bytes[70] ?? 0) ^ 1;
		fs.writeFileSync(name, bytes);
		expect(brief((await verifyLog(path)).findings)).toEqual(['leaves']);
	});

	it('bytes after the last record are told', async () => {
		const path = copyOf(signed);
		fs.appendFileSync(join(path, listSegments(path).at(-1)?.name ?? ''), '{"metadata":');
		expect(brief((await verifyLog(path)).findings)).toEqual(['torn']);
	});

	it('a second file with the number of another is told', async () => {
		const path = copyOf(signed);
		const [, second] = listSegments(path);
		fs.copyFileSync(join(path, second?.name ?? ''), join(path, (second?.name ?? '').replace(/-\d{8}T/, '-20990101T')));
		expect((await verifyLog(path)).ok).toBe(false);
	});

	it('a damaged compressed segment is told', async () => {
		const path = copyOf(signed);
		const name = listSegments(path)[1]?.name ?? '';
		const packed = gzipSync(fs.readFileSync(join(path, name)));
		expect(gunzipSync(packed).length).toBeGreaterThan(0);
		fs.writeFileSync(join(path, `${name}.gz`), packed.subarray(0, packed.length - 20));
		fs.rmSync(join(path, name));
		expect((await verifyLog(path)).ok).toBe(false);
	});

	it('every single byte: flip any, and it is found', async () => {
		const { log, path } = await openLog({ key: testKey });
		await accept(log, record());
		await log.close();
		const file = join(path, listSegments(path)[0]?.name ?? '');
		const bytes = fs.readFileSync(file);
		const publicKey = parseSigner(testKey, (await verifyLog(path)).origin ?? '').verifier.text;
		// The last checkpoint's own record has nothing behind it but its signature and its leaf hash.
		for (let at = 0; at < bytes.length; at += 13) {
			const spoiled = Buffer.from(bytes);
			spoiled[at] = (spoiled[at] ?? 0) ^ 0x01;
			fs.writeFileSync(file, spoiled);
			expect([at, (await verifyLog(path, { publicKey })).ok]).toEqual([at, false]);
		}
	});
});

describe('a checkpoint or key that will not do', () => {
	const rows: readonly { name: string; options: () => object; want: string }[] = [
		{ name: 'a checkpoint that is none', options: () => ({ checkpoint: 'hello' }), want: 'ERR_NOTE_MALFORMED' },
		{
			name: 'a checkpoint with a wrong signature',
			options: () => ({ checkpoint: signed.checkpoint.replace(/\n\d+\n/, '\n3\n') }),
			want: 'ERR_NOTE_SIGNATURE',
		},
		{ name: 'a key that is none', options: () => ({ publicKey: 'hello' }), want: 'ERR_NOTE_KEY' },
	];
	it.each(rows)('is an error of its own: $name', async ({ options, want }) => {
		await expect(verifyLog(copyOf(signed), options())).rejects.toMatchObject({ code: want });
	});
});
