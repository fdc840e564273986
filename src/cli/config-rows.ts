/** The configuration as a list of keys and values, for SHOW CONFIG: every key as in portcullis.yaml, secrets redacted. */
import type { ConfigRow } from '../admin/console/shows.ts';
import type { Config } from '../config/config.ts';
import { Secret } from '../config/secret.ts';

/** What is read again while the gateway runs. */
const changeable = [
	/^policies$/,
	/^listen\.tls\.(cert|key|clientCa|clientCrl)$/,
	/^databases\./,
	/^limits\.(queryTimeoutMs|transactionTimeoutMs|idleTransactionTimeoutMs|backendLifetimeMs)$/,
];

export function configRows(config: Config): ConfigRow[] {
	const { file: _file, warnings: _warnings, databases, ...rest } = config;
	const byName = Object.fromEntries(databases.map(({ name, ...database }) => [name, database]));
	return flatten('', { ...rest, databases: byName }).map(([key, value]) => ({
		key,
		value,
		changeable: changeable.some((pattern) => pattern.test(key)),
	}));
}

function flatten(path: string, value: unknown): [string, string][] {
	if (value instanceof Secret) return [[path, String(value)]];
	if (Array.isArray(value)) {
		if (value.every((one) => typeof one !== 'object' || one === null)) return [[path, value.join(', ')]];
		return value.flatMap((one, index) => flatten(`${path}[${index}]`, one));
	}
	if (typeof value === 'object' && value !== null)
		return Object.entries(value).flatMap(([key, inner]) => flatten(path === '' ? key : `${path}.${key}`, inner));
	return [[path, typeof value === 'string' ? value : value === null ? '' : JSON.stringify(value)]];
}
