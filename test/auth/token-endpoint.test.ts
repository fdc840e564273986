/** How a client shows who it is at a provider: by the form, by HTTP where the form is refused, and never both at once. */
import { expect, test } from 'vitest';
import type { Fetch } from '../../src/auth/fetch-json.ts';
import { type OAuthClient, postAsClient } from '../../src/auth/token-endpoint.ts';

const URL_ = 'https://id.example.com/token';
const secret = { clientId: 'a b', clientSecret: 'x:y+z' };

interface Row {
	readonly name: string;
	readonly client: OAuthClient;
	readonly answers: readonly { readonly status: number; readonly error?: string }[];
	readonly want: number;
	readonly asked: readonly string[];
}

const byForm = 'code=1&client_id=a+b&client_secret=x%3Ay%2Bz';
const byHttp = 'code=1 Basic a+b:x%3Ay%2Bz';
const rows: readonly Row[] = [
	{ name: 'by the form', client: secret, answers: [{ status: 200 }], want: 200, asked: [byForm] },
	{
		name: 'by HTTP (401)',
		client: secret,
		answers: [{ status: 401 }, { status: 200 }],
		want: 200,
		asked: [byForm, byHttp],
	},
	{
		name: 'by HTTP (invalid_client)',
		client: secret,
		answers: [{ status: 400, error: 'invalid_client' }, { status: 200 }],
		want: 200,
		asked: [byForm, byHttp],
	},
	{
		name: 'by HTTP (unauthorized_client)',
		client: secret,
		answers: [{ status: 403, error: 'unauthorized_client' }, { status: 200 }],
		want: 200,
		asked: [byForm, byHttp],
	},
	{ name: 'neither', client: secret, answers: [{ status: 401 }, { status: 401 }], want: 401, asked: [byForm, byHttp] },
	{
		name: 'another error',
		client: secret,
		answers: [{ status: 400, error: 'invalid_grant' }],
		want: 400,
		asked: [byForm],
	},
	{
		name: 'a public client',
		client: { clientId: 'psql' },
		answers: [{ status: 401 }],
		want: 401,
		asked: ['code=1&client_id=psql'],
	},
];

test.each(rows)('$name', async ({ client, answers, want, asked }) => {
	const seen: string[] = [];
	const fetch: Fetch = (_url, init) => {
		const { status, error } = answers[seen.length] ?? { status: 500 };
		const header = new Headers(init?.headers).get('authorization');
		const decoded = header === null ? '' : ` Basic ${Buffer.from(header.slice(6), 'base64').toString()}`;
		seen.push(`${String(init?.body)}${decoded}`);
		return Promise.resolve(Response.json({ error }, { status }));
	};
	expect((await postAsClient(fetch, URL_, client, { form: { code: '1' } })).status).toBe(want);
	expect(seen).toEqual(asked);
});

test('without a client there is nothing to ask', async () => {
	await expect(postAsClient(fetch, URL_, {}, { form: {} })).rejects.toThrow('no clientId is configured');
});
