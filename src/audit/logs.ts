/** Where the logs of one gateway lie: its own in the folder of the configuration, or one in a folder of it for each worker. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { hashToBase64 } from './merkle.ts';
import { type Checkpoint, parseCheckpoint } from './note.ts';
import { checkpointName, listSegments } from './segment.ts';

/** One log among those of a gateway. */
export interface LogPlace {
	/** `worker-2`, or `.` for the one that lies in the folder itself (of a gateway without workers). */
	readonly name: string;
	readonly directory: string;
	/** From 1; null for the folder itself. */
	readonly worker: number | null;
}

/** Name of the log that lies in the folder itself. */
export const ownLogName = '.';

/** Workers are numbered from 1. */
export function workerLogName(worker: number): string {
	return `worker-${worker}`;
}

const workerPattern = /^worker-([1-9]\d{0,3})$/;

/** The log with that name in the folder, whether it is there or not. */
export function logPlace(folder: string, name: string): LogPlace {
	const number = workerPattern.exec(name)?.[1];
	return {
		name,
		directory: name === ownLogName ? folder : join(folder, name),
		worker: number === undefined ? null : Number(number),
	};
}

/** The logs in a folder that have begun, its own first, then those of workers by their number. None where there is no folder. */
export function listLogs(folder: string): LogPlace[] {
	const names = fs.existsSync(folder) ? fs.readdirSync(folder) : [];
	return [ownLogName, ...names.filter((name) => workerPattern.test(name))]
		.map((name) => logPlace(folder, name))
		.filter(({ directory }) => holdsLog(directory))
		.toSorted((left, right) => (left.worker ?? 0) - (right.worker ?? 0));
}

function holdsLog(directory: string): boolean {
	const isDirectory = fs.statSync(directory, { throwIfNoEntry: false })?.isDirectory() === true;
	return isDirectory && (listSegments(directory).length > 0 || fs.existsSync(join(directory, checkpointName)));
}

/** What the header of a segment says of another log: how far that one was by the checkpoint beside its segments. */
export interface NotedLog extends Checkpoint {
	/** Name of the log. */
	readonly log: string;
}

/** The newest checkpoints of the other logs in the folder. What cannot be read is left out: it must not keep this log from going on. */
function noteOthers(folder: string, own: string): NotedLog[] {
	try {
		return listLogs(folder).flatMap(({ name, directory }) => (name === own ? [] : noted(name, directory)));
	} catch {
		return [];
	}
}

function noted(log: string, directory: string): NotedLog[] {
	try {
		return [{ log, ...parseCheckpoint(fs.readFileSync(join(directory, checkpointName), 'utf8')) }];
	} catch {
		return [];
	}
}

/** Which of the logs a writer writes, and how many workers there are beside it. */
export interface LogFamily {
	/** The folder of the configuration. */
	readonly folder: string;
	readonly name: string;
	/** That of the log's folder; null for the folder itself. */
	readonly worker: number | null;
	/** How many workers the gateway has now. */
	readonly workers: number;
}

/** What the other logs take on the disk: number and bytes of their segments. */
export function sizeOfOthers(family: LogFamily | null): { readonly logs: number; readonly bytes: number } {
	const others = family === null ? [] : listLogs(family.folder).filter(({ name }) => name !== family.name);
	const sizes = others.flatMap(({ directory }) =>
		listSegments(directory).map(({ name }) => fs.statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0),
	);
	return { logs: others.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
}

/** Members of a segment's header that tell of the other logs; none where there is no other and never was. */
export function familyMembers(family: LogFamily | null): object {
	if (family === null) return {};
	const { folder, name, worker, workers } = family;
	const logs = noteOthers(folder, name).map(({ log, origin, size, root }) => ({
		log,
		origin,
		tree_size: size,
		root_hash: hashToBase64(root),
	}));
	if (worker === null && workers === 1 && logs.length === 0) return {};
	return { ...(worker === null ? {} : { worker }), workers, logs };
}
