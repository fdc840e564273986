/** What drivers, ORMs, psql, pg_dump and GUIs ask of the catalogues is answered as a database answers it that has not what is hidden. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Backend } from '../../src/wire/backend.ts';
import { errorTexts, type Protocol, RawClient, type Target } from '../adversary/client.ts';
import { type Gate, startGate } from '../adversary/fixture/gate.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { placeholdersOf, type Tool, type ToolStatement, tools, withOids } from './corpus.ts';
import { marketSql } from './fixture/market.ts';

let real: TestDatabase;
let gate: Gate;
/** As `real`, without the column that is hidden from who asks through the gateway. */
let without: TestDatabase;
let oids: ReadonlyMap<string, string>;

beforeAll(async () => {
	real = await createDatabase({ setup: marketSql() });
	// A copy: oids are the same.
	without = await createDatabase({ template: real.database, setup: 'alter table crm.customers drop column notes' });
	gate = await startGate(real, new URL('./fixture/policies', import.meta.url));
	const texts = tools().flatMap(({ statements }) => statements.flatMap(({ sql, params }) => [sql, ...(params ?? [])]));
	const casts = [...placeholdersOf(texts.filter((text) => text !== null))];
	const [row] = await real.sql(`select array[${casts.map(([, cast]) => `${cast}::oid::text`).join()}] as oids`);
	const found = row?.['oids'] as string[] | undefined;
	oids = new Map(casts.map(([placeholder], at) => [placeholder, found?.[at] ?? '0']));
});

afterAll(async () => {
	await gate?.stop();
	await real?.drop();
	await without?.drop();
});

interface Answer {
	readonly errors: readonly string[];
	readonly columns: string;
	readonly rows: number;
}

function answerOf(messages: readonly Backend[]): Answer {
	const columns = messages.flatMap((message) =>
		message.type === 'RowDescription' ? message.fields.map(({ name }) => name) : [],
	);
	return {
		errors: errorTexts(messages),
		columns: columns.join(),
		rows: messages.filter(({ type }) => type === 'DataRow').length,
	};
}

function sendable({ statements }: Tool): readonly ToolStatement[] {
	return statements.filter(({ refused }) => refused === undefined);
}

/** Sends everything in one session, as the tool did. */
async function play(target: Target, tool: Tool, protocol: Protocol): Promise<Answer[]> {
	const client = await RawClient.login(target, tool.startup ?? {});
	const answers: Answer[] = [];
	try {
		for (const { sql, params } of sendable(tool)) {
			client.forget();
			const values = (params ?? []).map((param) => (param === null ? null : withOids(param, oids)));
			const way = values.length > 0 ? 'extended' : protocol;
			answers.push(answerOf(await client.run(withOids(sql, oids), { protocol: way, params: values })));
		}
		await client.end();
	} finally {
		client.destroy();
	}
	return answers;
}

/** What counts sessions, settings or rows, or roles and databases, which other tests make and drop, answers differently by its nature. */
const LIVE =
	/pg_stat|pg_locks|pg_settings|pg_prepared_statements|pg_cursors|reltuples|pg_roles|pg_user\b|pg_database\b/i;

function difference(statement: ToolStatement, want: Answer, got: Answer): string | null {
	if (want.errors.length > 0) return null;
	// Sequelize sends several commands in one Query, which nobody can send in one Parse.
	if (got.errors.some((error) => error.includes('multiple commands into a prepared statement'))) return null;
	if (got.errors.length > 0) return `refused: ${got.errors.join()}`;
	if (statement.filtered === true) return null;
	if (got.columns !== want.columns) return `columns ${got.columns} instead of ${want.columns}`;
	if (got.rows !== want.rows && !LIVE.test(statement.sql)) return `${got.rows} rows instead of ${want.rows}`;
	return null;
}

describe('what tools send', () => {
	for (const tool of tools()) {
		it(`${tool.name}: ${tool.statements.length} statements`, { timeout: 120_000 }, async () => {
			const { host, port, user, password, database } = without;
			const want = await play({ host, port, user, password, database }, tool, 'simple');
			const failed = want.filter(({ errors }) => errors.length > 0).length;
			expect(failed / want.length, 'errors on the database itself').toBeLessThan(0.15);
			for (const protocol of ['simple', 'extended'] as const) {
				const got = await play(gate.target('ana'), tool, protocol);
				const found = sendable(tool).flatMap((statement, at) => {
					const [wanted, given] = [want[at], got[at]];
					if (wanted === undefined || given === undefined) return [`not answered: ${statement.sql}`];
					const wrong = difference(statement, wanted, given);
					return wrong === null ? [] : [`${wrong}\n    in ${statement.sql.slice(0, 400)}`];
				});
				expect(found, protocol).toEqual([]);
			}
		});
	}

	it('says where every statement comes from, and why one is refused', () => {
		for (const { name, source, statements } of tools()) {
			expect(source, name).toMatch(/\w+ .*\w+/);
			expect(statements.length, name).toBeGreaterThan(0);
			const refused = statements.filter((statement) => statement.refused !== undefined);
			expect(refused.length, name).toBeLessThan(5);
			for (const statement of refused) expect(statement.refused, statement.sql).toMatch(/\w+ \w+/);
		}
	});
});
