/** Waiting for what is to happen, and the cost of what must not take long: neither hangs on how busy the machine is. */
import { vi } from 'vitest';

/** Until the check throws no more. Half a minute is for a busy machine: what is to happen takes milliseconds. */
export function eventually<T>(check: () => T | Promise<T>): Promise<T> {
	return vi.waitFor(check, { timeout: 30_000, interval: 20 });
}

/** Milliseconds of CPU that this process takes for the work. */
export async function cpuMsOf(work: () => unknown): Promise<number> {
	const before = process.cpuUsage();
	await work();
	const { user, system } = process.cpuUsage(before);
	return (user + system) / 1000;
}
