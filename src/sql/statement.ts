/** Every statement class of the grammar: who decides it, or that it is refused by name. */
import type { Node } from '@pgsql/types';
import {
	alterFunction,
	alterNamed,
	alterOwner,
	alterSequence,
	alterTable,
	comment,
	defaultPrivileges,
	drop,
	grant,
	moveToSchema,
	rename,
} from './alteration.ts';
import { usedType } from './casts.ts';
import { coercedArguments } from './coercions.ts';
import { copy } from './copy.ts';
import {
	createDomain,
	createFunction,
	createIndex,
	createNamed,
	createSequence,
	createStatistics,
	createTable,
	createTableAs,
	createTrigger,
	createView,
	define,
	intoOf,
	routineNamed,
	routinesOf,
	selectInto,
} from './definition.ts';
import { alterDomain } from './domain.ts';
import { alterEnum } from './enum.ts';
import { expression } from './expression.ts';
import { explain } from './explain.ts';
import { extensionRoutines } from './extension-functions.ts';
import { noteMade } from './made.ts';
import { merge } from './merge.ts';
import { checkpoint, cluster, lock, refresh, reindex, truncate, vacuum } from './maintenance.ts';
import { indexedBy } from './operator-class.ts';
import { mayCreateRelation, mayOnDatabase } from './may.ts';
import { stringsOf } from './names.ts';
import { mayMakeType } from './new-code.ts';
import { as, type NodeOf, type NodeTag, tagOf } from './nodes.ts';
import { checkCall, qualifyCall } from './routines.ts';
import { createSchema } from './create-schema.ts';
import { newScope } from './scope.ts';
import { alterPublication, createPublication } from './publication.ts';
import { createRule, rowPolicy } from './row-policy.ts';
import { select } from './select.ts';
import {
	channel,
	declareCursor,
	discard,
	doBlock,
	execute,
	listen,
	setVariable,
	show,
	transaction,
	unlisten,
} from './session-statements.ts';
import { refuse, takeNotes, type Walk } from './walk.ts';
import { insert, remove, update } from './write.ts';

type Handlers = { [K in NodeTag]?: (walk: Walk, statement: NodeOf<K>) => void };

