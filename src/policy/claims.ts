/** Claims as literals: always a value, never spliced text. */
import type { ClaimValue, Identity } from '../stages.ts';

/** How the expression uses the claim: as one value, or as the list within `any(...)` and `in (...)`. */
export type ClaimUse = 'value' | 'list';

/**
 * The text of a literal for a claim, or undefined when it is missing. What PostgreSQL could not take (a NUL, half a surrogate pair, a number
 * that is none) counts as missing too.
 *
 * The literal has no type of its own, so the server gives it the type of what it is compared with. Backslashes need no
 * care in it, since the gateway refuses backends with standard_conforming_strings off. A list becomes an array literal.
 */
export function claimText(claims: Identity['claims'], name: string, use: ClaimUse): string | undefined {
	if (!Object.hasOwn(claims, name)) return undefined;
	const value: ClaimValue | null | undefined = claims[name];
	if (value === undefined || value === null) return undefined;
	if (typeof value === 'object') return listLiteral(value);
	// A single value where a list is asked for is a list of one; read as an array literal it could name many.
	return use === 'list' ? listLiteral([value]) : scalarText(value);
}

/** Text within single quotes. */
export function quoteLiteral(text: string): string {
	return `'${text.replaceAll("'", "''")}'`;
}

function listLiteral(values: readonly unknown[]): string | undefined {
	const elements: string[] = [];
	for (const value of values) {
		const text = scalarText(value);
		if (text === undefined) return undefined;
		elements.push(`"${text.replace(/[\\"]/g, '\\$&')}"`);
	}
	return `{${elements.join(',')}}`;
}

function scalarText(value: unknown): string | undefined {
	switch (typeof value) {
		case 'string':
			// Surrogates that have no partner would become U+FFFD on the wire: another value than the one that was signed.
			return /\0|\p{Surrogate}/u.test(value) ? undefined : value;
		case 'number':
			return Number.isFinite(value) ? String(value) : undefined;
		case 'boolean':
			return String(value);
		default:
			return undefined;
	}
}
