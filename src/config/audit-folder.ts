/** Where the audit log is, by portcullis.yaml alone: for whoever reads the log and has neither the gateway's secrets nor its files. */
import { dirname, resolve } from 'node:path';
import { ConfigDocument, ConfigError } from './document.ts';
import { auditSchema } from './schema-audit.ts';

/**
 * The folder of the audit log as an absolute path. Nothing else of the configuration is looked at.
 *
 * @param text of the file
 * @param file its path: what a relative one starts from
 * @throws ConfigError
 */
export function auditFolderOf(text: string, file: string): string {
	const document = new ConfigDocument(text);
	if (document.problems.length > 0) throw new ConfigError(file, document.problems);
	const { value } = document;
	const audit: unknown = typeof value === 'object' && value !== null && 'audit' in value ? value.audit : undefined;
	const path: unknown = typeof audit === 'object' && audit !== null && 'path' in audit ? audit.path : undefined;
	const parsed = auditSchema.shape.path.safeParse(path);
	if (!parsed.success || typeof value !== 'object')
		throw new ConfigError(file, [document.problem(['audit', 'path'], 'is no path of a folder')]);
	return resolve(dirname(file), parsed.data);
}
