/** Prepared statements of a shared backend: what is found, what is not sure yet, and which has to go. */
import { expect, it } from 'vitest';
import { SharedStatements } from '../../src/backend/shared-statements.ts';

it('trusts what was sent in the same segment, and otherwise what the server has confirmed', () => {
	const statements = new SharedStatements(10);
	expect(statements.lookup('a', 1)).toBeNull();
	const added = statements.add('a', 'name', 1);
	expect(statements.lookup('a', 1)).toBe(added);
	expect(statements.lookup('a', 2)).toBe('unsure');
	added.sure = true;
	expect(statements.lookup('a', 2)).toBe(added);
	statements.remove(added);
	expect(statements.lookup('a', 1)).toBeNull();
});

it('gives up what was not used for longest, and nothing that is not sure', () => {
	const statements = new SharedStatements(2);
	for (const key of ['a', 'b']) statements.add(key, key, 1).sure = true;
	expect(statements.evict()).toBeNull();
	statements.lookup('a', 1);
	statements.add('c', 'c', 1);
	expect(statements.evict()?.key).toBe('b');
	expect(statements.evict()).toBeNull();
	expect([statements.lookup('a', 1), statements.lookup('b', 1)]).toMatchObject([{ key: 'a' }, null]);
	statements.add('d', 'd', 1);
	expect(statements.evict()?.key).toBe('a');
	expect(statements.size).toBe(2);
	// Both are on their way: neither can be closed yet.
	statements.add('e', 'e', 1);
	expect(statements.evict()).toBeNull();
	statements.clear();
	expect(statements.size).toBe(0);
});
