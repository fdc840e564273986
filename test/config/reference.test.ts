/** docs/configuration.md says what the schema says, and the schema says what holds. */
import { describe, expect, test } from 'vitest';
import { configKeys, configReference } from '../../scripts/config-reference.ts';
import { BACKEND_LIMITS } from '../../src/backend/limits.ts';
import { configSchema } from '../../src/config/schema.ts';
import { defaultSessionLimits } from '../../src/session/limits.ts';
import { frontendLengthMax } from '../../src/wire/limits.ts';

describe('the reference', () => {
	// `npx vitest run test/config -u` writes it anew.
	test('is the page in docs', async () => {
		await expect(configReference()).toMatchFileSnapshot('../../docs/configuration.md');
	});

	test('describes every key in a sentence', () => {
		const keys = configKeys();
		expect(keys.length).toBeGreaterThan(50);
		expect(keys.filter(({ description }) => !/[.]$/.test(description)).map(({ path }) => path)).toEqual([]);
	});
});

test('limits have the defaults of the parts that they limit', () => {
	const { limits } = configSchema.parse({ identity: {}, databases: { a: { host: 'h', user: 'u' } } });
	const session: Partial<typeof limits> = {};
	for (const name of Object.keys(limits) as (keyof typeof limits)[]) {
		if (Object.hasOwn(defaultSessionLimits, name)) session[name] = limits[name];
	}
	expect(Object.keys(session).length).toBeGreaterThan(5);
	expect(defaultSessionLimits).toMatchObject(session);
	expect(limits).toMatchObject({
		queryBytesMax: frontendLengthMax.Query,
		bindBytesMax: frontendLengthMax.Bind,
		connectTimeoutMs: BACKEND_LIMITS.connectTimeoutMs,
		poolWaitMs: BACKEND_LIMITS.queueTimeoutMs,
		poolWaitersMax: BACKEND_LIMITS.queueMax,
		hostCheckMs: BACKEND_LIMITS.hostCheckMs,
		hostTimeoutMs: BACKEND_LIMITS.hostTimeoutMs,
		failoverWaitMs: BACKEND_LIMITS.failoverWaitMs,
	});
});
