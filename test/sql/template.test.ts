/** One analysis for all texts of a shape: whatever the literals, the decision is the one that an analysis of the text itself gives. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openQuerySession } from '../../src/backend/query.ts';
import { Catalog } from '../../src/catalog/catalog.ts';
import { GatewayError } from '../../src/errors.ts';
import { Pipeline, type PipelineContext } from '../../src/pipeline.ts';
import type { Decision, Identity } from '../../src/stages.ts';
import { type LiteralKind, shapeOf } from '../../src/sql/shape.ts';
import { SourceText } from '../../src/sql/source.ts';
import { BlindSource, replaced } from '../../src/sql/template.ts';
import { allCases } from '../adversary/cases/all.ts';
import { cleanupSql, schemaSql } from '../adversary/fixture/schema.ts';
import { makeWorld } from '../adversary/world.ts';
import { scriptsOf, tools } from '../corpus/corpus.ts';
import { marketSql } from '../corpus/fixture/market.ts';
import { identityOf, policyOf } from '../policy/support.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { ANALYST, AUDITOR, RULES, SETUP } from './people.ts';

/** A database with its policy, and what is sent to it. */
interface Place {
	readonly name: string;
	readonly setup: string;
	readonly rules: string;
	readonly masks?: string;
	readonly database: string;
	readonly path: readonly string[];
	readonly people: readonly Identity[];
	readonly texts: readonly string[];
}

/** Statements whose literals are values: each of them is to be served by its shape. */
const SHARED = [
	'select id, name from people where id = 7',
	"select * from people where name = 'p1' and team in (1, 2) order by id limit 10",
	'select ssn, salary, born from people where id between 1 and 9 and salary > 10.5',
	"select count(*) from people where name like 'p%' offset 3",
	"select p.name, t.title from people p join teams t on t.id = p.team where t.city = 'Bonn' and p.id <> 4",
	"select label from items where price < 12.75 and at > timestamptz '2024-01-01' limit 5",
	"select coalesce(label, 'none'), id + 9999999999 from items where owner = -3",
	"select title from directory where id = 3 and name = 'p3'",
	"select * from events where at >= '2023-07-01'::date and body <> ''",
	"select case when id < 3 then 'few' else 'many' end from items group by 1, id having count(*) > 0",
	"select (select name from people where id = 5), 'x'",
	'with few as (select id from people where id < 6) select * from few where id > 1 union all select 7',
	"select jsonb_path_query_array(extra, '$.l[*]'), tags[1] from people where extra ->> 'k' = '3'",
	'select * from people tablesample bernoulli (10) repeatable (3)',
	'select interval \'3 days\' + now(), "Odd Name" from notes where n = 7;',
	"insert into notes (body, n) values ('one', 1), ('it''s', -2)",
	"insert into people (id, tenant, name) values (100, 'acme', 'new')",
	"update notes set body = 'two', n = n + -5 where id = 9 returning id, 'done'",
	"update people set name = 'p' where id = 4",
	"delete from people where id = 6 and name = 'p6'",
	'delete from notes where id in (1, 2, 3)',
	'merge into notes using items on notes.id = items.id when matched then update set n = 4',
	"select a from (values (1, 'x'), (2, 'y')) v (a, b) group by 1",
	'  select\n\t3 -\n 4  ;  ',
];

/** Statements whose literals decide something, or whose grammar has none: each text is analysed for itself. */
const SINGLE = [
	"select nextval('counter') from items where id = 3",
	"select set_config('work_mem', '4MB', true)",
	'select ssn, count(*) from people group by 1 order by 2',
	'select cast(id as float(20)) from items where id = 1',
	"select 'a'::int[3] from items",
	'set statement_timeout = 1000',
	'copy (select id from items where id = 3) to stdout',
	'fetch 5 from c',
	'declare c cursor for select 1 from items where id = 3',
	'select 1; select 2',
	"select * from items where id = 5 and label = $1 and $1 <> 'x'",
	'select * from secrets where id = 1',
	'select id from nowhere where id = 1',
	"notify c, 'text'",
	'explain select id from items where id = 3',
];

