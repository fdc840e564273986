/** What a reload takes up of a changed configuration, what has to wait, and what is no change at all. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { configChanges, inForce } from '../../src/cli/config-changes.ts';
import type { Config } from '../../src/config/config.ts';
import { parseConfig } from '../../src/config/load.ts';

let folder: string;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), 'portcullis-changes-'));
	await writeFile(join(folder, 'secret'), 'one');
	await writeFile(join(folder, 'other'), 'one');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const VERIFIER = (salt: string): string =>
	`SCRAM-SHA-256$4096:${Buffer.from(salt.padEnd(16)).toString('base64')}$${'A'.repeat(43)}=:${'B'.repeat(43)}=`;

interface Raw {
	databases: Record<string, Record<string, unknown>>;
	limits: Record<string, unknown>;
	identity: { users: Record<string, unknown>[] };
	[key: string]: unknown;
}

function base(): Raw {
	return {
		identity: { users: [{ name: 'app', password: { scram: VERIFIER('a') } }] },
		databases: {
			shop: { host: '127.0.0.1', user: 'gateway', password: { file: 'secret' }, pool: { size: 3 } },
			other: { host: '127.0.0.1', user: 'gateway' },
		},
		policies: '.',
		audit: { path: './audit' },
		limits: {},
	};
}

async function load(edit: (raw: Raw) => void): Promise<Config> {
	const raw = base();
	edit(raw);
	const env = { SECRET: 'one' };
	return parseConfig(stringify(raw), { file: join(folder, 'portcullis.yaml'), shown: 'portcullis.yaml', env });
}

interface Row {
	readonly name: string;
	readonly edit: (raw: Raw) => void;
	/** Names by what becomes of them. */
	readonly added?: readonly string[];
	readonly removed?: readonly string[];
	readonly adjusted?: readonly string[];
	readonly replaced?: readonly string[];
	readonly words?: readonly string[];
	readonly later?: readonly string[];
}

const set =
	(name: string, values: object) =>
	({ databases }: Raw): void => {
		Object.assign(databases[name] as object, values);
	};

const rows: readonly Row[] = [
	{ name: 'nothing', edit: () => undefined },
	{
		name: 'the order of databases',
		edit: (raw) => {
			raw.databases = Object.fromEntries(Object.entries(raw.databases).toReversed());
		},
	},
	{
		name: 'a database more and one less',
		edit: ({ databases }) => {
			databases['late'] = databases['other'] ?? {};
			delete databases['other'];
		},
		added: ['late'],
		removed: ['other'],
		words: ['databases.other is not there any more', 'databases.late is new'],
	},
	{
		name: 'the size of a pool',
		edit: set('shop', { pool: { size: 7 } }),
		adjusted: ['shop'],
		words: ['databases.shop.pool.size: 3 is 7 now'],
	},
	{
		name: 'its mode',
		edit: set('shop', { tellUser: ['setting'], pool: { size: 3, mode: 'transaction' } }),
		replaced: ['shop'],
		words: ['databases.shop.pool.mode: session is transaction now'],
	},
	{
		name: 'what code is trusted',
		edit: set('shop', { pool: { size: 3, trusted: ['a.b'] } }),
		replaced: ['shop'],
		words: ['databases.shop.pool.trusted: [] is ["a.b"] now'],
	},
	{
		name: 'where a password is read from, though it is the same',
		edit: set('shop', { password: { file: 'other' } }),
		replaced: ['shop'],
		words: ['databases.shop.password is another now'],
	},
	{
		name: 'a password that is not there any more',
		edit: set('shop', { password: undefined }),
		replaced: ['shop'],
		words: ['databases.shop.password is not [redacted] any more'],
	},
	{
		name: 'a limit that databases take over',
		edit: ({ limits }) => {
			limits['queryTimeoutMs'] = 5;
		},
		adjusted: ['shop', 'other'],
		words: ['databases.shop.limits.queryTimeoutMs: 0 is 5 now', 'databases.other.limits.queryTimeoutMs: 0 is 5 now'],
	},
	{
		name: 'a limit of the whole',
		edit: ({ limits }) => {
			limits['poolWaitMs'] = 5;
		},
		later: ['limits.poolWaitMs: 5000 is 5 now'],
	},
	{
		name: 'a verifier',
		edit: ({ identity }) => {
			identity.users = [{ name: 'app', password: { scram: VERIFIER('b') } }];
		},
		later: ['identity.users[0].password is another now'],
	},
	{
		name: 'a key of the audit log',
		edit: (raw) => {
			raw['audit'] = { path: './audit', key: { env: 'SECRET' } };
		},
		later: ['audit.key is [redacted] now'],
	},
];

describe('a configuration that was read again', () => {
	test.each(rows)('$name', async ({ edit, ...wanted }) => {
		const [before, after] = [await load(() => undefined), await load(edit)];
		const { words, later, ...kinds } = configChanges(before, after);
		const { added = [], removed = [], adjusted = [], replaced = [] } = wanted;
		const found = Object.fromEntries(Object.entries(kinds).map(([kind, list]) => [kind, list.map(({ name }) => name)]));
		expect(found).toEqual({ added, removed, adjusted, replaced });
		expect(words).toEqual(wanted.words ?? []);
		expect(later).toEqual(wanted.later ?? []);
		// What waits is named again, what was taken up is not.
		const again = configChanges(inForce(before, after), after);
		expect([again.words, again.later]).toEqual([[], later]);
	});

	test('a verifier that was changed in its file waits for a restart, and is named', async () => {
		const edit = ({ identity }: Raw): void => {
			identity.users = [{ name: 'app', password: { file: 'verifier' } }];
		};
		await writeFile(join(folder, 'verifier'), VERIFIER('a'));
		const before = await load(edit);
		await writeFile(join(folder, 'verifier'), VERIFIER('b'));
		const { words, later } = configChanges(before, await load(edit));
		expect([words, later]).toEqual([[], ['identity.users[0].password is another now']]);
	});

	test('a password that was rotated in its file is no change: it is read at each login anyway', async () => {
		const before = await load(() => undefined);
		await writeFile(join(folder, 'secret'), 'two');
		expect(configChanges(before, await load(() => undefined)).words).toEqual([]);
	});
});
