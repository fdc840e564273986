/** Decides a function call: ordinary ones by their routines, and the few that stand for a statement of their own (set_config, nextval, pg_notify). */
import type { FuncCall, Node } from '@pgsql/types';
import { HARMLESS_ZONES, isSecretSetting, secretSettingNames, settingSafety } from '../catalog/safety.ts';
import type { CatalogSnapshot, Routine } from '../catalog/snapshot.ts';
import { GatewayError } from '../errors.ts';
import { checkUserCasts, madeType, usedType } from './casts.ts';
import { coercedArguments, coercedTogether, coercedToJson, MAKES_JSON } from './coercions.ts';
import { checkSequence } from './sequence.ts';
import { resolveType, stringsOf, TYPE } from './names.ts';
import { as } from './nodes.ts';
import { type Call, type CallInfo, checkCall, findRoutines, qualifyCall } from './routines.ts';
import { baseType, commonType } from './types.ts';
import { scanTo } from './clause.ts';
import { quoteLiteral } from './quote.ts';
import { addRules, denied, type ExprInfo, noteUse, positionAt, refuse, type Walk } from './walk.ts';

const SEQUENCE_ACTIONS: Readonly<Record<string, 'select' | 'update'>> = {
	nextval: 'update',
	setval: 'update',
	pg_sequence_last_value: 'select',
	pg_get_sequence_data: 'select',
	pg_sequence_parameters: 'select',
};

/** Decides a FuncCall whose arguments have been walked. */
export function checkCallNode(walk: Walk, node: FuncCall, args: readonly ExprInfo[]): CallInfo {
	const names = stringsOf(node.funcname);
	const loose = node.func_variadic === true || (node.args ?? []).some((arg) => 'NamedArgExpr' in arg);
	const call: Call = { names, args, loose, location: node.location, action: 'execute' };
	if (walk.mode === 'statement') {
		const candidates = findRoutines(walk.context, call);
		if (candidates.length > 0 && candidates.every(isBuiltin)) {
			const special = specialCall(walk, node, candidates[0]?.name ?? '');
			if (special) {
				coercedArguments(walk, candidates, call);
				return checkedSpecial(candidates);
			}
		}
	}
	const cast = castInstead(walk, call);
	if (cast !== undefined) return cast;
	const info = checkCall(walk, call);
	for (const routine of info.candidates) checkMadeValues(walk, routine, call);
	qualifyCall(
		walk,
		call,
		info.candidates.map(({ schema }) => schema),
	);
	if (info.candidates.some(({ builtin, name }) => builtin && MAKES_JSON.test(name)))
		coercedToJson(walk, args, node.location);
	const isCast = coercedArguments(walk, info.candidates, call);
	// What is asked of a hypothetical row gets the types of those that there are.
	const together = node.agg_within_group === true && coercedTogether(walk, args, node.location);
	const leakproof = info.leakproof && !isCast && !together;
	return { ...info, leakproof, type: polymorphicResult(walk, info, args) };
}

/** Functions that make values of the type of their first argument. */
const POPULATE = /^jsonb?_populate_record(set)?(_valid)?$/;

/** Where an untyped literal becomes a value of the type of another argument, that type's own functions run. */
function checkMadeValues(walk: Walk, routine: Routine, { args, location }: Call): void {
	if (!routine.builtin) return;
	const isPolymorphic = (at: number): boolean => {
		const declared = routine.argTypes[Math.min(at, routine.argTypes.length - 1)] ?? 0;
		return ANY_ELEMENT.has(declared) || ANY_ARRAY.has(declared);
	};
	const makes = POPULATE.test(routine.name) || args.some(({ type }, at) => type === TYPE.unknown && isPolymorphic(at));
	if (!makes) return;
	for (const [at, { type }] of args.entries()) if (isPolymorphic(at)) madeType(walk, type, location);
}

/** `type(value)` is a cast where no function of that name fits better: it needs what the cast needs, and is one where there is no function. */
function castInstead(walk: Walk, call: Call): CallInfo | undefined {
	const [arg] = call.args;
	if (arg === undefined || call.args.length !== 1 || call.loose) return undefined;
	const type = usedType(walk, { names: call.names.map((sval) => ({ String: { sval } })) }, call.location);
	if (type === undefined) return undefined;
	checkUserCasts(walk, arg.type, type.oid, call.location);
	if (findRoutines(walk.context, call).length > 0) return undefined;
	qualifyCall(walk, call, [type.schema]);
	return { candidates: [], type: type.oid, leakproof: false, volatile: false, immutable: false, outColumns: [] };
}

function isBuiltin(routine: Routine): boolean {
	return routine.builtin && routine.schema === 'pg_catalog';
}

