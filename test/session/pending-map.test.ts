/** A map that runs ahead of the server never believes in anything that the server does not have. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Change, PendingMap } from '../../src/session/pending-map.ts';

/** One message of a client: sets or removes a name, or ends a segment. */
type Step =
	| { readonly name: string; readonly value: number | undefined; readonly fails: false | 'keeps' | 'loses' }
	| 'sync';

const step: fc.Arbitrary<Step> = fc.oneof(
	{
		weight: 4,
		arbitrary: fc.record({
			name: fc.constantFrom('', 'a'),
			value: fc.option(fc.integer(), { nil: undefined }),
			fails: fc.constantFrom(false as const, 'keeps' as const, 'loses' as const),
		}),
	},
	{ weight: 2, arbitrary: fc.constant('sync' as const) },
);

/** The server: does what it is told, and after a failure skips to the next Sync. */
class Server {
	readonly has = new Map<string, number>();
	skipping = false;

	take(one: Step): boolean {
		if (one === 'sync') {
			this.skipping = false;
			return true;
		}
		if (this.skipping) return false;
		if (one.fails !== false) {
			this.skipping = true;
			if (one.fails === 'loses') this.has.delete(one.name);
			return false;
		}
		if (one.value === undefined) this.has.delete(one.name);
		else this.has.set(one.name, one.value);
		return true;
	}
}

describe('PendingMap', () => {
	it('is what the server has, or nothing, or unsure', () => {
		fc.assert(
			fc.property(fc.array(step, { maxLength: 30 }), fc.array(fc.nat({ max: 4 })), (steps, delays) => {
				const map = new PendingMap<number>(() => 1);
				const server = new Server();
				const flying: { readonly step: Step; readonly change: Change<number> | null }[] = [];
				let segment = 1;
				const answer = () => {
					const next = flying.shift();
					if (next === undefined) return;
					const { skipping } = server;
					const done = server.take(next.step);
					if (next.change === null) return;
					if (done) map.confirm(next.change);
					else if (!skipping && next.step !== 'sync' && next.step.fails === 'loses') map.lose(next.change);
					else map.undo(next.change);
				};
				steps.forEach((one, index) => {
					for (let n = delays[index % Math.max(1, delays.length)] ?? 1; n > 0; n -= 1) answer();
					if (one === 'sync') {
						flying.push({ step: one, change: null });
						segment += 1;
					} else flying.push({ step: one, change: map.change(one.name, one.value, segment) });
					// A lookup by a message that is sent now: what will the server have when it gets there?
					const future = new Server();
					for (const [name, value] of server.has) future.has.set(name, value);
					future.skipping = server.skipping;
					for (const { step: sent } of flying) future.take(sent);
					for (const name of ['', 'a']) {
						const found = map.lookup(name, segment);
						if (future.skipping || found.type === 'unsure') continue;
						const there = future.has.get(name);
						if (found.type === 'present') expect([found.value, undefined]).toContain(there);
						else expect(there).toBe(undefined);
					}
				});
				while (flying.length > 0) answer();
				for (const name of ['', 'a']) {
					const found = map.lookup(name, segment + 1);
					expect(found.type === 'present' ? found.value : undefined).toBe(server.has.get(name));
				}
				expect(map.weight).toBe(server.has.size);
				expect(map.size).toBe(server.has.size);
			}),
			{ numRuns: 2_000 },
		);
	});
});
