/** For whoever may do everything: a statement that the analysis cannot follow passes as it is, unless something in it wants a rule of its own. */
import type { Node, RangeVar } from '@pgsql/types';
import {
	extensionRoutineSafety,
	needsNamedRule,
	relationSafety,
	type RoutineClass,
	schemasOfValues,
	systemRoutineSafety,
} from '../catalog/safety.ts';
import type { GatewayError } from '../errors.ts';
import type { SessionEffect } from '../stages.ts';
import { checkSetting, literalOf } from './call.ts';
import { as, NODE_CLASSES, type NodeOf, tagOf } from './nodes.ts';
import type { Parsed } from './parse.ts';
import { type AnalysisContext, newWalk, type Walk } from './walk.ts';

/*
 * Such an identity may create functions in any language and call them, and what those do is their author's choice; to
 * refuse it a statement of administration protects nothing. What it needs a rule by name for is still refused, wherever
 * in the statement the name stands: harmful functions, relations of the system that are not harmless or that are
 * written, files of the server, settings that the gateway relies on.
 */

/** Refused to everybody: they load code into the server or change how it starts. */
const NEVER: ReadonlySet<string> = new Set(['AlterSystemStmt', 'LoadStmt']);

/** Refusals that are about the gateway's own limits, or about syntax that the server may read as something else. */
const FINAL: ReadonlySet<string> = new Set(['54000', '54001', 'XX000', '0A000']);

const WRITES: ReadonlySet<string> = new Set(['InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt', 'CopyStmt']);

/** They show nothing of the relations that they name. */
const UNSHOWN: ReadonlySet<string> = new Set(['VacuumStmt', 'ClusterStmt', 'ReindexStmt', 'LockStmt', 'GrantStmt']);

/** As good as the sequence or channel behind them, which this identity may use. */
const ORDINARY: ReadonlySet<RoutineClass> = new Set(['sequence', 'notify']);

/** Toast tables and the temporary schemas of other sessions. */
const OTHERS_SCHEMA = /^pg_(toast$|toast_|temp_)/;

/** What is found in a statement's tree, wherever it stands. */
interface Mentions {
	readonly tags: ReadonlySet<string>;
	/** Every name and word, but for constants. */
	readonly words: ReadonlySet<string>;
	/** Names of relations that are written. */
	readonly targets: ReadonlySet<string>;
	/** VariableSetStmt nodes: of ALTER ROLE and ALTER DATABASE, of functions. */
	readonly settings: readonly SettingNode[];
	/** COPY with a file or program of the server. */
	readonly serverFile: boolean;
}

interface SettingNode {
	readonly kind: string;
	readonly name?: string;
	readonly args?: readonly Node[];
}

/** What a waived statement does to the session; undefined where the refusal stands. */
export function waived(walk: Walk, node: Node, error: GatewayError): readonly SessionEffect[] | undefined {
	if (!walk.context.access.unrestricted || FINAL.has(error.sqlstate)) return undefined;
	return isUnguarded(walk, node) ? effectsOf(node) : undefined;
}

/** True for whoever may do everything, when nothing in the text wants a rule of its own, whatever its names mean by the time it runs. */
export function isUnguardedText(context: AnalysisContext, { source, statements }: Parsed): boolean {
	if (!context.access.unrestricted) return false;
	const walk = newWalk(context, source, () => null);
	return statements.every(({ node }) => isUnguarded(walk, node));
}

/** The same for one statement. */
function isUnguarded(walk: Walk, node: Node): boolean {
	const { tags, words, targets, settings, serverFile } = mentionsOf(node);
	if (serverFile) return false;
	for (const tag of tags) if (NEVER.has(tag) || !Object.hasOwn(NODE_CLASSES, tag)) return false;
	const reads = !UNSHOWN.has(tagOf(node));
	return (
		[...words].every((word) => isFree(walk.context, word, { reads, writes: targets.has(word) })) &&
		settings.every((setting) => maySet(walk, setting))
	);
}