const HANDLERS: Handlers = {
	SelectStmt: (walk, node) => {
		const into = intoOf(node);
		if (into === undefined) select(walk, node, null, 'output');
		else selectInto(walk, node, into);
	},
	InsertStmt: (walk, node) => {
		insert(walk, node, null, false);
	},
	UpdateStmt: (walk, node) => {
		update(walk, node, null, false);
	},
	DeleteStmt: (walk, node) => {
		remove(walk, node, null);
	},
	MergeStmt: (walk, node) => {
		merge(walk, node, null, false);
	},
	CopyStmt: copy,
	VariableSetStmt: setVariable,
	VariableShowStmt: (walk, node) => show(walk, node.name ?? ''),
	TransactionStmt: transaction,
	DiscardStmt: discard,
	DeclareCursorStmt: declareCursor,
	// The cursor's own query was decided when it was declared; errors of it may speak of protected rows.
	FetchStmt: (walk) => {
		walk.touchesProtected = true;
	},
	ClosePortalStmt: () => {},
	PrepareStmt: prepare,
	ExecuteStmt: execute,
	DeallocateStmt: (walk, node) => {
		walk.effects.push({ type: 'deallocate', name: node.isall === true ? null : (node.name ?? '') });
	},
	ExplainStmt: (walk, node) => explain(walk, node, statement),
	ListenStmt: listen,
	UnlistenStmt: unlisten,
	NotifyStmt: (walk) => channel(walk, 'notify'),
	DoStmt: doBlock,
	CallStmt: call,
	ConstraintsSetStmt: () => {},
	CreateStmt: createTable,
	CreateTableAsStmt: createTableAs,
	ViewStmt: createView,
	IndexStmt: createIndex,
	CreateStatsStmt: createStatistics,
	CreatePolicyStmt: rowPolicy,
	AlterPolicyStmt: rowPolicy,
	RuleStmt: createRule,
	CreatePublicationStmt: createPublication,
	AlterPublicationStmt: alterPublication,
	CreateSchemaStmt: (walk, node) => createSchema(walk, node, statement),
	CreateSeqStmt: createSequence,
	CreateFunctionStmt: createFunction,
	CreateTrigStmt: createTrigger,
	CreateDomainStmt: createDomain,
	CreateEnumStmt: (walk, node) => createNamed(walk, node.typeName, 'CREATE TYPE'),
	CreateRangeStmt: (walk, node) => {
		rangeType(walk, node);
	},
	CompositeTypeStmt: (walk, node) => {
		const fields = (node.coldeflist ?? []).map((entry) => {
			const field = as(entry, 'ColumnDef');
			return { name: field?.colname ?? '', type: usedType(walk, field?.typeName, undefined)?.oid ?? null };
		});
		noteMade(walk, mayCreateRelation(walk, node.typevar), 'composite', fields);
		mayMakeType(walk, node.typevar?.relname ?? '');
		walk.effects.push({ type: 'ddl' });
	},
	DefineStmt: define,
	CreateCastStmt: (walk, node) => {
		if (node.func !== undefined) routineNamed(walk, stringsOf(node.func.objname));
		// Bytes of one type would be read as another's, which may show the server's memory.
		else if (node.inout !== true && !walk.context.access.unrestricted)
			throw refuse(walk, 'CREATE CAST ... WITHOUT FUNCTION');
		databaseObject(walk, 'create', 'CREATE CAST');
	},
	CreateExtensionStmt: (walk, node) => {
		databaseObject(walk, 'create', 'CREATE EXTENSION');
		walk.madeRoutines.push(...extensionRoutines(walk, node));
	},
	AlterExtensionStmt: (walk) => databaseObject(walk, 'alter', 'ALTER EXTENSION'),
	AlterTableStmt: alterTable,
	AlterSeqStmt: alterSequence,
	AlterFunctionStmt: alterFunction,
	AlterEnumStmt: alterEnum,
	AlterDomainStmt: alterDomain,
	AlterOwnerStmt: alterOwner,
	AlterCollationStmt: (walk, node) => alterNamed(walk, 'OBJECT_COLLATION', node.collname),
	AlterStatsStmt: (walk, node) => alterNamed(walk, 'OBJECT_STATISTIC_EXT', node.defnames),
	AlterTSConfigurationStmt: (walk, node) => alterNamed(walk, 'OBJECT_TSCONFIGURATION', node.cfgname),
	AlterTSDictionaryStmt: (walk, node) => alterNamed(walk, 'OBJECT_TSDICTIONARY', node.dictname),
	AlterDefaultPrivilegesStmt: defaultPrivileges,
	RenameStmt: rename,
	AlterObjectSchemaStmt: moveToSchema,
	DropStmt: drop,
	CommentStmt: comment,
	GrantStmt: grant,
	TruncateStmt: truncate,
	LockStmt: lock,
	VacuumStmt: vacuum,
	ClusterStmt: cluster,
	ReindexStmt: reindex,
	RefreshMatViewStmt: refresh,
	CheckPointStmt: checkpoint,
};

/** Its values are compared by an operator class of what it is a range of. */
function rangeType(walk: Walk, node: NodeOf<'CreateRangeStmt'>): void {
	routinesOf(walk, node.params);
	const options = (node.params ?? []).map((param) => as(param, 'DefElem'));
	const typeNamed = (word: string) => as(options.find((option) => option?.defname === word)?.arg, 'TypeName');
	const subtype = usedType(walk, typeNamed('subtype'), undefined)?.oid;
	indexedBy(walk, typeNamed('subtype_opclass')?.names, subtype === undefined ? null : [subtype]);
	createNamed(walk, node.typeName, 'CREATE TYPE');
}

function databaseObject(walk: Walk, action: 'create' | 'alter', what: string): void {
	mayOnDatabase(walk, action, what);
	walk.effects.push({ type: 'ddl' }, { type: 'names-unknown' });
}

/** Statement classes that are decided; for the test that looks over the grammar's list. */
export const STATEMENT_TAGS: readonly string[] = Object.keys(HANDLERS);

