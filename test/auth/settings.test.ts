/** What is wrong with `identity` is found before the port opens; `portcullis.login` is found among the startup options. */
import { describe, expect, test } from 'vitest';
import { AuthBridge } from '../../src/auth/bridge.ts';
import { readLoginWish } from '../../src/auth/options.ts';
import { type AuthSettings, authProblems, endpointProblem, isLoopback } from '../../src/auth/settings.ts';
import { GatewayError } from '../../src/errors.ts';

const key = Buffer.alloc(32).toString('base64');
const scram = `SCRAM-SHA-256$4096:c2FsdA==$${key}:${key}`;
const issuer = { issuer: 'https://id.example.com', audience: 'portcullis', username: 'email' };

describe('authProblems', () => {
	const rows: { name: string; settings: AuthSettings; want: RegExp | null }[] = [
		{ name: 'nothing', settings: {}, want: null },
		{
			name: 'all',
			settings: {
				login: 'device',
				issuers: [{ ...issuer, clientId: 'psql' }],
				users: [{ name: 'app', password: { scram } }],
			},
			want: null,
		},
		{
			name: 'http',
			settings: { issuers: [{ ...issuer, issuer: 'http://id.example.com' }] },
			want: /issuers\[0\]\.issuer: must be https/,
		},
		{ name: 'twice', settings: { issuers: [issuer, issuer] }, want: /issuers\[1\]\.issuer: .* twice/ },
		{
			name: 'password',
			settings: { users: [{ name: 'a', password: { scram: 'hunter2' } }] },
			want: /users\[0\]\.password\.scram: not a/,
		},
		{ name: 'a certificate alone', settings: { users: [{ name: 'a', certificate: true }] }, want: null },
		{ name: 'no proof', settings: { users: [{ name: 'a' }] }, want: /users\[0\]\.password: missing/ },
		{
			name: 'same user',
			settings: { users: [1, 2].map(() => ({ name: 'a', password: { scram } })) },
			want: /users\[1\]\.name: a .* twice/,
		},
		{
			name: 'device without client',
			settings: { login: 'device', issuers: [issuer] },
			want: /issuers\[0\]\.clientId: needed/,
		},
		{ name: 'device without issuer', settings: { login: 'device' }, want: /login: device needs an issuer/ },
	];
	test.each(rows)('$name', ({ settings, want }) => {
		const problems = authProblems(settings);
		if (want === null) {
			expect(problems).toEqual([]);
			return;
		}
		expect(problems.join('\n')).toMatch(want);
		expect(problems.join('\n')).not.toContain('hunter2');
		expect(() => new AuthBridge(settings)).toThrow(GatewayError);
	});
});

describe('endpointProblem', () => {
	const rows = [
		{ url: 'https://id.example.com/realm', ok: true },
		{ url: 'http://127.0.0.1:8080', ok: true },
		{ url: 'http://[::1]:8080/x', ok: true },
		{ url: 'http://localhost:8080', ok: true },
		{ url: 'http://localhost.example.com', ok: false },
		{ url: 'http://127.0.0.1.example.com', ok: false },
		{ url: 'http://10.0.0.1', ok: false },
		{ url: 'https://user:secret@id.example.com', ok: false },
		{ url: 'https://id.example.com/#x', ok: false },
		{ url: 'file:///etc/passwd', ok: false },
		{ url: 'id.example.com', ok: false },
		{ url: '', ok: false },
	];
	test.each(rows)('$url: $ok', ({ url, ok }) => {
		expect(endpointProblem(url) === null).toBe(ok);
	});
});

test.each([
	{ address: '127.0.0.1', want: true },
	{ address: '127.8.9.1', want: true },
	{ address: '::1', want: true },
	{ address: '::ffff:127.0.0.1', want: true },
	{ address: '10.0.0.1', want: false },
	{ address: '::', want: false },
	{ address: '', want: false },
])('isLoopback $address: $want', ({ address, want }) => {
	expect(isLoopback(address)).toBe(want);
});

describe('readLoginWish', () => {
	const rows = [
		{ options: '', login: null },
		{ options: '-c portcullis.login=device', login: 'device' },
		{ options: '-cportcullis.login=oauthbearer', login: 'oauthbearer' },
		{ options: '--portcullis.login=password', login: 'password' },
		{ options: '-c Portcullis.Login=device', login: 'device' },
		{ options: '  -c work_mem=1MB   -c portcullis.login=device --geqo=off ', login: 'device' },
		{ options: '-c portcullis.login=password -c portcullis.login=device', login: 'device' },
		{ options: '-c portcullis.issuer=https://id.example.com', login: null, issuer: 'https://id.example.com' },
		{ options: '-c portcullis.issuer=a\\ b --portcullis.login=device', login: 'device', issuer: 'a b' },
		{ options: '-c search_path=a\\ b,c', login: null },
		{ options: '-c x=portcullis.login=device', login: null },
		{ options: '-c search_path=\\ -c\\ portcullis.login=device', login: null },
		{ options: 'portcullis.login=device', login: null },
		{ options: '-c', login: null },
		{ options: 'trailing\\', login: null },
	];
	test.each(rows)('$options', ({ options, login, issuer = null }) => {
		expect(readLoginWish(options)).toEqual({ login, issuer, invalid: null });
	});

	test.each(['kerberos', '', 'DEVICE'])('"%s" is no way to sign in', (value) => {
		expect(readLoginWish(`-c portcullis.login=${value}`)).toMatchObject({ login: null, invalid: value });
	});
});
