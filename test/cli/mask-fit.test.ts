/** Masks that do not fit the columns which rules put them on: `check --connect` and the gateway's log say so, with what to write instead. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { catalogOf, openSession } from '../../src/cli/backends.ts';
import { check } from '../../src/cli/check.ts';
import type { ServedDatabase } from '../../src/cli/databases.ts';
import { CommandError, type CommandIo } from '../../src/cli/io.ts';
import { maskMisfits } from '../../src/cli/mask-fit.ts';
import { MaskWatch } from '../../src/cli/mask-watch.ts';
import type { Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Policy } from '../../src/policy/policy.ts';
import { PolicyError } from '../../src/policy/problem.ts';
import type { SessionLog } from '../../src/session/services.ts';
import { MODEL, policyOf } from '../policy/support.ts';
import { createDatabase, type TestDatabase } from '../support/postgres.ts';

const SETUP = `
create type mood as enum ('sad', 'ok');
create domain few as int check (value < 100);
create table people (id int, boss int, name text, code varchar(3), born date, paid numeric(2,2), at timestamptz, feels mood, few few,
	extra jsonb, key uuid, span int4range, flags bool[], tenant text);
create table other (id int, note text);
create view people_view as select id, name from people;
`;

const MASKS = `masks:
  last4: "'XXX-' || right(value, 4)"
  stars: "left(value::text, 1) || '***'"
  word: "'hidden'"
  nothing: "null"
  year: "date_trunc('year', value)"
  own: "coalesce(value, claims.tenant)"
  named: "name || value"
  coins: "value::money::numeric"
`;

/** The rules after `connect`; what is found is told without the advice at its end. */
const CASES: readonly { readonly name: string; readonly rules: string; readonly want: readonly string[] }[] = [
	{ name: 'null fits everything', rules: 'p, *, db.*.*.*, select, mask, nothing', want: [] },
	{
		name: 'a function that is not there for the type, told once for each type',
		rules: 'p, *, db.public.*.*, select, mask, last4',
		want: [
			'public.people.id (integer) and 3 more of that type: function pg_catalog.right(integer, integer) does not exist',
			'public.people.born (date): function pg_catalog.right(date, integer) does not exist',
			'public.people.paid (numeric(2,2)): function pg_catalog.right(numeric, integer) does not exist',
			'public.people.at (timestamp with time zone): function pg_catalog.right(timestamp with time zone, integer) does not exist',
			'public.people.feels (public.mood): function pg_catalog.right(mood, integer) does not exist',
			'public.people.few (public.few): function pg_catalog.right(few, integer) does not exist',
			'public.people.extra (jsonb): function pg_catalog.right(jsonb, integer) does not exist',
			'public.people.key (uuid): function pg_catalog.right(uuid, integer) does not exist',
			'public.people.span (int4range): function pg_catalog.right(int4range, integer) does not exist',
			'public.people.flags (boolean[]): function pg_catalog.right(boolean[], integer) does not exist',
		],
	},
	{
		name: 'what means what a session has set is told elsewhere, and what comes behind it is told',
		rules: 'p, *, db.public.people.id, select, mask, coins\np, *, db.public.people.boss, select, mask, stars',
		want: ['public.people.boss (integer): invalid input syntax for type integer: "0***"'],
	},
	{
		name: 'text that is no value of the type',
		rules: 'p, *, db.public.people.b*, select, mask, stars\np, *, db.public.people.f*s, select, mask, stars',
		want: [
			'public.people.boss (integer): invalid input syntax for type integer: "0***"',
			'public.people.feels (public.mood): invalid input value for enum mood: "s***"',
		],
	},
	{
		name: 'a constant',
		rules: 'p, *, db.public.people.id, select, mask, word',
		want: ['public.people.id (integer): invalid input syntax for type integer: "hidden"'],
	},
	{
		name: 'what fits, here and there',
		rules:
			'p, *, db.public.people.born, select, mask, year\np, *, db.*.*.name, select, mask, last4\np, *, db.*.people.n*, select, mask, named',
		want: [],
	},
	{
		name: 'rules that others keep from what does not fit',
		rules: [
			'p, *, db.public.people.id, select, mask, nothing',
			'p, *, db.public.people.boss, select, deny',
			'p, role:a, db.public.people.few, select, unmask, last4',
			'p, role:a, db.public.*.id, select, mask, last4',
			'p, role:a, db.public.people.boss, select, mask, last4',
			'p, role:a, db.public.people.few, select, mask, last4',
			'p, role:a, db.public.people.key, select, mask, own',
			'p, role:a, nowhere.public.people.key, select, mask, last4',
		].join('\n'),
		want: [
			'public.other.id (integer) and 1 more of that type: function pg_catalog.right(integer, integer) does not exist',
		],
	},
];

const HEAD = 'p, *, db, connect, allow\np, *, db.public.*, select, allow\n';

let database: TestDatabase;
let folder: string;
let config: Config;
let file: string;

function policyWith(rules: string): Promise<Policy> {
	return policyOf(HEAD + rules, { masks: MASKS });
}

