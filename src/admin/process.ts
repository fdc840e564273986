/** What the process itself costs: CPU, memory, file descriptors, and how late its event loop is. Names as in other exporters. */
import { readdirSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import type { Family } from './exposition.ts';

/** `startedMs`: milliseconds since the epoch. */
export function processFamilies(startedMs: number): Family[] {
	const { user, system } = process.cpuUsage();
	const { rss, heapUsed, heapTotal, external, arrayBuffers } = process.memoryUsage();
	const { active, idle } = performance.eventLoopUtilization();
	const one = (type: 'counter' | 'gauge', name: string, help: string, value: number): Family => ({
		type,
		name,
		help,
		samples: [{ labels: {}, value }],
		across: 'each',
	});
	return [
		one('counter', 'process_cpu_seconds_total', 'CPU time of the process, user and system.', (user + system) / 1e6),
		one('gauge', 'process_resident_memory_bytes', 'Resident memory of the process.', rss),
		one('gauge', 'process_start_time_seconds', 'When the process began.', startedMs / 1000),
		...openFiles().map((count) => one('gauge', 'process_open_fds', 'Open file descriptors.', count)),
		one('gauge', 'nodejs_heap_size_used_bytes', 'JavaScript heap in use.', heapUsed),
		one('gauge', 'nodejs_heap_size_total_bytes', 'JavaScript heap.', heapTotal),
		one('gauge', 'nodejs_external_memory_bytes', 'Memory outside of the heap, buffers included.', external),
		one('gauge', 'nodejs_array_buffers_bytes', 'Memory of buffers.', arrayBuffers),
		one('counter', 'nodejs_eventloop_active_seconds_total', 'Time that the event loop was busy.', active / 1000),
		one('counter', 'nodejs_eventloop_idle_seconds_total', 'Time that the event loop was idle.', idle / 1000),
	];
}

/** Empty where the system does not say. */
function openFiles(): number[] {
	try {
		return [readdirSync('/proc/self/fd').length - 1];
	} catch {
		return [];
	}
}
