/** Two PostgreSQL servers that take turns as the primary, for tests of many failovers: whoever loses the place is copied anew and follows. */
import { setTimeout as sleep } from 'node:timers/promises';
import { startEmbeddedPostgres } from '../../src/cli/demo/postgres.ts';
import pg from 'pg';
import { nativeOf, postmasterOf, type StandbySource, startStandby } from './replicas.ts';

interface Superuser {
	readonly host: string;
	readonly user: string;
	readonly password: string;
}

/** How long a server may take to end in good order. */
const shutdownMs = 10_000;

/** One of the two places; another server is in it after each failover. */
interface Place {
	readonly port: number;
	server: (StandbySource & { stop(): Promise<void> }) | null;
}

/**
 * The standby is synchronous whenever it follows: then nothing that a client was told is committed is lost by a failover, unless the
 * server warned of it. With no standby the primary commits alone.
 */
export class Rotation {
	readonly #places: readonly [Place, Place];
	readonly #native: string;
	readonly #login: Superuser;
	#primary: 0 | 1 = 0;
	#copies = 0;
	/** Times that the other one became the primary. */
	turns = 0;

	/** `setup` runs on the primary before it is copied. */
	static async start(setup: (sql: Rotation['sql']) => Promise<void>): Promise<Rotation> {
		// A throw-away server does not write down what it commits before it says so.
		const durable = { synchronous_commit: 'on', full_page_writes: 'on' };
		const settings = { ...durable, wal_level: 'replica', wal_keep_size: '256MB', max_connections: '200' };
		const first = await startEmbeddedPostgres({ settings });
		const { host, user, password } = first;
		let rotation: Rotation | null = null;
		try {
			// It decides where it listens when it is started.
			const native = await nativeOf(first);
			const second = await startStandby(first, 'standby', { native });
			const places: [Place, Place] = [
				{ port: first.port, server: first },
				{ port: second.port, server: { ...second, user, password } },
			];
			rotation = new Rotation(places, native, { host, user, password });
			await setup(rotation.sql);
			await rotation.follow();
			return rotation;
		} catch (error) {
			await (rotation?.stop() ?? first.stop());
			throw error;
		}
	}

	private constructor(places: readonly [Place, Place], native: string, login: Superuser) {
		this.#places = places;
		this.#native = native;
		this.#login = login;
	}

	get ports(): readonly [number, number] {
		return [this.#places[0].port, this.#places[1].port];
	}

	get primary(): 0 | 1 {
		return this.#primary;
	}

	get standby(): 0 | 1 {
		return this.#primary === 0 ? 1 : 0;
	}

	/** Runs SQL text on the primary, as the superuser in the database `name`. */
	readonly sql = (name: string, text: string): Promise<Record<string, unknown>[]> =>
		this.sqlAt(this.#primary, name, text);

	async sqlAt(place: 0 | 1, database: string, text: string): Promise<Record<string, unknown>[]> {
		const { port } = this.#places[place];
		const client = new pg.Client({ ...this.#login, port, database, connectionTimeoutMillis: 10_000 });
		client.on('error', () => undefined);
		await client.connect();
		try {
			const result: unknown = await client.query(text);
			const last: unknown = Array.isArray(result) ? result.at(-1) : result;
			return (last as pg.QueryResult<Record<string, unknown>>).rows;
		} finally {
			await client.end();
		}
	}

	/** Ends the primary: as an administrator does, with all of its log passed on, or as a crash. */
	async end(how: 'fast' | 'crash'): Promise<void> {
		const place = this.#places[this.#primary];
		const { server } = place;
		if (server === null) return;
		place.server = null;
		const postmaster = await postmasterOf(server);
		const crash = (): boolean => process.kill(postmaster, 'SIGQUIT');
		if (how === 'crash') crash();
		// A backend that drops its temporary tables at its end waits for a standby, and for ever where there is none any more.
		const late = setTimeout(crash, shutdownMs);
		await server.stop();
		clearTimeout(late);
	}

	/** Makes the standby the primary, whatever the old one does. */
	async promote(): Promise<void> {
		await this.sqlAt(this.standby, 'postgres', 'select pg_promote()');
		this.#primary = this.standby;
		this.turns += 1;
	}

	/** Ends whatever is in the other place, and puts a copy of the primary there. Resolves when that follows synchronously. */
	async rejoin(): Promise<void> {
		const place = this.#places[this.standby];
		const { server } = place;
		place.server = null;
		if (server !== null) {
			process.kill(await postmasterOf(server), 'SIGQUIT');
			await server.stop();
		}
		const primary = this.#places[this.#primary].server;
		if (primary === null) throw new Error('there is no primary to copy');
		this.#copies += 1;
		const { port } = place;
		const source = { ...this.#login, port: this.#places[this.#primary].port, directory: primary.directory };
		const copy = await startStandby(source, `standby${this.#copies}`, { port, native: this.#native });
		place.server = { ...copy, ...this.#login };
		await this.follow();
	}

	/** Commits wait for the standby from here on, and it has all that was committed before. */
	async follow(): Promise<void> {
		await this.#patiently(`alter system set synchronous_standby_names = '*'`);
		await this.#patiently('select pg_reload_conf()');
		const caughtUp = `select from pg_stat_replication where sync_state = 'sync' and flush_lsn >= pg_current_wal_lsn()`;
		while ((await this.#patiently(caughtUp)).length === 0) await sleep(50);
	}

	/** At once, whatever they wait for. */
	async stop(): Promise<void> {
		await Promise.all(
			this.#places.map(async ({ server }) => {
				if (server === null) return;
				process.kill(await postmasterOf(server), 'SIGQUIT');
				await server.stop();
			}),
		);
	}

	/** Over a restart of the server, too. */
	async #patiently(sql: string): Promise<Record<string, unknown>[]> {
		for (let attempt = 1; ; attempt += 1) {
			try {
				return await this.sql('postgres', sql);
			} catch (error) {
				if (attempt === 100) throw error;
				await sleep(100);
			}
		}
	}
}