function checkedSpecial(candidates: readonly Routine[]): CallInfo {
	const first = candidates[0];
	return {
		candidates,
		type: first?.returnType ?? null,
		leakproof: false,
		volatile: true,
		immutable: false,
		outColumns: first?.outColumns ?? [],
	};
}

/** True when the call was decided here; throws when it is refused. */
function specialCall(walk: Walk, node: FuncCall, name: string): boolean {
	if (name === 'set_config') return setConfig(walk, node);
	if (name === 'current_setting') return currentSetting(walk, node);
	// What the session itself was given by nextval or a default: it has seen that, or could have.
	if (name === 'currval' || name === 'lastval') return true;
	if (name === 'pg_notify') {
		const answer = walk.context.access.onDatabase('notify');
		addRules(noteUse(walk, 'database', '', walk.context.access.database, 'notify'), answer.rules);
		if (answer.allowed) return true;
		throw denied(walk, 'function pg_notify', answer, 'notify', walk.context.access.database, node.location);
	}
	const action = Object.hasOwn(SEQUENCE_ACTIONS, name) ? SEQUENCE_ACTIONS[name] : undefined;
	return action !== undefined && checkSequence(walk, node.args?.[0], action, node.location);
}

/** set_config('name', value, local): as good as SET, so the name has to be in the text. */
function setConfig(walk: Walk, node: FuncCall): boolean {
	const isColumn = stringsOf(as(node.args?.[0], 'ColumnRef')?.fields).join('.') === 'name';
	const name = isColumn ? walk.settingName : textOf(walk, node.args?.[0]);
	const value = textOf(walk, node.args?.[1]);
	if (name === undefined) {
		throw new GatewayError(
			'42501',
			'permission denied for function set_config: the name of the setting has to be a literal',
			{
				...positionAt(walk, node.location),
				hint: 'Use SET, or write the name of the setting as a string constant.',
			},
		);
	}
	const isZone = name.toLowerCase() === 'timezone' && value === undefined;
	checkSetting(walk, name.toLowerCase(), isZone ? harmlessZone(walk, node) : value, node.location);
	const local = literalOf(node.args?.[2]) === 'true';
	walk.effects.push({ type: 'set', name: name.toLowerCase(), local });
	return true;
}

/** A zone that is only known when it runs is one that no error comes of, or none: the value is looked at there. */
function harmlessZone(walk: Walk, node: FuncCall): string | undefined {
	const { tokens } = walk.source;
	let open = walk.source.tokenAt(node.location ?? 0);
	while (open < tokens.length && tokens[open]?.text !== '(') open += 1;
	const comma = scanTo(walk, open + 1, (at) => tokens[at]?.text === ',');
	const end = scanTo(walk, comma + 1, (at) => tokens[at]?.text === ',');
	const [first, last] = [tokens[comma + 1], tokens[end - 1]];
	if (node.args?.length !== 3 || node.args.some((arg) => 'NamedArgExpr' in arg)) return undefined;
	if (first === undefined || last === undefined || tokens[end]?.text !== ',') return undefined;
	walk.edits.insert(first.start, 'pg_catalog.regexp_replace((');
	const pattern = `^(?!(?:${HARMLESS_ZONES.join('|')})$).*$`;
	walk.edits.insert(last.end, `), ${quoteLiteral(pattern)}, 'no such zone', 'i')`);
	return 'UTC';
}

/** current_setting(name): a name that is not in the text is kept from those whose values may hold a password of the operator's. */
function currentSetting(walk: Walk, node: FuncCall): boolean {
	const [argument] = node.args ?? [];
	const name = textOf(walk, argument);
	if (name !== undefined) {
		if (isSecretSetting(name)) throw secretSetting(walk, name, node.location);
		return true;
	}
	const { tokens } = walk.source;
	let open = walk.source.tokenAt(node.location ?? 0);
	while (open < tokens.length && tokens[open]?.text !== '(') open += 1;
	const end = scanTo(walk, open + 1, (at) => tokens[at]?.text === ',');
	const [first, last] = [tokens[open + 1], tokens[end - 1]];
	if (argument === undefined || 'NamedArgExpr' in argument || first === undefined || last === undefined)
		throw refuse(walk, 'current_setting with a name that the gateway cannot place', node.location);
	walk.edits.insert(first.start, 'pg_catalog.regexp_replace((');
	const names = secretSettingNames().join('|');
	walk.edits.insert(last.end, `), '^(${names})$', 'primary_slot_name', 'i')`);
	return true;
}

export function secretSetting(walk: Walk, name: string, location: number | undefined): GatewayError {
	return new GatewayError(
		'42501',
		`permission denied to examine "${name}": it may hold a password of the operator's`,
		positionAt(walk, location),
	);
}

