/** What is another in a configuration that was read again, and which of it takes effect without a restart. No I/O. */
import type { Config, DatabaseConfig } from '../config/config.ts';
import { Secret } from '../config/secret.ts';

export interface ConfigChanges {
	readonly added: readonly DatabaseConfig[];
	readonly removed: readonly DatabaseConfig[];
	/** As they are now: only bounds of the pool and limits are others, which needs nobody to connect again. */
	readonly adjusted: readonly DatabaseConfig[];
	/** As they are now: where the database is, who works there, or how. */
	readonly replaced: readonly DatabaseConfig[];
	/** What takes effect now, in words, without secrets: `databases.shop.pool.size: 20 is 30 now`. */
	readonly words: readonly string[];
	/** The same of what takes effect at the next start. */
	readonly later: readonly string[];
}

interface Difference {
	readonly key: string;
	readonly from: string;
	readonly to: string;
}

/** Of a database: what can change while its sessions go on. */
const adjustable = /^(?:pool\.(?:size|reserve|reserveAfterMs|statementsMax|idleMs|checkAfterMs)|limits\.\w+)$/;

/** Under `limits`: defaults of the databases, where they show already. */
const ofDatabases: ReadonlySet<string> = new Set([
	'queryTimeoutMs',
	'transactionTimeoutMs',
	'idleTransactionTimeoutMs',
	'backendLifetimeMs',
]);

/** Secrets that are read at each use: of a database, and of the gateway as a whole. */
const readAnew = /^(?:password|users\..+\.password|policyWatcher\.over\.password|tracing\.authorization)$/;

/** Longer values (certificates) are not told. */
const toldMax = 100;

export function configChanges(before: Config, after: Config): ConfigChanges {
	const old = new Map(before.databases.map((database) => [database.name, database]));
	const names = new Set(after.databases.map(({ name }) => name));
	const added = after.databases.filter(({ name }) => !old.has(name));
	const removed = before.databases.filter(({ name }) => !names.has(name));
	const adjusted: DatabaseConfig[] = [];
	const replaced: DatabaseConfig[] = [];
	const words = [
		...removed.map(({ name }) => `databases.${name} is not there any more`),
		...added.map(({ name }) => `databases.${name} is new`),
	];
	for (const database of after.databases) {
		const former = old.get(database.name);
		if (former === undefined) continue;
		const found = differences('', former, database);
		if (found.length === 0) continue;
		(found.every(({ key }) => adjustable.test(key)) ? adjusted : replaced).push(database);
		words.push(...found.map((one) => inWords(`databases.${database.name}.`, one)));
	}
	const later = differences('', othersOf(before), othersOf(after)).map((one) => inWords('', one));
	return { added, removed, adjusted, replaced, words, later };
}

/** The configuration in force: what takes effect at once of `after`, and all else as it was. */
export function inForce(before: Config, after: Config): Config {
	const limits = Object.fromEntries(Object.entries(after.limits).filter(([key]) => ofDatabases.has(key)));
	return { ...before, databases: after.databases, limits: { ...before.limits, ...limits } };
}

function othersOf({ databases: _databases, file: _file, warnings: _warnings, limits, ...rest }: Config): object {
	return { ...rest, limits: Object.fromEntries(Object.entries(limits).filter(([key]) => !ofDatabases.has(key))) };
}

function differences(path: string, before: unknown, after: unknown): Difference[] {
	if (before instanceof Secret || after instanceof Secret) {
		const same = before instanceof Secret && after instanceof Secret && isSameSecret(path, before, after);
		return same ? [] : [{ key: path, from: textOf(before), to: textOf(after) }];
	}
	if (isMap(before) && isMap(after)) {
		const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
		return [...keys].flatMap((key) => differences(path === '' ? key : `${path}.${key}`, before[key], after[key]));
	}
	if (Array.isArray(before) && Array.isArray(after) && before.length === after.length && before.some(isMap))
		return before.flatMap((one, index) => differences(`${path}[${index}]`, one, after[index]));
	const [from, to] = [textOf(before), textOf(after)];
	return from === to ? [] : [{ key: path, from, to }];
}

/** What is read anew whenever it is needed is no change of the configuration, whatever it is now. */
function isSameSecret(path: string, before: Secret, after: Secret): boolean {
	return before.hasOriginOf(after) && (readAnew.test(path) || before.hasValueOf(after));
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
	return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Secret);
}

function textOf(value: unknown): string {
	if (value === null || value === undefined) return '';
	return typeof value === 'string' || value instanceof Secret ? String(value) : JSON.stringify(value);
}

function inWords(prefix: string, { key, from, to }: Difference): string {
	const told = from.length <= toldMax && to.length <= toldMax && !from.includes('\n') && from !== to;
	const name = `${prefix}${key}`;
	if (!told) return `${name} is another now`;
	if (from === '') return `${name} is ${to} now`;
	return to === '' ? `${name} is not ${from} any more` : `${name}: ${from} is ${to} now`;
}
