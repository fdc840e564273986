/** What drivers and pools ask by themselves when they connect: settings, the version, whether anybody is there. */
import { GatewayError } from '../../errors.ts';
import type { DriverQuestion } from './command.ts';
import { type Column, columns, type Table } from './table.ts';

export const driverColumns: Readonly<Record<DriverQuestion, readonly Column[]>> = {
	one: columns('?column?:int4'),
	version: columns('version'),
	'array types': columns('oid:int4 typarray:int4'),
};

export function driverAnswer(what: DriverQuestion, version: string): Table {
	const rows = { one: [[1]], version: [[`Portcullis ${version}`]], 'array types': [] };
	return { columns: driverColumns[what], rows: rows[what] };
}

/** Settings that the console reports when a session begins, by PostgreSQL's names. */
export function settings(version: string): ReadonlyMap<string, string> {
	return new Map([
		['server_version', `${version}/portcullis`],
		['server_encoding', 'UTF8'],
		['client_encoding', 'UTF8'],
		['DateStyle', 'ISO, MDY'],
		['IntervalStyle', 'postgres'],
		['TimeZone', 'UTC'],
		['integer_datetimes', 'on'],
		['standard_conforming_strings', 'on'],
		['is_superuser', 'off'],
	]);
}

/** `name` in lower case. GatewayError 42704 for what is no setting. */
export function showSetting(name: string, version: string): Table {
	const known = new Map([...settings(version)].map(([key, value]) => [key.toLowerCase(), value]));
	known.set('transaction isolation level', 'read committed');
	const value = known.get(name);
	if (value === undefined)
		throw new GatewayError('42704', `unrecognized configuration parameter "${name}"`, {
			hint: 'SHOW HELP lists the commands of the console.',
		});
	return { columns: columns(name.replaceAll(' ', '_')), rows: [[value]] };
}
