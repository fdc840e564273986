/** Holds the table of node types against the parser's own list, against the walkers, and against what the parser makes of real text. */
import type { Node } from '@pgsql/types';
import { parseSync } from 'libpg-query';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GatewayError } from '../../src/errors.ts';
import { EXPRESSION_TAGS, expression } from '../../src/sql/expression.ts';
import { fromClause, FROM_TAGS } from '../../src/sql/from.ts';
import { NODE_CLASSES, type NodeClass, type NodeTag, tagOf } from '../../src/sql/nodes.ts';
import { defaultSqlLimits, parse } from '../../src/sql/parse.ts';
import { queryNode } from '../../src/sql/query.ts';
import { newScope } from '../../src/sql/scope.ts';
import { SourceText } from '../../src/sql/source.ts';
import { STATEMENT_TAGS, statement } from '../../src/sql/statement.ts';
import { newWalk, type Walk } from '../../src/sql/walk.ts';
import type { Bench } from './bench.ts';
import { declaredTags, readGrammar, tagsIn, writtenTags } from './grammar.ts';
import { AUDITOR, MANAGER, openPeople } from './people.ts';
import { STATEMENTS } from './statements.ts';

const grammar = readGrammar();

/** Tags that the table lacks, and those that it has too many. */
function differences(
	tags: readonly string[],
	table: Readonly<Record<string, NodeClass>>,
): { missing: string[]; extra: string[] } {
	return {
		missing: tags.filter((tag) => !Object.hasOwn(table, tag)),
		extra: Object.keys(table).filter((tag) => !tags.includes(tag)),
	};
}

function ofClass(...classes: readonly NodeClass[]): string[] {
	return Object.entries(NODE_CLASSES)
		.filter(([, value]) => classes.includes(value))
		.map(([tag]) => tag)
		.sort();
}

describe('the table of node types', () => {
	test('has every node type of the declarations, and no other', () => {
		expect(grammar.declared.length).toBeGreaterThan(250);
		expect(differences(grammar.declared, NODE_CLASSES)).toEqual({ missing: [], extra: [] });
	});

	test('has every node type that the parser can write', () => {
		expect(grammar.written.length).toBeGreaterThan(250);
		expect(differences(grammar.written, NODE_CLASSES).missing).toEqual([]);
	});

	test('fails for a node type that a new version adds', () => {
		const declared =
			'export type Node = {\n    SelectStmt: SelectStmt;\n} | {\n    PropertyGraphStmt: PropertyGraphStmt;\n};\nexport type X = 1;';
		expect(differences(declaredTags(declared), NODE_CLASSES).missing).toEqual(['PropertyGraphStmt']);
		expect(differences(writtenTags('\0"SelectStmt":{\0"GraphTableExpr":{\0x'), NODE_CLASSES).missing).toEqual([
			'GraphTableExpr',
		]);
	});

	test.each([
		['expression', EXPRESSION_TAGS],
		['from', FROM_TAGS],
		['statement', STATEMENT_TAGS],
	] as const)('class %s is what the walker takes', (name, tags) => {
		expect([...tags].sort()).toEqual(ofClass(name));
	});
});

describe('what the parser makes of a statement of every kind', () => {
	const seen = new Set<string>();
	for (const sql of STATEMENTS) {
		for (const raw of parseSync(sql).stmts ?? []) tagsIn(grammar, 'RawStmt', raw, seen);
	}

	test('has every node type that is not internal', () => {
		expect(
			ofClass('expression', 'from', 'statement', 'refused', 'part').filter(
				(tag) => !seen.has(tag) && !UNREACHED.has(tag),
			),
		).toEqual([]);
	});

	test('has none that is internal', () => {
		expect(ofClass('internal').filter((tag) => seen.has(tag))).toEqual([]);
	});

	test('would show an internal one', () => {
		const tree = { stmt: { SelectStmt: { targetList: [{ ResTarget: { val: { OpExpr: {} } } }] } } };
		expect([...tagsIn(grammar, 'RawStmt', tree)]).toContain('OpExpr');
	});
});

/** Only another mode of the parser makes it (assignments of PL/pgSQL), but it would be a statement. */
const UNREACHED: ReadonlySet<string> = new Set(['PLAssignStmt']);

