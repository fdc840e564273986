/** Which hosts may be used: the election of the one primary in every dispute, and what fits each of libpq's words. */
import { describe, expect, test } from 'vitest';
import { type Candidate, electPrimary, fitting, type LeaderWord } from '../../src/backend/cluster-choice.ts';
import { type HostReport, targetSessionAttrs, type TargetSessionAttrs } from '../../src/backend/cluster-host.ts';

interface Sketch {
	readonly lagMs?: number | null;
	readonly readOnly?: boolean;
	readonly spared?: boolean;
	readonly system?: string;
	readonly timeline?: number | null;
}

function up(name: string, role: HostReport['role'], sketch: Sketch = {}): Candidate {
	const { lagMs = role === 'standby' ? 0 : null, readOnly = false, spared = false, system = 's', timeline } = sketch;
	const numbers = { timeline: timeline === undefined ? (role === 'primary' ? 1 : null) : timeline, lsn: null };
	const report: HostReport = { role, readOnly, system, received: null, replayedAgoMs: null, ...numbers };
	return { name, lagMs, spared, state: { type: 'up', report } };
}

const primary = (name: string, sketch: Sketch = {}): Candidate => up(name, 'primary', sketch);
const standby = (name: string, sketch: Sketch = {}): Candidate => up(name, 'standby', sketch);
const down = (name: string): Candidate => ({
	name,
	lagMs: null,
	spared: false,
	state: { type: 'down', reason: 'refused' },
});
const unknown = (name: string): Candidate => ({ name, lagMs: null, spared: false, state: { type: 'unknown' } });

describe('the election', () => {
	const rows: {
		name: string;
		candidates: Candidate[];
		leader?: LeaderWord;
		incumbent?: string;
		seen?: number;
		want: string | null;
		conflict?: RegExp;
	}[] = [
		{ name: 'one primary', candidates: [standby('a'), primary('b'), down('c')], want: 'b' },
		{ name: 'none', candidates: [standby('a'), unknown('b'), down('c')], want: null },
		{ name: 'one that does not tell its timeline', candidates: [primary('a', { timeline: null })], seen: 4, want: 'a' },
		{
			name: 'the newest timeline of two',
			candidates: [primary('a', { timeline: 3 }), primary('b', { timeline: 4 })],
			incumbent: 'a',
			want: 'b',
			conflict: /^b is on the newest timeline, so a is not used$/,
		},
		{
			name: 'the one in use of two on one timeline',
			candidates: [primary('a'), primary('b')],
			incumbent: 'b',
			want: 'b',
			conflict: /same timeline: only b, which was in use, goes on/,
		},
		{
			name: 'neither of two on one timeline when none was in use',
			candidates: [primary('a'), primary('b')],
			want: null,
			conflict: /none of them is used/,
		},
		{
			name: 'neither of two of different clusters, whatever their timelines',
			candidates: [primary('a', { timeline: 9 }), primary('b', { system: 'other' })],
			want: null,
			conflict: /different clusters: none/,
		},
		{
			name: 'not one that was replaced, though nobody else answers',
			candidates: [primary('a', { timeline: 3 }), down('b')],
			seen: 4,
			want: null,
			conflict: /^a newer timeline was seen than that of a is not used$/,
		},
		{
			name: 'again one on the timeline that was seen',
			candidates: [primary('b', { timeline: 4 })],
			seen: 4,
			want: 'b',
		},
		{
			name: 'the one that Patroni names, against a newer timeline',
			candidates: [primary('a', { timeline: 3 }), primary('b', { timeline: 4 })],
			leader: 'a',
			want: 'a',
			conflict: /^Patroni names a as the leader, so b is not used$/,
		},
		{
			name: 'nobody when the one that Patroni names is not primary yet',
			candidates: [standby('a')],
			leader: 'a',
			want: null,
		},
		{
			name: 'nobody when Patroni names nobody',
			candidates: [primary('a')],
			leader: null,
			incumbent: 'a',
			want: null,
			conflict: /names nobody/,
		},
		{
			name: 'nobody when Patroni names a host that does not answer',
			candidates: [down('a'), standby('b')],
			leader: 'a',
			want: null,
		},
	];
	test.each(rows)('$name', ({ candidates, leader, incumbent = null, seen, want, conflict }) => {
		const timelines = new Map(seen === undefined ? [] : [['s', seen]]);
		const election = electPrimary({ candidates, leader, incumbent, timelines });
		expect(election.primary).toBe(want);
		if (conflict === undefined) expect(election.conflict).toBeNull();
		else expect(election.conflict).toMatch(conflict);
	});
});

describe('what fits', () => {
	const all = [
		primary('p'),
		standby('s1'),
		standby('s2', { lagMs: 20_000 }),
		standby('s3', { spared: true }),
		down('d'),
	];
	const wants: Readonly<Record<TargetSessionAttrs, readonly (readonly string[])[]>> = {
		any: [['p', 's1', 's2'], ['s3']],
		'read-write': [['p']],
		'read-only': [['s1', 's2'], ['s3']],
		primary: [['p']],
		standby: [['s1', 's2'], ['s3']],
		'prefer-standby': [['s1', 's2'], ['s3'], ['p']],
	};
	test.each(targetSessionAttrs)('%s', (attrs) => {
		expect(fitting({ candidates: all, attrs, primary: 'p', lagMaxMs: null })).toEqual(wants[attrs]);
	});

	test('a limit of lag, which one that does not know its lag is beyond', () => {
		const candidates = [
			primary('p'),
			standby('s1', { lagMs: 10_000 }),
			standby('s2', { lagMs: 10_001 }),
			standby('s3', { lagMs: null }),
		];
		const choice = { candidates, primary: 'p', lagMaxMs: 10_000 };
		expect(fitting({ ...choice, attrs: 'prefer-standby' })).toEqual([['s1'], ['p']]);
		expect(fitting({ ...choice, attrs: 'standby', candidates: candidates.slice(2) })).toEqual([]);
	});

	test('a server whose transactions are read-only by default is read-only, and not read-write', () => {
		const candidates = [primary('p', { readOnly: true })];
		expect(fitting({ candidates, attrs: 'read-write', primary: 'p', lagMaxMs: null })).toEqual([]);
		expect(fitting({ candidates, attrs: 'read-only', primary: 'p', lagMaxMs: null })).toEqual([['p']]);
	});

	test('a second primary fits nothing', () => {
		const candidates = [primary('p'), primary('q')];
		for (const attrs of targetSessionAttrs) {
			const groups = fitting({ candidates, attrs, primary: 'p', lagMaxMs: null });
			expect(groups.flat()).not.toContain('q');
			expect(fitting({ candidates, attrs, primary: null, lagMaxMs: null })).toEqual([]);
		}
	});
});
