/** The commands `portcullis audit ...`: their options and help; what they do is in audit.ts. */
import type { Command } from 'commander';
import type { AuditReportOptions, AuditSearchOptions } from './audit.ts';
import type { AuditVerifyOptions } from './audit-verify.ts';
import { examples, type Run } from './command.ts';
import type { CommandIo } from './io.ts';

const DIRECTORY = 'folder of the audit log or of the logs of all workers, or portcullis.yaml';

export function addAudit(program: Command, io: CommandIo, run: Run): void {
	const audit = program.command('audit').description('verify, search and report on an audit log');
	addVerify(audit, io, run);
	addProofs(audit, io, run);
	addSearch(audit, io, run);
	addReport(audit, io, run);
}

function addVerify(audit: Command, io: CommandIo, run: Run): void {
	audit
		.command('verify')
		.description('tell whether records were changed, removed, inserted or reordered; exit status 1 if so')
		.argument('<directory>', DIRECTORY)
		.option('--key <file>', 'public key: PEM, or name+id+key')
		.option(
			'--checkpoint <file>',
			'a checkpoint that was kept elsewhere, or several: copies of the file, or the records that a sink has; may be repeated',
			(file: string, before: readonly string[] | undefined): readonly string[] | undefined => [...(before ?? []), file],
		)
		.option('--json', 'print JSON')
		.addHelpText(
			'after',
			examples('portcullis audit verify ./audit', 'portcullis audit verify ./audit --key audit.pub'),
		)
		.action((directory: string, options: AuditVerifyOptions) =>
			run(async () => (await import('./audit-verify.ts')).auditVerify(io, directory, options)),
		);
}

function addProofs(audit: Command, io: CommandIo, run: Run): void {
	audit
		.command('prove')
		.description('print a proof that one record is in the log, to hand on without the rest')
		.argument('<directory>', DIRECTORY)
		.argument('<record>', 'its sequence or uid; of several logs worker-2/1234')
		.addHelpText('after', examples('portcullis audit prove ./audit 1234 > record-1234.proof'))
		.action((directory: string, record: string) =>
			run(async () => (await import('./audit.ts')).auditProve(io, directory, record)),
		);
	audit
		.command('check-proof')
		.description('check a proof without the log, and print the record that it proves')
		.argument('<proof>', 'the file, or - for standard input')
		.option('--key <file>', 'public key: PEM, or name+id+key')
		.addHelpText('after', examples('portcullis audit check-proof record-1234.proof --key audit.pub'))
		.action((proof: string, options: { key?: string }) =>
			run(async () => (await import('./audit.ts')).auditCheckProof(io, proof, options)),
		);
}

function addSearch(audit: Command, io: CommandIo, run: Run): void {
	audit
		.command('search')
		.description('list records by who, what and when')
		.argument('<directory>', DIRECTORY)
		.option('--user <name>', 'who')
		.option('--relation <name>', 'schema.relation that was used')
		.option('--column <name>', 'column that was used')
		.option('--database <name>', 'database as clients name it')
		.option('--decision <decision>', 'allow, mask or deny')
		.option('--event <event>', 'kind of record, e.g. login-failed; all for any (default: statement)')
		.option(
			'--from <time>',
			'from then on: 2026-11-22, 2026-11-22T10:00Z or +01:00, or ago: 90m, 24h, 7d, 2w (UTC where no zone is given)',
		)
		.option('--until <time>', 'until before then')
		.option('--session <id>', 'of one session')
		.option('--fingerprint <fingerprint>', 'statements of one form, whatever their literals')
		.option('--text <text>', 'part of the statement')
		.option('--limit <count>', 'at most so many')
		.option('--json', 'print the records as they stand')
		.addHelpText('after', examples('portcullis audit search ./audit --user ben --decision deny'))
		.action((directory: string, options: AuditSearchOptions) =>
			run(async () => (await import('./audit.ts')).auditSearch(io, directory, options)),
		);
}

function addReport(audit: Command, io: CommandIo, run: Run): void {
	audit
		.command('report')
		.description('report on a period: who read what, what was denied, failed logins, changes of the policy')
		.argument('<directory>', DIRECTORY)
		.option(
			'--from <time>',
			'from then on: 2026-11-22, 2026-11-22T10:00Z or +01:00, or ago: 90m, 24h, 7d, 2w (UTC where no zone is given)',
		)
		.option('--until <time>', 'until before then')
		.option('--format <format>', 'text or csv')
		.addHelpText('after', examples('portcullis audit report ./audit --from 2026-01-01 --format csv > report.csv'))
		.action((directory: string, options: AuditReportOptions) =>
			run(async () => (await import('./audit.ts')).auditReport(io, directory, options)),
		);
}
