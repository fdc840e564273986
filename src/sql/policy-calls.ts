/** Functions in masks and filters that look at the session's settings: how each is written so that it does not, and which cannot be. */
import type { CatalogSnapshot, Routine } from '../catalog/snapshot.ts';
import type { PolicyTree } from '../stages.ts';
import { TYPE } from './names.ts';
import { elementOf } from './policy-resolve.ts';
import { isWrittenAlike, jsonOf, nameOf, textOf } from './policy-text.ts';
import {
	absolute,
	callTree,
	castTo,
	local,
	operatorTree,
	textTree,
	today,
	type Typed,
	unsettled,
} from './policy-tree.ts';
import { isRegion, pinnedZone } from './zone.ts';

/** What a call is settled with. */
export interface Settling {
	readonly catalog: CatalogSnapshot;
	/** As `pinnedZone` writes it. Throws Unsettled where there is none. */
	readonly zone: () => string;
}

/** The call in a form that means the same in every session. `args` are of the types that the routine declares. Throws Unsettled where there is none. */
export function settledCall(settling: Settling, routine: Routine, args: readonly Typed[]): PolicyTree {
	const special = own(PINNED, routine.name)?.(settling, args, routine.argTypes);
	if (special !== undefined) return special;
	if (MAKES_TEXT.has(routine.name)) return callTree(routine.name, ...args.map((arg) => joined(settling, arg)));
	if (MAKES_JSON.test(routine.name)) return callTree(routine.name, ...args.map((arg) => inJson(settling, arg)));
	if (!isSteady(routine))
		throw unsettled(`the function ${routine.name}`, ADVICE[routine.name] ?? 'it cannot be written otherwise here');
	return callTree(routine.name, ...args.map(({ tree }) => tree));
}

/** It means the same in every session as it stands, whatever it is given. */
export function isSettled(routine: Routine): boolean {
	const { name } = routine;
	return own(PINNED, name) === undefined && !MAKES_TEXT.has(name) && !MAKES_JSON.test(name) && isSteady(routine);
}

function isSteady({ builtin, name, volatility }: Routine): boolean {
	return builtin && !LOOKS.has(name) && (volatility === 'immutable' || STEADY.has(name));
}

/** Immutable to the server, although they write names as quote_all_identifiers says. */
const LOOKS: ReadonlySet<string> = new Set(['quote_ident']);

/**
 * Stable or volatile, by what no session chooses: the time, chance, the server, its catalogues, its encodings. Not has_table_privilege
 * and the like, which look for a name in search_path.
 */
const STEADY: ReadonlySet<string> = new Set(
	`now transaction_timestamp statement_timestamp clock_timestamp random random_normal gen_random_uuid uuidv4 uuidv7
	version current_database getpgusername current_user session_user user current_catalog pg_backend_pid pg_client_encoding
	getdatabaseencoding inet_client_addr inet_client_port inet_server_addr inet_server_port pg_conf_load_time
	pg_postmaster_start_time pg_is_in_recovery has_database_privilege has_foreign_data_wrapper_privilege
	has_language_privilege has_parameter_privilege has_schema_privilege has_server_privilege has_tablespace_privilege
	pg_has_role enum_first enum_last enum_range pg_column_size pg_column_compression
	pg_column_toast_chunk_id convert convert_from convert_to length obj_description col_description shobj_description
	pg_char_to_encoding pg_encoding_to_char mxid_age array_shuffle array_sample pg_current_snapshot
	pg_current_xact_id_if_assigned txid_current_if_assigned txid_current_snapshot txid_status pg_xact_status
	pg_xact_commit_timestamp pg_basetype to_tsvector to_tsquery plainto_tsquery phraseto_tsquery websearch_to_tsquery
	json_to_tsvector jsonb_to_tsvector ts_headline ts_lexize`.split(/\s+/),
);

const MAKES_TEXT: ReadonlySet<string> = new Set([
	'array_to_string',
	'concat',
	'concat_ws',
	'format',
	'quote_literal',
	'quote_nullable',
]);
const MAKES_JSON = /^(to_jsonb?|array_to_json|row_to_json|jsonb?_build_(array|object))$/;

const ADVICE: Readonly<Record<string, string>> = {
	current_setting: 'take an attribute of the person, claims.NAME',
	to_timestamp: "take to_date, or a cast of text to timestamp, and at time zone 'Area/Location'",
	timeofday: 'take now()',
	money: 'take numeric',
	numeric: 'take a column of numeric',
	timetz: 'take a timestamptz',
	xml: 'take text',
};

