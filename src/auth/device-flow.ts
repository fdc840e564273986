/** The client's side of the device authorization grant (RFC 8628): asks for a code, then polls until it is approved. */
import { type Fetch, fetchJson, type JsonAnswer, type JsonObject, ProviderError } from './fetch-json.ts';
import { AUTH_LIMITS } from './limits.ts';
import type { ProviderMetadata } from './provider.ts';
import { endpointProblem, type IssuerSettings } from './settings.ts';

export interface DeviceFlowDeps {
	readonly fetch: Fetch;
	/** Milliseconds since the epoch. */
	readonly now: () => number;
	/** Resolves early when the signal aborts. */
	readonly delay: (ms: number, signal?: AbortSignal) => Promise<void>;
}

/** RFC 8628, section 3.2. */
export interface DeviceAuthorization {
	readonly deviceCode: string;
	readonly userCode: string;
	readonly verificationUri: string;
	/** With the code in it; null when the provider gives none. */
	readonly verificationUriComplete: string | null;
	/** Milliseconds since the epoch. */
	readonly expiresAtMs: number;
	readonly intervalMs: number;
}

export interface DeviceTokens {
	readonly accessToken: string | null;
	readonly idToken: string | null;
}

export type DeviceOutcome =
	| { readonly type: 'approved'; readonly tokens: DeviceTokens }
	| { readonly type: 'denied' }
	| { readonly type: 'expired' }
	/** The client left, or its deadline passed. */
	| { readonly type: 'aborted' };

const GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

/** Section 3.1. Throws ProviderError. */
export async function authorizeDevice(
	deps: DeviceFlowDeps,
	metadata: ProviderMetadata,
	settings: IssuerSettings,
	signal?: AbortSignal,
): Promise<DeviceAuthorization> {
	const url = metadata.deviceAuthorizationEndpoint;
	if (url === null) throw new ProviderError(`${settings.issuer}: has no device_authorization_endpoint`);
	const form = { ...clientForm(settings), scope: (settings.scopes ?? []).join(' ') };
	const { status, body } = await fetchJson(deps.fetch, url, { form, signal });
	if (status !== 200) throw new ProviderError(`${url}: status ${status}, ${errorOf(body)}`);
	const deviceCode = textIn(body, 'device_code');
	const userCode = textIn(body, 'user_code');
	const verificationUri = pageIn(body, 'verification_uri');
	if (deviceCode === null || userCode === null || verificationUri === null) {
		throw new ProviderError(`${url}: the answer lacks device_code, user_code or a usable verification_uri`);
	}
	const { deviceWaitMsMax, deviceIntervalMs, deviceIntervalMsMax } = AUTH_LIMITS;
	const lifetimeMs = Math.min(secondsIn(body, 'expires_in') ?? deviceWaitMsMax, deviceWaitMsMax);
	return {
		deviceCode,
		userCode,
		verificationUri,
		verificationUriComplete: pageIn(body, 'verification_uri_complete'),
		expiresAtMs: deps.now() + lifetimeMs,
		intervalMs: Math.min(secondsIn(body, 'interval') ?? deviceIntervalMs, deviceIntervalMsMax),
	};
}

/** Sections 3.4 and 3.5: polls no faster than asked, and slower while the provider fails. Throws ProviderError. */
export async function awaitApproval(
	deps: DeviceFlowDeps,
	metadata: ProviderMetadata,
	settings: IssuerSettings,
	authorization: DeviceAuthorization,
	signal?: AbortSignal,
): Promise<DeviceOutcome> {
	const url = metadata.tokenEndpoint;
	if (url === null) throw new ProviderError(`${settings.issuer}: has no token_endpoint`);
	const form = { ...clientForm(settings), grant_type: GRANT, device_code: authorization.deviceCode };
	let { intervalMs } = authorization;
	for (;;) {
		await deps.delay(intervalMs, signal);
		if (signal?.aborted === true) return { type: 'aborted' };
		if (deps.now() >= authorization.expiresAtMs) return { type: 'expired' };
		const answer = await poll(deps.fetch, url, form, signal);
		if (answer === null) {
			intervalMs = Math.min(intervalMs * 2, AUTH_LIMITS.deviceIntervalMsMax);
			continue;
		}
		if (answer.status === 200) return { type: 'approved', tokens: tokensIn(answer.body) };
		switch (answer.body['error']) {
			case 'authorization_pending':
				break;
			case 'slow_down':
				intervalMs = Math.min(intervalMs + 5000, AUTH_LIMITS.deviceIntervalMsMax);
				break;
			case 'access_denied':
				return { type: 'denied' };
			case 'expired_token':
				return { type: 'expired' };
			default:
				throw new ProviderError(`${url}: status ${answer.status}, ${errorOf(answer.body)}`);
		}
	}
}

/** Null for a failure that may pass: no answer, or one that says that the provider itself is in trouble. */
async function poll(
	fetch: Fetch,
	url: string,
	form: Readonly<Record<string, string>>,
	signal?: AbortSignal,
): Promise<JsonAnswer | null> {
	try {
		const answer = await fetchJson(fetch, url, { form, signal });
		return answer.status >= 500 || answer.status === 429 ? null : answer;
	} catch (error) {
		if (error instanceof ProviderError) return null;
		throw error;
	}
}

function clientForm(settings: IssuerSettings): Readonly<Record<string, string>> {
	if (settings.clientId === undefined) throw new ProviderError(`${settings.issuer}: no clientId is configured`);
	return {
		client_id: settings.clientId,
		...(settings.clientSecret === undefined ? {} : { client_secret: settings.clientSecret }),
	};
}

function tokensIn(body: JsonObject): DeviceTokens {
	return { accessToken: textIn(body, 'access_token'), idToken: textIn(body, 'id_token') };
}

/** Printable, because it is shown to a person. */
function textIn(body: JsonObject, name: string): string | null {
	const value = body[name];
	return typeof value === 'string' && value !== '' && !/\p{Cc}/u.test(value) ? value : null;
}

function pageIn(body: JsonObject, name: string): string | null {
	const value = textIn(body, name);
	return value !== null && endpointProblem(value) === null ? value : null;
}

/** Milliseconds. */
function secondsIn(body: JsonObject, name: string): number | null {
	const value = body[name];
	return typeof value === 'number' && Number.isFinite(value) && value > 0 ? value * 1000 : null;
}

function errorOf(body: JsonObject): string {
	const { error, error_description: description } = body;
	const words = [error, description].filter((word) => typeof word === 'string').join(': ');
	return words === '' ? 'without an error code' : words.slice(0, 300);
}
