/** The reserve of a transaction pool is there in time for who has waited, whenever the wait began. */
import { expect, onTestFinished, test } from 'vitest';
import { TransactionPool } from '../../src/backend/pool.ts';
import { createDatabase } from '../support/postgres.ts';

test('a timer that is early by part of a millisecond does not cost anybody the reserve', async () => {
	const database = await createDatabase();
	const { host, port, user, password, database: dbname } = database;
	const target = { host, port, user, dbname, password: () => password, tls: { mode: 'disable' } } as const;
	const pool = new TransactionPool(target, { size: 1, reserve: 1, reserveAfterMs: 5, queueTimeoutMs: 10_000 });
	onTestFinished(async () => {
		await pool.close();
		await database.drop();
	});
	const first = await pool.lease({ startup: {} });
	// Timers count whole milliseconds: the wait begins at another part of one each time.
	for (let part = 0; part < 1; part += 0.02) {
		await new Promise(setImmediate);
		while (performance.now() % 1 < part);
		const second = await pool.lease({ startup: {} });
		expect(pool.stats.leased).toBe(2);
		await second.release('broken');
	}
	await first.release('clean');
});
