/** When clients should be sent here, and what is said when not. */
import { describe, expect, test } from 'vitest';
import { readiness } from '../../src/admin/readiness.ts';
import { testView, type ViewOptions } from './view.ts';

interface Row {
	readonly name: string;
	readonly view: ViewOptions;
	readonly database?: string;
	/** Names of checks that fail, with reason. */
	readonly want: Readonly<Record<string, string>>;
}

const rows: readonly Row[] = [
	{ name: 'all is well', view: {}, want: {} },
	{ name: 'draining', view: { draining: true }, want: { draining: 'the gateway is about to stop' } },
	{
		name: 'an audit log that cannot be written',
		view: { audit: { healthy: false, lastError: 'ENOSPC: no space left on device' } },
		want: { audit: 'the audit log cannot be written: ENOSPC: no space left on device' },
	},
	{
		name: 'an audit sink that holds statements back',
		view: { audit: { blockedBy: 'siem' } },
		want: { audit: 'the audit sink siem is too far behind' },
	},
	{
		name: 'one catalogue of several',
		view: { databases: { shop: {}, crm: { state: 'stale', problem: 'connection refused' } } },
		want: { 'catalogue crm': 'the catalogue is stale: connection refused' },
	},
	{
		name: 'a catalogue that was never known',
		view: { databases: { shop: { state: 'unknown' } } },
		want: { 'catalogue shop': 'the catalogue is unknown' },
	},
	{
		name: 'a database that is asked for by itself, while another is away',
		view: { databases: { shop: {}, crm: { state: 'unknown' } } },
		database: 'shop',
		want: {},
	},
	{
		name: 'a database that is asked for by itself, and draining all the same',
		view: { databases: { shop: {}, crm: { state: 'unknown' } }, draining: true },
		database: 'crm',
		want: { draining: 'the gateway is about to stop', 'catalogue crm': 'the catalogue is unknown' },
	},
];

describe('readiness', () => {
	test.each(rows)('$name', ({ view, database, want }) => {
		const { ready, checks } = readiness(testView(view), database ?? null);
		expect(Object.fromEntries(checks.flatMap(({ name, ok, reason }) => (ok ? [] : [[name, reason]])))).toEqual(want);
		expect(ready).toBe(Object.keys(want).length === 0);
	});
});
