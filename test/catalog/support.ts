/** Connections and snapshots for the tests of the catalogue, made with the gateway's own backend connection. */
import type { CatalogSession } from '../../src/catalog/connection.ts';
import { loadServer, loadSnapshot } from '../../src/catalog/load.ts';
import type { CatalogSnapshot } from '../../src/catalog/snapshot.ts';
import { openQuerySession } from '../../src/backend/query.ts';
import type { TestDatabase } from '../support/postgres.ts';

/** `native` folders of the packages of other versions, separated by colons; tests that say so run on each of them too. */
export function otherVersions(): string[] {
	return (process.env['PORTCULLIS_TEST_POSTGRES'] ?? '').split(':').filter((path) => path !== '');
}

export function openSession(database: TestDatabase): Promise<CatalogSession> {
	const { host, port, user, password } = database;
	return openQuerySession({
		host,
		port,
		user,
		dbname: database.database,
		password: () => password,
		tls: { mode: 'disable' },
	});
}

/** Opens a connection, does something with it and closes it. */
export async function withSession<T>(database: TestDatabase, use: (session: CatalogSession) => Promise<T>): Promise<T> {
	const session = await openSession(database);
	try {
		return await use(session);
	} finally {
		await session.close();
	}
}

export function loadOnce(database: TestDatabase): Promise<CatalogSnapshot> {
	return withSession(database, async (session) => {
		const { snapshot } = await loadSnapshot(session, await loadServer(session), 1);
		return snapshot;
	});
}
