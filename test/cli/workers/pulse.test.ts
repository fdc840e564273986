/** Who is taken for silent, and who for lost. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Pulse } from '../../../src/cli/workers/pulse.ts';

beforeEach(() => {
	vi.useFakeTimers();
});
afterEach(() => {
	vi.useRealTimers();
});

function watch(patienceMs: number): { readonly pulse: Pulse; readonly seen: string[] } {
	const seen: string[] = [];
	const pulse = new Pulse({
		everyMs: 1_000,
		patienceMs,
		ask: () => seen.push('asked'),
		onSilent: (silent) => seen.push(silent ? 'silent' : 'back'),
		onLost: () => seen.push('lost'),
	});
	pulse.start();
	return { pulse, seen };
}

test('who answers is asked again, and nothing else happens', () => {
	const { pulse, seen } = watch(3_000);
	for (let n = 0; n < 5; n += 1) {
		vi.advanceTimersByTime(1_000);
		pulse.answered();
	}
	pulse.stop();
	vi.advanceTimersByTime(60_000);
	expect(seen).toEqual(['asked', 'asked', 'asked', 'asked', 'asked']);
});

test('who does not answer is silent, and lost when patience is over', () => {
	const { pulse, seen } = watch(3_000);
	vi.advanceTimersByTime(3_000);
	expect(seen).toEqual(['asked', 'silent']);
	pulse.answered();
	expect(seen.splice(0)).toEqual(['asked', 'silent', 'back']);
	vi.advanceTimersByTime(60_000);
	expect(seen).toEqual(['asked', 'silent', 'lost']);
});

test('without patience it is waited for for ever', () => {
	const { pulse, seen } = watch(0);
	vi.advanceTimersByTime(3_600_000);
	pulse.answered();
	expect(seen).toEqual(['asked', 'silent', 'back']);
	pulse.stop();
});
