/** What clients and browsers do at the demo's provider: sign in, approve a device, take a token back. */
import { createHash, randomBytes } from 'node:crypto';
import type { Person } from './identity.ts';

/** Where the provider listens. */
export const HOST = '127.0.0.1';
/** What its tokens are for (RFC 8707). */
export const RESOURCE = 'urn:portcullis';
/** The client that is a program. */
export const WORKLOAD = 'reporting';
export const SCOPES: readonly string[] = ['openid', 'email', 'profile', 'groups'];

/** What the provider was started with. */
export interface ProviderSettings {
	readonly issuer: string;
	readonly clientId: string;
	readonly audience: string;
	readonly lifetimeS: number;
	readonly opaque: boolean;
	readonly resourceServer: { readonly clientId: string; readonly clientSecret: string };
	readonly workloadSecret: string;
	readonly people: ReadonlyMap<string, Person>;
}

/** RFC 8628, section 3.2. Times in seconds. */
export interface DeviceAuthorization {
	readonly device_code: string;
	readonly user_code: string;
	readonly verification_uri: string;
	readonly verification_uri_complete: string;
	readonly expires_in: number;
	readonly interval?: number;
}

/** The little of a browser that a sign-in needs: cookies, redirects, and forms that are sent as they stand. */
export class Browser {
	readonly #cookies = new Map<string, string>();
	readonly #issuer: string;
	readonly #name: string;

	constructor(issuer: string, name: string) {
		this.#issuer = issuer;
		this.#name = name;
	}

	/** Follows redirects until one leaves the provider (answers its URL), or until a page comes (answers its HTML). */
	async open(address: string, form?: URLSearchParams): Promise<{ url: string; html: string }> {
		let url = address;
		let body = form;
		for (let hops = 0; hops < 12; hops++) {
			if (new URL(url).origin !== this.#issuer) return { url, html: '' };
			const response = await fetch(url, {
				redirect: 'manual',
				headers: { cookie: [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
				...(body ? { method: 'POST', body } : {}),
			});
			for (const cookie of response.headers.getSetCookie()) {
				const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
				if (name !== undefined && value !== undefined) this.#cookies.set(name, value);
			}
			const next = response.headers.get('location') ?? this.#choice(url);
			if (next === undefined) return { url, html: await response.text() };
			url = new URL(next, url).href;
			body = undefined;
		}
		throw new Error(`the sign-in of ${this.#name} does not come to an end`);
	}

	/** On the page "Sign in as": the link with our name. */
	#choice(url: string): string | undefined {
		const { pathname, search } = new URL(url);
		const isChoice = pathname.startsWith('/sign-in/') && search === '';
		return isChoice ? `${pathname}?as=${encodeURIComponent(this.#name)}` : undefined;
	}

	async approveDevice(userCode: string): Promise<void> {
		let { url, html } = await this.open(`${this.#issuer}/device`);
		for (let step = 0; step < 3 && html.includes('<form'); step++) {
			const fields = new URLSearchParams({ user_code: userCode });
			for (const [, name, value] of html.matchAll(/name="(xsrf|confirm)" value="([^"]*)"/g)) {
				if (name !== undefined && value !== undefined) fields.set(name, value);
			}
			({ url, html } = await this.open(`${this.#issuer}/device`, fields));
		}
		if (!html.includes('Signed in')) throw new Error(`the device flow of ${this.#name} stopped at ${url}`);
	}
}

export async function authorizationCode(browser: Browser, settings: ProviderSettings): Promise<string> {
	const verifier = randomBytes(32).toString('base64url');
	const redirect = `http://${HOST}/callback`;
	const query = new URLSearchParams({
		client_id: settings.clientId,
		response_type: 'code',
		redirect_uri: redirect,
		scope: SCOPES.join(' '),
		resource: RESOURCE,
		code_challenge: createHash('sha256').update(verifier).digest('base64url'),
		code_challenge_method: 'S256',
	});
	const { url, html } = await browser.open(`${settings.issuer}/auth?${query.toString()}`);
	const code = new URL(url).searchParams.get('code');
	if (code === null) throw new Error(`the provider gave no code: ${url} ${html.replace(/<[^>]*>/g, ' ').trim()}`);
	const tokens = await post(`${settings.issuer}/token`, {
		grant_type: 'authorization_code',
		client_id: settings.clientId,
		code,
		code_verifier: verifier,
		redirect_uri: redirect,
	});
	return String(tokens['access_token']);
}

export async function clientCredentials(settings: ProviderSettings): Promise<string> {
	const grant = { grant_type: 'client_credentials', client_id: WORKLOAD, resource: RESOURCE };
	const authorization = `Basic ${Buffer.from(`${WORKLOAD}:${settings.workloadSecret}`).toString('base64')}`;
	const tokens = await post(`${settings.issuer}/token`, grant, { authorization });
	return String(tokens['access_token']);
}

export async function startDevice(settings: ProviderSettings): Promise<DeviceAuthorization> {
	const answer = await post(`${settings.issuer}/device/auth`, {
		client_id: settings.clientId,
		scope: SCOPES.join(' '),
		resource: RESOURCE,
	});
	return answer as unknown as DeviceAuthorization;
}

export async function revoke(settings: ProviderSettings, token: string): Promise<void> {
	const body = new URLSearchParams({ client_id: settings.clientId, token });
	const response = await fetch(`${settings.issuer}/token/revocation`, { method: 'POST', body });
	if (!response.ok) throw new Error(`the token was not revoked: ${response.status} ${await response.text()}`);
}

async function post(
	url: string,
	fields: Record<string, string>,
	headers: Record<string, string> = {},
): Promise<Record<string, unknown>> {
	const response = await fetch(url, { method: 'POST', headers, body: new URLSearchParams(fields) });
	const answer = (await response.json()) as Record<string, unknown>;
	if (!response.ok) throw new Error(`${url}: ${String(answer['error'])}: ${String(answer['error_description'])}`);
	return answer;
}
