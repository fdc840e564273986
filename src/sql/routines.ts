/** Finds the routines that a call may mean and asks the policy for each of them. */
import { systemRoutineSafety } from '../catalog/safety.ts';
import type { Routine } from '../catalog/snapshot.ts';
import { GatewayError } from '../errors.ts';
import { effectivePath, noteShadowed, TYPE, UnknownObject } from './names.ts';
import { displayIdentifier, quoteIdentifier } from './quote.ts';
import { shownType } from './type-display.ts';
import { maybeCoercible } from './types.ts';
import { addRules, type AnalysisContext, denied, type ExprInfo, noteUse, positionAt, type Walk } from './walk.ts';

/** A call as it is written. */
export interface Call {
	/** The name's parts: [name], [schema, name] or [catalog, schema, name]. */
	readonly names: readonly string[];
	readonly args: readonly ExprInfo[];
	/** VARIADIC or named notation: arguments can't be matched to types one by one. */
	readonly loose: boolean;
	readonly location: number | undefined;
	readonly action: 'execute' | 'call';
}

/** What is certain of a call whatever overload the server picks. */
export interface CallInfo {
	readonly candidates: readonly Routine[];
	readonly type: number | null;
	readonly leakproof: boolean;
	readonly volatile: boolean;
	readonly immutable: boolean;
	/** Columns that it has as a FROM item, where all candidates agree. */
	readonly outColumns: readonly string[];
}

/** Candidates of a call in the order of the path; empty when nothing of that name and number of arguments exists. */
export function findRoutines(context: AnalysisContext, call: Call): readonly Routine[] {
	const { catalog } = context;
	const name = call.names.at(-1) ?? '';
	const schema = call.names.length > 1 ? (call.names.at(-2) ?? '') : undefined;
	if (schema === undefined) {
		const has = (candidate: string): boolean => catalog.routines(candidate, name).length > 0;
		noteShadowed(context, 'function', name, has, (candidate) => isBetter(context, call, candidate));
	}
	// pg_temp is searched for a routine only when it is named.
	const schemas =
		schema === undefined
			? effectivePath(context, false)
			: [schema === 'pg_temp' ? (context.tempSchema ?? 'pg_temp') : schema];
	const byCount = schemas
		.flatMap((candidate) => [...catalog.routines(candidate, name)])
		.filter((routine) => fitsCount(routine, call));
	if (call.loose) return byCount;
	const exact = exactRoutines(byCount, call.args);
	if (exact.length > 0) return exact;
	const textual = byCount.find((routine) => routine.builtin && takesTextFor(routine, call.args));
	if (textual !== undefined) return [textual];
	const byType = byCount.filter((routine) => fitsTypes(context, routine, call.args));
	return byType.length > 0 ? byType : byCount;
}

/** A function of that schema may be taken for one of pg_catalog, which has none of just these types (VARIADIC "any", anyelement). */
function isBetter(context: AnalysisContext, call: Call, schema: string): boolean {
	const { catalog } = context;
	const name = call.names.at(-1) ?? '';
	const own = catalog.routines('pg_catalog', name).filter((routine) => fitsCount(routine, call));
	if (!call.loose && exactRoutines(own, call.args).length > 0) return false;
	const others = catalog.routines(schema, name).filter((routine) => fitsCount(routine, call));
	return others.some((routine) => call.loose || fitsTypes(context, routine, call.args));
}

/**
 * The first schema of the path that has an exact fit wins, also one by defaults or VARIADIC. Within a schema VARIADIC comes
 * last, and two by defaults are ambiguous, which the server says.
 */
function exactRoutines(routines: readonly Routine[], args: readonly ExprInfo[]): readonly Routine[] {
	const exact = routines.filter((routine) => args.every((arg, i) => arg.type === declaredType(routine, i)));
	const inSchema = exact.filter((routine) => routine.schema === exact[0]?.schema);
	const plain = inSchema.filter((routine) => routine.variadic === 0);
	return plain.length > 0 ? plain : inSchema;
}

/** Type of the argument at `index` when VARIADIC is written out. */
export function declaredType(routine: Routine, index: number): number | undefined {
	const isVariadic = routine.variadic !== 0 && index >= routine.argTypes.length - 1;
	return isVariadic ? routine.variadic : routine.argTypes[index];
}

/** An untyped literal is a string first of all, and text is preferred among strings: such an overload wins over a user's. */
function takesTextFor(routine: Routine, args: readonly ExprInfo[]): boolean {
	if (routine.argTypes.length !== args.length) return false;
	return routine.argTypes.every((type, i) => {
		const given = args[i]?.type ?? null;
		return given === type || (given === TYPE.unknown && type === TYPE.text);
	});
}

function fitsCount(routine: Routine, call: Call): boolean {
	const given = call.args.length;
	const declared = routine.argTypes.length;
	if (routine.variadic !== 0) return given >= declared - 1 - routine.defaults;
	return given <= declared && given >= declared - routine.defaults;
}

