/** How many sessions a user or a database may have. */
import { expect, test } from 'vitest';
import { GatewayError } from '../../src/errors.ts';
import { Admission } from '../../src/session/admission.ts';

/** Users ana (2 sessions) and others (any number); database small (3 sessions) and others. */
function admission(): Admission {
	return new Admission({
		perUser: (user) => (user === 'ana' ? 2 : 0),
		perDatabase: (database) => (database === 'small' ? 3 : 0),
	});
}

function refusal(act: () => unknown): GatewayError | null {
	try {
		act();
		return null;
	} catch (error) {
		if (error instanceof GatewayError) return error;
		throw error;
	}
}

test('a user has so many sessions over all databases, and others do not count', () => {
	const house = admission();
	house.enter('ana', 'shop');
	const leave = house.enter('ana', 'crm');
	for (let i = 0; i < 50; i += 1) house.enter('ben', 'shop');
	const error = refusal(() => house.enter('ana', 'shop'));
	expect(error).toMatchObject({
		sqlstate: '53300',
		severity: 'FATAL',
		message: 'too many connections for user "ana"',
		detail: 'The gateway allows this user 2 sessions at a time.',
	});
	leave();
	house.enter('ana', 'shop');
});

test('a database has so many sessions, whoever has them', () => {
	const house = admission();
	const leaves = ['ana', 'ben', 'cem'].map((user) => house.enter(user, 'small'));
	expect(refusal(() => house.enter('dan', 'small'))?.message).toBe('too many connections for database "small"');
	expect(house.inDatabase('small')).toBe(3);
	house.enter('dan', 'large');
	for (const leave of leaves) leave();
	expect(house.inDatabase('small')).toBe(0);
});

test('a place is given back once, and nothing is remembered of who has left', () => {
	const house = admission();
	const leave = house.enter('ana', 'small');
	house.enter('ana', 'small');
	leave();
	leave();
	expect(house.inDatabase('small')).toBe(1);
	expect([...house.users]).toEqual([['ana', 1]]);
});

test('who is refused takes no place', () => {
	const house = admission();
	house.enter('ana', 'shop');
	house.enter('ana', 'shop');
	for (let i = 0; i < 5; i += 1) refusal(() => house.enter('ana', 'small'));
	expect(house.inDatabase('small')).toBe(0);
});
