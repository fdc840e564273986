/** What is kept of decisions between their records: whatever came before, the pieces are those of the decision at hand. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Batch } from '../../src/audit/batch.ts';
import { DecisionPartsCache } from '../../src/audit/decision-parts.ts';
import { GatewayError } from '../../src/errors.ts';
import { toJson } from '../../src/audit/json.ts';
import type { ObjectUse, StatementDecision } from '../../src/stages.ts';
import { decision } from './samples.ts';

const cacheOf = (cachedPartBytesMax: number): DecisionPartsCache =>
	new DecisionPartsCache({ cachedPartBytesMax, deniedTextMax: 1000 });

/** The line that the cache makes of a decision. */
function lineOf(cache: DecisionPartsCache, of: StatementDecision): string {
	const batch = new Batch();
	const parts = cache.of(of);
	parts.attributes(batch);
	parts.unmapped(batch);
	batch.endLine();
	return `${batch.bytes.toString()}${cache.activity(of).toString()}`;
}

const first = decision();
const error = new GatewayError('42601', 'cannot insert multiple commands into a prepared statement');

/** Made of the same analysis, or of its parts. */
const family: readonly (readonly [string, StatementDecision])[] = [
	['the first', first],
	['another text', { ...first, sql: "select 'é' -- 1", rewritten: 'select 2' }],
	['rewritten alone', { ...first, rewritten: 'select "x"' }],
	['with a secret', { ...first, sql: "select crypt('hunter2', 'b')", rewritten: "select crypt('hunter2', 'b'), 1" }],
	['with a fingerprint', { ...first, fingerprint: '50fde20626009aba' }],
	['of a cursor', { ...first, cursor: 'c"' }],
	['of another cursor', { ...first, cursor: 'd' }],
	['what was prepared', { ...first, executes: "prepare p as select crypt('hunter2', x)" }],
	['denied, long', { ...first, effect: 'deny', error, sql: 'x'.repeat(2000) }],
	['denied, longer', { ...first, effect: 'deny', error, sql: 'x'.repeat(2001) }],
	['denied, as long and different behind the cut', { ...first, effect: 'deny', error, sql: `${'x'.repeat(2000)}y` }],
	['not rewritten', { ...first, rewritten: first.sql }],
	['denied after all', { ...first, effect: 'deny', error }],
	['denied otherwise', { ...first, effect: 'deny', error: new GatewayError('42501', 'no') }],
	['another node', { ...first, node: 'DeleteStmt' }],
	['other rules', { ...first, rules: [] }],
	['other objects', { ...first, objects: [] }],
];

/** What stands in a record of an object, as JSON.stringify writes it. */
function reference(use: ObjectUse): object {
	const { kind, schema, name, action, columns, masks, filters, hidden, rules, via } = use;
	return {
		kind,
		schema,
		name,
		action,
		...(columns.length === 0 ? {} : { columns }),
		...(Object.keys(masks).length === 0 ? {} : { masks }),
		...(filters.length === 0 ? {} : { filters }),
		...(hidden.length === 0 ? {} : { hidden }),
		...(rules.length === 0 ? {} : { rules: rules.map(({ file, line }) => `${file}:${line}`) }),
		...(via === undefined ? {} : { via }),
	};
}

const word = fc.oneof(
	fc.string({ unit: 'binary' }),
	fc.constantFrom('', 'token', 'a"b', 'x\\y', 'naïve', '\u202e', 'password', '1'),
);
const words = fc.array(word, { maxLength: 3 });
const anyUse: fc.Arbitrary<ObjectUse> = fc
	.record({
		kind: fc.constantFrom('relation', 'function', 'setting'),
		schema: word,
		name: word,
		action: fc.constantFrom('select', 'show', 'drop'),
		columns: words,
		masks: fc.dictionary(word, word, { maxKeys: 3 }),
		filters: words,
		hidden: words,
		rules: fc.array(fc.record({ file: word, line: fc.nat(), text: word }), { maxLength: 3 }),
		via: fc.option(word, { nil: undefined }),
	})
	.map(({ via, ...use }) => ({ ...use, ...(via === undefined ? {} : { via }) }));

