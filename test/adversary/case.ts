/** What an attack is, as data: statements or raw messages, and what must come of them. */
import type { Protocol, RawClient, StatementOptions, Target } from './client.ts';
import type { World } from './world.ts';

/** Sections of the document that says what must hold against an adversary. */
export type Section =
	| 'names'
	| 'reading'
	| 'barriers'
	| 'views'
	| 'functions'
	| 'metadata'
	| 'writing'
	| 'session'
	| 'protocol'
	| 'answers';

/**
 * ana: analyst of tenant acme. wes: writer of tenant acme. nob: may connect and nothing else. eve: analyst without a
 * tenant. mal: analyst whose tenant is a piece of SQL.
 */
export type User = 'ana' | 'wes' | 'nob' | 'eve' | 'mal';

export type Step =
	| string
	| ({ readonly sql: string } & Omit<StatementOptions, 'protocol'> & { readonly protocol?: Protocol });

interface Common {
	readonly section: Section;
	readonly name: string;
	readonly as: User;
	/** Why the attack comes to nothing on the bare database too. Without it, it has to succeed there. */
	readonly bare: string | null;
}

/**
 * no-secret: whatever comes, no secret is in it. masked: the same, and no error either. denied: an error with one of
 * `sqlstates`. unwritten: afterwards nothing has changed that the user may not write.
 */
export interface StatementCase extends Common {
	readonly type: 'statements';
	readonly want: 'no-secret' | 'masked' | 'denied' | 'unwritten';
	readonly steps: (world: World) => readonly Step[];
	readonly protocols: readonly Protocol[];
	/** Runs between begin and rollback. Always so on the bare database when `want` is unwritten, never through the gateway then. */
	readonly transaction: boolean;
	/** Added to the startup packet. */
	readonly startup: Readonly<Record<string, string>>;
	readonly sqlstates: readonly string[];
}

/** Two guesses, of which one is right: everything that comes back must look the same, the guess itself left out. */
export interface ProbeCase extends Common {
	readonly type: 'probe';
	readonly want: 'same';
	readonly steps: (guess: string, world: World) => readonly Step[];
	/** Of equal length. */
	readonly guesses: (world: World) => { readonly right: string; readonly wrong: string };
	readonly protocols: readonly Protocol[];
	readonly transaction: boolean;
	/** The answer's delay counts too: by how many milliseconds the guesses may differ. */
	readonly delayMs: number | null;
}

/** A conversation of its own. `client` is signed in unless `unsigned`. */
export interface RawCase extends Common {
	readonly type: 'raw';
	readonly want: 'no-secret' | 'denied';
	readonly talk: (client: RawClient, world: World, target: Target) => Promise<void>;
	readonly unsigned: boolean;
	readonly sqlstates: readonly string[];
}

export type AttackCase = StatementCase | ProbeCase | RawCase;

export const ALL_PROTOCOLS: readonly Protocol[] = ['simple', 'extended', 'binary'];

/** SQLSTATEs of a refusal. */
const DENIED = ['42501'];

type Sql = string | readonly Step[] | ((world: World) => string | readonly Step[]);

export interface CaseOptions {
	readonly as?: User;
	readonly bare?: string;
	readonly protocols?: readonly Protocol[];
	readonly transaction?: boolean;
	readonly startup?: Readonly<Record<string, string>>;
	readonly sqlstates?: readonly string[];
}

/** One case for each entry: its name and its statement or statements. */
export function attacks(
	section: Section,
	want: StatementCase['want'],
	table: Readonly<Record<string, Sql>>,
	options: CaseOptions = {},
): StatementCase[] {
	return Object.entries(table).map(([name, sql]) => ({
		type: 'statements',
		section,
		name,
		want,
		as: options.as ?? 'ana',
		bare: options.bare ?? null,
		steps: (world) => listOf(typeof sql === 'function' ? sql(world) : sql),
		protocols: options.protocols ?? ALL_PROTOCOLS,
		transaction: options.transaction ?? false,
		startup: options.startup ?? {},
		sqlstates: options.sqlstates ?? DENIED,
	}));
}

interface Probe {
	readonly guesses: ProbeCase['guesses'];
	readonly sql: (guess: string, world: World) => string | readonly Step[];
}

export function probes(
	section: Section,
	table: Readonly<Record<string, Probe>>,
	options: CaseOptions & { readonly delayMs?: number } = {},
): ProbeCase[] {
	return Object.entries(table).map(([name, probe]) => ({
		type: 'probe',
		section,
		name,
		want: 'same',
		as: options.as ?? 'ana',
		bare: options.bare ?? null,
		steps: (guess, world) => listOf(probe.sql(guess, world)),
		guesses: probe.guesses,
		protocols: options.protocols ?? ALL_PROTOCOLS,
		transaction: options.transaction ?? false,
		delayMs: options.delayMs ?? null,
	}));
}

export function conversations(
	section: Section,
	want: RawCase['want'],
	table: Readonly<Record<string, RawCase['talk']>>,
	options: CaseOptions & { readonly unsigned?: boolean } = {},
): RawCase[] {
	return Object.entries(table).map(([name, talk]) => ({
		type: 'raw',
		section,
		name,
		want,
		as: options.as ?? 'ana',
		bare: options.bare ?? null,
		talk,
		unsigned: options.unsigned ?? false,
		sqlstates: options.sqlstates ?? DENIED,
	}));
}

function listOf(sql: string | readonly Step[]): readonly Step[] {
	return typeof sql === 'string' ? [sql] : sql;
}
