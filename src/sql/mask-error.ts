/** Which mask an error of the server's is of: one that does not fit its column's type fails in whoever's statement, who cannot know why. */
import type { Decision, ObjectUse, StatementDecision } from '../stages.ts';
import { replacementFrom } from './edits.ts';

/** `sure`: the error is in what the mask made; otherwise it may be in the statement itself. */
interface Misfit {
	readonly sure: boolean;
	/** "the mask x (policy.csv:3) of column hr.people.id". */
	readonly what: string;
	readonly hint: string;
}

/** No such function or operator, no such cast, other types, ambiguous; and text that is no value of the type. */
const NO_SUCH: ReadonlySet<string> = new Set(['42883', '42846', '42804', '42725', '42P18']);
const NO_VALUE: ReadonlySet<string> = new Set(['22P02', '22007', '22008', '22003']);

/** Such an error may come of a mask that does not fit its column's type. */
export function isMisfit(sqlstate: string): boolean {
	return NO_SUCH.has(sqlstate) || NO_VALUE.has(sqlstate);
}

/** How many masks a hint names. */
const NAMED_MAX = 3;

/** Undefined where no mask can be at fault. */
export function misfit(
	fields: ReadonlyMap<string, string>,
	{ sql, edits }: Decision,
	statement: StatementDecision,
): Misfit | undefined {
	const sqlstate = fields.get('C') ?? '';
	if (!isMisfit(sqlstate)) return undefined;
	const position = Number(fields.get('P') ?? 'NaN');
	if (position > 0) {
		const place = placeOf(replacementFrom(sql, edits, position) ?? '');
		const use = statement.objects.find((object) => object.schema === place?.schema && object.name === place.name);
		const what = use === undefined || place === undefined ? undefined : maskOf(use, place.column);
		return what === undefined ? undefined : { sure: true, what: `the mask ${what}`, hint: MEND };
	}
	// A value fails when it is computed, and the server does not say where.
	const masks = NO_VALUE.has(sqlstate) ? statement.objects.flatMap(masksOf) : [];
	if (masks.length === 0) return undefined;
	const named = `${masks.slice(0, NAMED_MAX).join(', ')}${masks.length > NAMED_MAX ? `, and ${masks.length - NAMED_MAX} more` : ''}`;
	return {
		sure: false,
		what: '',
		hint: `If it is not the statement itself, it is a mask that does not fit its column: ${named}.`,
	};
}

const MEND =
	"The policy has to be mended: a mask gives values of its column's type. Name the columns that it is for, or use one that fits all, such as null.";

/** The column whose text goes on there, and its relation: `... AS "id", ... FROM "hr"."people" AS "_p"`. */
function placeOf(
	rest: string,
): { readonly schema: string; readonly name: string; readonly column: string } | undefined {
	const column = / AS "((?:[^"]|"")*)"(?:, | FROM )/.exec(rest);
	if (column === null) return undefined;
	const from = / FROM (?:ONLY )?"((?:[^"]|"")*)"\."((?:[^"]|"")*)" AS "_p"/.exec(rest.slice(column.index));
	const [, schema, name] = from ?? [];
	if (schema === undefined || name === undefined) return undefined;
	return { schema: unquoted(schema), name: unquoted(name), column: unquoted(column[1] ?? '') };
}

function unquoted(name: string): string {
	return name.replaceAll('""', '"');
}

function masksOf(use: ObjectUse): string[] {
	return Object.keys(use.masks).flatMap((column) => maskOf(use, column) ?? []);
}

/** The gateway's own masks have no rule that anybody could mend. */
function maskOf(use: ObjectUse, column: string): string | undefined {
	const mask = use.masks[column];
	if (mask === undefined) return undefined;
	const rule = use.rules.find(({ text }) => text.split(',').some((part) => part.trim() === mask));
	if (rule === undefined || rule.line === 0) return undefined;
	return `${mask} (${rule.file}:${rule.line}) of column ${use.schema}.${use.name}.${column}`;
}