/** Decides a statement by its class. Throws GatewayError for what is refused. */
export function statement(walk: Walk, node: Node): void {
	const tag = tagOf(node);
	const handler = (HANDLERS as Partial<Record<NodeTag, (walk: Walk, value: never) => void>>)[tag];
	if (handler === undefined) {
		const hint =
			'The policy has no rule for it: whoever administers the server does it on a connection to the server itself.';
		throw refuse(walk, commandName(tag), undefined, hint);
	}
	handler(walk, (node as Record<string, unknown>)[tag] as never);
	if (keeps(node) && walk.effects.some((effect) => effect.type === 'set' && effect.name === 'search_path')) {
		const hint = 'Nobody would see when it runs. Use SET, or call set_config in a statement of its own.';
		throw refuse(walk, 'set_config of search_path in what is kept (a view, a default, a check)', undefined, hint);
	}
}

/** What it makes may hold an expression that runs some other time. */
function keeps(node: Node): boolean {
	const query = as(node, 'CreateTableAsStmt');
	return query === undefined ? KEEPING.has(tagOf(node)) : query.objtype === 'OBJECT_MATVIEW';
}

const KEEPING: ReadonlySet<string> = new Set<NodeTag>([
	'CreateStmt',
	'AlterTableStmt',
	'ViewStmt',
	'IndexStmt',
	'CreateSchemaStmt',
	'CreateFunctionStmt',
	'CreateTrigStmt',
	'CreateDomainStmt',
	'AlterDomainStmt',
	'CreateStatsStmt',
	'CreatePolicyStmt',
	'AlterPolicyStmt',
	'RuleStmt',
	'CreatePublicationStmt',
	'AlterPublicationStmt',
]);

/** What the grammar shortens in the names of its nodes. */
const SHORTENED: Readonly<Record<string, string>> = {
	db: 'Database',
	Fdw: 'ForeignDataWrapper',
	PLang: 'Language',
	Am: 'AccessMethod',
	TableSpace: 'Tablespace',
	EventTrig: 'EventTrigger',
	OpClass: 'OperatorClass',
	OpFamily: 'OperatorFamily',
	TSDictionary: 'TextSearchDictionary',
	TSConfiguration: 'TextSearchConfiguration',
	SecLabel: 'SecurityLabel',
};

/** `AlterTableStmt` reads as ALTER TABLE, `CreatedbStmt` as CREATE DATABASE. */
function commandName(tag: string): string {
	return tag
		.replace(/Stmt$/, '')
		.replace(
			/(?:db|Fdw|PLang|Am|TableSpace|EventTrig|OpClass|OpFamily|TSDictionary|TSConfiguration|SecLabel)$/,
			(word) => SHORTENED[word] ?? word,
		)
		.replaceAll(/([a-z])([A-Z])/g, '$1 $2')
		.toUpperCase();
}

const PREPARABLE: ReadonlySet<string> = new Set(['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt']);

/** Analysed as a statement of its own, under the types that PREPARE declares for its parameters. */
function prepare(walk: Walk, node: NodeOf<'PrepareStmt'>): void {
	if (node.query === undefined || !PREPARABLE.has(tagOf(node.query)))
		throw refuse(walk, 'PREPARE of this kind of statement');
	const parameterTypes = (node.argtypes ?? []).map((type) => usedType(walk, as(type, 'TypeName'), undefined)?.oid ?? 0);
	const inner: Walk = { ...walk, context: { ...walk.context, parameterTypes } };
	statement(inner, node.query);
	takeNotes(walk, inner);
	walk.effects.push({ type: 'prepare', name: node.name ?? '' });
}

function call(walk: Walk, node: NodeOf<'CallStmt'>): void {
	const around = { walk, scope: newScope(null), place: 'output', writing: false } as const;
	const args = (node.funccall?.args ?? []).map((arg) => expression(arg, around));
	const loose =
		node.funccall?.func_variadic === true || (node.funccall?.args ?? []).some((arg) => 'NamedArgExpr' in arg);
	const names = stringsOf(node.funccall?.funcname);
	const called = { names, args, loose, location: node.funccall?.location, action: 'call' } as const;
	const { candidates } = checkCall(walk, called);
	coercedArguments(walk, candidates, called);
	qualifyCall(
		walk,
		called,
		candidates.map(({ schema }) => schema),
	);
	// What its body does is its author's choice; it may change names and the catalogue, and its errors may quote rows.
	walk.touchesProtected = true;
	walk.effects.push({ type: 'ddl' }, { type: 'names-unknown' });
}