type Pin = (settling: Settling, args: readonly Typed[], declared: readonly number[]) => PolicyTree | undefined;

/** By name; undefined: in that form it is to be looked at as any other function. */
const PINNED: Readonly<Record<string, Pin>> = {
	age: ({ zone }, [first, second]) => {
		if (first === undefined || !isTime(first.type)) return first === undefined ? undefined : ofXid(first);
		const clock = (of: Typed): PolicyTree => (of.type === TYPE.timestamptz ? local(of.tree, zone()) : of.tree);
		if (second === undefined) return callTree('age', castTo('timestamp', today(zone())), clock(first));
		return callTree('age', clock(first), clock(second));
	},
	date: toType('date'),
	time: toType('time'),
	timestamp: toType('timestamp'),
	timestamptz: ({ zone }, [first, second]) => {
		if (first === undefined || first.type === TYPE.timestamptz) return undefined;
		const clock = second === undefined ? castTo('timestamp', first.tree) : operatorTree('+', first.tree, second.tree);
		return absolute(clock, zone());
	},
	date_trunc: ({ zone }, [field, of, named]) => {
		if (field === undefined || of?.type !== TYPE.timestamptz) return undefined;
		const where = named === undefined ? zone() : zoneOf(named);
		return callTree('date_trunc', field.tree, of.tree, castTo('text', textTree(where)));
	},
	date_part: fieldOf('date_part'),
	extract: fieldOf('extract'),
	date_add: shifted('+'),
	date_subtract: shifted('-'),
	make_timestamptz: ({ zone }, args) => {
		const [parts, named] = [args.slice(0, 6).map(({ tree }) => tree), args[6]];
		return absolute(callTree('make_timestamp', ...parts), named === undefined ? zone() : zoneOf(named));
	},
	timezone: ({ zone }, [first, second], [declared]) => {
		if (first === undefined) return undefined;
		if (second === undefined) {
			if (first.type !== TYPE.timetz) return local(first.tree, zone());
			throw unsettled('the function timezone of a time', 'take a timestamptz');
		}
		if (declared === TYPE.interval) return undefined;
		return callTree('timezone', castTo('text', textTree(zoneOf(first))), second.tree);
	},
	to_char: ({ zone }, [of, format]) => {
		if (of === undefined || format === undefined) return undefined;
		const isMoment = of.type === TYPE.timestamptz;
		const isClock = isMoment || of.type === TYPE.timestamp || of.type === TYPE.interval;
		checkFormat('to_char', format, isClock ? (isMoment ? /TM|TZ|OF/ : /TM/) : /[LDGS]/, isClock);
		return callTree('to_char', isMoment ? local(of.tree, zone()) : of.tree, format.tree);
	},
	to_date: (_, [of, format]) => {
		if (of === undefined || format === undefined) return undefined;
		checkFormat('to_date', format, /TM/, true);
		return callTree('to_date', of.tree, format.tree);
	},
	to_number: (_, [of, format]) => {
		if (of === undefined || format === undefined) return undefined;
		checkFormat('to_number', format, /[LDGS]/, false);
		return callTree('to_number', of.tree, format.tree);
	},
	// %I quotes a name as quote_all_identifiers says.
	format: (_, [format]) => {
		const text = format === undefined ? undefined : wordOf(format);
		if (text === undefined) throw unsettled('a format that is computed', 'write it as a literal');
		if (QUOTES_NAMES.test(text.replaceAll('%%', ' '))) throw unsettled('%I in a format', 'take %s');
		return undefined;
	},
	overlaps: (_, args) => {
		const isMoment = args.some(({ type }) => type === TYPE.timestamptz);
		if (!isMoment) return undefined;
		throw unsettled('overlaps of timestamptz', 'compare its ends, or take tstzrange and &&');
	},
	to_timestamp: (_, args) =>
		args.length === 1 ? callTree('to_timestamp', ...args.map(({ tree }) => tree)) : undefined,
};

const QUOTES_NAMES = /%(?:\d+\$)?-?(?:\d+|\*(?:\d+\$)?)?I/;

function isTime(type: number): boolean {
	return type === TYPE.timestamp || type === TYPE.timestamptz;
}

/** The age of a transaction id is the server's. */
function ofXid(first: Typed): PolicyTree {
	return callTree('age', first.tree);
}

/** date(x) and the like, of a timestamptz. */
function toType(type: 'date' | 'time' | 'timestamp'): Pin {
	return ({ zone }, [of, ...more]) => {
		if (of?.type !== TYPE.timestamptz || more.length > 0) return undefined;
		return type === 'timestamp' ? local(of.tree, zone()) : castTo(type, local(of.tree, zone()));
	};
}