const MARKET = new URL('../corpus/fixture/policies/', import.meta.url);
const BANK = new URL('../adversary/fixture/policies/', import.meta.url);
const read = (file: string, folder: URL): string => readFileSync(new URL(file, folder), 'utf8');

const world = makeWorld();
const unique = `shape${process.pid}`;

function attackTexts(): string[] {
	const texts: string[] = [];
	for (const attack of allCases) {
		if (attack.type === 'raw') continue;
		const steps = attack.type === 'probe' ? attack.steps(attack.guesses(world).right, world) : attack.steps(world);
		for (const step of steps) texts.push(typeof step === 'string' ? step : step.sql);
	}
	return texts;
}

function corpusTexts(): string[] {
	const files = ['select.sql', 'json-text.sql', 'cte.sql', 'sessions.sql', 'writer.sql'];
	const people = files.flatMap((file) => scriptsOf(file)).flatMap(({ statements }) => statements);
	return [...people, ...tools().flatMap(({ statements }) => statements.map(({ sql }) => sql))];
}

const WHO = (role: string): Identity => identityOf([`user:${role}`, `role:${role}`], { tenant: 'acme' });

const PLACES: readonly Place[] = [
	{
		name: 'people',
		setup: SETUP,
		rules: RULES,
		database: 'db',
		path: ['hr', 'app'],
		people: [ANALYST, AUDITOR],
		texts: [...SHARED, ...SINGLE],
	},
	{
		name: 'the corpus of tools and people',
		setup: marketSql(),
		rules: read('policy.csv', MARKET),
		masks: read('masks.yaml', MARKET),
		database: 'bank',
		path: ['$user', 'public'],
		people: [WHO('analyst'), WHO('writer')],
		texts: corpusTexts(),
	},
	{
		name: 'the attacks',
		setup: schemaSql(world, unique, 18),
		rules: read('policy.csv', BANK),
		masks: read('masks.yaml', BANK),
		database: 'bank',
		path: ['$user', 'public'],
		people: [WHO('analyst'), WHO('writer')],
		texts: attackTexts(),
	},
];

const VALUES: Readonly<Record<LiteralKind, fc.Arbitrary<string>>> = {
	int4: fc.oneof(fc.nat().map(String), fc.constantFrom('0', '1', '2', '007', '2147483647')),
	int8: fc.bigInt({ min: 2_147_483_649n, max: 9_223_372_036_854_775_807n }).map(String),
	numeric: fc.oneof(
		fc.tuple(fc.nat(), fc.nat()).map(([a, b]) => `${a}.${b}`),
		fc.bigInt({ min: 9_223_372_036_854_775_809n, max: 10n ** 40n }).map(String),
	),
	string: fc
		.oneof(
			fc.string({ unit: 'grapheme', maxLength: 40 }),
			fc.constantFrom(
				'',
				"'",
				"''",
				'\\',
				'$1',
				'"',
				'--',
				'/*',
				')',
				'(',
				';',
				' from ',
				'returning',
				'where',
				'public',
				'x\ny',
			),
			fc.constantFrom(
				'2024-02-30',
				'1 day',
				'$.a',
				'hr.people',
				'search_path',
				'NULL',
				'é€😀',
				'\uE000',
				'portcullis_check_',
			),
		)
		.map((text) => `'${text.replaceAll('\0', '').replaceAll("'", "''")}'`),
};

interface Opened {
	readonly place: Place;
	readonly database: TestDatabase;
	readonly catalog: Catalog;
	context(who: Identity): PipelineContext;
}

