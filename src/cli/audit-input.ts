/** What the commands `portcullis audit ...` are given: logs, keys and checkpoints, read or refused with one line. */
import { readFileSync, statSync } from 'node:fs';
import { listLogs, type LogPlace, logPlace, ownLogName } from '../audit/logs.ts';
import { NoteError } from '../audit/note.ts';
import { ProveError } from '../audit/prove.ts';
import { isObject, recordHeadOf } from '../audit/record.ts';
import { splitCheckpoints } from '../audit/verify-logs.ts';
import { auditFolderOf } from '../config/audit-folder.ts';
import { ConfigError } from '../config/document.ts';
import { CommandError } from './io.ts';

export interface AuditLogs {
	/** As it was given, or as the configuration has it. */
	readonly folder: string;
	/** One at least, also where none has begun. */
	readonly places: readonly LogPlace[];
	/** Of workers: each is told by its name. */
	readonly several: boolean;
}

/** The logs of a folder, or of the folder that a portcullis.yaml names. Throws CommandError for a path that is neither. */
export function auditLogs(path: string): AuditLogs {
	const folder = folderOf(path);
	const places = listLogs(folder);
	if (places.length === 0) places.push(logPlace(folder, ownLogName));
	return { folder, places, several: places.some(({ worker }) => worker !== null) };
}

function folderOf(path: string): string {
	const found = statSync(path, { throwIfNoEntry: false });
	if (found?.isDirectory() === true) return path;
	if (found?.isFile() !== true) throw new CommandError(`${path} is not a directory`);
	if (!/\.ya?ml$/.test(path)) throw new CommandError(`${path} is not a directory, nor a configuration (.yaml)`);
	try {
		const folder = auditFolderOf(readText(path), path);
		if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true) return folder;
		throw new CommandError(`${folder}, the audit.path of ${path}, is not a directory`);
	} catch (error) {
		throw error instanceof ConfigError ? new CommandError(error.message) : error;
	}
}

/** Throws CommandError. */
export function readText(file: string): string {
	try {
		return readFileSync(file, 'utf8');
	} catch (error) {
		throw new CommandError(`${file} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`);
	}
}

/** The texts of the checkpoints in a file: one or several of them, or records of them as a sink has them, one a line. */
export function readCheckpoints(file: string): string[] {
	const text = readText(file);
	if (!text.startsWith('{')) return splitCheckpoints(text);
	return text
		.trimEnd()
		.split('\n')
		.map((line) => {
			const unmapped = recordHeadOf(line)?.record.unmapped;
			const note = isObject(unmapped) ? unmapped.note : undefined;
			if (typeof note !== 'string') throw new CommandError(`${file} is no record of a signed checkpoint`);
			return note;
		});
}

/** Mistakes of the caller and damage of the files come as one line. */
export async function orCommandError<T>(run: () => T | Promise<T>): Promise<T> {
	try {
		return await run();
	} catch (error) {
		if (error instanceof NoteError || error instanceof ProveError) throw new CommandError(error.message);
		throw error;
	}
}

/** `3 segments` */
export function count(number: number, noun: string, plural = `${noun}s`): string {
	return `${number} ${number === 1 ? noun : plural}`;
}
