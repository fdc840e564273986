/** A real OpenID provider on loopback with a handful of invented people, for the demo and for the tests. */
import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type CryptoKey, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import type { Configuration, KoaContextWithOIDC, Provider } from 'oidc-provider';
import { freePort } from './postgres.ts';
import {
	authorizationCode,
	Browser,
	clientCredentials,
	type DeviceAuthorization,
	HOST,
	type ProviderSettings,
	RESOURCE,
	revoke,
	SCOPES,
	startDevice,
	WORKLOAD,
} from './provider-clients.ts';

/** A person (or a service) who can sign in. `name` is the claim preferred_username. */
export interface Person {
	readonly name: string;
	readonly fullName: string;
	readonly email: string;
	readonly groups: readonly string[];
	/** Further claims, as they stand in the token. */
	readonly claims: Readonly<Record<string, string | number | boolean | readonly string[]>>;
}

/** How `forge` departs from a good token. Times are seconds from now. */
export interface Forgery {
	readonly claims?: JWTPayload;
	readonly expiresInS?: number;
	readonly notBeforeS?: number;
	readonly audience?: string;
	readonly issuer?: string;
	/** 'own' (default) signs with the provider's key; 'foreign' with another key under the same key id. */
	readonly key?: 'own' | 'foreign';
}

/** The running provider. */
export interface IdentityProvider {
	readonly issuer: string;
	readonly clientId: string;
	/** The `aud` of its access tokens. */
	readonly audience: string;
	readonly people: readonly Person[];
	/** An access token (JWT, RFC 9068) by the authorization code flow with PKCE, as a command-line client would get it. */
	signIn(name: string): Promise<string>;
	/** Begins the device flow (RFC 8628, section 3.1); a driver of it polls the token endpoint itself. */
	startDevice(): Promise<DeviceAuthorization>;
	/** What the person does in the browser: enters the code and signs in. */
	approveDevice(userCode: string, name: string): Promise<void>;
	/** What the browser of that person does with an address of the provider: answers the redirect that leaves it. */
	authorize(url: string, name: string): Promise<string>;
	/** A client with a secret, which may ask about tokens (RFC 7662) and revoke them (RFC 7009). */
	readonly resourceServer: { readonly clientId: string; readonly clientSecret: string };
	/** A program with a token of its own: the name of its client, and such a token (RFC 6749, section 4.4). */
	readonly workload: string;
	workloadToken(): Promise<string>;
	/** Grant types of the tokens given so far, in order. */
	readonly grants: readonly string[];
	/** Takes back an access or refresh token of `clientId`. */
	revoke(token: string): Promise<void>;
	/** A token for the person that departs from a good one in what is asked for. */
	forge(name: string, forgery?: Forgery): Promise<string>;
	stop(): Promise<void>;
}

export interface IdentityOptions {
	/** Taken when free, else another. */
	readonly port?: number;
	readonly people: readonly Person[];
	readonly tokenLifetimeS?: number;
	/** Access tokens that only the provider can read; default: JSON Web Tokens. */
	readonly opaqueTokens?: boolean;
	readonly clientId?: string;
	readonly audience?: string;
}

const ALGORITHM = 'ES256';
const KEY_ID = 'demo';
/** How long a sign-in lasts at the provider, however short its tokens live. */
const SIGN_IN_S = 12 * 3600;
/** How often a client of the device flow asks whether somebody has signed in. */
const POLL_S = 1;

/** Starts the provider. Its keys live as long as it does. */
export async function startIdentityProvider(options: IdentityOptions): Promise<IdentityProvider> {
	const port = await freePort(options.port);
	const issuer = `http://${HOST}:${port}`;
	const settings = {
		issuer,
		clientId: options.clientId ?? 'psql',
		audience: options.audience ?? 'portcullis',
		lifetimeS: options.tokenLifetimeS ?? SIGN_IN_S,
		opaque: options.opaqueTokens ?? false,
		resourceServer: { clientId: 'portcullis', clientSecret: randomBytes(18).toString('base64url') },
		workloadSecret: randomBytes(18).toString('base64url'),
		people: new Map(options.people.map((person) => [person.name, person])),
	};
	const keys = await generateKeyPair(ALGORITHM, { extractable: true });
	const jwk = { ...(await exportJWK(keys.privateKey)), alg: ALGORITHM, use: 'sig', kid: KEY_ID };
	const provider = await quietly(async () => {
		const oidc = await import('oidc-provider');
		return new oidc.Provider(issuer, configure(settings, jwk));
	});
	provider.use(async (ctx, next) => {
		await next();
		// Without it clients ask every five seconds (RFC 8628, section 3.2), and somebody waits for that at the screen.
		const { oidc } = ctx as Partial<KoaContextWithOIDC>;
		if (oidc?.route === 'device_authorization' && ctx.status === 200)
			Object.assign(ctx.body as object, { interval: POLL_S });
	});
	const server = createServer(handler(provider, settings.people));
	const grants: string[] = [];
	provider.on('grant.success', (ctx) => grants.push(String(ctx.oidc.params?.['grant_type'])));
	await new Promise<void>((resolve, reject) => {
		server.once('error', reject);
		server.listen(port, HOST, resolve);
	});
	const browser = (name: string): Browser => new Browser(issuer, name);
	return {
		issuer,
		clientId: settings.clientId,
		audience: settings.audience,
		people: options.people,
		resourceServer: settings.resourceServer,
		workload: WORKLOAD,
		workloadToken: () => clientCredentials(settings),
		grants,
		signIn: (name) => authorizationCode(browser(name), settings),
		authorize: async (url, name) => (await browser(name).open(url)).url,
		revoke: (token) => revoke(settings, token),
		startDevice: () => startDevice(settings),
		approveDevice: (userCode, name) => browser(name).approveDevice(userCode),
		forge: (name, forgery = {}) => forge(settings, keys.privateKey, name, forgery),
		stop: () => close(server),
	};
}

