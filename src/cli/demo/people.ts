/** The invented people and the service account of the demo, as policies/ knows them. */
import type { Person } from './identity.ts';

/** Who can sign in at the demo's identity provider. Which role they have is for policies/policy.csv to say. */
export const PEOPLE = [
	{ name: 'ben', fullName: 'Ben Okafor', email: 'ben@acme.example', groups: ['data-team'], claims: { tenant: 'acme' } },
	{
		name: 'gita',
		fullName: 'Gita Rao',
		email: 'gita@globex.example',
		groups: ['data-team'],
		claims: { tenant: 'globex' },
	},
	{ name: 'ana', fullName: 'Ana Castillo', email: 'ana@acme.example', groups: ['audit'], claims: { tenant: 'acme' } },
	{ name: 'mallory', fullName: 'Mallory Voss', email: 'mallory@acme.example', groups: [], claims: { tenant: 'acme' } },
] as const satisfies readonly Person[];

/** The service account (SCRAM): it writes orders for one tenant. */
export const SERVICE = { name: 'app', roles: ['writer'], claims: { tenant: 'acme' } } as const;

/** Another service account, which has a client certificate and no password. */
export const LOADER = { name: 'loader', roles: ['writer'], claims: { tenant: 'acme' } } as const;
