/** The bus between workers: who is asked, who answers, and what becomes of a question when somebody is slow, fails or dies. */
import { expect, test } from 'vitest';
import { BusHub, type BusMessage, type LinkedBus, loneBus } from '../../../src/cli/workers/bus.ts';
import { joinedBuses } from '../../support/workers.ts';

/** Long enough never to be what ends a question. */
const longMs = 60_000;

function three(): ReturnType<typeof joinedBuses> & { one: LinkedBus; two: LinkedBus; last: LinkedBus } {
	const joined = joinedBuses(3);
	const [one, two, last] = joined.buses;
	if (one === undefined || two === undefined || last === undefined) throw new Error('three buses');
	return { ...joined, one, two, last };
}

test('a lone worker asks nobody, at once', async () => {
	const bus = loneBus();
	bus.on('load', () => 1);
	bus.tell('news', {});
	expect(bus.worker).toBe(1);
	expect(bus.others).toEqual([]);
	expect(await bus.ask('load', null, longMs)).toEqual([]);
});

test('all others are asked, and told who asks; answers are in order', async () => {
	const { one, two, last } = three();
	one.on('sum', () => 'not asked');
	two.on('sum', async (argument, from) => {
		await new Promise((resolve) => setImmediate(resolve));
		return [argument, from, 2];
	});
	last.on('sum', (argument, from) => [argument, from, 3]);
	expect(await one.ask('sum', { a: [1] }, longMs)).toEqual([
		{ worker: 2, answer: [{ a: [1] }, 1, 2] },
		{ worker: 3, answer: [{ a: [1] }, 1, 3] },
	]);
});

test('who has no answer, throws or is too slow is left out', async () => {
	const { one, two, last } = three();
	expect(await one.ask('nothing', null, longMs)).toEqual([]);
	two.on('boom', () => {
		throw new Error('boom');
	});
	last.on('boom', () => Promise.reject(new Error('boom')));
	expect(await one.ask('boom', null, longMs)).toEqual([]);
	two.on('slow', () => new Promise(() => undefined));
	last.on('slow', () => 'quick');
	expect(await one.ask('slow', null, 1_000)).toEqual([{ worker: 3, answer: 'quick' }]);
});

test('an answer that comes too late is for nobody', async () => {
	const { one, two } = three();
	let answer: (value: string) => void = () => undefined;
	two.on('late', () => new Promise((resolve) => (answer = resolve)));
	expect(await one.ask('late', null, 1)).toEqual([]);
	answer('too late');
	two.on('next', () => 'in time');
	expect(await one.ask('next', null, longMs)).toEqual([{ worker: 2, answer: 'in time' }]);
});

test('a worker that dies is not waited for, and the others hear of it', async () => {
	const { one, two, last, leave, join } = three();
	const left: number[] = [];
	const joined: number[] = [];
	one.onLeft((worker) => left.push(worker));
	one.onJoined((worker) => joined.push(worker));
	two.on('load', () => new Promise(() => undefined));
	last.on('load', () => 3);
	const asked = one.ask('load', null, longMs);
	leave(2);
	expect(await asked).toEqual([{ worker: 3, answer: 3 }]);
	expect(left).toEqual([2]);
	expect(one.others).toEqual([3]);
	join(2);
	expect(one.others).toEqual([2, 3]);
	expect(joined).toEqual([2]);
});

test('words come in order, to all but who says them, and a handler that throws harms nobody', async () => {
	const { one, two, last } = three();
	const heard: unknown[] = [];
	one.on('news', () => heard.push('own'));
	two.on('news', (message, from) => {
		heard.push([2, message, from]);
		throw new Error('boom');
	});
	last.on('news', (message, from) => heard.push([3, message, from]));
	one.tell('news', 'a');
	one.tell('news', 'b');
	last.tell('nobody listens to this', 'c');
	// A question overtakes nothing.
	await one.ask('x', null, longMs);
	expect(heard).toEqual([
		[2, 'a', 1],
		[3, 'a', 1],
		[2, 'b', 1],
		[3, 'b', 1],
	]);
});

test('one handler for each topic', () => {
	const { one } = three();
	one.on('load', () => 1);
	expect(() => one.on('load', () => 2)).toThrow('two handlers for load');
});

test('nobody speaks in the name of another, and nobody who is not there is passed on', () => {
	const hub = new BusHub();
	const got: BusMessage[] = [];
	hub.join(1, (message) => got.push(message));
	hub.join(2, () => undefined);
	got.length = 0;
	hub.receive(2, { type: 'bus-tell', from: 1, topic: 'news', message: null });
	hub.receive(3, { type: 'bus-tell', from: 2, topic: 'news', message: null });
	hub.receive(2, { type: 'bus-members', workers: [] });
	expect(got).toEqual([{ type: 'bus-tell', from: 2, topic: 'news', message: null }]);
});

test('a successor is not sent away by the end of its predecessor', () => {
	const hub = new BusHub();
	const got: BusMessage[] = [];
	const leave = hub.join(1, () => undefined);
	hub.join(1, (message) => got.push(message));
	leave();
	hub.join(2, () => undefined);
	expect(got.at(-1)).toEqual({ type: 'bus-members', workers: [1, 2] });
});