it('objects and rules are written as JSON has them', () => {
	const cache = cacheOf(64 * 1024);
	fc.assert(
		fc.property(fc.array(anyUse, { maxLength: 3 }), (objects) => {
			const rules = objects.flatMap((use) => use.rules);
			const of = { ...first, objects, rules };
			const table = objects.find(({ kind }) => kind === 'relation');
			const line = lineOf(cache, of);
			expect(line).toContain(
				`,"node":"SelectStmt"${objects.length === 0 ? '' : `,"objects":${toJson(objects.map(reference))}`},"rewritten":`,
			);
			const authorizations = rules.map(({ file, line: at, text }) => ({
				decision: 'mask',
				policy: { name: `${file}:${at}`, desc: text },
			}));
			expect(line).toContain(
				`"uid":"28550ea0fc43bed7"}${table === undefined ? '' : `,"table":${toJson({ name: `${table.schema}.${table.name}` })}`}` +
					`${rules.length === 0 ? '' : `,"authorizations":${toJson(authorizations)}`},"node":`,
			);
		}),
		{ numRuns: 300 },
	);
});

describe('the parts of a decision', () => {
	it.each(family)('%s: the same whatever came before', (_name, of) => {
		const want = lineOf(cacheOf(0), of);
		const cache = cacheOf(64 * 1024);
		for (const [, before] of family) {
			for (const times of [1, 2, 3, 17]) {
				for (let i = 0; i < times; i += 1) lineOf(cache, before);
				for (let i = 0; i < times; i += 1) expect(lineOf(cache, of)).toBe(want);
			}
		}
	});

	it('tell all decisions apart', () => {
		const lines = family.map(([, of]) => lineOf(cacheOf(64 * 1024), of));
		expect(new Set(lines).size).toBe(family.length);
		for (const line of lines) expect(() => JSON.parse(`{"x":1${line.replace('\n', '')}}`) as unknown).not.toThrow();
	});

	it('an outcome in between changes nothing', () => {
		const cache = cacheOf(64 * 1024);
		const [, other] = family[1] ?? [];
		if (other === undefined) throw new Error('no other');
		const want = lineOf(cacheOf(0), first);
		lineOf(cache, first);
		const parts = cache.of(first);
		cache.activity(other);
		const batch = new Batch();
		parts.attributes(batch);
		parts.unmapped(batch);
		batch.endLine();
		expect(`${batch.bytes.toString()}${cache.activity(first).toString()}`).toBe(want);
	});

	it('holds no secret of the text, of what runs in its place, and of what the server said of it', () => {
		const sql = "alter role eve password 'hunter2";
		const said = new GatewayError('42601', 'unterminated quoted string at or near "\'hunter2"');
		const parts = JSON.parse(
			`{"x":1${lineOf(cacheOf(0), { ...first, effect: 'deny', error: said, sql, rewritten: sql }).replace('\n', '')}}`,
		) as unknown;
		expect(parts).toMatchObject({
			query_info: { query_string: "alter role eve password '[redacted]" },
			status_detail: 'unterminated quoted string at or near "[redacted]"',
		});
		const masked = { ...first, sql: "select crypt('hunter2', x)", rewritten: "select crypt('hunter2', x), 1" };
		expect(lineOf(cacheOf(0), masked)).not.toContain('hunter2');
	});

	it('of a long denied statement: the beginning, the length and the digest; of one that runs all of it', () => {
		const sql = `select '${'é'.repeat(5000)}'`;
		const line = lineOf(cacheOf(0), { ...first, effect: 'deny', error, sql, rewritten: sql });
		const sha256 = createHash('sha256').update(sql).digest('hex');
		expect(JSON.parse(`{"x":1${line.replace('\n', '')}}`)).toMatchObject({
			query_info: { query_string: sql.slice(0, 1000), bytes: Buffer.byteLength(sql) },
			query_sha256: sha256,
		});
		expect(lineOf(cacheOf(0), { ...first, sql, rewritten: sql })).toContain(sql);
	});
});
