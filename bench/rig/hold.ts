/** How long the event loop is kept from everybody else at a time: by the clock, and by what its thread has computed meanwhile. */
import { readFileSync } from 'node:fs';

export interface Hold {
	/** The longest time between two turns, milliseconds. */
	readonly wallMs: number;
	/** The longest time that the thread has computed between two turns: what others do on the machine does not count. */
	readonly cpuMs: number;
}

/** Watches from now on; the answer ends it. Linux only. For the main thread. */
export function watchLoop(): () => Hold {
	let wall = performance.now();
	let cpu = cpuMs();
	let [wallMax, cpuMax] = [0, 0];
	const look = (): void => {
		const [nowWall, nowCpu] = [performance.now(), cpuMs()];
		wallMax = Math.max(wallMax, nowWall - wall);
		cpuMax = Math.max(cpuMax, nowCpu - cpu);
		[wall, cpu] = [nowWall, nowCpu];
	};
	const timer = setInterval(look, 1);
	return () => {
		look();
		clearInterval(timer);
		return { wallMs: wallMax, cpuMs: cpuMax };
	};
}

/** Of the main thread, whose number is the process's. */
function cpuMs(): number {
	const [ns] = readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ');
	return Number(ns) / 1e6;
}
