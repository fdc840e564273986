/** Tables that the code of a DO block makes in so many words, so that the rest of the text may name them. */
import type { Relation } from '../catalog/snapshot.ts';
import { GatewayError } from '../errors.ts';
import { analyse } from './analyse.ts';
import { as } from './nodes.ts';
import { defaultSqlLimits, parse, type ParsedStatement } from './parse.ts';
import type { AnalysisContext } from './walk.ts';

/** More than anybody writes into one block. */
const TABLES_MAX = 100;

/**
 * Whoever may DO runs any code as the gateway's role, so nothing is gained by a block that makes something else by such a name; where it
 * makes nothing the server says so.
 */
export function tablesOfBlock(known: AnalysisContext, { node }: ParsedStatement): readonly Relation[] {
	const option = as(node, 'DoStmt')
		?.args?.map((arg) => as(arg, 'DefElem'))
		.find((entry) => entry?.defname === 'as');
	const body = as(option?.arg, 'String')?.sval ?? '';
	const places = [...body.matchAll(/\bcreate\s+(?:(?:temp|temporary|unlogged)\s+)?table\s[^;]*/gi)];
	return places.slice(0, TABLES_MAX).flatMap(([text]) => tablesMadeBy(known, text));
}

function tablesMadeBy(known: AnalysisContext, text: string): readonly Relation[] {
	try {
		const { source, statements } = parse(text, defaultSqlLimits);
		return statements.flatMap((statement) => analyse(known, source, statement).made);
	} catch (error) {
		// Part of a string, or of some other statement.
		if (error instanceof GatewayError) return [];
		throw error;
	}
}