/** Whether a name may stand anywhere in the statement without a rule that names what it may mean. */
function isFree(
	{ catalog, access }: AnalysisContext,
	word: string,
	{ reads, writes }: { readonly reads: boolean; readonly writes: boolean },
): boolean {
	if ((reads && OTHERS_SCHEMA.test(word)) || needsNamedRule('', word) !== null) return false;
	if (schemasOfValues.some((schema) => catalog.relation(schema, word) !== undefined)) return false;
	for (const routine of catalog.routinesNamed(word)) {
		const safety = systemRoutineSafety(routine);
		if (safety === undefined || safety.safe || ORDINARY.has(safety.class)) continue;
		// Its installer could have made the same by hand.
		if (extensionRoutineSafety(routine) !== undefined) continue;
		// set_config: what it sets has to be read first.
		if (safety.class === 'settings') return false;
		if (!access.onFunction(routine.schema, routine.name, routine.argNames, 'execute').named) return false;
	}
	return ['pg_catalog', 'information_schema'].every((schema) => {
		if (catalog.relation(schema, word) === undefined) return true;
		const actions = [
			...(!reads || relationSafety(schema, word).safe === true ? [] : (['select'] as const)),
			...(writes ? (['insert', 'update', 'delete'] as const) : []),
		];
		return actions.every((action) => access.onRelation(schema, word, action).named);
	});
}

function maySet(walk: Walk, setting: SettingNode): boolean {
	if (setting.kind === 'VAR_SET_MULTI' || setting.kind === 'VAR_RESET_ALL') return true;
	const values = (setting.args ?? []).map(literalOf);
	const isValue = setting.kind === 'VAR_SET_VALUE';
	const value = isValue ? (values.includes(undefined) ? undefined : values.join(', ')) : null;
	try {
		checkSetting(walk, (setting.name ?? '').toLowerCase(), value, undefined);
		return true;
	} catch {
		return false;
	}
}

/** Without recursion: a tree may be deeper than the stack. */
function mentionsOf(node: Node): Mentions {
	const tags = new Set<string>();
	const words = new Set<string>();
	const targets = new Set<string>();
	const settings: SettingNode[] = [];
	let serverFile = false;
	const left: unknown[] = [node];
	for (let value = left.pop(); value !== undefined; value = left.pop()) {
		if (typeof value === 'string') words.add(value);
		if (typeof value !== 'object' || value === null) continue;
		for (const [key, inner] of Object.entries(value)) {
			if (key === 'A_Const') continue;
			if (/^[A-Z]/.test(key)) tags.add(key);
			if (WRITES.has(key)) targets.add((inner as { relation?: RangeVar }).relation?.relname ?? '');
			left.push(inner);
		}
		if ('kind' in value && typeof value.kind === 'string' && value.kind.startsWith('VAR_'))
			settings.push(value as SettingNode);
		serverFile ||= 'filename' in value || ('is_program' in value && value.is_program === true);
	}
	return { tags, words, targets, settings, serverFile };
}

function effectsOf(node: Node): readonly SessionEffect[] {
	switch (tagOf(node)) {
		case 'PrepareStmt':
			return [{ type: 'prepare', name: as(node, 'PrepareStmt')?.name ?? '' }];
		case 'CopyStmt':
			return [{ type: as(node, 'CopyStmt')?.is_from === true ? 'copy-in' : 'copy-out' }, { type: 'names-unknown' }];
		case 'SelectStmt':
		case 'ExplainStmt':
		case 'DeclareCursorStmt':
			return [{ type: 'names-unknown' }];
		default:
			return [{ type: 'ddl' }, { type: 'names-unknown' }, ...emptied(node)];
	}
}

/** Of DROP, RENAME, a move to another tablespace, and of a database that is the template of another. */
function emptied(node: Node): readonly SessionEffect[] {
	const rename = as(node, 'RenameStmt');
	const database =
		as(node, 'DropdbStmt')?.dbname ??
		as(node, 'AlterDatabaseStmt')?.dbname ??
		(rename?.renameType === 'OBJECT_DATABASE' ? rename.subname : undefined) ??
		templateOf(as(node, 'CreatedbStmt'));
	return database === undefined ? [] : [{ type: 'alone', database }];
}

/** What the server copies: template1 where the statement names none, or DEFAULT. */
function templateOf(node: NodeOf<'CreatedbStmt'> | undefined): string | undefined {
	if (node === undefined) return undefined;
	const named = node.options?.map((option) => as(option, 'DefElem')).find((option) => option?.defname === 'template');
	return textOf(named?.arg) ?? 'template1';
}

function textOf(node: Node | undefined): string | undefined {
	return node === undefined ? undefined : as(node, 'String')?.sval;
}
