/** What analysts and writers send all day is not refused, and answers what a database of masked values would answer. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Backend } from '../../src/wire/backend.ts';
import { errorTexts, type Protocol, RawClient, type Target } from '../adversary/client.ts';
import { type Gate, type GateUser, startGate } from '../adversary/fixture/gate.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';
import { type Script, scriptsOf } from './corpus.ts';
import { marketSql, maskedMarketSql } from './fixture/market.ts';

let real: TestDatabase;
let masked: TestDatabase;
let gate: Gate;

beforeAll(async () => {
	[real, masked] = await Promise.all([
		createDatabase({ setup: marketSql() }),
		createDatabase({ setup: `${marketSql()}${maskedMarketSql()}` }),
	]);
	gate = await startGate(real, new URL('./fixture/policies', import.meta.url));
});

afterAll(async () => {
	for (const client of sessions.values()) client.destroy();
	await gate?.stop();
	await Promise.all([real?.drop(), masked?.drop()]);
});

/** Types of the database have other oids in the other one, and a row of what stands for a table is a mere record. */
function kindOf(typeOid: number): number | 'own' {
	return typeOid < 16_384 && typeOid !== 2_249 ? typeOid : 'own';
}

/** What one statement answers: errors, tag, columns with their types, rows in an order that does not matter. */
function answerOf(sql: string, messages: readonly Backend[]): unknown {
	const rows: string[] = [];
	const copied: string[] = [];
	const tags: string[] = [];
	let columns: unknown[] = [];
	for (const message of messages) {
		switch (message.type) {
			case 'RowDescription':
				columns = message.fields.map(({ name, typeOid, typmod, format }) => [name, kindOf(typeOid), typmod, format]);
				break;
			case 'DataRow':
				rows.push(message.values.map((value) => value?.toString('latin1') ?? 'null').join('|'));
				break;
			case 'CopyData':
				copied.push(message.data.toString('latin1'));
				break;
			case 'CommandComplete':
				tags.push(message.tag);
				break;
			default:
				break;
		}
	}
	const errors = errorTexts(messages);
	// A plan shows the masks and filters, what the session is differs between two sessions.
	if (/^\s*(explain|show)/i.test(sql)) return { errors, columns: columns.length, tags: tags.length };
	return { errors, tags, columns, rows: rows.sort(), copied: copied.sort() };
}

/** Sessions for scripts of one statement, by where they lead. */
const sessions = new Map<string, RawClient>();

async function play(target: Target, script: Script, protocol: Protocol): Promise<unknown[]> {
	const alone = script.statements.length === 1 && !/^(set|reset|discard|prepare)/i.test(script.statements[0] ?? '');
	const place = `${target.user}@${target.host}:${target.port}`;
	const kept = alone ? sessions.get(place) : undefined;
	const client = kept ?? (await RawClient.login(target));
	if (alone) sessions.set(place, client);
	client.forget();
	const answers: unknown[] = [];
	try {
		for (const sql of script.statements) answers.push([sql, answerOf(sql, await client.run(sql, { protocol }))]);
		if (!alone) await client.end();
	} finally {
		if (!alone) client.destroy();
	}
	return answers;
}

const FILES: readonly { readonly file: string; readonly user: GateUser }[] = [
	{ file: 'select.sql', user: 'ana' },
	{ file: 'json-text.sql', user: 'ana' },
	{ file: 'cte.sql', user: 'ana' },
	{ file: 'unusual.sql', user: 'ana' },
	{ file: 'reports.sql', user: 'ana' },
	{ file: 'applications.sql', user: 'ana' },
	{ file: 'sessions.sql', user: 'ana' },
	{ file: 'writer.sql', user: 'wes' },
	{ file: 'changes.sql', user: 'wes' },
];

for (const { file, user } of FILES) {
	describe(file, () => {
		for (const script of scriptsOf(file)) {
			// Several commands in one text can only be sent as a Query.
			const batch = script.statements.some((sql) => /;\s/.test(sql));
			for (const protocol of batch ? (['simple'] as const) : (['simple', 'extended', 'binary'] as const)) {
				it(`${script.place} ${script.statements[0]?.slice(0, 90)} (${protocol})`, async () => {
					const { host, port, user: superuser, password, database } = masked;
					const want = await play({ host, port, user: superuser, password, database }, script, protocol);
					expect(await play(gate.target(user), script, protocol)).toEqual(want);
				});
			}
		}
	});
}

describe('the corpus itself', () => {
	it('fails nowhere on the masked database but where it means to', async () => {
		const { host, port, user: superuser, password, database } = masked;
		const failed: string[] = [];
		for (const { file } of FILES) {
			for (const script of scriptsOf(file)) {
				const answers = await play({ host, port, user: superuser, password, database }, script, 'simple');
				for (const [sql, answer] of answers as [string, { errors: string[] }][]) {
					if (answer.errors.length > 0 && !sql.includes('1/0'))
						failed.push(`${script.place} ${sql}: ${answer.errors.join()}`);
				}
			}
		}
		expect(failed).toEqual([]);
	});
});
