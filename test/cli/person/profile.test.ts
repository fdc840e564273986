/** The file with the tokens: where it is, who may read it, and that processes do not get in each other's way. */
import { chmod, mkdir, readdir, readFile, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Profile, profileFile, readProfile, withLock, writeProfile } from '../../../src/cli/person/profile.ts';
import { arrive, type TestPerson } from './person.ts';

const profile: Profile = {
	version: 1,
	issuer: 'https://id.example.com',
	clientId: 'psql',
	clientSecret: null,
	scopes: ['openid'],
	parameters: {},
	redirect: null,
	stay: false,
	prefix: '',
	gateway: { host: 'localhost', port: 6432, sslmode: null },
	use: 'access',
	username: null,
	tokens: { token: 'secret', user: 'ana', refreshToken: null, expiresAtMs: null },
};

async function someone(): Promise<TestPerson> {
	const person = await arrive();
	onTestFinished(() => person.leave());
	return person;
}

describe('where it is', () => {
	const rows: { name: string; env: NodeJS.ProcessEnv; platform?: NodeJS.Platform; want: string }[] = [
		{ name: 'HOME', env: { HOME: '/home/ana' }, want: '/home/ana/.config/portcullis/x.json' },
		{
			name: 'XDG_CONFIG_HOME',
			env: { HOME: '/home/ana', XDG_CONFIG_HOME: '/cfg' },
			want: '/cfg/portcullis/x.json',
		},
		{
			name: 'XDG_CONFIG_HOME that is not absolute',
			env: { HOME: '/home/ana', XDG_CONFIG_HOME: 'cfg' },
			want: '/home/ana/.config/portcullis/x.json',
		},
		{
			name: 'Windows',
			env: { APPDATA: '/users/ana/roaming', HOME: '/x' },
			platform: 'win32',
			want: '/users/ana/roaming/portcullis/x.json',
		},
	];
	test.each(rows)('$name', ({ env, platform = 'linux', want }) => {
		expect(profileFile('x', env, platform)).toBe(want);
	});

	test.each(['', '../x', 'a/b', 'a.b', 'x'.repeat(65)])('not by the name "%s"', (name) => {
		expect(() => profileFile(name, { HOME: '/home/ana' })).toThrow(/no name for a profile/);
	});
});

describe('who may read it', () => {
	test('its owner only; and nothing else stays behind', async () => {
		const { file } = await someone();
		await writeProfile(file, profile);
		await writeProfile(file, { ...profile, username: 'email' });
		expect((await stat(file)).mode & 0o777).toBe(0o600);
		expect((await stat(dirname(file))).mode & 0o777).toBe(0o700);
		expect(await readdir(dirname(file))).toEqual(['default.json']);
		expect(await readProfile(file)).toEqual({ ...profile, username: 'email' });
	});

	test('a file that others may read is not used, nor one behind a link', async () => {
		const { file, home } = await someone();
		await writeProfile(file, profile);
		for (const mode of [0o640, 0o604, 0o620, 0o666]) {
			await chmod(file, mode);
			await expect(readProfile(file)).rejects.toThrow(/can be read by others: chmod 600/);
		}
		await chmod(file, 0o600);
		await symlink(file, join(home, 'link.json'));
		await expect(readProfile(join(home, 'link.json'))).rejects.toThrow(/cannot be read/);
	});

	const broken = ['', '{', '[]', '{"version":2}', JSON.stringify({ ...profile, more: 1 }), 'x'.repeat(2_000_000)];
	test.each(broken.map((content) => ({ name: content.slice(0, 20), content })))(
		'broken: $name',
		async ({ content }) => {
			const { file } = await someone();
			await mkdir(dirname(file), { recursive: true });
			await writeFile(file, content, { mode: 0o600 });
			const failure: unknown = await readProfile(file).catch((error: unknown) => error);
			expect(String(failure)).toMatch(/is no sign-in of portcullis/);
			expect(String(failure)).not.toContain('secret');
		},
	);

	test('there is none', async () => {
		expect(await readProfile((await someone()).file)).toBeNull();
	});

	test('one that cannot be written is an error, and the former stays', async () => {
		const { file, home } = await someone();
		await writeFile(join(home, 'no-folder'), '');
		await expect(writeProfile(join(home, 'no-folder/x.json'), profile)).rejects.toThrow(/cannot be made/);
		await writeProfile(file, profile);
		await mkdir(join(home, 'taken.json'));
		await expect(writeProfile(join(home, 'taken.json'), profile)).rejects.toThrow(/cannot be written/);
		expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ version: 1 });
	});
});

describe('the lock', () => {
	const clock = {
		now: Date.now,
		delay: (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, Math.min(ms, 2))),
	};

	test('lets one in at a time', async () => {
		const { file } = await someone();
		await writeProfile(file, profile);
		let inside = 0;
		let most = 0;
		const work = async (): Promise<void> => {
			inside += 1;
			most = Math.max(most, inside);
			await clock.delay(2);
			inside -= 1;
		};
		await Promise.all(Array.from({ length: 8 }, () => withLock(file, clock, work)));
		expect(most).toBe(1);
		expect(await readdir(dirname(file))).toEqual(['default.json']);
	});

	test('is given back when the work fails', async () => {
		const { file } = await someone();
		await writeProfile(file, profile);
		await expect(withLock(file, clock, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
		expect(await withLock(file, clock, () => Promise.resolve(1))).toBe(1);
	});

	test('of a process that died is taken away, of one that lives is waited for in vain', async () => {
		const { file } = await someone();
		await writeProfile(file, profile);
		await writeFile(`${file}.lock`, '');
		const long = new Date(Date.now() - 60_000);
		await utimes(`${file}.lock`, long, long);
		expect(await withLock(file, clock, () => Promise.resolve(1))).toBe(1);
		let nowMs = Date.now();
		const fast = {
			now: () => nowMs,
			delay: async (ms: number): Promise<void> => {
				nowMs += ms * 100;
				const fresh = new Date(nowMs);
				await utimes(`${file}.lock`, fresh, fresh);
			},
		};
		await writeFile(`${file}.lock`, '');
		await expect(withLock(file, fast, () => Promise.resolve(1))).rejects.toThrow(/held by another process/);
	});
});
