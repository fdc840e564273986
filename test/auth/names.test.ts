/** Whose name a token gives: people, workloads, and several issuers that must not speak of each other's. */
import { describe, expect, test } from 'vitest';
import { type IssuerSettings, authProblems } from '../../src/auth/settings.ts';
import { TokenVerifier } from '../../src/auth/token.ts';
import { FakeIssuer, makeKey } from './issuer.ts';

const staff = new FakeIssuer('https://id.example.com', [await makeKey('k1')]);
const partner = new FakeIssuer('https://partner.example.org', [await makeKey('k1')]);

const people = { audience: 'portcullis', username: 'login', groups: 'groups' };
const ofStaff: IssuerSettings = {
	...people,
	issuer: staff.issuer,
	workloads: { username: 'client_id', prefix: 'workload:' },
};
const ofPartner: IssuerSettings = { ...people, issuer: partner.issuer, prefix: 'partner:' };

/** Answers for both issuers. */
const fetch: typeof globalThis.fetch = (input, init) =>
	String(input).startsWith(staff.issuer) ? staff.fetch(input, init) : partner.fetch(input, init);

async function nameOf(
	from: FakeIssuer,
	claims: Readonly<Record<string, unknown>>,
	settings: readonly IssuerSettings[] = [ofStaff, ofPartner],
): Promise<string> {
	const verifier = new TokenVerifier(settings, { fetch, now: staff.now });
	const none = { email: undefined, groups: ['g'] };
	const result = await verifier.verify(await from.token({ claims: { ...none, ...claims } }), 'token');
	return result.ok ? [result.identity.name, ...result.identity.groups].join(' ') : result.reason;
}

describe('a token', () => {
	const rows: { name: string; from: FakeIssuer; claims: Readonly<Record<string, unknown>>; want: RegExp }[] = [
		{ name: 'of a person', from: staff, claims: { login: 'ana' }, want: /^ana g$/ },
		{ name: 'of the other issuer', from: partner, claims: { login: 'ana' }, want: /^partner:ana partner:g$/ },
		{
			name: 'of a person who bears the prefix of the other',
			from: staff,
			claims: { login: 'partner:ana' },
			want: /begins with partner:, as names of others do/,
		},
		{
			name: 'of a person who bears the prefix of workloads',
			from: staff,
			claims: { login: 'workload:etl' },
			want: /begins with workload:/,
		},
		{ name: 'of a workload', from: staff, claims: { sub: 'etl', client_id: 'etl' }, want: /^workload:etl g$/ },
		{
			name: 'of a person who got no name, by a client',
			from: staff,
			claims: { sub: 'u-17', client_id: 'psql' },
			want: /no claim login/,
		},
		{
			name: 'of a person who got no name, without a client',
			from: staff,
			claims: { sub: 'u-17' },
			want: /no claim login/,
		},
		{
			name: 'of a workload with a name like a person',
			from: staff,
			claims: { sub: 'etl', client_id: 'etl', login: 'ana' },
			want: /^ana g$/,
		},
		{
			name: 'of a person with an empty name',
			from: staff,
			claims: { sub: 'etl', client_id: 'etl', login: '' },
			want: /no claim login/,
		},
		{ name: 'of a workload without a name', from: staff, claims: { sub: '', client_id: '' }, want: /no claim login/ },
		{
			name: 'of a workload with an odd name',
			from: staff,
			claims: { sub: 'a\nb', client_id: 'a\nb' },
			want: /no usable user name/,
		},
		{
			name: 'of a workload where none is let in',
			from: partner,
			claims: { sub: 'etl', client_id: 'etl' },
			want: /no claim login/,
		},
	];
	test.each(rows)('$name: $want', async ({ from, claims, want }) => {
		expect(await nameOf(from, claims)).toMatch(want);
	});

	test('where people are named by sub too, equality tells a workload', async () => {
		const settings = [{ ...ofStaff, username: 'sub' }];
		expect(await nameOf(staff, { sub: 'etl', client_id: 'etl' }, settings)).toBe('workload:etl g');
		expect(await nameOf(staff, { sub: 'u-17', client_id: 'psql' }, settings)).toBe('u-17 g');
	});
});

describe('prefixes', () => {
	const rows: { name: string; issuers: readonly IssuerSettings[]; want: readonly string[] }[] = [
		{
			name: 'none, twice',
			issuers: [
				{ ...ofPartner, prefix: '' },
				{ ...ofStaff, workloads: undefined },
			],
			want: [],
		},
		{ name: 'apart', issuers: [ofStaff, ofPartner], want: [] },
		{
			name: 'the same',
			issuers: [ofPartner, { ...ofStaff, prefix: 'partner:' }],
			want: [
				'identity.issuers[0].prefix: partner: begins as identity.issuers[1].prefix does',
				'identity.issuers[1].prefix: partner: begins as identity.issuers[0].prefix does',
			],
		},
		{
			name: 'one within the other',
			issuers: [{ ...ofStaff, prefix: 'w', workloads: { username: 'azp', prefix: 'w:' } }],
			want: ['identity.issuers[0].workloads.prefix: w: begins as identity.issuers[0].prefix does'],
		},
	];
	test.each(rows)('$name', ({ issuers, want }) => {
		expect(authProblems({ issuers })).toEqual(want);
	});
});
