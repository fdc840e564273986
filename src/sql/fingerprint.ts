/** The fingerprint of a statement: equal for statements that differ in nothing but literals, white space and comments. */
import { fingerprintSync } from 'libpg-query';
import type { StatementDecision } from '../stages.ts';

/** A longer text has none: it is parsed once more for it, and that must keep nobody waiting. */
const fingerprintedTextMax = 16 * 1024;

/** A member of StatementDecision, or nothing. `sql` is the text of one statement that the parser has taken; parse.ts has loaded it. */
export function fingerprintOf(sql: string): Pick<StatementDecision, 'fingerprint'> {
	if (sql.length > fingerprintedTextMax) return {};
	try {
		return { fingerprint: fingerprintSync(sql) };
	} catch {
		// Nothing is decided by it.
		return {};
	}
}
