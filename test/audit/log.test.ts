/** What the audit log writes, in which order, in the shape of the schema, and who may write it. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { SessionEvent, StatementRecord } from '../../src/audit/event.ts';
import { AuditLog } from '../../src/audit/log.ts';
import { lockFolder } from '../../src/audit/lock.ts';
import { listSegments } from '../../src/audit/segment.ts';
import type { AuditReceipt } from '../../src/stages.ts';
import { ocsfProblems } from './ocsf/validate.ts';
import { decision, denial, identity, record, session } from './samples.ts';
import { accept, codes, logText, only, openLog, records, success, temporaryDirectory, testKey } from './support.ts';

describe('what is in the log', () => {
	it('has the record before the receipt is handed out', async () => {
		const { log, path } = await openLog();
		let seen = -1;
		await new Promise<void>((resolve) => {
			log.accept(record(), (_error, receipt) => {
				seen = records(path).findIndex((line) => line.metadata.uid === receipt?.id);
				resolve();
			});
		});
		expect(seen).toBe(2); // after segment and audit-start
	});

	it('writes everything that one turn accepts with one write, and answers in order', async () => {
		const { log } = await openLog();
		const before = log.stats.writes;
		const order: number[] = [];
		await Promise.all([1, 2, 3, 4].map((n) => accept(log, record({ statement: n })).then(() => order.push(n))));
		expect(log.stats.writes - before).toBe(1);
		expect(order).toEqual([1, 2, 3, 4]);
	});

	it('never answers during the call', async () => {
		const { log } = await openLog();
		let inside = true;
		await new Promise<void>((resolve) => {
			log.accept(record(), () => {
				expect(inside).toBe(false);
				resolve();
			});
			inside = false;
		});
	});

	it('numbers records without a gap, and the uid carries the number', async () => {
		const { log, path } = await openLog();
		for (let n = 0; n < 5; n += 1) log.outcome(await accept(log, record()), success);
		await log.close();
		const lines = records(path);
		expect(lines.map((line) => line.metadata.sequence)).toEqual(lines.map((_line, index) => index));
		const ids = new Set(lines.map((line) => line.metadata.uid));
		expect(ids.size).toBe(lines.length);
		for (const line of lines) expect(line.metadata.uid).toMatch(new RegExp(`^[0-9a-f]{16}-${line.metadata.sequence}$`));
	});

	it('joins an outcome to its statement, and counts only the first', async () => {
		const { log, path } = await openLog();
		const receipt = await accept(log, record());
		log.outcome(receipt, success);
		log.outcome(receipt, { ...success, status: 'failure' });
		await log.close();
		const outcome = only(path, 'outcome');
		expect(outcome.metadata.correlation_uid).toBe(receipt.id);
		expect(outcome).toMatchObject({
			status_id: 1,
			unmapped: { ended: 'success', rows: 1, bytes: 20, duration_us: 1250 },
		});
	});

	it('refuses a receipt of another making', async () => {
		const { log } = await openLog();
		const forged = { id: 'x', sequence: 1 } as unknown as AuditReceipt;
		expect(() => log.outcome(forged, success)).toThrow(TypeError);
	});

	it('says who, what, where, which objects, by which rules, and what ran instead', async () => {
		const { log, path } = await openLog();
		await accept(log, record());
		expect(only(path, 'statement')).toMatchObject({
			class_uid: 6005,
			activity_name: 'Read',
			action: 'Modified',
			actor: {
				user: { name: 'ada@example.com', uid: 'a1b2c3', groups: [{ name: 'data-team' }, { name: 'analyst' }] },
				session: { uid: session.id, issuer: 'https://id.example.com' },
				app_name: 'psql',
			},
			src_endpoint: { ip: '127.0.0.1', port: 50_123 },
			dst_endpoint: { ip: '10.0.0.5', port: 5432 },
			database: { name: 'shop' },
			table: { name: 'hr.employees' },
			query_info: { query_string: 'select id, name, ssn from hr.employees where id = $1', uid: '28550ea0fc43bed7' },
			authorizations: [{ decision: 'mask', policy: { name: 'policy.csv:14' } }],
			policy: { version: 'rev-1' },
			unmapped: {
				method: 'token',
				claims: { tenant: 'acme' },
				tls: { version: 'TLSv1.3' },
				backend_pid: 4711,
				backend_role: 'gateway',
				objects: [
					{ schema: 'hr', name: 'employees', masks: { ssn: 'ssn_last4' }, hidden: ['photo'], rules: ['policy.csv:14'] },
				],
				rewritten: expect.stringContaining('XXX-XX-'),
				transaction: 1,
				statement: 1,
				protocol: 'extended',
				phase: 'execute',
				parameters: [{ oid: 23, value: '42' }],
			},
		});
	});

	it('has files and directory for the owner alone', async () => {
		const path = join(temporaryDirectory(), 'new', 'audit');
		const { log } = await openLog({ path });
		await log.close();
		expect(fs.statSync(path).mode & 0o777).toBe(0o700);
		for (const name of fs.readdirSync(path))
			expect([name, fs.statSync(join(path, name)).mode & 0o777]).toEqual([name, 0o600]);
	});
});

describe('a directory that others prepared', () => {
	it('is made writable for the owner alone', async () => {
		const path = temporaryDirectory();
		fs.chmodSync(path, 0o777);
		const { log } = await openLog({ path });
		await log.close();
		expect(fs.statSync(path).mode & 0o777).toBe(0o755);
	});

	it('the end of what a link leads to is not cut off', async () => {
		const { log, path } = await openLog();
		await log.close();
		const [first] = listSegments(path);
		const [file, target] = [join(path, first?.name ?? ''), join(temporaryDirectory(), 'target')];
		fs.renameSync(file, target);
		fs.appendFileSync(target, 'torn');
		fs.symlinkSync(target, file);
		await expect(AuditLog.open({ path, durability: 'os' })).rejects.toMatchObject({ code: 'ELOOP' });
		expect(fs.readFileSync(target, 'utf8')).toMatch(/torn$/);
	});

	it('links in it are not written through', async () => {
		const [path, target] = [temporaryDirectory(), join(temporaryDirectory(), 'target')];
		fs.writeFileSync(target, 'kept');
		const now = () => Date.UTC(2030, 0, 1);
		for (const name of ['checkpoint', 'checkpoint.new', 'audit-00000001-20300101T000000Z.jsonl'])
			fs.symlinkSync(target, join(path, name));
		const { log } = await openLog({ path, now });
		await accept(log, record());
		await log.close();
		expect(fs.readFileSync(target, 'utf8')).toBe('kept');
		for (const { name } of listSegments(path)) expect(fs.lstatSync(join(path, name)).isFile()).toBe(true);
		expect(fs.lstatSync(join(path, 'checkpoint')).isSymbolicLink()).toBe(false);
	});
});

/** Controls but the line feed (C0, DEL, C1), and what reorders text or breaks lines. */
function actsOnTerminals(code: number): boolean {
	const control = (code < 0x20 && code !== 0x0a) || (code >= 0x7f && code <= 0x9f);
	return control || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

describe('hostile text', () => {
	const nasty = 'a"b\\c\n\r\t\u0000\u001b[31m\u007f\u009b31m\u202etxt\u2028\ud800 \u{1f600} é';
	it('stays on one line, comes back as it was, and holds nothing that a terminal acts on', async () => {
		const { log, path } = await openLog();
		const own = { ...session, application: nasty, database: nasty, identity: { ...identity, name: nasty } };
		const sql = `select '${nasty}'`;
		await accept(log, record({ session: own, decision: decision({ sql, rewritten: sql }), policyRevision: nasty }));
		log.event({
			type: 'login-failed',
			session: { ...own, identity: null },
			user: nasty,
			reason: nasty,
			sqlstate: '28P01',
		});
		await log.close();
		const statement = only(path, 'statement');
		// A lone surrogate is no Unicode text; it is the one thing that is escaped rather than stored.
		expect(statement).toMatchObject({ query_info: { query_string: sql }, database: { name: nasty } });
		expect(statement).toMatchObject({ actor: { user: { name: nasty }, app_name: nasty }, policy: { version: nasty } });
		expect(only(path, 'login-failed')).toMatchObject({ status_detail: nasty, unmapped: { claimed_user: nasty } });
		expect([...logText(path)].filter((character) => actsOnTerminals(character.codePointAt(0) ?? 0))).toEqual([]);
	});

	it('takes a statement of 10 MB whole', async () => {
		const { log, path } = await openLog();
		const sql = `select '${'ä'.repeat(5 * 1024 * 1024)}'`;
		const receipt = await accept(log, record({ decision: decision({ sql, rewritten: sql }) }));
		await accept(log, record());
		await log.close();
		expect(records(path)[receipt.sequence]).toMatchObject({ query_info: { query_string: sql } });
	});
});

describe('each event', () => {
	const events: readonly { event: SessionEvent; want: object }[] = [
		{
			event: { type: 'login', session },
			want: { class_uid: 3002, activity_id: 1, status_id: 1, auth_protocol: 'OpenID' },
		},
		{
			event: {
				type: 'login-failed',
				session: { ...session, identity: null },
				user: 'eve',
				reason: 'wrong key',
				sqlstate: '28P01',
			},
			want: { class_uid: 3002, status_id: 2, status_code: '28P01', status_detail: 'wrong key', user: { name: 'eve' } },
		},
		{
			event: {
				type: 'login-failed',
				session: { ...session, identity: null, clientAddress: '', database: '', application: '' },
				user: '',
				reason: 'no startup packet',
				sqlstate: '08P01',
			},
			want: { user: { name: '(none)' }, src_endpoint: { name: 'unknown' } },
		},
		{
			event: { type: 'logout', session, reason: 'terminate', durationMs: 12.6 },
			want: { class_uid: 3002, activity_id: 2, duration: 13, status_detail: 'terminate' },
		},
		{
			event: { type: 'login', session: { ...session, replication: 'physical' } },
			want: { class_uid: 3002, unmapped: { replication: 'physical' } },
		},
		{
			event: { type: 'logout', session: { ...session, replication: 'database' }, reason: 'terminate', durationMs: 1 },
			want: { activity_id: 2, unmapped: { replication: 'logical' } },
		},
		{
			event: { type: 'cancel', session, clientAddress: '::ffff:10.1.1.1', clientPort: 9 },
			want: { class_uid: 6005, src_endpoint: { ip: '10.1.1.1', port: 9 }, unmapped: { matched: true } },
		},
		{
			event: { type: 'cancel', session: null, clientAddress: '::1', clientPort: 9 },
			want: { status_id: 2, src_endpoint: { ip: '::1' }, unmapped: { matched: false } },
		},
		{
			event: { type: 'guard-breach', session, receipt: null, object: 'hr.employees.ssn', reason: 'raw column' },
			want: { severity_id: 5, is_alert: true, action: 'Denied', unmapped: { object: 'hr.employees.ssn' } },
		},
		{
			event: { type: 'policy-reload', ok: true, revision: 'b', previousRevision: 'a', trigger: 'signal', problems: [] },
			want: { class_uid: 3004, status_id: 1, entity: { version: 'b' }, unmapped: { previous_revision: 'a' } },
		},
		{
			event: {
				type: 'policy-reload',
				ok: false,
				revision: 'a',
				previousRevision: 'a',
				trigger: 'file change',
				problems: ['policy.csv:3: no'],
			},
			want: { status_id: 2, severity_id: 4, status_detail: 'policy.csv:3: no' },
		},
		{
			event: { type: 'config', ok: true, trigger: 'start', changes: ['listen.port: 6432 -> 6433'] },
			want: { class_uid: 3004, unmapped: { changes: ['listen.port: 6432 -> 6433'] } },
		},
	];
	it.each(events)('$event.type', async ({ event, want }) => {
		const { log, path } = await openLog();
		log.event(event);
		await log.close();
		expect(only(path, event.type)).toMatchObject(want);
	});

	it('can be waited for', async () => {
		const { log, path } = await openLog();
		const receipt = await new Promise<AuditReceipt | null>((resolve) => {
			log.event({ type: 'login', session }, (_error, given) => resolve(given));
		});
		expect(records(path)[receipt?.sequence ?? -1]).toMatchObject({
			metadata: { event_code: 'login', uid: receipt?.id },
		});
	});
});

describe('the schema (OCSF)', () => {
	const statements: readonly { name: string; record: StatementRecord }[] = [
		{ name: 'masked', record: record() },
		{ name: 'denied', record: record({ decision: denial() }) },
		{
			name: 'plain',
			record: record({ decision: decision({ effect: 'allow', objects: [], rules: [], node: 'VariableShowStmt' }) }),
		},
		{
			name: 'no identity, no backend',
			record: record({ session: { ...session, identity: null, backendAddress: null, tls: null } }),
		},
		{
			name: 'IPv6',
			record: record({ session: { ...session, clientAddress: 'fe80::1', backendAddress: '[::1]:5432' } }),
		},
		{
			name: 'a service',
			record: record({
				session: {
					...session,
					identity: { name: 'app', roles: ['writer'], groups: [], claims: {}, method: 'scram-sha-256' },
				},
			}),
		},
	];
	it.each(statements)('holds for a statement: $name', async ({ record: of }) => {
		const { log, path } = await openLog({ key: testKey });
		log.outcome(await accept(log, of), success);
		await log.close();
		for (const line of records(path))
			expect([line.metadata.event_code, ocsfProblems(line)]).toEqual([line.metadata.event_code, []]);
	});

	it.each(['success', 'failure', 'denied', 'cancelled', 'unknown'] as const)(
		'holds for an outcome: %s',
		async (status) => {
			const { log, path } = await openLog();
			log.outcome(await accept(log, record()), {
				status,
				sqlstate: '57014',
				tag: null,
				rows: null,
				bytes: 0,
				durationMs: 0,
			});
			await log.close();
			expect(ocsfProblems(only(path, 'outcome'))).toEqual([]);
		},
	);

	it('holds for every event', async () => {
		const { log, path } = await openLog();
		log.event({ type: 'login', session });
		log.event({
			type: 'login-failed',
			session: { ...session, identity: null },
			user: '',
			reason: 'x',
			sqlstate: '28000',
		});
		log.event({ type: 'logout', session, reason: 'x', durationMs: 1 });
		log.event({ type: 'cancel', session: null, clientAddress: 'nonsense', clientPort: 0 });
		log.event({ type: 'cancel', session, clientAddress: '127.0.0.1', clientPort: 0 });
		log.event({ type: 'guard-breach', session, receipt: await accept(log, record()), object: 'a.b.c', reason: 'x' });
		log.event({
			type: 'policy-reload',
			ok: false,
			revision: 'r',
			previousRevision: null,
			trigger: 'start',
			problems: ['x'],
		});
		log.event({ type: 'config', ok: false, trigger: 'signal', changes: [] });
		await log.close();
		const lines = records(path);
		expect(lines).toHaveLength(13);
		for (const line of lines)
			expect([line.metadata.event_code, ocsfProblems(line)]).toEqual([line.metadata.event_code, []]);
	});

	it('is really looked at: planted faults are found', async () => {
		const { log, path } = await openLog();
		await accept(log, record());
		const good = only(path, 'statement');
		const planted: readonly [object, string][] = [
			[{ ...good, colour: 'red' }, 'colour is not an attribute'],
			[{ ...good, src_endpoint: undefined }, 'src_endpoint is no object'],
			[{ ...good, actor: {} }, 'actor needs one of'],
			[{ ...good, severity_id: 7 }, 'severity_id is not one of its values'],
			[{ ...good, action: 'Allowed' }, 'action_id is Modified, but action says Allowed'],
			[{ ...good, time: 'today' }, 'time is no integer'],
			[{ ...good, src_endpoint: { ip: 'localhost' } }, 'src_endpoint.ip does not match its type'],
			[{ ...good, type_uid: 1 }, 'type_uid is not class and activity'],
		];
		for (const [event, want] of planted) expect(ocsfProblems(event).join('\n')).toContain(want);
	});
});

describe('one writer', () => {
	it('refuses a second process on the same directory, and lets go when closed', async () => {
		const { log, path } = await openLog();
		await expect(AuditLog.open({ path, durability: 'os' })).rejects.toMatchObject({
			sqlstate: 'F0001',
			message: `audit directory ${path} is in use by process ${process.pid}`,
		});
		await log.close();
		const again = await openLog({ path });
		expect(again.log.stats.healthy).toBe(true);
	});

	it('refuses a second gateway on the same folder, and takes over from one that is gone', async () => {
		const path = join(temporaryDirectory(), 'folder');
		const held = await lockFolder(path);
		// Its own log is another thing.
		const { log } = await openLog({ path });
		await expect(lockFolder(path)).rejects.toMatchObject({
			sqlstate: 'F0001',
			message: `audit directory ${path} is in use by process ${process.pid}`,
			hint: 'Two gateways cannot write one: give each an audit.path of its own.',
		});
		await log.close();
		await held.release();
		await (await lockFolder(path)).release();
	});

	it('works where the path is longer than a socket name may be', async () => {
		const path = join(temporaryDirectory(), 'x'.repeat(120));
		const { log } = await openLog({ path });
		await expect(AuditLog.open({ path, durability: 'os' })).rejects.toMatchObject({ sqlstate: 'F0001' });
		await log.close();
		expect(fs.readdirSync(path)).not.toContain('lock');
	});
});

describe('open and close', () => {
	it('records start and stop, and goes on with numbers, tree and name in a new segment', async () => {
		const { log, path } = await openLog({ key: testKey });
		await accept(log, record());
		await log.close();
		const again = await openLog({ path, key: testKey });
		await accept(again.log, record());
		await again.log.close();
		const one = ['segment', 'audit-start', 'statement', 'audit-stop', 'checkpoint'];
		expect(codes(path)).toEqual([...one, ...one]);
		expect(listSegments(path).map((segment) => segment.number)).toEqual([1, 2]);
		const [first, second] = records(path).filter((line) => line.metadata.event_code === 'segment');
		expect(second).toMatchObject({
			metadata: { sequence: 5 },
			unmapped: { tree_size: 5, previous: listSegments(path)[0]?.name },
		});
		const origin = (line: typeof first) => (line as unknown as { unmapped: { origin: string } }).unmapped.origin;
		expect(origin(second)).toBe(origin(first));
	});

	it('refuses what comes after close', async () => {
		const { log } = await openLog();
		await log.close();
		await expect(accept(log, record())).rejects.toMatchObject({ sqlstate: '57P01' });
	});

	it('answers everything that was accepted before close', async () => {
		const { log } = await openLog();
		const waiting = [accept(log, record()), accept(log, record())];
		await log.close();
		expect(await Promise.all(waiting)).toHaveLength(2);
	});

	const refused: readonly { name: string; make: (path: string) => void; options: object; want: object }[] = [
		{
			name: 'a file in place of the directory',
			make: (path) => fs.writeFileSync(path, ''),
			options: {},
			want: { sqlstate: 'F0000', message: expect.stringMatching(/^audit\.path: /) },
		},
		{
			name: 'a key that is none',
			make: () => {},
			options: { key: 'c2VjcmV0' },
			want: { sqlstate: 'F0000', message: expect.stringMatching(/^audit\.key: .*Ed25519/) },
		},
		{
			name: 'a log whose last segment has no header',
			make: (path) => {
				fs.mkdirSync(path);
				fs.writeFileSync(join(path, 'audit-00000001-20250101T000000Z.jsonl'), '{}\n');
			},
			options: {},
			want: { sqlstate: 'XX001', message: expect.stringContaining('audit verify') },
		},
	];
	it.each(refused)('gives one clear error for $name, and leaves no lock', async ({ make, options, want }) => {
		const path = join(temporaryDirectory(), 'audit');
		make(path);
		await expect(AuditLog.open({ path, durability: 'os', ...options })).rejects.toMatchObject(want);
		if (fs.statSync(path).isDirectory()) expect(fs.readdirSync(path)).not.toContain('lock');
	});

	it('never shows the key', async () => {
		const secret = `${'A'.repeat(20)}!`;
		const failure = await AuditLog.open({ path: temporaryDirectory(), durability: 'os', key: secret }).catch(String);
		expect(failure).not.toContain(secret);
	});
});
