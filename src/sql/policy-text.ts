/** Values of masks and filters as text and JSON, and text as values: written and read in one way, whatever the session has set. */
import type { CatalogSnapshot, Type } from '../catalog/snapshot.ts';
import type { PolicyTree } from '../stages.ts';
import { TYPE } from './names.ts';
import { TEXT_PATTERNS } from './policy-literal.ts';
import { boundOf } from './policy-resolve.ts';
import { absolute, callTree, castTo, local, operatorTree, textTree, type Typed, unsettled } from './policy-tree.ts';
import { baseType } from './types.ts';

const BYTEA = 17;
const MONEY = 790;

/** Names of types in pg_catalog whose text is not the same in every session: by DateStyle, TimeZone, IntervalStyle, extra_float_digits, ... */
const OUTPUT: ReadonlySet<string> = new Set(
	`date timestamp timestamptz interval money bytea float4 float8 point lseg path box polygon line circle aclitem record
	regproc regprocedure regoper regoperator regclass regcollation regtype regrole regnamespace regconfig regdictionary`.split(
		/\s+/,
	),
);
/** The same for what text is read as. */
const INPUT: ReadonlySet<string> = new Set(
	`date timestamp timestamptz time timetz interval money aclitem xml record
	regproc regprocedure regoper regoperator regclass regcollation regtype regrole regnamespace regconfig regdictionary`.split(
		/\s+/,
	),
);

/** The same text whoever asks for it. */
export function isWrittenAlike(catalog: CatalogSnapshot, type: number): boolean {
	return everyPart(catalog, type, (part) => part.schema !== 'pg_catalog' || !OUTPUT.has(part.name));
}

/** The same value whoever gives that text. */
export function isReadAlike(catalog: CatalogSnapshot, type: number): boolean {
	return everyPart(catalog, type, (part) => part.schema !== 'pg_catalog' || !INPUT.has(part.name));
}

/** The type itself, what a domain is of, elements, fields and bounds. */
function everyPart(catalog: CatalogSnapshot, oid: number, holds: (part: Type) => boolean): boolean {
	const parts = new Set([oid]);
	for (const one of parts) {
		const type = catalog.typeByOid(one);
		if (type === undefined || !holds(type)) return false;
		for (const inner of [type.base, type.element, boundOf(catalog, one), ...(type.makes ?? [])])
			if (inner !== 0) parts.add(inner);
		if (type.relation === 0) continue;
		const fields = catalog.relationByOid(type.relation)?.columns;
		if (fields === undefined) return false;
		for (const field of fields) parts.add(field.typeOid);
	}
	return true;
}

/** As `of::text` by default: ISO 8601, hex, the shortest number that is exact to 15 digits. */
export function textOf(catalog: CatalogSnapshot, { tree, type }: Typed, zone: () => string): PolicyTree {
	switch (baseType(catalog, type)) {
		case TYPE.unknown:
		case TYPE.text:
		case TYPE.varchar:
			return tree;
		case TYPE.date:
			return iso(tree);
		case TYPE.timestamp:
			return spaced(iso(tree));
		case TYPE.timestamptz:
			return moment(tree, zone(), ' ');
		case BYTEA:
			return operatorTree('||', castTo('text', textTree('\\x')), callTree('encode', tree, textTree('hex')));
		case TYPE.float4:
		case TYPE.float8:
			return castTo('text', castTo('numeric', tree));
		default:
			if (isWrittenAlike(catalog, type)) return castTo('text', tree);
			throw unsettled(`the text of ${nameOf(catalog, type)}`, 'take to_char, or what of it is meant');
	}
}

/** What JSON is made of in place of the value. */
export function jsonOf(catalog: CatalogSnapshot, typed: Typed, zone: () => string): PolicyTree {
	switch (baseType(catalog, typed.type)) {
		// JSON has these as ISO 8601 always.
		case TYPE.date:
		case TYPE.timestamp:
			return typed.tree;
		case TYPE.timestamptz:
			return moment(typed.tree, zone(), 'T');
		case TYPE.float4:
		case TYPE.float8:
			return castTo('numeric', typed.tree);
		case BYTEA:
			return textOf(catalog, typed, zone);
		case TYPE.unknown:
			return typed.tree;
		default:
			if (isWrittenAlike(catalog, typed.type)) return typed.tree;
			throw unsettled(`JSON of ${nameOf(catalog, typed.type)}`, 'make it of its parts');
	}
}

function iso(of: PolicyTree): PolicyTree {
	const path: PolicyTree = { node: 'cast', of: textTree('{}'), type: 'text', modifier: '', array: true };
	return operatorTree('#>>', callTree('to_json', of), path);
}