async function open(place: Place): Promise<Opened> {
	const database = await createDatabase({ setup: place.setup });
	const { host, port, user, password } = database;
	const target = {
		host,
		port,
		user,
		dbname: database.database,
		password: () => password,
		tls: { mode: 'disable' },
	} as const;
	const catalog = new Catalog({ database: place.database, connect: () => openQuerySession(target) });
	await catalog.start();
	const policy = await policyOf(place.rules, place.masks === undefined ? {} : { masks: place.masks });
	const nobody = { id: 's', identity: null, clientAddress: '', clientPort: 0, application: '', tls: null };
	const info = { ...nobody, database: place.database, backendAddress: null, backendPid: null, backendRole: null };
	const names = { searchPath: place.path, tempSchema: null };
	const context = (identity: Identity): PipelineContext => {
		const access = policy.accessFor(identity, place.database);
		return { identity, database: place.database, access, catalog, names, info };
	};
	return { place, database, catalog, context };
}

/** A pipeline, and whether it had to analyse the text it was asked for last. */
class Asked {
	readonly #pipeline: Pipeline;
	#analysed = 0;

	constructor(shapesBytesMax?: number) {
		const onDecision = (): void => {
			this.#analysed += 1;
		};
		const shapes = shapesBytesMax === undefined ? {} : { shapesBytesMax };
		this.#pipeline = new Pipeline({ audit: null, onDecision, ...shapes });
	}

