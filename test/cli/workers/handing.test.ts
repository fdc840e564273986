/** Connections for a worker that is silent or dead, with a process that the test plays and node:cluster's own words. */
import type { ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { expect, test, vi } from 'vitest';
import { Handing } from '../../../src/cli/workers/handing.ts';

class Played extends EventEmitter {
	connected = true;
	exitCode: number | null = null;
	readonly signalCode = null;
	readonly sent: unknown[] = [];
	/** What node:cluster has heard of connections that are not taken. */
	readonly back: number[] = [];

	constructor() {
		super();
		this.on('internalMessage', ({ ack, accepted }: { readonly ack: number; readonly accepted: boolean }) => {
			if (!accepted) this.back.push(ack);
		});
	}

	send(message: unknown): boolean {
		this.sent.push(message);
		return true;
	}

	take(ack: number): void {
		this.emit('internalMessage', { cmd: 'NODE_CLUSTER', ack, accepted: true });
	}

	/** As a killed process does: node tells of the end of its channel by `disconnect`, or says nothing. */
	die(tells: boolean): void {
		this.exitCode = 1;
		this.emit('exit');
		this.connected = false;
		if (tells) this.emit('disconnect');
	}
}

function played(): { readonly child: Played; readonly handing: Handing } {
	const child = new Played();
	return { child, handing: new Handing(child as unknown as ChildProcess) };
}

const connection = (seq: number): object => ({ cmd: 'NODE_CLUSTER', act: 'newconn', key: 'k', seq });

test('a silent worker gets none; those go back, and other words do not', async () => {
	const { child, handing } = played();
	child.send(connection(1));
	handing.silent(true);
	child.send(connection(2));
	child.send({ type: 'ping' });
	await vi.waitFor(() => expect(child.back).toEqual([2]), 30_000);
	handing.silent(false);
	child.send(connection(3));
	expect(child.sent).toEqual([connection(1), { type: 'ping' }, connection(3)]);
	// What it had before it fell silent it may take yet.
	child.take(1);
	expect(child.back).toEqual([2]);
});

test.each([true, false])('what a dead one had not taken goes back (its end is told: %s)', async (tells) => {
	const { child, handing } = played();
	const told: string[] = [];
	child.on('disconnect', () => told.push('disconnect'));
	const ended = handing.ended();
	for (const seq of [1, 2, 3]) child.send(connection(seq));
	child.take(2);
	child.die(tells);
	await ended;
	expect(child.back).toEqual([1, 3]);
	expect(told).toEqual(['disconnect']);
});
