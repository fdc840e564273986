/** The client's side of the device authorization grant (RFC 8628): asks for a code, then polls until it is approved. */
import { type Fetch, type JsonObject, ProviderError } from './fetch-json.ts';
import { AUTH_LIMITS } from './limits.ts';
import type { ProviderMetadata } from './provider.ts';
import { endpointProblem, type IssuerSettings } from './settings.ts';
import {
	postAsClient,
	requestProblem,
	requestTokens,
	secondsIn,
	type TokenAnswer,
	type TokenSet,
	textIn,
} from './token-endpoint.ts';

export interface DeviceFlowDeps {
	readonly fetch: Fetch;
	/** Milliseconds since the epoch. */
	readonly now: () => number;
	/** Resolves early when the signal aborts. */
	readonly delay: (ms: number, signal?: AbortSignal) => Promise<void>;
}

/** The client that asks, at its issuer. */
export type DeviceClient = Pick<IssuerSettings, 'issuer' | 'clientId' | 'clientSecret' | 'scopes' | 'parameters'>;

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

export type DeviceOutcome =
	| { readonly type: 'approved'; readonly tokens: TokenSet }
	| { readonly type: 'denied' }
	| { readonly type: 'expired' }
	/** The client left, or its deadline passed. */
	| { readonly type: 'aborted' };

const GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

/** Section 3.1. Throws ProviderError. */
export async function authorizeDevice(
	deps: DeviceFlowDeps,
	metadata: ProviderMetadata,
	settings: DeviceClient,
	signal?: AbortSignal,
): Promise<DeviceAuthorization> {
	const url = metadata.deviceAuthorizationEndpoint;
	if (url === null) throw new ProviderError(`${settings.issuer}: has no device_authorization_endpoint`);
	const { scopes = [], parameters = {} } = settings;
	const form = { ...parameters, scope: scopes.join(' ') };
	const answer = await postAsClient(deps.fetch, url, settings, { form, signal });
	if (answer.status !== 200) throw new ProviderError(requestProblem(url, answer));
	const { body } = answer;
	const deviceCode = textIn(body, 'device_code');
	const userCode = textIn(body, 'user_code');
	const verificationUri = pageIn(body, 'verification_uri');
	if (deviceCode === null || userCode === null || verificationUri === null) {
		throw new ProviderError(`${url}: the answer lacks device_code, user_code or a usable verification_uri`);
	}
	const { deviceWaitMsMax, deviceIntervalMs, deviceIntervalMsMin, deviceIntervalMsMax } = AUTH_LIMITS;
	const lifetimeMs = Math.min(secondsIn(body, 'expires_in') ?? deviceWaitMsMax, deviceWaitMsMax);
	return {
		deviceCode,
		userCode,
		verificationUri,
		verificationUriComplete: pageIn(body, 'verification_uri_complete'),
		expiresAtMs: deps.now() + lifetimeMs,
		intervalMs: Math.min(
			Math.max(secondsIn(body, 'interval') ?? deviceIntervalMs, deviceIntervalMsMin),
			deviceIntervalMsMax,
		),
	};
}

/** Sections 3.4 and 3.5: polls no faster than asked, and slower while the provider fails. Throws ProviderError. */
export async function awaitApproval(
	deps: DeviceFlowDeps,
	metadata: ProviderMetadata,
	settings: DeviceClient,
	authorization: DeviceAuthorization,
	signal?: AbortSignal,
): Promise<DeviceOutcome> {
	if (metadata.tokenEndpoint === null) throw new ProviderError(`${settings.issuer}: has no token_endpoint`);
	const { deviceCode } = authorization;
	let { intervalMs } = authorization;
	for (;;) {
		await deps.delay(intervalMs, signal);
		if (signal?.aborted === true) return { type: 'aborted' };
		if (deps.now() >= authorization.expiresAtMs) return { type: 'expired' };
		const answer = await poll(deps, metadata, settings, deviceCode, signal);
		if (answer === null) {
			intervalMs = Math.min(intervalMs * 2, AUTH_LIMITS.deviceIntervalMsMax);
			continue;
		}
		if (answer.ok) return { type: 'approved', tokens: answer.tokens };
		switch (answer.error) {
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
				throw new ProviderError(answer.words);
		}
	}
}

/** Null for a failure that may pass: no answer, or one that says that the provider itself is in trouble. */
async function poll(
	deps: DeviceFlowDeps,
	metadata: ProviderMetadata,
	settings: DeviceClient,
	deviceCode: string,
	signal?: AbortSignal,
): Promise<TokenAnswer | null> {
	try {
		return await requestTokens(deps.fetch, metadata, settings, { grant_type: GRANT, device_code: deviceCode }, signal);
	} catch (error) {
		if (error instanceof ProviderError) return null;
		throw error;
	}
}

function pageIn(body: JsonObject, name: string): string | null {
	const value = textIn(body, name);
	return value !== null && endpointProblem(value) === null ? value : null;
}