/** Throws 42501 for a setting that is not harmless and that no `set` rule allows. A value that can't be told is undefined, DEFAULT is null. */
export function checkSetting(
	walk: Walk,
	name: string,
	value: string | null | undefined,
	location: number | undefined,
): void {
	const safety = settingSafety(name, value);
	const note = noteUse(walk, 'setting', '', name, 'set');
	if (safety.safe) return;
	const answer = walk.context.access.onDatabase('set');
	if (answer.allowed && (safety.grantable || (safety.unrestricted === true && walk.context.access.unrestricted))) {
		addRules(note, answer.rules);
		return;
	}
	throw new GatewayError('42501', `permission denied to set "${name}": ${safety.reason}`, {
		...positionAt(walk, location),
		...(safety.grantable ? { hint: `A rule that allows set on ${walk.context.access.database} would allow it.` } : {}),
	});
}

/** The text that a constant is for sure: a cast may cut or change it, but for one to text or varchar. */
function textOf(walk: Walk, node: Node | undefined): string | undefined {
	const cast = as(node, 'TypeCast');
	if (cast === undefined) return literalOf(node);
	const type = resolveType(walk, cast.typeName);
	const keeps = type?.oid === TYPE.text || (type?.oid === TYPE.varchar && (cast.typeName?.typmods ?? []).length === 0);
	return keeps ? textOf(walk, cast.arg) : undefined;
}

/** The value of a string constant, also when it is cast. */
export function literalOf(node: Node | undefined): string | undefined {
	const cast = as(node, 'TypeCast');
	if (cast !== undefined) return literalOf(cast.arg);
	const constant = as(node, 'A_Const');
	if (constant === undefined) return undefined;
	if (constant.sval !== undefined) return constant.sval.sval ?? '';
	if (constant.ival !== undefined) return String(constant.ival.ival ?? 0);
	if (constant.fval !== undefined) return constant.fval.fval ?? '';
	if (constant.boolval !== undefined) return constant.boolval.boolval === true ? 'true' : 'false';
	return undefined;
}

/** anyelement, anynonarray, anyenum, anycompatible, anycompatiblenonarray. */
const ANY_ELEMENT: ReadonlySet<number> = new Set([2283, 2776, 3500, 5077, 5079]);
/** anyarray, anycompatiblearray. */
const ANY_ARRAY: ReadonlySet<number> = new Set([2277, 5078]);

/** anynonarray, anycompatiblenonarray. */
const NO_ARRAY: ReadonlySet<number> = new Set([2776, 5079]);

/** False where an array is given for what must not be one, or the other way round (array_agg has one form for each). */
function takesArrays(catalog: CatalogSnapshot, routine: Routine, args: readonly ExprInfo[]): boolean {
	return routine.argTypes.every((declared, i) => {
		const type = args[i]?.type ?? null;
		if (type === null || type === TYPE.unknown) return true;
		const base = catalog.typeByOid(baseType(catalog, type) ?? 0);
		if (base === undefined) return true;
		const isArray = base.element !== 0 && catalog.arrayTypeOf(base.element) === base.oid;
		return isArray ? !NO_ARRAY.has(declared) : !ANY_ARRAY.has(declared);
	});
}

/** The type that a polymorphic result stands for, where the arguments tell it. */
function polymorphicResult(walk: Walk, info: CallInfo, args: readonly ExprInfo[]): number | null {
	if (info.type === null) return null;
	const { catalog } = walk.context;
	if (catalog.typeByOid(info.type)?.kind !== 'p') return info.type;
	const fitting = info.candidates.filter((candidate) => takesArrays(catalog, candidate, args));
	const routine = fitting.length === 1 ? fitting[0] : undefined;
	if (routine === undefined) return null;
	// Ranges and the like, and arguments of several types, are left untold rather than guessed at. Of one domain alone the
	// server makes that domain, whose functions then run on what is put into it.
	const elements = routine.argTypes.flatMap((declared, i): (number | null)[] => {
		const type = args[i]?.type ?? null;
		if (ANY_ELEMENT.has(declared)) return [type];
		if (!ANY_ARRAY.has(declared)) return [];
		const array = type === null ? undefined : catalog.typeByOid(type);
		const isPlain = array !== undefined && array.element !== 0 && catalog.arrayTypeOf(array.element) === type;
		return [type === TYPE.unknown ? TYPE.unknown : isPlain ? array.element : null];
	});
	const element = elements.every((type) => type === TYPE.unknown) ? null : commonType(elements);
	if (element === null || ANY_ELEMENT.has(info.type)) return element;
	return ANY_ARRAY.has(info.type) ? catalog.arrayTypeOf(element) || null : null;
}
