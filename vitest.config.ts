/** How the tests run: files side by side on the cores there are; those of single parts one after the other in a process, others each in its own. */
import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/** Parts whose files share processes: no module keeps state, and starting one for each file takes longer than most of these take. */
const SHARED = [
	'admin',
	'analysis',
	'architecture',
	'audit',
	'auth',
	'backend',
	'catalog',
	'config',
	'policy',
	'sql',
	'wire',
];
const shared = SHARED.map((part) => `test/${part}/**/*.test.ts`);

const common = {
	pool: 'forks',
	// What hangs is found a little later, so that a busy machine finds nothing that does not.
	testTimeout: 120_000,
	hookTimeout: 180_000,
	teardownTimeout: 20_000,
	expect: { poll: { timeout: 30_000, interval: 20 } },
	restoreMocks: true,
	unstubEnvs: true,
} as const;

export default defineConfig({
	test: {
		...common,
		// End-to-end files start databases: more than a few at a time only slows all of them.
		maxWorkers: Math.max(1, Math.min(4, availableParallelism())),
		// Once for all: a project that had it too would start servers of its own.
		globalSetup: ['test/support/global-setup.ts'],
		reporters: ['default'],
		// In the order of their names: those that take longest come first, and the small ones fill the end.
		projects: [
			{ test: { ...common, name: 'alone', include: ['test/**/*.test.ts'], exclude: shared } },
			{ test: { ...common, name: 'together', include: shared, isolate: false } },
		],
	},
});