describe('a node that is not where it belongs denies the statement', () => {
	let bench: Bench;
	let walk: Walk;
	beforeAll(async () => {
		bench = await openPeople();
		const { access, catalog } = bench.context({ who: AUDITOR });
		const context = {
			access,
			catalog: catalog.snapshot(),
			searchPath: [],
			tempSchema: null,
			parameterTypes: [],
			nonce: () => 'n',
		};
		walk = newWalk(context, new SourceText('select 1'), queryNode);
	});
	afterAll(async () => {
		await bench?.close();
	});

	const node = (tag: string): Node => ({ [tag]: {} }) as unknown as Node;
	const refusal = (run: () => unknown): string => {
		try {
			run();
			return 'nothing';
		} catch (error) {
			return error instanceof GatewayError ? `${error.sqlstate} ${error.message}` : String(error);
		}
	};
	const places: Readonly<Record<string, (node: Node) => unknown>> = {
		expression: (at) => expression(at, { walk, scope: newScope(null), place: 'output', writing: false }),
		from: (at) => fromClause(walk, [at], newScope(null)),
		statement: (at) => statement(walk, at),
		query: (at) => queryNode(walk, at, null, 'output'),
	};

	test.each(Object.keys(places))('as %s', (place) => {
		const taken: Readonly<Record<string, readonly string[]>> = {
			expression: EXPRESSION_TAGS,
			from: FROM_TAGS,
			statement: STATEMENT_TAGS,
			query: ['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt'],
		};
		const others = [...Object.keys(NODE_CLASSES), 'PropertyGraphStmt'].filter(
			(tag) => taken[place]?.includes(tag) !== true,
		);
		const passed = others
			.map((tag) => `${tag}: ${refusal(() => places[place]?.(node(tag)))}`)
			.filter((line) => !/: 42501 .* is not allowed through the gateway$/.test(line));
		expect(passed).toEqual([]);
	});

	test.each(STATEMENTS.map((sql) => [topTag(sql), sql.replaceAll(/\s+/g, ' ')] as const))(
		'%s: %s',
		async (tag, sql) => {
			const decision = await bench.decide(sql, { who: MANAGER, temp: 'pg_temp_9' });
			const expected = NODE_CLASSES[tag];
			if (expected !== 'refused') {
				expect(decision.error?.message ?? '').not.toBe(`${words(tag)} is not allowed through the gateway`);
				expect(decision.error?.sqlstate).not.toBe('XX000');
				return;
			}
			expect(decision.effect).toBe('deny');
			expect(decision.error?.sqlstate).toBe('42501');
			expect(decision.error?.message).toBe(`${words(tag)} is not allowed through the gateway`);
		},
	);

	test.each(
		STATEMENTS.filter((sql) => NODE_CLASSES[topTag(sql)] === 'refused').map((sql) => [topTag(sql), sql] as const),
	)('%s is refused to whoever may do everything only where it acts on the server itself', async (tag, sql) => {
		const { effect, rewritten } = await bench.decide(sql, { who: AUDITOR });
		expect(effect).toBe(['AlterSystemStmt', 'LoadStmt', 'PLAssignStmt'].includes(tag) ? 'deny' : 'allow');
		expect(rewritten).toBe(sql);
	});

	test('every class of statement is among them', () => {
		const tags = new Set<string>(STATEMENTS.map(topTag));
		expect(ofClass('statement', 'refused').filter((tag) => !tags.has(tag) && !UNREACHED.has(tag))).toEqual([]);
	});
});

function topTag(sql: string): NodeTag {
	const [first] = parse(sql, defaultSqlLimits).statements;
	if (first === undefined) throw new Error(`no statement in ${sql}`);
	return tagOf(first.node);
}

/** As the refusal names it: AlterTableStmt reads as ALTER TABLE. */
/** Nodes whose names are not those of their statements. */
const NAMED: Readonly<Record<string, string>> = {
	CreatedbStmt: 'CREATE DATABASE',
	DropdbStmt: 'DROP DATABASE',
	CreateFdwStmt: 'CREATE FOREIGN DATA WRAPPER',
	AlterFdwStmt: 'ALTER FOREIGN DATA WRAPPER',
	CreatePLangStmt: 'CREATE LANGUAGE',
	CreateAmStmt: 'CREATE ACCESS METHOD',
	CreateTableSpaceStmt: 'CREATE TABLESPACE',
	DropTableSpaceStmt: 'DROP TABLESPACE',
	CreateEventTrigStmt: 'CREATE EVENT TRIGGER',
	AlterEventTrigStmt: 'ALTER EVENT TRIGGER',
	CreateOpClassStmt: 'CREATE OPERATOR CLASS',
	CreateOpFamilyStmt: 'CREATE OPERATOR FAMILY',
	AlterOpFamilyStmt: 'ALTER OPERATOR FAMILY',
	SecLabelStmt: 'SECURITY LABEL',
};

function words(tag: string): string {
	const named = NAMED[tag];
	if (named !== undefined) return named;
	return tag
		.replace(/Stmt$/, '')
		.replaceAll(/([a-z])([A-Z])/g, '$1 $2')
		.toUpperCase();
}
