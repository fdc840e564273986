/** Cancel requests over the bus: whoever knows the key deals with it, once, and a flood of unknown keys stays bounded. */
import { expect, test } from 'vitest';
import { WorkerCancels } from '../../../src/cli/workers/cancels.ts';
import type { CancelQuestion } from '../../../src/session/cancelling.ts';
import { joinedBuses } from '../../support/workers.ts';

const question = (key: string): CancelQuestion => ({
	pid: 7,
	key: Buffer.from(key, 'hex'),
	clientAddress: '192.0.2.1',
	clientPort: 5,
	forwarded: false,
	forwardedBy: null,
});

test('the worker that knows the key gets it as it was sent; the others say that they do not', async () => {
	const { buses } = joinedBuses(3);
	const got: [number, CancelQuestion][] = [];
	const [one] = buses.map(
		(bus) =>
			new WorkerCancels(bus, {
				cancelHere: async (asked) => {
					got.push([bus.worker, asked]);
					return bus.worker === 3 && asked.key.equals(Buffer.from('01ff', 'hex'));
				},
			}),
	);
	expect(await one?.cancel(question('01ff'))).toBe('known');
	expect(got).toEqual([
		[2, question('01ff')],
		[3, question('01ff')],
	]);
	expect(await one?.cancel(question('01fe'))).toBe('unknown');
});

test('alone, nobody is asked', async () => {
	const { buses, leave } = joinedBuses(2);
	const [one] = buses.map((bus) => new WorkerCancels(bus, { cancelHere: async () => true }));
	leave(2);
	expect(await one?.cancel(question('00'))).toBe('unknown');
});

test('so many are asked for at a time, so many wait, and the rest is in vain', async () => {
	const { buses } = joinedBuses(2);
	let answer: () => void = () => undefined;
	const held = new Promise<void>((resolve) => {
		answer = resolve;
	});
	let asked = 0;
	const cancelHere = async (): Promise<boolean> => {
		asked += 1;
		await held;
		return true;
	};
	const [one] = buses.map((bus) => new WorkerCancels(bus, { cancelHere, askingMax: 2, waitingMax: 3 }));
	if (one === undefined) throw new Error('two of them');
	const fates = ['00', '01', '02', '03', '04', '05', '06'].map((key) => one.cancel(question(key)));
	expect(await Promise.all(fates.slice(5))).toEqual(['unknown', 'unknown']);
	// Longer than a message takes to get there.
	for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
	expect(asked).toBe(2);
	answer();
	expect(await Promise.all(fates.slice(0, 5))).toEqual(Array(5).fill('known'));
	expect(asked).toBe(5);
});