beforeAll(async () => {
	database = await createDatabase({ setup: SETUP });
	folder = await mkdtemp(join(tmpdir(), 'portcullis-masks-'));
	file = join(folder, 'portcullis.yaml');
	const { host, port, user, database: dbname } = database;
	await writeFile(
		file,
		`identity: { issuers: [{ issuer: https://id.example.com, audience: portcullis, claims: [tenant] }] }
databases: { db: { host: ${host}, port: ${port}, dbname: ${dbname}, user: ${user}, password: { env: SECRET }, tls: { mode: disable } } }
policies: .
`,
	);
	await writeFile(join(folder, 'model.conf'), MODEL);
	await writeFile(join(folder, 'masks.yaml'), MASKS);
	await writeFile(join(folder, 'policy.csv'), HEAD);
	config = await loadConfig(file, { SECRET: database.password });
});

afterAll(async () => {
	await rm(folder, { recursive: true, force: true });
	await database.drop();
});

describe('what the server says of masks', () => {
	test.each(CASES)('$name', async ({ rules, want }) => {
		const policy = await policyWith(rules);
		const [served] = config.databases;
		if (served === undefined) throw new Error('there is a database');
		const catalog = catalogOf(served, config);
		await catalog.start();
		const session = await openSession(served, config);
		try {
			const found = await maskMisfits(policy.masksIn('db'), catalog.snapshot(), (sql) => session.query(sql));
			const told = found.map(({ reason }) => /does not fit (.*)\. Put a rule/.exec(reason)?.[1] ?? reason);
			expect(told.map((line) => line.replace(', which cannot be read so', ''))).toEqual(want);
		} finally {
			await session.close();
			await catalog.close();
		}
	});
});

async function checked(rules: string, connect: boolean): Promise<string> {
	await writeFile(join(folder, 'policy.csv'), HEAD + rules);
	const out: string[] = [];
	const stdin = Object.assign(new PassThrough(), { isTTY: false, setRawMode: () => undefined });
	const io: CommandIo = {
		...{ stdin, out: (text) => void out.push(text), err: () => undefined },
		...{ env: { SECRET: database.password }, color: false, columns: 100 },
	};
	expect(await check(io, { config: file, connect })).toBe(0);
	return out.join('');
}

test('check --connect warns, names the rule, and says what to write', async () => {
	const rules = 'p, *, db.*.other.*, select, mask, last4\np, *, db.public.gone, select, deny';
	expect(await checked(rules, true)).toContain(
		'warning  policy.csv:3: warning: the mask last4 does not fit public.other.id (integer), which cannot be read so: function ' +
			'pg_catalog.right(integer, integer) does not exist. Put a rule for it before this one, with a mask of its type or null, ' +
			'or name here the columns that the mask is for\n',
	);
	expect(await checked(rules, true)).toContain('policy.csv:4: warning: there is no relation public.gone');
	expect(await checked(rules, false)).not.toContain('does not fit');
});

test('check --connect refuses what a gateway would, and says that a database is out of reach', async () => {
	await expect(checked('p, *, db.public.other.note, select, mask, named', true)).rejects.toThrow(PolicyError);
	const text = `identity: { issuers: [{ issuer: https://id.example.com, audience: portcullis }] }
databases: { db: { host: ${database.host}, port: ${database.port}, dbname: not_there, user: ${database.user}, password: { env: SECRET }, tls: { mode: disable } } }
policies: .
`;
	await writeFile(join(folder, 'other.yaml'), text);
	const before = file;
	file = join(folder, 'other.yaml');
	await expect(checked('', true)).rejects.toThrow(CommandError);
	file = before;
});

test('a running gateway tells of it once for a policy, and asks for nothing without a wildcard', async () => {
	const [served] = config.databases;
	if (served === undefined) throw new Error('there is a database');
	const catalog = catalogOf(served, config);
	await catalog.start();
	const lines: string[] = [];
	let opened = 0;
	let policy = await policyWith('p, *, db.public.other.id, select, mask, last4');
	const watch = new MaskWatch({
		log: { warn: (_: object, line: string) => void lines.push(line), info: () => undefined } as unknown as SessionLog,
		policy: () => policy,
		databases: () => [{ config: served, clusters: [{ catalog }] } as unknown as ServedDatabase],
		open: (one) => {
			opened += 1;
			return openSession(one, config);
		},
	});
	watch.look();
	await watch.done();
	expect([opened, lines]).toEqual([0, []]);
	policy = await policyWith('p, *, db.public.other.*, select, mask, last4');
	for (let time = 0; time < 3; time += 1) {
		watch.look();
		await watch.done();
	}
	expect(opened).toBe(1);
	expect(lines).toEqual([
		expect.stringMatching(/^policy\.csv:3: warning: the mask last4 does not fit public\.other\.id .* \[db\]$/),
	]);
	await watch.close();
	watch.look();
	await watch.done();
	expect(opened).toBe(1);
	await catalog.close();
});
