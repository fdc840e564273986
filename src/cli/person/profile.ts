/** What `portcullis login` keeps in the person's own folder: where to sign in, where the gateway is, and the tokens. */
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { CommandError } from '../io.ts';

/** More than any token file has. */
const FILE_BYTES_MAX = 1024 * 1024;

const text = z.string().min(1);

const profileSchema = z.strictObject({
	version: z.literal(1),
	issuer: text,
	clientId: text,
	/** Of a provider that gives one to native apps. */
	clientSecret: text.nullable(),
	scopes: z.array(text),
	/** Ask for a refresh token too, where the provider knows such a thing. */
	stay: z.boolean().default(false),
	/** More parameters of requests for a login. */
	parameters: z.record(text, z.string()),
	/** Where the provider sends the browser back to; null: the usual. */
	redirect: text.nullable().default(null),
	gateway: z.strictObject({ host: text, port: z.int().min(1).max(65_535), sslmode: text.nullable() }),
	/** Which of the tokens is shown to the gateway. */
	use: z.enum(['access', 'id']),
	/** Claim with the name that the gateway knows the person by; null: the first of the usual ones. */
	username: text.nullable(),
	/** What stands before that name at the gateway. */
	prefix: z.string().default(''),
	tokens: z
		.strictObject({
			/** What the gateway is shown. */
			token: text,
			user: text,
			refreshToken: text.nullable(),
			/** Milliseconds since the epoch; null when nobody said. */
			expiresAtMs: z.number().nullable(),
		})
		.nullable(),
});

export type Profile = z.output<typeof profileSchema>;

export type Tokens = NonNullable<Profile['tokens']>;

/** Absolute path of the file of a profile, by the customs of the system. `name`: letters, digits, `-` and `_`. */
export function profileFile(
	name: string,
	env: NodeJS.ProcessEnv,
	platform: NodeJS.Platform = process.platform,
): string {
	if (!/^[\w-]{1,64}$/.test(name))
		throw new CommandError(`${name} is no name for a profile: letters and digits only`, 2);
	const { XDG_CONFIG_HOME: xdg, APPDATA: roaming, HOME: home } = env;
	const own = home === undefined || home === '' ? homedir() : home;
	const base = platform === 'win32' ? (roaming ?? own) : xdg?.startsWith('/') === true ? xdg : join(own, '.config');
	return join(base, 'portcullis', `${name}.json`);
}

/** Null when there is none. Throws CommandError for one that others may read or change, or that is not whole. */
export async function readProfile(file: string): Promise<Profile | null> {
	let handle: FileHandle;
	try {
		handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
		throw new CommandError(`${file} cannot be read: ${(error as Error).message}`);
	}
	try {
		const { size, mode, uid } = await handle.stat();
		if (process.platform !== 'win32') {
			if ((mode & 0o077) !== 0)
				throw new CommandError(`${file} can be read by others: chmod 600 ${file}, then sign in again`);
			if (uid !== process.getuid?.()) throw new CommandError(`${file} belongs to somebody else`);
		}
		if (size > FILE_BYTES_MAX) throw new CommandError(`${file} is no sign-in of portcullis`);
		return parse(await handle.readFile('utf8'), file);
	} finally {
		await handle.close();
	}
}

function parse(content: string, file: string): Profile {
	try {
		return profileSchema.parse(JSON.parse(content));
	} catch {
		throw new CommandError(`${file} is no sign-in of portcullis: remove it, then sign in again`);
	}
}

/** Readable by its owner only, from its first byte on; whole or not at all. */
export async function writeProfile(file: string, profile: Profile): Promise<void> {
	await makeFolder(file);
	const draft = `${file}.${process.pid}.new`;
	try {
		await rm(draft, { force: true });
		const handle = await open(draft, 'wx', 0o600);
		try {
			await handle.writeFile(`${JSON.stringify(profile, null, '\t')}\n`);
			await handle.sync();
		} finally {
			await handle.close();
		}
		await rename(draft, file);
	} catch (error) {
		await rm(draft, { force: true });
		throw new CommandError(`${file} cannot be written: ${(error as Error).message}`);
	}
}

async function makeFolder(file: string): Promise<void> {
	try {
		await mkdir(dirname(file), { recursive: true, mode: 0o700 });
	} catch (error) {
		throw new CommandError(`${dirname(file)} cannot be made: ${(error as Error).message}`);
	}
}

export interface LockClock {
	readonly now: () => number;
	readonly delay: (ms: number) => Promise<void>;
}

/** A lock is stale when its holder must have died: no refresh takes so long. */
const LOCK_STALE_MS = 30_000;
const LOCK_RETRY_MS = 50;

/** One process at a time: a refresh token may be used once only, and its second use would end the whole sign-in. */
export async function withLock<T>(file: string, clock: LockClock, work: () => Promise<T>): Promise<T> {
	const lock = `${file}.lock`;
	const endMs = clock.now() + 2 * LOCK_STALE_MS;
	await makeFolder(file);
	for (;;) {
		try {
			await (await open(lock, 'wx', 0o600)).close();
			break;
		} catch (error) {
			if ((error as NodeJS.ErrnoException).code !== 'EEXIST')
				throw new CommandError(`${lock}: ${(error as Error).message}`);
			if (clock.now() >= endMs) throw new CommandError(`${lock} is held by another process`);
			const made = await stat(lock).catch(() => null);
			if (made !== null && clock.now() - made.mtimeMs > LOCK_STALE_MS) await rm(lock, { force: true });
			else await clock.delay(LOCK_RETRY_MS);
		}
	}
	try {
		return await work();
	} finally {
		await rm(lock, { force: true });
	}
}
