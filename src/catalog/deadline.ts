/** A connection whose queries do not hang: one that takes too long ends it. */
import type { Clock } from './clock.ts';
import type { CatalogSession } from './connection.ts';

/** The same connection; a query that is not answered in time closes it and rejects. */
export function withDeadline(session: CatalogSession, timeoutMs: number, clock: Clock): CatalogSession {
	return {
		close: () => session.close(),
		query: async (sql) => {
			let cancel = () => {};
			const late = new Promise<never>((_, reject) => {
				cancel = clock.after(timeoutMs, () => {
					reject(new Error(`the database does not answer the catalogue's question within ${timeoutMs} ms`));
					void session.close();
				});
			});
			try {
				return await Promise.race([session.query(sql), late]);
			} finally {
				cancel();
			}
		},
	};
}
