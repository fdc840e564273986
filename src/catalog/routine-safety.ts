/** Which of PostgreSQL's own routines are harmless: those on the list; a routine that nobody has looked at is not. */
import { extensionRoutines } from './data/extension-routines.ts';
import { routineList } from './data/routines.ts';
import type { RoutineClass, RoutineSafety } from './safety.ts';
import type { Routine } from './snapshot.ts';

/** What a verdict depends on. */
export type RoutineIdentity = Pick<Routine, 'schema' | 'name' | 'argNames' | 'builtin' | 'ofExtension'>;

const CLASSES: Readonly<Record<RoutineClass, true>> = {
	sql: true,
	files: true,
	sessions: true,
	settings: true,
	'large-objects': true,
	replication: true,
	statistics: true,
	admin: true,
	sequence: true,
	notify: true,
	internal: true,
	unlisted: true,
	user: true,
};

const SAFE: RoutineSafety = Object.freeze({ safe: true });
const USER: RoutineSafety = Object.freeze({ safe: false, class: 'user', reason: 'it is not built in' });
const ADDED: RoutineSafety = Object.freeze({
	safe: false,
	class: 'unlisted',
	reason: "an extension keeps it among the server's own functions, and it is not known to be harmless",
});
/** Of Citus, beside pg_catalog. */
const addedSchemas: ReadonlySet<string> = new Set([
	'pg_catalog',
	'citus',
	'citus_internal',
	'columnar',
	'columnar_internal',
]);
const UNLISTED: RoutineSafety = Object.freeze({
	safe: false,
	class: 'unlisted',
	reason: 'it is not among the built-in functions known to be harmless',
});

const verdicts = readList(routineList);
const ofExtensions: ReadonlyMap<string, RoutineSafety> = new Map(
	extensionRoutines.flatMap(({ class: kind, reason, names: listed }) =>
		listed
			.split(/\s+/)
			.filter((name) => name !== '')
			.map((name) => [name, { safe: false, class: kind, reason }] as const),
	),
);
const names = namesOf(verdicts);

/**
 * What is known of a routine that comes with the server, or that an extension keeps among those (Citus, adminpack): such run SQL text,
 * read files and administer as the server's own do; so do some of the well-known extensions, wherever they are. Undefined for any
 * other, which is a matter of the policy alone.
 */
export function systemRoutineSafety(routine: RoutineIdentity): RoutineSafety | undefined {
	if (routine.builtin) return routineSafety(routine);
	return addedSchemas.has(routine.schema) ? ADDED : extensionRoutineSafety(routine);
}

/** Why a routine of a well-known extension is not harmless, in the schema that the extension was given; undefined for all others. */
export function extensionRoutineSafety({ name, schema, ofExtension }: RoutineIdentity): RoutineSafety | undefined {
	return ofExtension === true && !addedSchemas.has(schema) ? ofExtensions.get(name) : undefined;
}

/** Whether a call of the routine is harmless whatever its arguments; what is not on the list is not. */
export function routineSafety(routine: RoutineIdentity): RoutineSafety {
	if (!routine.builtin) return USER;
	return verdicts.get(routineKey(routine)) ?? UNLISTED;
}

/** For expressions of the policy: every built-in routine of this name (lower case, without schema) is harmless. */
export function isHarmlessFunctionName(name: string): boolean {
	return names.get(name) === true;
}

/** As the list writes a routine: `name(types)` in pg_catalog, `schema.name(types)` elsewhere. */
export function routineKey(routine: Pick<Routine, 'schema' | 'name' | 'argNames'>): string {
	const schema = routine.schema === 'pg_catalog' ? '' : `${routine.schema}.`;
	return `${schema}${routine.name}(${routine.argNames.join(',')})`;
}

/** Reads the list: `# class: reason` opens a section, `# harmless` the harmless one. Throws on anything else. */
export function readList(text: string): Map<string, RoutineSafety> {
	const verdicts = new Map<string, RoutineSafety>();
	let verdict: RoutineSafety = UNLISTED;
	for (const line of text.split('\n')) {
		if (line === '') continue;
		if (line.startsWith('#')) {
			verdict = readSection(line);
			continue;
		}
		for (const key of signatures(line)) {
			if (verdicts.has(key)) throw new Error(`routine list: ${key} stands there twice`);
			verdicts.set(key, verdict);
		}
	}
	return verdicts;
}

function readSection(line: string): RoutineSafety {
	if (line === '# harmless') return SAFE;
	const match = /^# ([a-z-]+): (.+)$/.exec(line);
	const name = match?.[1];
	const reason = match?.[2];
	if (name === undefined || reason === undefined || !Object.hasOwn(CLASSES, name)) {
		throw new Error(`routine list: ${line} opens no section`);
	}
	return Object.freeze({ safe: false, class: name as RoutineClass, reason });
}

/** `f(a)(b,c)` is f(a) and f(b,c). */
function signatures(line: string): string[] {
	const open = line.indexOf('(');
	if (open <= 0 || !line.endsWith(')')) throw new Error(`routine list: ${line} is no routine`);
	const name = line.slice(0, open);
	return line
		.slice(open + 1, -1)
		.split(')(')
		.map((types) => `${name}(${types})`);
}

/** Names in pg_catalog to whether all their overloads are harmless. */
function namesOf(verdicts: ReadonlyMap<string, RoutineSafety>): Map<string, boolean> {
	const names = new Map<string, boolean>();
	for (const [key, verdict] of verdicts) {
		const name = key.slice(0, key.indexOf('('));
		if (name.includes('.')) continue;
		names.set(name, verdict.safe && (names.get(name) ?? true));
	}
	return names;
}
