/** The format of policies/cases/*.yaml: who asks what, and what is expected; read strictly, with every mistake named by line. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Config } from '../config/config.ts';
import { ConfigDocument, ConfigError, type ConfigProblem } from '../config/document.ts';
import type { Identity } from '../stages.ts';

/** What a statement is expected to be: run as it stands, refused, with masked columns, with filtered rows. */
export type Expected = 'allow' | 'deny' | 'mask' | 'filter';

export interface PolicyCase {
	readonly file: string;
	/** Of the case in the file, 1-based. */
	readonly line: number;
	readonly name: string;
	readonly identity: Identity;
	readonly database: string;
	readonly searchPath: readonly string[];
	readonly sql: string;
	/** All of them have to hold. */
	readonly expect: readonly Expected[];
	/** Column to mask (null: any); then exactly these columns are masked. */
	readonly masks: ReadonlyMap<string, string | null> | undefined;
	/** Exactly these filters hold: name, or relation and name. */
	readonly filters: readonly { readonly relation: string | null; readonly name: string }[] | undefined;
	/** Exactly these columns are hidden. */
	readonly hidden: readonly string[] | undefined;
	/** Part of the error's message. */
	readonly message: string | undefined;
}

const text = z.string().min(1);
const claim = z.union([z.string(), z.number(), z.boolean(), z.array(z.string())]);
const word = z.enum(['allow', 'deny', 'mask', 'filter']);

const person = z.strictObject({
	roles: z.array(text).default([]),
	groups: z.array(text).default([]),
	claims: z.record(z.string(), claim).default({}),
});

const testCase = z.strictObject({
	name: text.optional(),
	/** A name of `people`, or a service account of the configuration. */
	as: text,
	database: text.optional(),
	searchPath: z.array(text).optional(),
	sql: text,
	expect: z.union([word, z.array(word).min(1)], { error: 'must be allow, deny, mask, filter or a list of these' }),
	masks: z
		.union([z.record(text, text), z.array(text)], { error: 'must be columns, or columns with their masks' })
		.optional(),
	filters: z
		.union([z.record(text, text), z.array(text)], { error: 'must be filters, or relations with their filters' })
		.optional(),
	hidden: z.array(text).optional(),
	message: text.optional(),
});

const caseFile = z.strictObject({
	database: text.optional(),
	people: z.record(text, person).default({}),
	cases: z.array(testCase).min(1),
});

type RawCase = z.output<typeof testCase>;
type RawFile = z.output<typeof caseFile>;

/** What cases may refer to. */
export interface CaseWorld {
	readonly databases: readonly string[];
	readonly users: Config['identity']['users'];
}

/**
 * Reads all case files of a folder, in the order of their names.
 *
 * @param folder `cases` of the policies folder
 * @throws ConfigError for the first file with mistakes, with all of its mistakes
 */
export async function loadCases(folder: string, world: CaseWorld): Promise<PolicyCase[]> {
	const names = (await readdir(folder)).filter((name) => /\.ya?ml$/.test(name)).sort();
	const cases: PolicyCase[] = [];
	for (const name of names)
		cases.push(...parseCases(await readFile(join(folder, name), 'utf8'), `cases/${name}`, world));
	return cases;
}

/** @throws ConfigError with every mistake */
export function parseCases(source: string, file: string, world: CaseWorld): PolicyCase[] {
	const document = new ConfigDocument(source);
	if (document.problems.length > 0) throw new ConfigError(file, document.problems);
	const parsed = caseFile.safeParse(document.value);
	if (!parsed.success) throw new ConfigError(file, document.explain(parsed.error));
	const problems: ConfigProblem[] = [];
	const cases = parsed.data.cases.flatMap((raw, index) => {
		const problem = (key: string, reason: string): void =>
			void problems.push(document.problem(['cases', index, key], reason));
		const read = readCase(raw, parsed.data, world, problem);
		return read ? [{ ...read, file, line: document.problem(['cases', index], '').line }] : [];
	});
	if (problems.length > 0) throw new ConfigError(file, problems);
	return cases;
}

function readCase(
	raw: RawCase,
	file: RawFile,
	world: CaseWorld,
	problem: (key: string, reason: string) => void,
): Omit<PolicyCase, 'file' | 'line'> | undefined {
	const identity = identityOf(raw.as, file, world);
	if (!identity) problem('as', `${raw.as} is neither in people nor in identity.users`);
	const [only, ...more] = world.databases;
	const database = raw.database ?? file.database ?? (more.length === 0 ? only : undefined);
	if (database === undefined) problem('database', 'missing: the configuration has several');
	else if (!world.databases.includes(database)) problem('database', `the configuration has no database ${database}`);
	const expected = typeof raw.expect === 'string' ? [raw.expect] : raw.expect;
	const alone = expected.includes('allow') || expected.includes('deny');
	if (alone && expected.length > 1) problem('expect', 'allow and deny stand alone');
	if (alone && (raw.masks ?? raw.filters) !== undefined) problem('expect', 'masks and filters go with mask and filter');
	if (raw.message !== undefined && !expected.includes('deny')) problem('message', 'goes with deny');
	if (!identity || database === undefined) return undefined;
	return {
		name: raw.name ?? raw.sql,
		identity,
		database,
		searchPath: raw.searchPath ?? ['$user', 'public'],
		sql: raw.sql,
		expect: expected,
		masks: Array.isArray(raw.masks)
			? new Map(raw.masks.map((column) => [column, null]))
			: raw.masks && new Map(Object.entries(raw.masks)),
		filters: Array.isArray(raw.filters)
			? raw.filters.map((name) => ({ relation: null, name }))
			: raw.filters && Object.entries(raw.filters).map(([relation, name]) => ({ relation, name })),
		hidden: raw.hidden,
		message: raw.message,
	};
}

function identityOf(name: string, file: RawFile, world: CaseWorld): Identity | undefined {
	const raw = Object.hasOwn(file.people, name) ? file.people[name] : undefined;
	if (raw) return { name, ...raw, method: 'token' };
	const user = world.users.find((one) => one.name === name);
	return user && { name, roles: user.roles, groups: [], claims: user.claims, method: 'scram-sha-256' };
}
