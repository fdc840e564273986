/** `identity` of the configuration as the auth bridge takes it. */
import type { AuthSettings } from '../auth/settings.ts';
import type { Config } from '../config/config.ts';

export function authSettings(config: Config): AuthSettings {
	const { login, issuers, users } = config.identity;
	return {
		login,
		issuers: issuers.map(({ groups, clientId, ...issuer }) => ({
			...issuer,
			groups: groups ?? undefined,
			clientId: clientId ?? undefined,
		})),
		users: users.map(({ name, password, roles, claims }) => ({
			name,
			password: { scram: password.reveal() },
			roles,
			claims,
		})),
	};
}
