/** The section `identity`: service accounts with their verifiers, issuers with the secrets that the gateway has there. */
import type { Config, IssuerConfig, UserConfig } from './config.ts';
import type { Path, Reader } from './reader.ts';
import type { RawConfig } from './schema.ts';

type RawIdentity = RawConfig['identity'];

export async function loadIdentity(reader: Reader, { identity, listen }: RawConfig): Promise<Config['identity']> {
	const { login, issuers: rawIssuers, users: rawUsers } = identity;
	if (rawIssuers.length === 0 && rawUsers.length === 0)
		reader.problem(['identity'], 'has neither issuers nor users, so nobody could sign in');
	if (login !== 'password' && rawIssuers.length === 0)
		reader.problem(['identity', 'login'], `${login} needs an issuer`);
	if (login === 'device' && rawIssuers[0] !== undefined && rawIssuers[0].clientId === undefined)
		reader.problem(['identity', 'issuers', 0, 'clientId'], 'missing: login device needs it');
	reader.unique(['identity', 'issuers'], 'issuer', rawIssuers);
	const alike = rawIssuers.filter(({ prefix }) => prefix === undefined);
	if (alike.length > 1)
		reader.warn(
			`identity.issuers: ${alike.length} of them have no prefix, so each can name the people and groups of the others`,
		);
	reader.unique(['identity', 'users'], 'name', rawUsers);
	const users: UserConfig[] = [];
	for (const [index, user] of rawUsers.entries()) {
		users.push(await loadUser(reader, ['identity', 'users', index], user));
		if (user.certificate && (listen.tls.mode === 'off' || listen.tls.clientCa === undefined))
			reader.problem(['identity', 'users', index, 'certificate'], 'needs listen.tls.clientCa');
	}
	const issuers: IssuerConfig[] = [];
	for (const [index, issuer] of rawIssuers.entries()) {
		issuers.push(await loadIssuer(reader, ['identity', 'issuers', index], issuer));
	}
	return { login, users, issuers, expiry: identity.expiry };
}

async function loadUser(reader: Reader, at: Path, raw: RawIdentity['users'][number]): Promise<UserConfig> {
	const { password, sessionsMax = null, ...rest } = raw;
	const source = password !== undefined && 'scram' in password ? { text: password.scram } : password;
	return { ...rest, sessionsMax, password: await reader.optionalSecret([...at, 'password'], source) };
}

async function loadIssuer(reader: Reader, at: Path, raw: RawIdentity['issuers'][number]): Promise<IssuerConfig> {
	if (raw.clientSecret !== undefined && raw.clientId === undefined)
		reader.problem([...at, 'clientSecret'], 'is there without clientId');
	const { introspection } = raw;
	const own = await reader.optionalSecret([...at, 'introspection', 'clientSecret'], introspection?.clientSecret);
	return {
		...raw,
		audience: typeof raw.audience === 'string' ? [raw.audience] : raw.audience,
		clientId: raw.clientId ?? null,
		clientSecret: await reader.optionalSecret([...at, 'clientSecret'], raw.clientSecret),
		prefix: raw.prefix ?? '',
		workloads: raw.workloads ?? null,
		groups: raw.groups ?? null,
		introspection: introspection === undefined || own === null ? null : { ...introspection, clientSecret: own },
	};
}
