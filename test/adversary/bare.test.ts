/** The control: without a gateway nearly every attack succeeds, or it would prove nothing against one. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AttackCase } from './case.ts';
import { allCases } from './cases/all.ts';
import { type Bank, makeBank } from './fixture/bank.ts';
import { play, type Result, type Scene, waysOf } from './run.ts';

let bank: Bank;
let scene: Scene;

beforeAll(async () => {
	bank = await makeBank();
	const { host, port, user, password, database } = bank.database;
	scene = {
		kind: 'bare',
		world: bank.world,
		finder: bank.finder,
		target: () => ({ host, port, user, password, database }),
		fingerprint: bank.fingerprint,
		sessions: new Map(),
	};
});

afterAll(async () => {
	for (const client of scene?.sessions.values() ?? []) client.destroy();
	await bank?.close();
});

/** On the bare database: a secret was seen, the guesses could be told apart, or what should be denied went through. */
function succeeds(attack: AttackCase, result: Result): boolean {
	if (result.leaks.length > 0) return true;
	return attack.want === 'denied' && result.errors.length === 0;
}

describe('attacks on the bare database succeed', () => {
	for (const attack of allCases) {
		for (const protocol of waysOf(attack)) {
			it(`${attack.section}: ${attack.name} (${protocol})`, async () => {
				const result = await play(scene, attack, protocol);
				if (attack.bare === null) expect(succeeds(attack, result), result.said).toBe(true);
			});
		}
	}
});

describe('the control itself', () => {
	it('leaves out few attacks, each with a reason', () => {
		const excused = allCases.filter((attack) => attack.bare !== null);
		for (const attack of excused) expect(attack.bare, attack.name).toMatch(/\w+ \w+/);
		expect(excused.length / allCases.length).toBeLessThan(0.1);
	});
	it('has no two cases of the same name', () => {
		const titles = allCases.map((attack) => `${attack.section}: ${attack.name}`);
		expect(titles.filter((title, at) => titles.indexOf(title) !== at)).toEqual([]);
	});
});
