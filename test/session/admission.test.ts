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

async function refusal(act: () => Promise<unknown>): Promise<GatewayError | null> {
	try {
		await act();
		return null;
	} catch (error) {
		if (error instanceof GatewayError) return error;
		throw error;
	}
}

test('a user has so many sessions over all databases, and others do not count', async () => {
	const house = admission();
	await house.enter('ana', 'shop');
	const leave = await house.enter('ana', 'crm');
	for (let i = 0; i < 50; i += 1) await house.enter('ben', 'shop');
	const error = await refusal(() => house.enter('ana', 'shop'));
	expect(error).toMatchObject({
		sqlstate: '53300',
		severity: 'FATAL',
		message: 'too many connections for user "ana"',
		detail: 'The gateway allows this user 2 sessions at a time.',
	});
	leave();
	await house.enter('ana', 'shop');
});

test('a database has so many sessions, whoever has them', async () => {
	const house = admission();
	const leaves = await Promise.all(['ana', 'ben', 'cem'].map((user) => house.enter(user, 'small')));
	expect((await refusal(() => house.enter('dan', 'small')))?.message).toBe('too many connections for database "small"');
	expect(house.inDatabase('small')).toBe(3);
	await house.enter('dan', 'large');
	for (const leave of leaves) leave();
	expect(house.inDatabase('small')).toBe(0);
});

test('a place is given back once, and nothing is remembered of who has left', async () => {
	const house = admission();
	const leave = await house.enter('ana', 'small');
	await house.enter('ana', 'small');
	leave();
	leave();
	expect(house.inDatabase('small')).toBe(1);
	expect([...house.users]).toEqual([['ana', 1]]);
});

test('who is refused takes no place', async () => {
	const house = admission();
	await house.enter('ana', 'shop');
	await house.enter('ana', 'shop');
	for (let i = 0; i < 5; i += 1) await refusal(() => house.enter('ana', 'small'));
	expect(house.inDatabase('small')).toBe(0);
});
