/** What is kept of decisions between their records: whatever came before, the pieces are those of the decision at hand. */
import { describe, expect, it } from 'vitest';
import { Batch } from '../../src/audit/batch.ts';
import { DecisionPartsCache } from '../../src/audit/decision-parts.ts';
import { GatewayError } from '../../src/errors.ts';
import type { StatementDecision } from '../../src/stages.ts';
import { decision } from './samples.ts';

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
	['not rewritten', { ...first, rewritten: first.sql }],
	['denied after all', { ...first, effect: 'deny', error }],
	['denied otherwise', { ...first, effect: 'deny', error: new GatewayError('42501', 'no') }],
	['another node', { ...first, node: 'DeleteStmt' }],
	['other rules', { ...first, rules: [] }],
	['other objects', { ...first, objects: [] }],
];

describe('the parts of a decision', () => {
	it.each(family)('%s: the same whatever came before', (_name, of) => {
		const want = lineOf(new DecisionPartsCache(0), of);
		const cache = new DecisionPartsCache(64 * 1024);
		for (const [, before] of family) {
			for (const times of [1, 2, 3]) {
				for (let i = 0; i < times; i += 1) lineOf(cache, before);
				for (let i = 0; i < times; i += 1) expect(lineOf(cache, of)).toBe(want);
			}
		}
	});

	it('tell all decisions apart', () => {
		const lines = family.map(([, of]) => lineOf(new DecisionPartsCache(64 * 1024), of));
		expect(new Set(lines).size).toBe(family.length);
		for (const line of lines) expect(() => JSON.parse(`{"x":1${line.replace('\n', '')}}`) as unknown).not.toThrow();
	});

	it('an outcome in between changes nothing', () => {
		const cache = new DecisionPartsCache(64 * 1024);
		const [, other] = family[1] ?? [];
		if (other === undefined) throw new Error('no other');
		const want = lineOf(new DecisionPartsCache(0), first);
		lineOf(cache, first);
		const parts = cache.of(first);
		cache.activity(other);
		const batch = new Batch();
		parts.attributes(batch);
		parts.unmapped(batch);
		batch.endLine();
		expect(`${batch.bytes.toString()}${cache.activity(first).toString()}`).toBe(want);
	});
});
