/** What is kept of a session between its records: whatever came before, the pieces are those of the session at hand. */
import { expect, it } from 'vitest';
import { Batch } from '../../src/audit/batch.ts';
import type { BackendPlace, SessionInfo } from '../../src/audit/event.ts';
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
	{ ...session, shard: 'north' },
	{ ...session, shard: null },
	{ ...session, replication: 'database' },
	{ ...session, clientPort: 1 },
	{ ...session, clientAddress: 'fe80::1' },
	{ ...session, tls: null },
	{ ...session, database: '' },
	{ ...session, identity: null },
	{ ...session, identity: { ...identity, name: 'ben', claims: {} } },
];

const places: readonly (BackendPlace | null)[] = [
	null,
	{ address: '10.0.0.9:5432', pid: 1 },
	{ address: '[::1]:5433', pid: 2_000_000_000 },
	{ address: 'db.example', pid: 0 },
];

it('is right for every session, in every order', () => {
	for (const first of sessions) {
		const cache = new SessionPartsCache();
		for (const next of [first, ...sessions, ...sessions.toReversed()]) {
			for (const place of places) {
				const batch = new Batch();
				cache.write(batch, next, place);
				batch.endLine();
				const placed = place === null ? next : { ...next, backendAddress: place.address, backendPid: place.pid };
				expect(batch.bytes.toString()).toBe(`${plain(placed)}\n`);
			}
			const { short } = cache.of(next);
			expect(JSON.parse(`{"x":1${short.toString()}}}`)).toMatchObject({
				actor: { user: { name: next.identity?.name ?? '(none)' }, session: { uid: next.id } },
				unmapped: {},
			});
		}
	}
});
