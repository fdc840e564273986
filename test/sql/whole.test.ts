/** A denied statement denies its text, whether or not anybody knows why. */
import { expect, test } from 'vitest';
import { GatewayError } from '../../src/errors.ts';
import { refusal, wholeOf } from '../../src/sql/whole.ts';

const reason = new GatewayError('42501', 'no rule');

test.each([
	{ name: 'with a reason', error: reason, message: 'no rule' },
	{ name: 'without one', error: undefined, message: 'the statement is not allowed through the gateway' },
])('a denial $name', ({ error, message }) => {
	const [statement] = refusal('select 1', 'SelectStmt', reason, 'r').statements;
	if (statement === undefined) throw new Error('a refusal has a statement');
	const { error: _, ...bare } = statement;
	const statements = [error === undefined ? bare : { ...bare, error }];
	expect(wholeOf('select 1', { statements, edits: [] }, 'r')).toMatchObject({
		...{ effect: 'deny', rewritten: 'select 1' },
		error: { sqlstate: '42501', message },
	});
});
