/** Every limit of the policy: how much is read, and how much is remembered. */
export const POLICY_LIMITS = {
	/** Size of one file of the policies folder. */
	fileBytesMax: 16 * 1024 * 1024,
	/** `Access` objects kept: one for each set of principals, claims and database that differs in its answers. */
	accessesMax: 1_000,
	/** Answers kept, over all `Access` objects of a policy. */
	answersMax: 50_000,
	/** Relations and functions for which the rules that could cover them are kept, over all `Access` objects of a policy. */
	slicesMax: 5_000,
	/** Quiet time after a change of a file before the policy is loaded again, in milliseconds. */
	settleMs: 100,
	/** How often the files are looked at beside being watched, in milliseconds. */
	pollMs: 2_000,
} as const;
