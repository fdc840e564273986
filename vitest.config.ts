/** How the tests run: files side by side on the cores there are, each in a process of its own. */
import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
	test: {
		include: ['test/**/*.test.ts'],
		globalSetup: ['test/support/global-setup.ts'],
		pool: 'forks',
		// End-to-end files start databases: more than a few at a time only slows all of them.
		maxWorkers: Math.max(1, Math.min(4, availableParallelism())),
		// What hangs is found a little later, so that a busy machine finds nothing that does not.
		testTimeout: 60_000,
		hookTimeout: 180_000,
		teardownTimeout: 20_000,
		expect: { poll: { timeout: 30_000, interval: 20 } },
		restoreMocks: true,
		unstubEnvs: true,
		reporters: ['default'],
	},
});
