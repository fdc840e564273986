/** Following a catalogue: DDL made here and elsewhere, coalesced looks, lost connections, databases that do not answer. */
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { Catalog, type CatalogState } from '../../src/catalog/catalog.ts';
import type { Clock } from '../../src/catalog/clock.ts';
import type { CatalogSession } from '../../src/catalog/connection.ts';
import { CATALOG_LIMITS } from '../../src/catalog/limits.ts';
import { definitionsQuery } from '../../src/catalog/queries.ts';
import { GatewayError } from '../../src/errors.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { openSession } from './support.ts';

/** Time that passes only when the test says so. */
class HandClock implements Clock {
	#now = 0;
	readonly #timers = new Set<{ at: number; run: () => void }>();

	now(): number {
		return this.#now;
	}

	after(delayMs: number, then: () => void): () => void {
		const timer = { at: this.#now + delayMs, run: then };
		this.#timers.add(timer);
		return () => this.#timers.delete(timer);
	}

	get waiting(): number {
		return this.#timers.size;
	}

	advance(ms: number): void {
		const until = this.#now + ms;
		for (;;) {
			const due = [...this.#timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
			if (due === undefined) break;
			this.#timers.delete(due);
			this.#now = due.at;
			due.run();
		}
		this.#now = until;
	}
}

/** The way to the database, with everything on it counted and breakable. */
class Way {
	readonly sessions: CatalogSession[] = [];
	readonly queries: string[] = [];
	/** Rejects new connections with it. */
	down: Error | null = null;
	answered = 0;
	/** Answers of the database wait for it. */
	gate: Promise<void> | null = null;
	/** Errors in place of the answers to the next questions for definitions of views. */
	failures: Error[] = [];
	readonly #database: TestDatabase;

	constructor(database: TestDatabase) {
		this.#database = database;
	}

	readonly connect = async (): Promise<CatalogSession> => {
		if (this.down !== null) throw this.down;
		const session = await openSession(this.#database);
		this.sessions.push(session);
		let end = () => {};
		const ended = new Promise<void>((resolve) => {
			end = resolve;
		});
		return {
			close: () => {
				end();
				return session.close();
			},
			query: async (sql) => {
				this.queries.push(sql);
				const rows = await session.query(sql);
				const failure = sql === definitionsQuery ? this.failures.shift() : undefined;
				if (failure !== undefined) throw failure;
				this.answered++;
				await Promise.race([this.gate, ended]);
				// What a look costs is the server's own time, and a busy machine's may be anything.
				return !sql.includes('temporary_schemas') ? rows : rows.map(([text]) => [text ?? null, '1']);
			},
		};
	};

	/** How often the objects made by users were loaded. */
	get loads(): number {
		return this.queries.filter((sql) => sql.startsWith('begin')).length;
	}
}

/** What the server says when a view is dropped between the load's first look at it and the second. */
const racing = new GatewayError('XX000', 'could not open relation with OID 22973');

/** Runs until `done`, as far as promises go; every real wait is for the database. */
async function until(done: () => boolean): Promise<void> {
	const deadline = performance.now() + 10_000;
	while (!done()) {
		if (performance.now() > deadline) throw new Error('it did not happen');
		await new Promise((resolve) => {
			setImmediate(resolve);
		});
	}
}

describe('a catalogue', () => {
	let database: TestDatabase;
	let clock: HandClock;
	let way: Way;
	let states: CatalogState['type'][];
	beforeAll(async () => {
		database = await createDatabase({ setup: 'create table first (a int)' });
	});
	afterAll(() => database.drop());
	beforeEach(() => {
		clock = new HandClock();
		way = new Way(database);
		states = [];
	});

	function open(): Catalog {
		const catalog = new Catalog({
			database: 'shop',
			connect: way.connect,
			clock,
			onState: ({ type }) => states.push(type),
		});
		onTestFinished(() => catalog.close());
		return catalog;
	}

	async function scratch(): Promise<string> {
		const name = `t_${Math.random().toString(36).slice(2)}`;
		await database.sql(`create table ${name} (a int)`);
		onTestFinished(async () => {
			await database.sql(`drop table if exists ${name}`);
		});
		return name;
	}

	it('is unknown until it was loaded, and says so with 57P03', async () => {
		const catalog = open();
		expect(catalog.state).toEqual({ type: 'unknown', error: null });
		expect(() => catalog.snapshot()).toThrow(GatewayError);
		expect(() => catalog.snapshot()).toThrow(/catalogue of database "shop" is not known/);
		await catalog.start();
		expect(catalog.state).toEqual({ type: 'current' });
		expect(catalog.snapshot().relation('public', 'first')).toBeDefined();
		expect(states).toEqual(['current']);
	});

	it('keeps the same snapshot while nothing changes, and loads once', async () => {
		const catalog = open();
		const first = await catalog.refresh();
		expect(await catalog.refresh()).toBe(first);
		expect(await catalog.refresh()).toBe(first);
		expect(way.loads).toBe(1);
		expect(way.sessions.length).toBe(1);
	});

	it('has what was committed before it was asked, with a revision more', async () => {
		const catalog = open();
		const before = await catalog.refresh();
		const name = await scratch();
		const after = await catalog.refresh();
		expect(after.relation('public', name)).toBeDefined();
		expect(before.relation('public', name)).toBeUndefined();
		expect(after.revision).toBe(before.revision + 1);
		// What comes with the server is loaded once and shared.
		expect(after.routinesNamed('lower')).toBe(before.routinesNamed('lower'));
	});

	it('knows the names of fields that are and that were, also over another connection', async () => {
		const catalog = open();
		await catalog.refresh();
		onTestFinished(async () => {
			await database.sql('drop table if exists homes; drop type if exists place; drop function if exists pair');
		});
		await database.sql(`create type place as (lane text, "Zip ""1""" text); create table homes (home place, street text, kept int);
			create function pair(out left_one int, out right_one int) language sql as 'select 1, 2'`);
		const names = ['lane', 'Zip "1"', 'street', 'kept', 'left_one', 'right_one'];
		const fields = async (of: Catalog): Promise<string[]> => {
			const snapshot = await of.refresh();
			return [...names, 'nobody'].filter((name) => snapshot.mayBeField(name));
		};
		expect(await fields(catalog)).toEqual(names);
		await database.sql(`alter type place rename attribute lane to other; alter table homes drop column street;
			drop function pair; create function pair() returns int language sql as 'select 1'`);
		expect(await fields(catalog)).toEqual(names);
		await database.sql('drop function pair; drop table homes; drop type place');
		await way.sessions.at(-1)?.close();
		expect(await fields(catalog)).toEqual(names);
		expect(catalog.snapshot().mayBeField('other')).toBe(true);
		expect(await fields(open())).toEqual([]);
	});

	it('does not let a look that began earlier stand for DDL made since', async () => {
		const catalog = open();
		await catalog.refresh();
		let release = () => {};
		way.gate = new Promise((resolve) => {
			release = resolve;
		});
		const asked = way.queries.length;
		const early = catalog.refresh();
		await until(() => way.answered > asked);
		const name = await scratch();
		const late = [catalog.refresh(), catalog.refresh(), catalog.refresh()];
		expect(late[0]).toBe(late[1]);
		expect(late[0]).not.toBe(early);
		const quiet = catalog.underWay;
		way.gate = null;
		release();
		expect((await early).relation('public', name)).toBeUndefined();
		const snapshots = await Promise.all(late);
		expect(snapshots.every((snapshot) => snapshot.relation('public', name) !== undefined)).toBe(true);
		await quiet;
		expect(catalog.underWay).toBeNull();
		expect(catalog.following).toBeNull();
		const followed = catalog.follow();
		expect(catalog.following).toBeInstanceOf(Promise);
		await followed;
		expect(catalog.following).toBeNull();
		// One look for the first and one for all the others together.
		expect(way.loads).toBe(2);
		expect(way.queries.slice(asked).filter((sql) => sql.includes('temporary_schemas')).length).toBe(4);
	});

	it('sees DDL made elsewhere within a second on a small database', async () => {
		const catalog = open();
		await catalog.start();
		const name = await scratch();
		expect(catalog.snapshot().relation('public', name)).toBeUndefined();
		clock.advance(CATALOG_LIMITS.pollMinMs);
		await until(() => catalog.snapshot().relation('public', name) !== undefined);
		await until(() => clock.waiting === 1);
		await database.sql(`drop table ${name}`);
		clock.advance(CATALOG_LIMITS.pollMinMs);
		await until(() => catalog.snapshot().relation('public', name) === undefined);
	});

	it('does not poll unless started, and not after close', async () => {
		const catalog = open();
		await catalog.refresh();
		expect(clock.waiting).toBe(0);
		await catalog.start();
		expect(clock.waiting).toBe(1);
		await catalog.close();
		expect(clock.waiting).toBe(0);
		expect(() => catalog.snapshot()).toThrow(GatewayError);
		await expect(catalog.refresh()).rejects.toThrow(GatewayError);
		expect(way.sessions.length).toBe(1);
	});

	it('connects again at once when its connection was lost, without being stale', async () => {
		const catalog = open();
		const before = await catalog.refresh();
		await way.sessions[0]?.close();
		const name = await scratch();
		const after = await catalog.refresh();
		expect(after.relation('public', name)).toBeDefined();
		expect(after.revision).toBeGreaterThan(before.revision);
		expect(way.sessions.length).toBe(2);
		expect(states).toEqual(['current']);
	});

	it('is stale when the database cannot be asked, and current again when it can', async () => {
		const catalog = open();
		await catalog.start();
		const name = await scratch();
		way.down = new Error('connection refused');
		await way.sessions[0]?.close();
		const refused = catalog.refresh();
		await expect(refused).rejects.toMatchObject({ sqlstate: '57P03', cause: way.down });
		expect(catalog.state).toEqual({ type: 'stale', error: way.down });
		expect(() => catalog.snapshot()).toThrow(/not known at the moment/);
		way.down = null;
		clock.advance(CATALOG_LIMITS.reconnectMinMs);
		await until(() => catalog.state.type === 'current');
		expect(catalog.snapshot().relation('public', name)).toBeDefined();
		expect(states).toEqual(['current', 'stale', 'current']);
	});

	it('is not stale because something was dropped while it was read', async () => {
		const catalog = open();
		await catalog.refresh();
		await scratch();
		way.failures = [racing, racing];
		await catalog.refresh();
		expect(states).toEqual(['current']);
		expect(way.sessions.length).toBe(1);
		await scratch();
		way.failures = Array.from({ length: 2 * (CATALOG_LIMITS.racesMax + 1) }, () => racing);
		await expect(catalog.refresh()).rejects.toMatchObject({ sqlstate: '57P03', cause: racing });
		expect(states).toEqual(['current', 'stale']);
	});

	it('lets go of its locks and begins again when it meets one, and leaves definitions out in the end', async () => {
		await database.sql('create view locked as select * from first');
		onTestFinished(async () => {
			await database.sql('drop view locked');
		});
		const catalog = open();
		const locked = new GatewayError('55P03', 'canceling statement due to lock timeout');
		way.failures = [locked, locked];
		expect((await catalog.refresh()).relation('public', 'locked')?.definition).toMatch(/FROM public\.first/);
		const name = await scratch();
		way.failures = Array.from({ length: CATALOG_LIMITS.racesMax + 1 }, () => locked);
		const without = await catalog.refresh();
		expect(without.relation('public', name)).toBeDefined();
		expect(without.relation('public', 'locked')?.definition).toBeNull();
		expect((await catalog.refresh()).relation('public', 'locked')?.definition).toMatch(/FROM public\.first/);
		expect(states).toEqual(['current']);
	});

	it('can be waited for while it is not known, but not for ever', async () => {
		way.down = new Error('connection refused');
		const catalog = open();
		await expect(catalog.start()).rejects.toMatchObject({ sqlstate: '57P03' });
		await expect(catalog.known()).rejects.toMatchObject({ sqlstate: '57P03', cause: way.down });
		way.down = null;
		// No timer has run: it is asked at once, and once more when that lost a race.
		way.failures = Array.from({ length: CATALOG_LIMITS.racesMax + 1 }, () => racing);
		expect((await catalog.known()).relation('public', 'first')).toBeDefined();
		way.gate = new Promise(() => {});
		const hanging = catalog.known();
		clock.advance(CATALOG_LIMITS.knownWaitMs);
		await expect(hanging).rejects.toMatchObject({ sqlstate: '57P03' });
	});

	it('keeps trying when the database is down from the start', async () => {
		way.down = new Error('connection refused');
		const catalog = open();
		await expect(catalog.start()).rejects.toMatchObject({ sqlstate: '57P03' });
		expect(catalog.state).toEqual({ type: 'unknown', error: way.down });
		clock.advance(CATALOG_LIMITS.reconnectMinMs);
		await until(() => clock.waiting === 1);
		way.down = null;
		clock.advance(2 * CATALOG_LIMITS.reconnectMinMs);
		await until(() => catalog.state.type === 'current');
		expect(catalog.snapshot().relation('public', 'first')).toBeDefined();
	});

	it('does not trust a snapshot that was not looked at again in time', async () => {
		const catalog = open();
		await catalog.refresh();
		clock.advance(CATALOG_LIMITS.pollMinMs + CATALOG_LIMITS.staleGraceMs - 1);
		expect(catalog.snapshot()).toBeDefined();
		clock.advance(CATALOG_LIMITS.pollMaxMs);
		expect(() => catalog.snapshot()).toThrow(/not known at the moment/);
		await catalog.refresh();
		expect(catalog.snapshot()).toBeDefined();
	});

	it('does not wait for ever for a database that hangs', async () => {
		const catalog = open();
		await catalog.refresh();
		way.gate = new Promise(() => {});
		const hanging = catalog.refresh();
		hanging.catch(() => undefined);
		const asked = way.queries.length;
		await until(() => clock.waiting > 0);
		clock.advance(CATALOG_LIMITS.queryTimeoutMs);
		await until(() => way.queries.length > asked);
		clock.advance(CATALOG_LIMITS.queryTimeoutMs);
		await expect(hanging).rejects.toMatchObject({ sqlstate: '57P03' });
		expect(catalog.state).toMatchObject({
			type: 'stale',
			error: { message: expect.stringMatching(/does not answer/) },
		});
		expect(way.sessions.length).toBe(2);
	});

	it('looks less often where a look costs the server more', async () => {
		const catalog = open();
		const costly = way.connect;
		const slow = new Catalog({
			database: 'shop',
			clock,
			connect: async () => {
				const session = await costly();
				return {
					close: () => session.close(),
					query: async (sql) => {
						const rows = await session.query(sql);
						return sql.includes('temporary_schemas') ? rows.map(([text]) => [text ?? null, '50']) : rows;
					},
				};
			},
		});
		onTestFinished(() => slow.close());
		await slow.start();
		await until(() => clock.waiting === 1);
		const asked = way.queries.length;
		clock.advance(4999);
		expect(way.queries.length).toBe(asked);
		clock.advance(1);
		await until(() => way.queries.length === asked + 1);
		await catalog.close();
	});

	it('loads again at every look while definitions of views are missing', async () => {
		await database.sql('create view passing as select * from first');
		onTestFinished(async () => {
			await database.sql('drop view passing');
		});
		const other = await openSession(database);
		onTestFinished(() => other.close());
		await other.query('begin; lock table first in access exclusive mode');
		const catalog = open();
		expect((await catalog.refresh()).relation('public', 'passing')?.definition).toBeNull();
		await other.query('rollback');
		expect((await catalog.refresh()).relation('public', 'passing')?.definition).toMatch(/FROM public\.first/);
		expect(way.loads).toBe(2);
		await catalog.refresh();
		expect(way.loads).toBe(2);
	});
});
