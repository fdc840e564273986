/** How far a standby is behind: by what the gateway saw of the primary, not by anybody's clock. */
import { describe, expect, test } from 'vitest';
import type { HostReport } from '../../src/backend/cluster-host.ts';
import { parseLsn, WalHistory } from '../../src/backend/cluster-lag.ts';

test.each([
	['0/0', 0n],
	['16/B374D848', 0x16_b374d848n],
	['FFFFFFFF/FFFFFFFF', 0xffff_ffff_ffff_ffffn],
	['', null],
	[null, null],
	['16/B374D8480', null],
	['x/1', null],
])('the position %s', (text, want) => {
	expect(parseLsn(text)).toBe(want);
});

const standby = (lsn: bigint | null, more: Partial<HostReport> = {}): HostReport => ({
	role: 'standby',
	readOnly: false,
	system: null,
	timeline: null,
	received: lsn,
	replayedAgoMs: null,
	...more,
	lsn,
});

describe('lag', () => {
	/** The primary was at 100 at second 1, 200 at second 2, and so on up to second 9. */
	function history(samplesMax = 100): WalHistory {
		const wal = new WalHistory(samplesMax);
		for (let second = 1; second < 10; second++) wal.add('a 1', second * 1000, BigInt(second * 100));
		return wal;
	}

	test.each([
		{ name: 'none with all of it', lsn: 900n, want: { bytes: 0n, ms: 0 } },
		{ name: 'none with more than was seen yet', lsn: 950n, want: { bytes: 0n, ms: 0 } },
		{ name: 'since the primary was first seen beyond it', lsn: 500n, want: { bytes: 400n, ms: 4000 } },
		{ name: 'the same in between', lsn: 599n, want: { bytes: 301n, ms: 4000 } },
		{ name: 'unknown where it does not say', lsn: null, want: { bytes: null, ms: null } },
		{ name: 'as old as all that was seen, at least', lsn: 5n, want: { bytes: 895n, ms: 9000 } },
	])('$name', ({ lsn, want }) => {
		expect(history().lag(standby(lsn), 10_000)).toEqual(want);
	});

	test('behind all that was seen, the age of what it replayed counts if it is worse', () => {
		expect(history().lag(standby(5n, { replayedAgoMs: 86_400_000 }), 10_000).ms).toBe(86_400_000);
		expect(history().lag(standby(5n, { replayedAgoMs: 10 }), 10_000).ms).toBe(9000);
		expect(history(3).lag(standby(300n, { replayedAgoMs: 7000 }), 10_000)).toEqual({ bytes: 600n, ms: 7000 });
	});

	test('an idle primary makes nobody old', () => {
		const wal = history();
		for (let second = 10; second < 1000; second++) wal.add('a 1', second * 1000, 900n);
		expect(wal.lag(standby(900n, { replayedAgoMs: 990_000 }), 1_000_000)).toEqual({ bytes: 0n, ms: 0 });
	});

	test('positions of another primary do not compare', () => {
		const wal = history();
		wal.add('b 2', 20_000, 400n);
		expect(wal.lag(standby(400n), 20_000)).toEqual({ bytes: 0n, ms: 0 });
		expect(wal.lag(standby(300n), 23_000)).toEqual({ bytes: 100n, ms: 3000 });
	});

	test('without a primary there is only its own word', () => {
		const wal = new WalHistory(10);
		expect(wal.lag(standby(5n, { replayedAgoMs: 60_000 }), 0)).toEqual({ bytes: null, ms: 0 });
		expect(wal.lag(standby(5n, { received: 6n, replayedAgoMs: 60_000 }), 0)).toEqual({ bytes: null, ms: 60_000 });
		expect(wal.lag(standby(null), 0)).toEqual({ bytes: null, ms: null });
	});
});