/** The package tells the console that its store is in memory and that it prefers another Node: true, and no news to a demo's audience. */
async function quietly<T>(work: () => Promise<T>): Promise<T> {
	const { info, warn } = console;
	console.info = console.warn = (...words: unknown[]) => {
		if (!String(words[0]).includes('oidc-provider ')) warn(...words);
	};
	try {
		return await work();
	} finally {
		console.info = info;
		console.warn = warn;
	}
}

/** For people, for the gateway, and for a program. */
function clientsOf(settings: ProviderSettings): NonNullable<Configuration['clients']> {
	return [
		{
			client_id: settings.clientId,
			client_name: 'psql and friends',
			application_type: 'native',
			token_endpoint_auth_method: 'none',
			redirect_uris: [`http://${HOST}/callback`],
			response_types: ['code'],
			grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
			id_token_signed_response_alg: ALGORITHM,
		},
		{
			client_id: settings.resourceServer.clientId,
			client_secret: settings.resourceServer.clientSecret,
			redirect_uris: [],
			response_types: [],
			grant_types: [],
			id_token_signed_response_alg: ALGORITHM,
		},
		{
			client_id: WORKLOAD,
			client_secret: settings.workloadSecret,
			redirect_uris: [],
			response_types: [],
			grant_types: ['client_credentials'],
			id_token_signed_response_alg: ALGORITHM,
		},
	];
}

function configure(settings: ProviderSettings, jwk: object): Configuration {
	const lifetime = (): number => settings.lifetimeS;
	return {
		jwks: { keys: [jwk] },
		clients: clientsOf(settings),
		scopes: ['openid', 'offline_access', 'groups'],
		claims: {
			openid: ['sub'],
			email: ['email'],
			profile: ['name', 'preferred_username'],
			groups: ['groups', 'tenant'],
		},
		cookies: { keys: [randomBytes(24).toString('base64url')] },
		ttl: {
			AccessToken: lifetime,
			ClientCredentials: lifetime,
			IdToken: lifetime,
			RefreshToken: () => SIGN_IN_S,
			Interaction: () => SIGN_IN_S,
			Session: () => SIGN_IN_S,
			Grant: () => SIGN_IN_S,
			DeviceCode: () => 600,
			AuthorizationCode: () => 60,
		},
		findAccount: (_ctx, id) => {
			const person = settings.people.get(id);
			return person && { accountId: id, claims: () => ({ sub: id, ...claimsOf(person) }) };
		},
		extraTokenClaims: (_ctx, token) => {
			const person = 'accountId' in token ? settings.people.get(String(token.accountId)) : undefined;
			return person && claimsOf(person);
		},
		// Whoever signs in here has consented: the provider and the gateway belong to the same company.
		loadExistingGrant: async (ctx) => {
			const { client, session } = ctx.oidc;
			if (client === undefined || session?.accountId === undefined) return undefined;
			const grant = new ctx.oidc.provider.Grant({ clientId: client.clientId, accountId: session.accountId });
			grant.addOIDCScope([...SCOPES, 'offline_access'].join(' '));
			grant.addResourceScope(RESOURCE, SCOPES.join(' '));
			await grant.save();
			return grant;
		},
		interactions: { url: (_ctx, interaction) => `/sign-in/${interaction.uid}` },
		clientBasedCORS: () => false,
		renderError: (ctx, out) => plain(ctx, `${out.error}: ${out.error_description ?? ''}`),
		features: features(settings),
	};
}

