/** `portcullis audit verify`: says of one log, or of all logs of a gateway, whether somebody touched them. */
import { printable, toJson } from '../audit/json.ts';
import { ownLogName } from '../audit/logs.ts';
import { type Finding, verifyLog, type VerifyReport } from '../audit/verify.ts';
import { holdsSeveral, type LogReport, verifyLogs, type VerifyLogsReport } from '../audit/verify-logs.ts';
import { auditLogs, count, orCommandError, readCheckpoints, readText } from './audit-input.ts';
import { CommandError, type CommandIo, type Paint, paint } from './io.ts';

export interface AuditVerifyOptions {
	/** File with the public key: PEM, or name+id+key. */
	readonly key?: string;
	/** Files with checkpoints that were kept elsewhere: their text, or their records. */
	readonly checkpoint?: string | readonly string[];
	readonly json?: boolean;
}

/** Exit status 0 when nothing was found, 1 otherwise. `path`: a folder, or the configuration. */
export async function auditVerify(io: CommandIo, path: string, options: AuditVerifyOptions = {}): Promise<number> {
	const { folder } = auditLogs(path);
	const files = typeof options.checkpoint === 'string' ? [options.checkpoint] : (options.checkpoint ?? []);
	const { checkpoints, key } = await orCommandError(() => ({
		checkpoints: files.flatMap(readCheckpoints),
		key: options.key === undefined ? {} : { publicKey: readText(options.key) },
	}));
	const colors = paint(io.color);
	if (await holdsSeveral(folder)) {
		const report = await orCommandError(() => verifyLogs(folder, { ...key, checkpoints }));
		io.out(options.json === true ? `${toJson(report)}\n` : severalText(report, colors));
		return report.ok ? 0 : 1;
	}
	const report = await orCommandError(() => verifyLog(folder, { ...key, checkpoint: checkpoints }));
	if (report.origin === null && report.ok) throw new CommandError(`there is no audit log in ${folder}`);
	io.out(options.json === true ? `${toJson(report)}\n` : oneText(report, checkpoints.length > 0, colors));
	return report.ok ? 0 : 1;
}

const untouched = 'nothing was changed, removed, inserted or reordered';
const unknownEnd = 'without a checkpoint kept elsewhere (--checkpoint) nobody can tell whether the end was cut off';

function oneText(report: VerifyReport, checked: boolean, colors: Paint): string {
	const lines = report.findings.map((finding) => `${colors.red('found')}  ${findingText(finding)}`);
	lines.push(...logLines(report), `key       ${keyText(report)}`);
	if (!checked) lines.push(colors.yellow(`note      ${unknownEnd}`));
	lines.push(
		report.ok
			? colors.green(`ok        ${untouched}`)
			: colors.red(`damaged   ${count(report.findings.length, 'finding')}`),
	);
	return `${lines.join('\n')}\n`;
}

function logLines({ size, first, segments, checkpoints, signed, covered, root, origin }: VerifyReport): string[] {
	const kept = first === 0 ? '' : ` (${first} to ${size - 1}; older ones went by retention)`;
	return [
		`log       ${printable(origin ?? '(none)')}`,
		`records   ${size - first}${kept} in ${count(segments, 'segment')}`,
		`root      ${root}`,
		`covered   ${covered} of ${size} by ${count(checkpoints, 'checkpoint')}, ${signed} signed`,
	];
}

/** Findings first, then each log, then what holds for all of them. */
function severalText({ ok, findings, logs }: VerifyLogsReport, colors: Paint): string {
	const lines = findings.map(
		(finding) => `${colors.red('found')}  ${printable(nameOf(finding.log))}: ${findingText(finding)}`,
	);
	for (const log of logs) lines.push(colors.bold(nameOf(log.log)), ...logLines(log).map((line) => `  ${line}`));
	for (const key of new Set(logs.map(keyText))) lines.push(`key       ${key}`);
	const unchecked = logs.filter(({ checked }) => !checked);
	if (unchecked.length > 0) lines.push(colors.yellow(`note      ${namesOf(unchecked)}: ${unknownEnd}`));
	lines.push(
		ok
			? colors.green(`ok        ${untouched} in ${count(logs.length, 'log')}, and none is missing that others tell of`)
			: colors.red(`damaged   ${count(findings.length, 'finding')}`),
	);
	return `${lines.join('\n')}\n`;
}

function namesOf(logs: readonly LogReport[]): string {
	return logs.map(({ log }) => nameOf(log)).join(', ');
}

/** The folder's own log is that of a gateway without workers. */
function nameOf(log: string): string {
	return log === ownLogName ? 'without workers' : log;
}

function keyText({ key }: VerifyReport): string {
	switch (key) {
		case 'given':
			return 'as given';
		case 'from the log':
			return "the log's own word for it: give the public key (--key) to rule out a log that was forged as a whole";
		case 'none':
			return 'none: the checkpoints are not signed, so whoever may write the files could make all of it anew';
	}
}

function findingText({ kind, segment, line, message }: Finding): string {
	const where = segment === null ? '' : `${printable(segment)}${line === null ? '' : `:${line}`}: `;
	return `${where}${printable(message)} (${kind})`;
}
