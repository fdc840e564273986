/** The demo's identity provider: real grants give tokens that its published keys verify, and forgeries differ as asked. */
import { createRemoteJWKSet, decodeJwt, jwtVerify } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type IdentityProvider, startOidc } from '../../support/oidc.ts';

let provider: IdentityProvider;
beforeAll(async () => {
	provider = await startOidc();
});
afterAll(() => provider.stop());

async function verify(token: string): Promise<Record<string, unknown>> {
	const discovery = await fetch(`${provider.issuer}/.well-known/openid-configuration`);
	const { jwks_uri: keys } = (await discovery.json()) as { jwks_uri: string };
	const options = { issuer: provider.issuer, audience: provider.audience };
	return (await jwtVerify(token, createRemoteJWKSet(new URL(keys)), options)).payload;
}

describe('startIdentityProvider', () => {
	test('signs a person in by the authorization code flow', async () => {
		const claims = await verify(await provider.signIn('ben'));
		expect(claims).toMatchObject({ sub: 'ben', preferred_username: 'ben', groups: ['data-team'], tenant: 'acme' });
	});

	test('gives a program a token of its own', async () => {
		const { workload } = provider;
		expect(await verify(await provider.workloadToken())).toMatchObject({ sub: workload, client_id: workload });
	});

	test('signs nobody in whom it does not know', async () => {
		await expect(provider.signIn('nobody')).rejects.toThrow();
	});

	test('gives a token by the device flow once the person has approved', async () => {
		const device = await provider.startDevice();
		const poll = async (): Promise<Record<string, string>> => {
			const fields = { grant_type: 'urn:ietf:params:oauth:grant-type:device_code', client_id: provider.clientId };
			const body = new URLSearchParams({ ...fields, device_code: device.device_code });
			return (await (await fetch(`${provider.issuer}/token`, { method: 'POST', body })).json()) as Record<
				string,
				string
			>;
		};
		expect(await poll()).toMatchObject({ error: 'authorization_pending' });
		await provider.approveDevice(device.user_code, 'gita');
		const { access_token: token } = await poll();
		expect(await verify(token ?? '')).toMatchObject({ sub: 'gita', tenant: 'globex' });
	});

	const forgeries = [
		{ name: 'a good one', forgery: {}, want: null },
		{ name: 'expired', forgery: { expiresInS: -5 }, want: 'ERR_JWT_EXPIRED' },
		{ name: 'not yet valid', forgery: { notBeforeS: 300 }, want: 'ERR_JWT_CLAIM_VALIDATION_FAILED' },
		{ name: 'for somebody else', forgery: { audience: 'other' }, want: 'ERR_JWT_CLAIM_VALIDATION_FAILED' },
		{ name: 'by a foreign key', forgery: { key: 'foreign' }, want: 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED' },
	] as const;
	for (const { name, forgery, want } of forgeries) {
		test(`forges a token: ${name}`, async () => {
			const token = await provider.forge('ana', forgery);
			expect(decodeJwt(token).sub).toBe('ana');
			const verified = verify(token);
			if (want === null) expect(await verified).toMatchObject({ groups: ['audit'] });
			else await expect(verified).rejects.toMatchObject({ code: want });
		});
	}
});
