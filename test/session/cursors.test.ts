/** What is kept of cursors: bounded, and what is not known any more is taken for what it may be. */
import { describe, expect, test } from 'vitest';
import { Cursors } from '../../src/session/cursors.ts';
import type { Decision, SessionEffect, StatementDecision } from '../../src/stages.ts';

function decided(sql: string, effect: SessionEffect): Decision {
	const statement = { sql, rewritten: sql, effects: [effect] } as unknown as StatementDecision;
	return { statements: [statement] } as unknown as Decision;
}
const declare = (name: string, sql = `declare ${name}`, holds = true): Decision =>
	decided(sql, { type: 'declare', name, holds });
const close = (name: string | null): Decision => decided('close', { type: 'close', name });
const texts = (cursors: Cursors, name: string, policy = 'p1'): string[] | undefined =>
	cursors.named(name, policy)?.map(({ sql }) => sql);
const byOf = (decision: Decision): StatementDecision => decision.statements[0] as StatementDecision;

describe('cursors', () => {
	test('a name stands for each that it may stand for, until a CLOSE behind it has succeeded', () => {
		const cursors = new Cursors({ portalsMax: 10, statementBytesMax: 1_000 });
		cursors.note(declare('c', 'one'), [], 'p1');
		cursors.note(declare('c', 'two'), [], 'p1');
		expect(texts(cursors, 'c')).toEqual(['one', 'two']);
		const closing = close('c');
		cursors.note(closing, [], 'p1');
		cursors.note(declare('c', 'three'), [], 'p1');
		expect(texts(cursors, 'c')).toEqual(['one', 'two', 'three']);
		cursors.closed('c', byOf(closing));
		expect(texts(cursors, 'c')).toEqual(['three']);
		const all = close(null);
		cursors.note(all, [], 'p1');
		cursors.closed(null, byOf(all));
		expect(texts(cursors, 'c')).toEqual([]);
	});

	test('between transactions those that are held are left', () => {
		const cursors = new Cursors({ portalsMax: 10, statementBytesMax: 1_000 });
		cursors.note(declare('c', 'one', false), [], 'p1');
		cursors.note(declare('h', 'two', true), [], 'p1');
		cursors.rest();
		expect([texts(cursors, 'c'), texts(cursors, 'h')]).toEqual([[], ['two']]);
	});

	test.each([
		{ name: 'too many', limits: { portalsMax: 3, statementBytesMax: 1_000 }, sql: 'short' },
		{ name: 'too long', limits: { portalsMax: 100, statementBytesMax: 30 }, sql: 'x'.repeat(10) },
	])('of $name nothing is known, and they count as declared under the policies that there were', ({ limits, sql }) => {
		const cursors = new Cursors(limits);
		for (const name of ['a', 'b', 'c']) cursors.note(declare(name, sql + name), [], 'p1');
		cursors.note(declare('d', `${sql}d`), [], 'p1');
		expect(cursors.named('a', 'p1')).toEqual([]);
		expect(texts(cursors, 'd')).toEqual([`${sql}d`]);
		expect(cursors.named('a', 'p2')).toBeNull();
		for (const name of ['e', 'f', 'g', 'h', 'i']) cursors.note(declare(name, sql + name), [], 'p2');
		expect([cursors.named('a', 'p1'), cursors.named('a', 'p2')]).toEqual([null, null]);
		cursors.rest();
		expect(cursors.named('a', 'p2')).toBeNull();
	});

	test('what was not held, and is not known, is gone with its transaction', () => {
		const cursors = new Cursors({ portalsMax: 2, statementBytesMax: 1_000 });
		for (const name of ['a', 'b', 'c']) cursors.note(declare(name, name, false), [], 'p1');
		expect(cursors.named('a', 'p2')).toBeNull();
		cursors.rest();
		expect(cursors.named('a', 'p2')).toEqual([]);
	});

	test('the same again, and a CLOSE that fails again and again, take no more room', () => {
		const cursors = new Cursors({ portalsMax: 5, statementBytesMax: 1_000 });
		for (let n = 0; n < 20; n += 1) cursors.note(declare('c'), [], 'p1');
		for (let n = 0; n < 20; n += 1) cursors.note(close('c'), [], 'p1');
		expect(texts(cursors, 'c', 'p2')).toEqual(['declare c']);
	});
});
