/** Every attack against a running gateway: no secret comes through, guesses can't be told apart, what is not allowed is not done. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AttackCase } from './case.ts';
import { allCases } from './cases/all.ts';
import { RawClient } from './client.ts';
import { type Bank, makeBank } from './fixture/bank.ts';
import { type Gate, startGate } from './fixture/gate.ts';
import { play, type Result, type Scene, waysOf } from './run.ts';

let bank: Bank;
let gate: Gate;
let scene: Scene;
/** Plays by what came of them, for the summary at the end. */
const tally = { denied: 0, answered: 0, same: 0, leaks: 0 };

beforeAll(async () => {
	bank = await makeBank();
	gate = await startGate(bank.database, new URL('./fixture/policies', import.meta.url));
	scene = {
		kind: 'gateway',
		world: bank.world,
		finder: bank.finder,
		target: (user) => gate.target(user),
		fingerprint: bank.fingerprint,
		sessions: new Map(),
	};
});

afterAll(async () => {
	for (const client of scene?.sessions.values() ?? []) client.destroy();
	await gate?.stop();
	await bank?.close();
	const { denied, answered, same, leaks } = tally;
	console.info(
		`${allCases.length} attacks: denied ${denied}, answered without a secret ${answered}, guesses alike ${same}, leaks ${leaks}`,
	);
});

function count(attack: AttackCase, result: Result): void {
	if (result.leaks.length > 0) tally.leaks += 1;
	else if (attack.type === 'probe') tally.same += 1;
	else if (result.sqlstates.includes('42501')) tally.denied += 1;
	else tally.answered += 1;
}

/** The version of the server that the attacks are written for. */
const NEWEST = 18;
/** Not supported, a syntax error, no such column, function or relation. */
const UNKNOWN_TO_OLDER: ReadonlySet<string> = new Set(['0A000', '42601', '42703', '42883', '42P01']);

/** What is wrong with the result; empty when the gateway held. */
function faults(attack: AttackCase, result: Result): string[] {
	const found = [...result.leaks];
	// An older server does not know all that is tried: then nothing comes of it.
	const isNewer = bank.major < NEWEST && result.sqlstates.some((state) => UNKNOWN_TO_OLDER.has(state));
	if (attack.want === 'denied' && !isNewer && !attack.sqlstates.some((state) => result.sqlstates.includes(state)))
		found.push('not denied');
	if (attack.want === 'masked' && !isNewer) found.push(...result.errors.map((error) => `refused: ${error}`));
	// A session that ends without a word, or for an error inside of the gateway, is a fault too.
	found.push(...result.errors.filter((error) => error.startsWith('XX000')));
	return found;
}

describe('attacks on the gateway fail', () => {
	for (const attack of allCases) {
		for (const protocol of waysOf(attack)) {
			it(`${attack.section}: ${attack.name} (${protocol})`, async () => {
				const result = await play(scene, attack, protocol);
				count(attack, result);
				expect(faults(attack, result), result.said).toEqual([]);
			});
		}
	}
});

describe('the suite itself', () => {
	it('sees a secret through the gateway where the policy shows it', async () => {
		const client = await RawClient.login(gate.target('aud'));
		await client.run('select ssn, notes from app.people', { protocol: 'binary' });
		const found = scene.finder.find(client.bytes(), client.messages);
		client.destroy();
		expect(found.length).toBeGreaterThanOrEqual(2 * bank.world.people.length);
	});
	it('has no attack that ended a session by a breach of the result guard', () => {
		expect(gate.log.filter((line) => line.startsWith('error'))).toEqual([]);
	});
});
