/** Analyses the whole text of a Query or Parse, statement by statement: what each makes or drops is known to those after it. */
import { overlay } from '../catalog/overlay.ts';
import { GatewayError } from '../errors.ts';
import type { Edit, StatementDecision } from '../stages.ts';
import { type Analysis, analyse } from './analyse.ts';
import type { RelationName } from './names.ts';
import { asOlderServer } from './older-words.ts';
import { type Parsed, parse, type SqlLimits } from './parse.ts';
import { pathChange, pathSet } from './path-change.ts';
import type { AnalysisContext } from './walk.ts';

/** What was found of a whole text. */
export type TextAnalysis = RefusedText | AnalysedText;

/** It is refused without an analysis of its statements; `node` as in a StatementDecision. */
export interface RefusedText {
	readonly type: 'refused';
	readonly node: 'Unparsable' | 'Undecided';
	readonly error: GatewayError;
}

export interface AnalysedText {
	readonly type: 'analysed';
	readonly statements: readonly StatementDecision[];
	/** In order; offsets in the whole text. */
	readonly edits: readonly Edit[];
	/** The text with the edits in it, where that was made already. */
	readonly rewritten?: string;
	/** A name was not known: look at the catalogue again before believing this. */
	readonly doubt: boolean;
	/** Relations that were not found and where. */
	readonly missing: readonly RelationName[];
	/** The same of routines, by their names. */
	readonly missingRoutines: readonly string[];
}

/** The parsed text and what it is analysed with. */
export interface BegunText {
	readonly type: 'parsed';
	readonly parsed: Parsed;
	readonly inputs: AnalysisContext;
}

/** `inputs`: null while nobody knows what names mean. */
export function beginText(sql: string, limits: SqlLimits, inputs: AnalysisContext | null): BegunText | RefusedText {
	let parsed: Parsed;
	try {
		parsed = parse(sql, limits);
	} catch (error) {
		if (!(error instanceof GatewayError)) throw error;
		const told = inputs === null ? error : asOlderServer(error, inputs.catalog.serverVersion);
		return { type: 'refused', node: 'Unparsable', error: told };
	}
	if (inputs === null) return { type: 'refused', node: 'Undecided', error: namesUnknown() };
	const followed = pathChange(parsed, inputs);
	return followed === undefined
		? { type: 'parsed', parsed, inputs }
		: { type: 'refused', node: 'Undecided', error: followed };
}

/** A relation or routine that one statement makes is there for those after it, and a relation that it drops or renames is not. */
export function* analysing({ inputs, parsed }: BegunText): Generator<Analysis> {
	let known = inputs;
	for (const statement of parsed.statements) {
		const analysis = analyse(known, parsed.source, statement);
		yield analysis;
		const searchPath = pathSet(statement.node);
		if (searchPath !== undefined) known = { ...known, searchPath };
		const { made, madeRoutine, gone } = analysis;
		if (made !== undefined || madeRoutine !== undefined || gone.length > 0) {
			const tempSchema = made?.temporary === true ? made.schema : known.tempSchema;
			const relations = made === undefined ? [] : [made];
			const routines = madeRoutine === undefined ? [] : [madeRoutine];
			known = { ...known, catalog: overlay(known.catalog, relations, gone, routines), tempSchema };
		}
	}
}

/** The statements' analyses as one. */
export function together(analyses: readonly Analysis[]): AnalysedText {
	return {
		type: 'analysed',
		statements: analyses.map(({ decision }) => decision),
		edits: analyses.flatMap(({ edits }) => edits),
		doubt: analyses.some(({ doubt }) => doubt),
		missing: analyses.flatMap(({ missing }) => missing),
		missingRoutines: analyses.flatMap(({ missingRoutines }) => missingRoutines),
	};
}

function namesUnknown(): GatewayError {
	return new GatewayError(
		'42501',
		'the search_path of this session is not known to the gateway at this point, so the statement is refused',
		{
			hint: 'Send the statement after the previous one has been answered, or qualify nothing by search_path.',
		},
	);
}