/** Fields that are the same in all zones, and those that are of the zone itself. */
const ZONELESS: ReadonlySet<string> = new Set(['epoch']);
const OF_ZONE = /^timezone/;

function fieldOf(name: string): Pin {
	return ({ zone }, [field, of]) => {
		if (field === undefined || of?.type !== TYPE.timestamptz) return undefined;
		const word = wordOf(field)?.trim().toLowerCase();
		if (word === undefined || OF_ZONE.test(word)) throw unsettled(`a field of ${name}`, 'write which one');
		return callTree(name, field.tree, ZONELESS.has(word) ? of.tree : local(of.tree, zone()));
	};
}

function shifted(op: '+' | '-'): Pin {
	return ({ zone }, [of, by, named]) => {
		if (of === undefined || by === undefined) return undefined;
		return moved(op, of.tree, by.tree, named === undefined ? zone() : zoneOf(named));
	};
}

/**
 * `of op by`, a timestamptz and an interval: months and days go by the clocks of the zone, hours by what passes. A literal of hours alone
 * is left as it stands.
 */
export function moved(op: '+' | '-', of: PolicyTree, by: PolicyTree, zone: string): PolicyTree {
	const literal = by.node === 'cast' ? by.of : by;
	if (literal.node === 'text' && HOURS.test(literal.text)) return operatorTree(op, of, by);
	const days = callTree('date_trunc', textTree('day'), by);
	const isDays = literal.node === 'text' && DAYS.test(literal.text);
	const byClock = absolute(operatorTree(op, local(of, zone), isDays ? by : days), zone);
	if (isDays) return byClock;
	return operatorTree(op, byClock, operatorTree('-', by, days));
}

const HOURS = /^\s*[+-]?\d+(\.\d+)? *(hours?|minutes?|mins?|seconds?|secs?)\s*$/i;
const DAYS = /^\s*[+-]?\d+ *(days?|weeks?|mons?|months?|years?)\s*$/i;

/** A zone that the author names. */
function zoneOf(named: Typed): string {
	const name = wordOf(named);
	const pinned = name === undefined ? null : pinnedZone(name);
	if (pinned !== null && name !== undefined && (isRegion(name) || pinned.startsWith('<'))) return pinned;
	throw unsettled(
		name === undefined ? 'a zone that is computed' : `the zone ${JSON.stringify(name)}`,
		"write UTC or the name of a region, 'Area/Location'",
	);
}

/** The text of a literal. */
function wordOf({ tree }: Typed): string | undefined {
	if (tree.node === 'cast' && !tree.array && tree.type === 'text') return wordOf({ tree: tree.of, type: TYPE.unknown });
	return tree.node === 'text' ? tree.text : undefined;
}

/** `isClock`: patterns of dates and times, whose letters count only in upper or lower case; quoted text does not count. */
function checkFormat(name: string, format: Typed, choosing: RegExp, isClock: boolean): void {
	const text = wordOf(format);
	if (text === undefined) throw unsettled(`a format of ${name} that is computed`, 'write it as a literal');
	const bare = text.replaceAll(/\\.|"(?:\\.|[^"\\])*"?/g, ' ').toUpperCase();
	const found = choosing.exec(isClock ? bare : bare.replaceAll(/SG|PL|MI/g, ' '))?.[0];
	if (found === undefined) return;
	throw unsettled(
		`${found} in a format of ${name}`,
		isClock ? 'take a form without it' : 'write . and , and MI, or SG, where they are meant',
	);
}

/** An argument whose text is taken. */
function joined({ catalog, zone }: Settling, arg: Typed): PolicyTree {
	const element = elementOf(catalog, arg.type);
	if (element !== 0 && !isWrittenAlike(catalog, element))
		throw unsettled(`the text of ${nameOf(catalog, arg.type)}`, 'join its elements as text');
	return textual({ catalog, zone }, arg);
}

/** Only where its text is not the same anyway. */
function textual({ catalog, zone }: Settling, arg: Typed): PolicyTree {
	return arg.type === TYPE.unknown || isWrittenAlike(catalog, arg.type) ? arg.tree : textOf(catalog, arg, zone);
}

function inJson({ catalog, zone }: Settling, arg: Typed): PolicyTree {
	return jsonOf(catalog, arg, zone);
}

function own<T>(table: Readonly<Record<string, T>>, key: string): T | undefined {
	return Object.hasOwn(table, key) ? table[key] : undefined;
}
