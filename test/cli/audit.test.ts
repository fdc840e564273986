/** The audit commands: what they print, their exit status, and one clear error for each mistake. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { parseSigner } from '../../src/audit/note.ts';
import { listSegments } from '../../src/audit/segment.ts';
import { auditCheckProof, auditProve, auditReport, auditSearch } from '../../src/cli/audit.ts';
import { auditVerify } from '../../src/cli/audit-verify.ts';
import { CommandError, type CommandIo } from '../../src/cli/io.ts';
import { decision, denial, identity, record, session } from '../audit/samples.ts';
import { accept, openLog, records, success, temporaryDirectory, testKey } from '../audit/support.ts';

function capture(stdin = ''): { io: CommandIo; out: () => string; err: () => string } {
	let [out, err] = ['', ''];
	const io: CommandIo = {
		out: (text) => {
			out += text;
		},
		err: (text) => {
			err += text;
		},
		stdin: Readable.from([Buffer.from(stdin)]),
		env: {},
		color: false,
		columns: 200,
	};
	return { io, out: () => out, err: () => err };
}

async function makeLog(): Promise<{ path: string; key: string; checkpoint: string }> {
	const { log, path } = await openLog({ key: testKey });
	const evil = { ...session, identity: { ...identity, name: '=cmd()\u001b[31m' } };
	log.outcome(await accept(log, record()), { ...success, rows: 3 });
	await accept(log, record({ decision: denial({ sql: 'select *\n from hr.secrets' }), session: evil }));
	const sql = "select '\u001b[2J'";
	log.outcome(await accept(log, record({ decision: decision({ sql, rewritten: sql }), session: evil })), success);
	await log.close();
	const aside = temporaryDirectory();
	const key = join(aside, 'key.pub');
	fs.writeFileSync(
		key,
		parseSigner(testKey, 'portcullis/' + (records(path)[0]?.metadata.uid.split('-')[0] ?? '')).verifier.text,
	);
	const checkpoint = join(aside, 'checkpoint');
	fs.copyFileSync(join(path, 'checkpoint'), checkpoint);
	return { path, key, checkpoint };
}

describe('audit verify', () => {
	it('says ok with status 0, and what it could not rule out', async () => {
		const { path, key, checkpoint } = await makeLog();
		const first = capture();
		expect(await auditVerify(first.io, path, { key, checkpoint })).toBe(0);
		expect(first.out()).toMatch(
			/^log .*\nrecords +9 in 1 segment\nroot .*\ncovered +8 of 9 by 1 checkpoint, 1 signed\nkey +as given\nok /,
		);
		const second = capture();
		expect(await auditVerify(second.io, path)).toBe(0);
		expect(second.out()).toMatch(/the log's own word/);
		expect(second.out()).toMatch(/without a checkpoint kept elsewhere/);
	});

	it('takes the record of a checkpoint, as a sink has it, for one', async () => {
		const { path } = await makeLog();
		const kept = join(temporaryDirectory(), 'record');
		const lines = records(path).filter((line) => line.metadata.event_code === 'checkpoint');
		fs.writeFileSync(kept, `${JSON.stringify(lines.at(-1))}\n`);
		const first = capture();
		expect(await auditVerify(first.io, path, { checkpoint: kept })).toBe(0);
		expect(first.out()).not.toMatch(/kept elsewhere/);
		const file = join(path, listSegments(path)[0]?.name ?? '');
		fs.writeFileSync(file, fs.readFileSync(file, 'utf8').split('\n').slice(0, 3).join('\n') + '\n');
		fs.rmSync(join(path, 'checkpoint'));
		for (const name of fs.readdirSync(path)) if (name.endsWith('.leaves')) fs.rmSync(join(path, name));
		const second = capture();
		expect(await auditVerify(second.io, path, { checkpoint: kept })).toBe(1);
		expect(second.out()).toMatch(/records 3 to 7 are missing at the end: the given checkpoint has them/);
		fs.writeFileSync(kept, JSON.stringify(records(path)[0]));
		await expect(auditVerify(capture().io, path, { checkpoint: kept })).rejects.toThrow(
			/no record of a signed checkpoint/,
		);
	});

	it('names what was changed, with status 1', async () => {
		const { path, key } = await makeLog();
		const file = join(path, listSegments(path)[0]?.name ?? '');
		fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('"rows":3', '"rows":2'));
		const { io, out } = capture();
		expect(await auditVerify(io, path, { key })).toBe(1);
		expect(out()).toMatch(/^found {2}audit-00000001-\S+\.jsonl:4: record 3 was changed \(changed\)\n/);
		const json = capture();
		await auditVerify(json.io, path, { json: true });
		expect(JSON.parse(json.out())).toMatchObject({
			ok: false,
			findings: [{ kind: 'changed', line: 4, records: [3, 3] }],
		});
	});
});

describe('audit prove and check-proof', () => {
	it('make a proof that holds with the key, from a file or standard input', async () => {
		const { path, key } = await makeLog();
		const made = capture();
		const uid = records(path)[2]?.metadata.uid ?? '';
		expect(await auditProve(made.io, path, uid)).toBe(0);
		const checked = capture(made.out());
		expect(await auditCheckProof(checked.io, '-', { key })).toBe(0);
		expect(JSON.parse(checked.out())).toEqual(records(path)[2]);
		expect(checked.err()).toMatch(/^record 2 is in portcullis\/[0-9a-f]{16}, among the first 8\n$/);
	});
});

describe('audit search', () => {
	it('prints a table with one line for each, and nothing that a terminal acts on', async () => {
		const { path } = await makeLog();
		const { io, out } = capture();
		expect(await auditSearch(io, path, {})).toBe(0);
		const lines = out().trimEnd().split('\n');
		expect(lines).toHaveLength(4);
		expect(lines[1]).toMatch(/^\d{4}-\d\d-\d\dT.*Z 2 +ada@example.com +shop +mask +3 +1\.\d +select id, name, ssn/);
		expect(lines[2]).toMatch(/deny .*policy\.csv:16: select \* from hr\.secrets$/);
		expect(out()).not.toContain('\u001b');
		for (const line of lines) expect(line.length).toBeLessThanOrEqual(200);
	});

	it('says when nothing matches', async () => {
		const { path } = await makeLog();
		const { io, err } = capture();
		expect(await auditSearch(io, path, { user: 'nobody' })).toBe(0);
		expect(err()).toBe('no record matches\n');
	});

	it('prints records as JSON, with their outcome, up to a limit', async () => {
		const { path } = await makeLog();
		const { io, out, err } = capture();
		await auditSearch(io, path, { json: true, limit: '1', decision: 'mask' });
		expect(
			out()
				.trimEnd()
				.split('\n')
				.map((line) => JSON.parse(line) as object),
		).toMatchObject([{ metadata: { sequence: 2 }, outcome: { unmapped: { rows: 3 } } }]);
		expect(err()).toBe('1 more are not shown (--limit)\n');
	});

	it('knows times: dates, instants in UTC or a zone, and ago', async () => {
		const { path } = await makeLog();
		const now = Date.now() + 1000;
		const count = async (options: object) => {
			const { io, out } = capture();
			await auditSearch(io, path, options, now);
			return out().trimEnd().split('\n').length - 1;
		};
		expect(await count({ from: '1h' })).toBe(3);
		expect(await count({ until: '1h' })).toBe(0);
		expect(await count({ from: '2001-01-01', until: '2001-01-02T00:00' })).toBe(0);
		expect(await count({ from: new Date(now - 60_000).toISOString() })).toBe(3);
		expect(await count({ from: '2001-01-01T00:00:00+02:00' })).toBe(3);
	});
});

describe('audit report', () => {
	it('is text that a person can read', async () => {
		const { path } = await makeLog();
		const { io, out } = capture();
		expect(await auditReport(io, path, {})).toBe(0);
		expect(out()).toMatch(
			/^3 statements by 2 people, the beginning to now \(times in UTC\)\n\nProtected columns that were read\n/,
		);
		expect(out()).toMatch(/ada@example\.com {2}shop\.hr\.employees\.ssn {2}masked by ssn_last4 {2}\(.*3 rows\)/);
		expect(out()).toMatch(/\nAlarms\n {2}none\n$/);
		expect(out()).not.toContain('\u001b');
	});

	it('is CSV that no spreadsheet takes for formulas', async () => {
		const { path } = await makeLog();
		const { io, out } = capture();
		await auditReport(io, path, { format: 'csv' });
		const [head, ...rows] = out().split('\r\n');
		expect(head).toBe('section,user,object,detail,count,rows,first,last');
		const denial_ = rows.find((row) => row.startsWith('denial'));
		expect(denial_).toMatch(/^denial,'=cmd\(\)/);
	});
});

describe('mistakes', () => {
	const rows: readonly {
		name: string;
		run: (io: CommandIo, path: string) => Promise<number>;
		want: RegExp;
		status: number;
	}[] = [
		{ name: 'no directory', run: (io) => auditVerify(io, '/nonexistent'), want: /not a directory/, status: 1 },
		{ name: 'an empty directory', run: (io) => auditVerify(io, temporaryDirectory()), want: /no audit log/, status: 1 },
		{
			name: 'a missing key file',
			run: (io, path) => auditVerify(io, path, { key: '/nonexistent' }),
			want: /ENOENT/,
			status: 1,
		},
		{
			name: 'a key that is none',
			run: (io, path) => auditVerify(io, path, { key: join(path, 'checkpoint') }),
			want: /public key/,
			status: 1,
		},
		{ name: 'a record that is none', run: (io, path) => auditProve(io, path, 'first'), want: /neither/, status: 2 },
		{
			name: 'a record that is not there',
			run: (io, path) => auditProve(io, path, '99'),
			want: /record 99 is not in the log/,
			status: 1,
		},
		{
			name: 'a proof that is none',
			run: (io, path) => auditCheckProof(io, join(path, 'checkpoint'), {}),
			want: /not a proof/,
			status: 1,
		},
		{
			name: 'a time that is none',
			run: (io, path) => auditSearch(io, path, { from: 'yesterday' }),
			want: /--from: yesterday/,
			status: 2,
		},
		{
			name: 'a month that is none',
			run: (io, path) => auditSearch(io, path, { from: '2026-13-01' }),
			want: /--from/,
			status: 2,
		},
		{
			name: 'a day that is none',
			run: (io, path) => auditReport(io, path, { until: '2026-02-30T10:00Z' }),
			want: /--until: 2026-02-30T10:00Z is no time/,
			status: 2,
		},
		{
			name: 'a decision that is none',
			run: (io, path) => auditSearch(io, path, { decision: 'maybe' }),
			want: /--decision/,
			status: 2,
		},
		{
			name: 'a kind of record that is none',
			run: (io, path) => auditSearch(io, path, { event: 'select' }),
			want: /select is none of all, statement, /,
			status: 2,
		},
		{
			name: 'a period that is none',
			run: (io, path) => auditReport(io, path, { from: '2026-02-01', until: '2026-01-01' }),
			want: /--from 2026-02-01 is not before --until 2026-01-01/,
			status: 2,
		},
		{
			name: 'a limit that is none',
			run: (io, path) => auditSearch(io, path, { limit: 'x' }),
			want: /--limit/,
			status: 2,
		},
		{
			name: 'a format that is none',
			run: (io, path) => auditReport(io, path, { format: 'pdf' }),
			want: /--format/,
			status: 2,
		},
	];
	it.each(rows)('$name: one clear error', async ({ run, want, status }) => {
		const { path } = await makeLog();
		const { io } = capture();
		const error: unknown = await run(io, path).catch((thrown: unknown) => thrown);
		expect(error).toBeInstanceOf(CommandError);
		expect(error).toMatchObject({ message: expect.stringMatching(want), exitStatus: status });
	});
});
