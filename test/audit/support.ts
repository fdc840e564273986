/** Directories, logs and readers for the tests of the audit log; everything made here is removed after the test. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { StatementRecord } from '../../src/audit/event.ts';
import { AuditLog, type AuditLogOptions } from '../../src/audit/log.ts';
import { listSegments } from '../../src/audit/segment.ts';
import type { AuditReceipt } from '../../src/stages.ts';
import { ocsfProblems } from './ocsf/validate.ts';

export { success, testKey } from './constants.ts';

export function temporaryDirectory(): string {
	const path = fs.mkdtempSync(join(os.tmpdir(), 'portcullis-audit-'));
	onTestFinished(() => fs.rmSync(path, { recursive: true, force: true }));
	return path;
}

/** An open log in a directory of its own, closed after the test unless the test closed it. */
export async function openLog(more: Partial<AuditLogOptions> = {}): Promise<{ log: AuditLog; path: string }> {
	const path = more.path ?? temporaryDirectory();
	const log = await AuditLog.open({ durability: 'os', ...more, path });
	onTestFinished(() => log.close().catch(() => {}));
	return { log, path };
}

/** Resolves once `holds` does; the test's own time limit ends the waiting. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
	while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** Rejects with the GatewayError of a refusal. */
export function accept(log: AuditLog, record: StatementRecord): Promise<AuditReceipt> {
	return new Promise((resolve, reject) => {
		log.accept(record, (error, receipt) => {
			if (receipt === null) reject(error ?? new Error('neither error nor receipt'));
			else resolve(receipt);
		});
	});
}

export interface Line {
	readonly metadata: { sequence: number; uid: string; event_code: string; correlation_uid?: string };
	readonly [name: string]: unknown;
}

/** Text of all plain segments, in order. */
export function logText(path: string): string {
	return listSegments(path)
		.map((segment) => fs.readFileSync(join(path, segment.name), 'utf8'))
		.join('');
}

/** Every record of all plain segments. Throws when a line is none, or is not as the schema (OCSF) has it. */
export function records(path: string): Line[] {
	const lines = logText(path).split('\n');
	if (lines.pop() !== '') throw new Error('the log does not end with a line feed');
	return lines.map((line) => {
		const record = JSON.parse(line) as Line;
		const problems = ocsfProblems(record);
		if (problems.length > 0) throw new Error(`${record.metadata.event_code}: ${problems.join('; ')}`);
		return record;
	});
}

export function codes(path: string): string[] {
	return records(path).map((record) => record.metadata.event_code);
}

/** The only record with that code. */
export function only(path: string, code: string): Line {
	const found = records(path).filter((record) => record.metadata.event_code === code);
	if (found.length !== 1 || found[0] === undefined) throw new Error(`${found.length} records with code ${code}`);
	return found[0];
}

/** What the last start of a log told of the files that it found. */
export interface StartNotes {
	readonly previous_closed: boolean | null;
	readonly torn: readonly { readonly file: string; readonly keptAs: string; readonly bytes: number }[];
	readonly problems: readonly string[];
}

export function lastStart(path: string): StartNotes {
	const start = records(path).findLast((record) => record.metadata.event_code === 'audit-start');
	if (start === undefined) throw new Error('no start is recorded');
	return start.unmapped as StartNotes;
}
