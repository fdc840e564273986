/** What is kept of a session between its records: whatever came before, the pieces are those of the session at hand. */
import { expect, it } from 'vitest';
import type { SessionInfo } from '../../src/audit/event.ts';
import { members } from '../../src/audit/json.ts';
import { databasePart, sessionUnmapped, whoParts } from '../../src/audit/ocsf.ts';
import { SessionPartsCache } from '../../src/audit/session-parts.ts';
import { identity, session } from './samples.ts';

/** What a record says of the session, without any cache. */
function plain(of: SessionInfo): string {
	const text = members({ ...whoParts(of), database: databasePart(of), unmapped: sessionUnmapped(of) });
	return text.slice(0, -1);
}

/** The same identity in all but one, so that all of them meet in the cache. */
const sessions: readonly SessionInfo[] = [
	session,
	{ ...session, backendPid: 4712 },
	{ ...session, backendPid: 4713, backendAddress: '[::1]:5433' },
	{ ...session, backendAddress: null, backendPid: null },
	{ ...session, backendRole: null },
	{ ...session, application: 'x"\u202e' },
	{ ...session, id: 'another' },
	{ ...session, replication: 'physical' },
	{ ...session, replication: 'database' },
	{ ...session, clientPort: 1 },
	{ ...session, clientAddress: 'fe80::1' },
	{ ...session, tls: null },
	{ ...session, database: '' },
	{ ...session, identity: null },
	{ ...session, identity: { ...identity, name: 'ben', claims: {} } },
];

it('is right for every session, in every order', () => {
	for (const first of sessions) {
		const cache = new SessionPartsCache();
		for (const next of [first, ...sessions, ...sessions.toReversed()]) {
			const { full, short } = cache.of(next);
			expect(full.toString()).toBe(plain(next));
			expect(JSON.parse(`{"x":1${short.toString()}}}`)).toMatchObject({
				actor: { user: { name: next.identity?.name ?? '(none)' }, session: { uid: next.id } },
				unmapped: {},
			});
		}
	}
});
