/** A real OpenID provider on loopback for tests, with the demo's people unless a test brings its own. */
import { type IdentityProvider, type Person, startIdentityProvider } from '../../src/cli/demo/identity.ts';
import { PEOPLE } from '../../src/cli/demo/people.ts';

export type { IdentityProvider, Person } from '../../src/cli/demo/identity.ts';

/** Starts in some 10 ms; `signIn(name)` is a whole authorization code flow in about 20 ms. Stop it in afterAll. */
export async function startOidc(
	options: {
		readonly people?: readonly Person[];
		readonly tokenLifetimeS?: number;
		readonly opaqueTokens?: boolean;
	} = {},
): Promise<IdentityProvider> {
	return startIdentityProvider({ people: options.people ?? PEOPLE, ...options });
}