	async decide(
		context: PipelineContext,
		sql: string,
	): Promise<{ readonly decision: Decision; readonly analysed: boolean }> {
		const before = this.#analysed;
		const decision = await this.#pipeline.decide(context, sql);
		return { decision, analysed: this.#analysed > before };
	}
}

/** The decision as data. The random words of checks are the same for all texts of a shape, and others with every analysis. */
function plain(decision: Decision): unknown {
	const words = new Map<string, string>();
	const tell = (_key: string, value: unknown): unknown => {
		if (value instanceof GatewayError) return { ...value, message: value.message };
		if (typeof value !== 'string') return value;
		return value.replaceAll(/portcullis_check_[0-9a-f]{24}/g, (word) => {
			if (!words.has(word)) words.set(word, `check ${words.size}`);
			return words.get(word) ?? '';
		});
	};
	return JSON.parse(JSON.stringify(decision, tell));
}

const other = (sql: string, seed: number): string => {
	const shape = shapeOf(sql);
	if (shape === null) return sql;
	const next = fc.sample(fc.array(fc.record(VALUES), { minLength: 1, maxLength: 40 }), { numRuns: 1, seed })[0] ?? [];
	return replaced(sql, shape, (kind, index) => next[index % next.length]?.[kind] ?? '0');
};

/** Of each shape; two are analysed before the third can be served. More by hand: SHAPE_TEXTS=20. */
const TEXTS_EACH = Number(process.env['SHAPE_TEXTS'] ?? 4);
const seed = Number(process.env['SHAPE_SEED'] ?? Date.now() % 1_000_000);

describe.each(PLACES)('$name', (place) => {
	let opened: Opened;
	beforeAll(async () => {
		opened = await open(place);
	});
	afterAll(async () => {
		await opened?.catalog.close();
		if (place.name === 'the attacks') await opened?.database.sql(cleanupSql(unique));
		await opened?.database.drop();
	});

	it(`decides every text as an analysis of its own would, SHAPE_SEED=${seed}`, { timeout: 300_000 }, async () => {
		let [served, compared] = [0, 0];
		for (const who of place.people) {
			const context = opened.context(who);
			const [withShapes, without] = [new Asked(), new Asked(0)];
			for (const [at, sql] of [...new Set(place.texts)].entries()) {
				if (shapeOf(sql) === null) continue;
				for (let round = 0; round < TEXTS_EACH; round += 1) {
					const text = round === 0 ? sql : other(sql, seed + 1000 * at + round);
					const { decision, analysed } = await withShapes.decide(context, text);
					const { decision: fresh } = await without.decide(context, text);
					expect(plain(decision), text).toEqual(plain(fresh));
					compared += 1;
					if (!analysed) served += 1;
					// Nothing comes from a shape here: the rest would only take time.
					else if (round === 3) break;
				}
			}
		}
		// Of the least of the places and of the fewest texts of each shape.
		expect(served).toBeGreaterThan(50);
		console.log(`${place.name}: ${compared} decisions compared, ${served} of them served by a shape`);
	});
});

describe('which texts share an analysis', () => {
	let opened: Opened;
	beforeAll(async () => {
		opened = await open(PLACES[0] as Place);
	});
	afterAll(async () => {
		await opened?.catalog.close();
		await opened?.database.drop();
	});

	/** Whether the fourth text of the shape was served without an analysis. */
	async function isShared(sql: string, who: Identity): Promise<boolean> {
		const asked = new Asked();
		for (let round = 0; round < 3; round += 1) await asked.decide(opened.context(who), other(sql, round + 1));
		return !(await asked.decide(opened.context(who), other(sql, 77))).analysed;
	}

	it.each(SHARED)('shared: %s', async (sql) => {
		expect(shapeOf(sql)).not.toBeNull();
		expect(await isShared(sql, ANALYST)).toBe(true);
	});

	it.each(SINGLE)('single: %s', async (sql) => {
		expect(await isShared(sql, ANALYST)).toBe(false);
	});

	it('people who are shown different things never share one', async () => {
		const asked = new Asked();
		const sql = 'select ssn from people where id = 1';
		for (let round = 0; round < 4; round += 1) await asked.decide(opened.context(ANALYST), other(sql, round + 1));
		const { decision, analysed } = await asked.decide(opened.context(AUDITOR), other(sql, 9));
		expect(analysed).toBe(true);
		expect(decision.rewritten).not.toContain('XXX');
	});

	it('a text whose parse could meet a limit is analysed for itself', async () => {
		const sql = `select id from items where label = 'x' and id in (${Array.from({ length: 900 }, (_, i) => i).join(', ')})`;
		expect(shapeOf(sql)).not.toBeNull();
		expect(await isShared(sql, ANALYST)).toBe(false);
	});

	it('no more is remembered than the bound says', async () => {
		const pipeline = new Pipeline({ audit: null, shapesBytesMax: 20_000 });
		for (let column = 0; column < 200; column += 1) {
			for (let id = 0; id < 3; id += 1)
				await pipeline.decide(opened.context(ANALYST), `select ${id} as c${column} from items`);
		}
		expect(pipeline.shapesRemembered).toBeGreaterThan(0);
		expect(pipeline.shapesRemembered).toBeLessThan(20);
	});
});

describe('the analysis that sees no literals', () => {
	it('knows every way in which a text can be read', () => {
		// A new method of SourceText that reads the text has to be overridden, unless it reads by tokens and slices only.
		const byTokens = ['tokenAt', 'closing'];
		const methods = Object.getOwnPropertyNames(SourceText.prototype).filter((name) => !byTokens.includes(name));
		expect(Object.getOwnPropertyNames(BlindSource.prototype)).toEqual(expect.arrayContaining(methods));
	});

	it('is told when a part of a literal, a position or a count is asked for', () => {
		const sql = "select 'abc', 987654";
		const source = new SourceText(sql);
		const places = shapeOf(sql)?.literals ?? [];
		const asks: readonly (readonly [string, (blind: BlindSource) => unknown, boolean])[] = [
			['tokens', (blind) => blind.tokens, false],
			['whole literals', (blind) => blind.slice(0, 20), false],
			['what is beside', (blind) => blind.slice(0, 7), false],
			['a part', (blind) => blind.slice(0, 9), true],
			['a position before them', (blind) => blind.position(7), false],
			['a position behind one', (blind) => blind.position(14), true],
			['parameters', (blind) => blind.occurrences(1), true],
		];
		for (const [name, ask, want] of asks) {
			let seen = false;
			const blind = new BlindSource(source, places, 'MARK', () => {
				seen = true;
			});
			const told = ask(blind);
			expect(seen, name).toBe(want);
			if (!want) expect(JSON.stringify(told), name).not.toMatch(/abc|987654/);
			expect(`${blind.sql}${blind.bytes.toString()}`).not.toMatch(/abc|987654/);
		}
	});
});