function features(settings: ProviderSettings): NonNullable<Configuration['features']> {
	return {
		devInteractions: { enabled: false },
		clientCredentials: { enabled: true },
		deviceFlow: {
			enabled: true,
			userCodeInputSource: async (ctx, form, _out, error) =>
				plain(ctx, error ? 'That code is not known.' : 'Enter the code that your client shows.', form),
			userCodeConfirmSource: async (ctx, form, _client, _device, code) =>
				plain(ctx, `Does your client show ${code}?`, form),
			successSource: async (ctx) => plain(ctx, 'Signed in. You can close this page.'),
		},
		resourceIndicators: {
			enabled: true,
			defaultResource: () => RESOURCE,
			useGrantedResource: () => true,
			getResourceServerInfo: () => ({
				scope: SCOPES.join(' '),
				audience: settings.audience,
				accessTokenFormat: settings.opaque ? 'opaque' : 'jwt',
				accessTokenTTL: settings.lifetimeS,
				jwt: { sign: { alg: ALGORITHM } },
			}),
		},
		introspection: {
			enabled: true,
			allowedPolicy: async (_ctx, client) => client.clientId === settings.resourceServer.clientId,
		},
		revocation: {
			enabled: true,
			allowedPolicy: async (_ctx, client, token) => token.clientId === client.clientId,
		},
		rpInitiatedLogout: { enabled: false },
	};
}

function claimsOf(person: Person): Record<string, unknown> {
	return {
		preferred_username: person.name,
		name: person.fullName,
		email: person.email,
		groups: person.groups,
		...person.claims,
	};
}

/** The provider itself, and one page of our own: choose who you are. No passwords: these people do not exist. */
function handler(
	provider: Provider,
	people: ReadonlyMap<string, Person>,
): (request: IncomingMessage, response: ServerResponse) => void {
	const callback = provider.callback();
	const signIn = async (request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> => {
		const { params } = await provider.interactionDetails(request, response);
		const name = url.searchParams.get('as') ?? params['login_hint'];
		if (typeof name === 'string' && people.has(name)) {
			await provider.interactionFinished(request, response, { login: { accountId: name }, consent: {} });
			return;
		}
		const links = [...people.values()].map(
			(person) =>
				`<p><a href="${url.pathname}?as=${encodeURIComponent(person.name)}">${escapeHtml(person.fullName)}</a></p>`,
		);
		response.setHeader('content-type', 'text/html; charset=utf-8');
		response.end(page('Sign in as', links.join('')));
	};
	return (request, response) => {
		const url = new URL(request.url ?? '/', 'http://provider');
		if (!url.pathname.startsWith('/sign-in/')) {
			void callback(request, response);
			return;
		}
		signIn(request, response, url).catch(() => {
			response.statusCode = 400;
			response.end(page('This sign-in has expired.', ''));
		});
	};
}

function plain(ctx: { body: unknown }, text: string, form = ''): void {
	ctx.body = page(text, form);
}

function page(text: string, form: string): string {
	const script = form.includes('op.deviceInputForm') || form.includes('op.deviceConfirmForm');
	const id = form.includes('op.deviceInputForm') ? 'op.deviceInputForm' : 'op.deviceConfirmForm';
	const button = script ? `<button type="submit" form="${id}">Continue</button>` : '';
	return `<!doctype html><meta charset="utf-8"><title>Sign in</title>
<body style="font-family:system-ui;margin:3em auto;max-width:24em"><h3>${escapeHtml(text)}</h3>${form}${button}</body>`;
}

function escapeHtml(text: string): string {
	return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

async function forge(settings: ProviderSettings, own: CryptoKey, name: string, forgery: Forgery): Promise<string> {
	const person = settings.people.get(name);
	const key = forgery.key === 'foreign' ? (await generateKeyPair(ALGORITHM)).privateKey : own;
	const nowS = Math.floor(Date.now() / 1000);
	const token = new SignJWT({ ...(person && claimsOf(person)), client_id: settings.clientId, ...forgery.claims })
		.setProtectedHeader({ alg: ALGORITHM, kid: KEY_ID, typ: 'at+jwt' })
		.setSubject(name)
		.setIssuer(forgery.issuer ?? settings.issuer)
		.setAudience(forgery.audience ?? settings.audience)
		.setIssuedAt(nowS + Math.min(0, forgery.expiresInS ?? 0) - 60)
		.setJti(randomBytes(12).toString('base64url'))
		.setExpirationTime(nowS + (forgery.expiresInS ?? settings.lifetimeS));
	if (forgery.notBeforeS !== undefined) token.setNotBefore(nowS + forgery.notBeforeS);
	return token.sign(key);
}

async function close(server: Server): Promise<void> {
	server.closeAllConnections();
	await new Promise<void>((resolve) => {
		server.close(() => resolve());
	});
}
