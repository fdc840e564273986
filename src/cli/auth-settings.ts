/** `identity` of the configuration as the auth bridge takes it. */
import type { AuthSettings, IssuerSettings } from '../auth/settings.ts';
import type { Config, IssuerConfig } from '../config/config.ts';

export function authSettings(config: Config): AuthSettings {
	const { login, issuers, users, expiry } = config.identity;
	return {
		login,
		expiry,
		issuers: issuers.map(issuerSettings),
		users: users.map(({ name, password, certificate, roles, claims }) => ({
			name,
			password: password === null ? undefined : { scram: password.reveal() },
			certificate,
			roles,
			claims,
		})),
	};
}

function issuerSettings({
	groups,
	workloads,
	clientId,
	clientSecret,
	introspection,
	...issuer
}: IssuerConfig): IssuerSettings {
	return {
		...issuer,
		groups: groups ?? undefined,
		workloads: workloads ?? undefined,
		clientId: clientId ?? undefined,
		clientSecret: clientSecret?.reveal(),
		introspection:
			introspection === null ? undefined : { ...introspection, clientSecret: introspection.clientSecret.reveal() },
	};
}
