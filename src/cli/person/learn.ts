/** Asks the gateway where its people sign in, so that nobody has to know more than the gateway's name. */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { isLoopback } from '../../auth/settings.ts';
import { CommandError } from '../io.ts';
import { bearerLogin, type GatewayAddress } from './gateway-client.ts';

/** What the gateway says; what it leaves out is for the person to say. */
export interface Learnt {
	readonly issuer: string;
	readonly scopes: readonly string[];
	readonly clientId: string | null;
	readonly parameters: Readonly<Record<string, string>>;
	/** Claim with the name that the gateway knows, and what stands before it there. */
	readonly username: string | null;
	readonly prefix: string;
	/** Its certificate is good by a file of authorities, which psql finds too. */
	readonly verifiable: boolean;
}

/** RFC 7628, section 3.2.2, and the gateway's own member. */
const failureSchema = z.object({
	'openid-configuration': z.string(),
	scope: z.string().default(''),
	portcullis: z
		.object({
			client_id: z.string().optional(),
			parameters: z.record(z.string(), z.string()).default({}),
			username: z.string().optional(),
			prefix: z.string().default(''),
		})
		.default({ parameters: {}, prefix: '' }),
});

const SUFFIX = '/.well-known/openid-configuration';

/** A name that nobody has to have: the gateway answers before it looks at it. */
const NOBODY = 'portcullis-login';

/**
 * Over TLS with a certificate that is good, unless the gateway is on this machine: whoever answers in its place could
 * send the person to a page of theirs. Throws CommandError that says what is the matter.
 */
export async function learn(host: string, port: number, env: NodeJS.ProcessEnv): Promise<Learnt> {
	const local = host === 'localhost' || host.startsWith('/') || isLoopback(host);
	const ca = await authorities(env);
	const address: GatewayAddress = { host, port, tls: local ? 'off' : 'verified', ca };
	const outcome = await bearerLogin(address, { user: NOBODY, database: NOBODY, token: null }).catch(
		(error: unknown) => {
			const untrusted = error instanceof CommandError && /certificate/i.test(error.message);
			throw untrusted ? new CommandError(`${error.message} (${HINT})`) : error;
		},
	);
	const where = `${host}:${port}`;
	if (outcome.type !== 'told') {
		const words = outcome.type === 'refused' ? outcome.words : 'it asks for no sign-in';
		throw new CommandError(`${where} does not say where to sign in (${words}): --issuer and --client-id do`);
	}
	const parsed = failureSchema.safeParse(outcome.failure);
	const document = parsed.data?.['openid-configuration'] ?? '';
	if (!parsed.success || !document.endsWith(SUFFIX))
		throw new CommandError(`${where} does not say where to sign in in a way that can be understood`);
	const { scope, portcullis } = parsed.data;
	return {
		issuer: document.slice(0, -SUFFIX.length),
		scopes: scope.split(' ').filter((one) => one !== ''),
		clientId: portcullis.client_id ?? null,
		parameters: portcullis.parameters,
		username: portcullis.username ?? null,
		prefix: portcullis.prefix,
		verifiable: !local && ca !== undefined,
	};
}

const HINT =
	'PGSSLROOTCERT names the file of the authority, if it is not a public one; --issuer and --client-id do without';

/** As libpq finds them; undefined: those that Node knows. */
async function authorities(env: NodeJS.ProcessEnv): Promise<string | undefined> {
	const { PGSSLROOTCERT: named = '', HOME: home = '' } = env;
	if (named === 'system') return undefined;
	if (named !== '') {
		return readFile(named, 'utf8').catch((error: Error) => {
			throw new CommandError(`PGSSLROOTCERT: ${error.message}`);
		});
	}
	return readFile(join(home === '' ? homedir() : home, '.postgresql', 'root.crt'), 'utf8').catch(() => undefined);
}