function fitsTypes(context: AnalysisContext, routine: Routine, args: readonly ExprInfo[]): boolean {
	const { catalog } = context;
	return args.every((arg, i) => {
		const isVariadic = routine.variadic !== 0 && i >= routine.argTypes.length - 1;
		const declared = declaredType(routine, i);
		if (declared === undefined) return true;
		if (maybeCoercible(catalog, arg.type, declared)) return true;
		return isVariadic && maybeCoercible(catalog, arg.type, routine.argTypes.at(-1) ?? declared);
	});
}

/**
 * Asks the policy for every routine that the call may mean. Throws 42501 for one that is not allowed, and UnknownObject
 * (42883) where nothing of that name can be meant: what the catalogue does not know is never forwarded.
 */
export function checkCall(walk: Walk, call: Call): CallInfo {
	const candidates = findRoutines(walk.context, call);
	if (candidates.length === 0) {
		const kind = call.action === 'call' ? 'procedure' : 'function';
		const fields = {
			...positionAt(walk, call.location),
			hint: `No ${kind} matches the given name and argument types. You might need to add explicit type casts.`,
		};
		throw new UnknownObject('42883', `${kind} ${signature(walk, call)} does not exist`, fields, [], call.names.at(-1));
	}
	for (const routine of candidates) {
		checkRoutine(walk, routine, call.action, call.location);
		noteResult(walk, routine);
	}
	return summary(candidates);
}

/** As the server's error has it, where all types are known. */
function signature(walk: Walk, { names, args, loose }: Call): string {
	const name = names.join('.');
	const types = args.map(({ type }) => shownType(walk, type));
	return loose || types.includes(undefined)
		? `${name} with ${args.length} argument(s)`
		: `${name}(${types.join(', ')})`;
}

/** A call by a bare name of what users have made gets its schema: what was found is what runs, whatever else comes to be of that name. */
export function qualifyCall(walk: Walk, { names, location }: Call, schemas: readonly string[]): void {
	const [schema] = schemas;
	if (walk.mode === 'view' || names.length !== 1 || location === undefined) return;
	if (schema === undefined || schema === 'pg_catalog' || schemas.some((other) => other !== schema)) return;
	const token = walk.source.tokens[walk.source.tokenAt(location)];
	if (token?.start === location) walk.edits.replace(location, token.end, `${quoteIdentifier(schema)}.${token.text}`);
}

/** Notes of what types its values may be. */
export function noteResult(walk: Walk, { builtin, outColumns, returnType }: Routine): void {
	walk.types.add(returnType);
	if (!builtin && outColumns.length > 0) walk.anyType = true;
}

/** One routine: harmless built-in ones pass; harmful ones need a rule that names them; a user's need `execute` or `call`. */
export function checkRoutine(
	walk: Walk,
	routine: Routine,
	action: 'execute' | 'call',
	location: number | undefined,
): void {
	// Functions of a view are its author's choice; who creates a view is checked when it is created.
	if (walk.mode === 'view') return;
	const { access } = walk.context;
	const display = `${displayIdentifier(routine.schema)}.${displayIdentifier(routine.name)}(${routine.argNames.join(',')})`;
	const safety = systemRoutineSafety(routine);
	if (safety?.safe === true && !access.narrowsSystem) return;
	const answer = access.onFunction(routine.schema, routine.name, routine.argNames, action);
	if (safety?.safe === true && answer.deniedByName !== true) return;
	const note = noteUse(walk, 'function', routine.schema, `${routine.name}(${routine.argNames.join(',')})`, action);
	addRules(note, answer.rules);
	if (!answer.allowed) {
		if (safety === undefined || safety.safe)
			throw denied(walk, `function ${display}`, answer, action, `${access.database}.${display}`, location);
		throw new GatewayError('42501', `permission denied for function ${display}: ${safety.reason}`, {
			...positionAt(walk, location),
			hint: `A rule that names ${access.database}.${display} without a wildcard would allow it.`,
		});
	}
	if (safety?.safe === false && !answer.named) {
		throw new GatewayError('42501', `permission denied for function ${display}: ${safety.reason}`, {
			...positionAt(walk, location),
			hint: 'A rule with a wildcard does not allow it: it has to be named.',
		});
	}
}

const RECORD = 2249;

/** Whichever is meant, its value is a row of no type of its own. */
export function givesRow({ candidates }: CallInfo): boolean {
	return candidates.length > 0 && candidates.every(({ returnType }) => returnType === RECORD);
}

function summary(candidates: readonly Routine[]): CallInfo {
	const first = candidates[0];
	const same = candidates.every((routine) => routine.returnType === first?.returnType);
	const sameOut = candidates.every((routine) => routine.outColumns.join() === first?.outColumns.join());
	return {
		candidates,
		type: same && first !== undefined ? first.returnType : null,
		leakproof: candidates.every((routine) => routine.leakproof),
		volatile: candidates.some((routine) => routine.volatility === 'volatile'),
		immutable: candidates.every((routine) => routine.volatility === 'immutable'),
		outColumns: sameOut ? (first?.outColumns ?? []) : [],
	};
}
