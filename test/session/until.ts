/** Waits for a condition that no event tells of; the test's own deadline ends the wait. */
export async function until(condition: () => boolean): Promise<void> {
	while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
