/** The supervisor with processes that the test plays: who is started, told and killed. */
import { expect, test, vi } from 'vitest';
import type { FromWorker, ToWorker } from '../../../src/cli/workers/messages.ts';
import type { WorkerProcess } from '../../../src/cli/workers/processes.ts';
import { Supervisor } from '../../../src/cli/workers/supervisor.ts';

class Played implements WorkerProcess {
	readonly pid: number;
	readonly worker: number;
	readonly told: ToWorker['type'][] = [];
	readonly rests: boolean[] = [];
	say: (message: FromWorker) => void = () => undefined;
	end: (how: string) => void = () => undefined;
	/** What comes before the worker listens is lost, as with node:cluster. */
	listens = false;

	constructor(worker: number, pid: number) {
		this.worker = worker;
		this.pid = pid;
	}

	send({ type }: ToWorker): void {
		if (this.listens) this.told.push(type);
	}

	kill(): void {
		this.end('signal SIGKILL');
	}

	rest(silent: boolean): void {
		this.rests.push(silent);
	}

	onMessage(handler: (message: FromWorker) => void): void {
		this.say = handler;
	}

	onExit(handler: (how: string) => void): void {
		const before = this.end;
		this.end = (how) => {
			before(how);
			handler(how);
		};
	}

	hello(): void {
		this.listens = true;
		this.say({ type: 'bus-hello', from: this.worker });
	}

	ready(): void {
		this.hello();
		this.say({ type: 'listening', at: { host: 'h', port: 1, adminPort: null }, drainMs: 600_000 });
	}
}

interface House {
	readonly supervisor: Supervisor;
	/** In the order of their starts. */
	readonly processes: Played[];
	readonly logged: string[];
}

async function house(workers: number, patienceMs: number): Promise<House> {
	const processes: Played[] = [];
	const logged: string[] = [];
	const write = (_fields: object, message: string): void => {
		logged.push(message);
	};
	const supervisor = new Supervisor({
		workers,
		log: { info: write, warn: write, error: write },
		patienceMs,
		times: { retryMs: 1, askMs: 1 },
		start: (worker) => {
			const played = new Played(worker, processes.length + 1);
			processes.push(played);
			return played;
		},
	});
	const started = supervisor.start();
	for (const played of processes) played.ready();
	await started;
	return { supervisor, processes, logged };
}

test('a worker that is just starting drains as soon as it can hear that', async () => {
	const { supervisor, processes } = await house(2, 0);
	processes[0]?.end('signal SIGKILL');
	await vi.waitFor(() => expect(processes).toHaveLength(3), 30_000);
	const [, second, third] = processes;
	const stopped = supervisor.stop();
	expect(third?.told).toEqual([]);
	third?.hello();
	expect(third?.told).toContain('drain');
	for (const played of [second, third]) played?.end('exit status 0');
	await stopped;
	expect(processes).toHaveLength(3);
});

test('one that does not answer gets no connections, is killed when patience is over, and started again', async () => {
	const { supervisor, processes, logged } = await house(1, 20);
	const [first] = processes;
	await vi.waitFor(() => expect(first?.rests).toEqual([true]), 30_000);
	await vi.waitFor(() => expect(processes).toHaveLength(2), 30_000);
	expect(logged).toContain('worker does not answer: it is killed, and started again');
	supervisor.kill();
});

test('one that answers again gets connections again', async () => {
	const { supervisor, processes, logged } = await house(1, 0);
	const [first] = processes;
	await vi.waitFor(() => expect(first?.rests).toEqual([true]), 30_000);
	first?.say({ type: 'pong' });
	expect(first?.rests).toEqual([true, false]);
	expect(logged).toContain('worker answers again');
	supervisor.kill();
});
