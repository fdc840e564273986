/** What the tests of the audit log share and a process of its own can import too: no test runner in here. */
import type { Outcome } from '../../src/audit/event.ts';

/** Base64 of a fixed Ed25519 seed. */
export const testKey = Buffer.alloc(32, 7).toString('base64');

export const success: Outcome = {
	status: 'success',
	sqlstate: null,
	tag: 'SELECT 1',
	rows: 1,
	bytes: 20,
	durationMs: 1.25,
};