function spaced(of: PolicyTree): PolicyTree {
	return callTree('replace', of, textTree('T'), textTree(' '));
}

/** `between`: what stands before the time of day; with T the offset has its minutes, as in JSON. */
function moment(of: PolicyTree, zone: string, between: ' ' | 'T'): PolicyTree {
	const clock = iso(local(of, zone));
	const text = between === ' ' ? spaced(clock) : clock;
	return {
		node: 'case',
		branches: [{ when: callTree('isfinite', of), result: withOffset(text, of, zone, between) }],
		otherwise: text,
	};
}

/** The offset stands before BC. */
function withOffset(text: PolicyTree, of: PolicyTree, zone: string, between: ' ' | 'T'): PolicyTree {
	const shift = operatorTree('-', local(of, zone), local(of, '<+00>+00'));
	const seconds = castTo('int4', callTree('extract', textTree('epoch'), shift));
	const size = callTree('abs', seconds);
	const number = (value: number): PolicyTree => ({ node: 'number', number: value });
	const two = (value: PolicyTree): PolicyTree => callTree('lpad', castTo('text', value), number(2), textTree('0'));
	const sixty = (value: PolicyTree): PolicyTree => operatorTree('%', value, number(60));
	const minutes = sixty(operatorTree('/', size, number(60)));
	const when = (condition: PolicyTree, result: PolicyTree): PolicyTree => ({
		node: 'case',
		branches: [{ when: condition, result }],
		otherwise: textTree(''),
	});
	const colon = (value: PolicyTree): PolicyTree => operatorTree('||', castTo('text', textTree(':')), value);
	const sign: PolicyTree = {
		node: 'case',
		branches: [{ when: operatorTree('<', seconds, number(0)), result: castTo('text', textTree('-')) }],
		otherwise: textTree('+'),
	};
	const parts = [
		sign,
		two(operatorTree('/', size, number(3600))),
		between === 'T'
			? colon(two(minutes))
			: when(operatorTree('<>', operatorTree('%', size, number(3600)), number(0)), colon(two(minutes))),
		when(operatorTree('<>', sixty(size), number(0)), colon(two(sixty(size)))),
	];
	const offset = parts.reduce((whole, part) => operatorTree('||', whole, part));
	return callTree('regexp_replace', text, textTree('( BC)?$'), operatorTree('||', offset, textTree('\\1')));
}

/**
 * Text that is only known when it runs, as a value of the type, the name of which is `name`: null where sessions would read it differently. Undefined where all
 * read it alike as it stands.
 */
export function valueOfText(
	catalog: CatalogSnapshot,
	text: PolicyTree,
	to: { readonly type: number; readonly name: string; readonly modifier: string },
	zone: () => string,
): PolicyTree | undefined {
	const matches = (pattern: keyof typeof TEXT_PATTERNS): PolicyTree =>
		operatorTree('~*', castTo('text', text), castTo('text', textTree(TEXT_PATTERNS[pattern])));
	const as = (type: string): PolicyTree => castTo(type, text, to.modifier);
	const read = (...branches: readonly (readonly [keyof typeof TEXT_PATTERNS, PolicyTree])[]): PolicyTree => ({
		node: 'case',
		branches: branches.map(([pattern, result]) => ({ when: matches(pattern), result })),
		otherwise: null,
	});
	switch (to.type) {
		case TYPE.date:
			return read(['date', as('date')]);
		case TYPE.timestamp:
			return read(['date', as('timestamp')]);
		case TYPE.timestamptz:
			return read(['moment', as('timestamptz')], ['local', absolute(castTo('timestamp', text, to.modifier), zone())]);
		case TYPE.time:
			return read(['time', as('time')]);
		case TYPE.timetz:
			return read(['timetz', as('timetz')]);
		case TYPE.interval:
			return read(['interval', as('interval')]);
		default:
			if (isReadAlike(catalog, to.type)) return undefined;
			throw unsettled(`text read as ${to.name}`, to.type === MONEY ? 'take numeric' : 'take another type');
	}
}

/** For messages. */
export function nameOf(catalog: CatalogSnapshot, type: number): string {
	const known = catalog.typeByOid(type);
	if (known === undefined) return 'a value';
	const of = catalog.typeByOid(known.element);
	if (of !== undefined && catalog.arrayTypeOf(of.oid) === type) return `${nameOf(catalog, of.oid)}[]`;
	return known.schema === 'pg_catalog' ? known.name : `${known.schema}.${known.name}`;
}
