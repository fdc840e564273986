/** Analyses the whole text of a Query or Parse, statement by statement: what each makes or drops is known to those after it. */
import { overlay } from '../catalog/overlay.ts';
import { GatewayError } from '../errors.ts';
import type { Edit, StatementDecision } from '../stages.ts';
import { type Analysis, analyse } from './analyse.ts';
import { tablesOfBlock } from './block-tables.ts';
import type { RelationName } from './names.ts';
import { asOlderServer } from './older-words.ts';
import { type Parsed, parse, type SqlLimits, weightMax } from './parse.ts';
import { pathChange } from './path-change.ts';
import { courseFrom, following, withKnown } from './text-course.ts';
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
	if (followed !== undefined) return { type: 'refused', node: 'Undecided', error: followed };
	// Short statements may read what is long.
	const definitions = { length: 0, lengthMax: weightMax(limits) };
	return { type: 'parsed', parsed, inputs: { ...inputs, definitions } };
}

/** What one statement makes (relations, routines, schemas) is there for those after it, and a relation that it drops or renames is not. */
export function* analysing({ inputs, parsed }: BegunText): Generator<Analysis> {
	let course = courseFrom(inputs);
	let afterBlock = false;
	for (const statement of parsed.statements) {
		const { known } = course.at;
		const analysis = analyse(known, parsed.source, statement);
		yield afterBlock ? hinted(analysis) : analysis;
		afterBlock ||= 'DoStmt' in statement.node || 'CallStmt' in statement.node;
		const made = [...analysis.made, ...tablesOfBlock(known, statement)];
		course = following(withKnown(course, withMade(known, { ...analysis, made })), statement.node);
	}
}

function withMade(known: AnalysisContext, analysis: Analysis): AnalysisContext {
	const { made, madeRoutines, madeSchemas, gone } = analysis;
	if (made.length + madeRoutines.length + madeSchemas.length + gone.length === 0) return known;
	return {
		...known,
		catalog: overlay(known.catalog, made, gone, madeRoutines, madeSchemas),
		tempSchema: made.find(({ temporary }) => temporary)?.schema ?? known.tempSchema,
	};
}

/** A name that nothing has may be what the code of a DO block or procedure before it makes, which nobody can read out of it. */
function hinted(analysis: Analysis): Analysis {
	const { error } = analysis.decision;
	if (error === undefined || !['42P01', '42883'].includes(error.sqlstate)) return analysis;
	const { position } = error;
	const hint =
		'What a procedure makes, or a DO block by EXECUTE, can be used by the next Query, not by the rest of its own.';
	const told = new GatewayError(error.sqlstate, error.message, {
		...(position === undefined ? {} : { position }),
		hint,
	});
	return { ...analysis, decision: { ...analysis.decision, error: told } };
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
