/** A person at a command line with a home of their own, a clock that can be set, and a browser that is driven by the test. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import type { CommandIo } from '../../../src/cli/io.ts';
import { profileFile } from '../../../src/cli/person/profile.ts';
import type { PersonDeps } from '../../../src/cli/person/sign-in.ts';

export interface TestPerson {
	readonly home: string;
	/** Of the profile `default`. */
	readonly file: string;
	readonly io: CommandIo;
	readonly written: { out: string; err: string };
	readonly deps: PersonDeps;
	/** What the clock is ahead of the real one. */
	readonly clock: { aheadMs: number };
	/** Called with the address that the browser is to open; answers whether there is one. */
	browser: (url: string) => boolean;
	/** Requests to the provider: path and `grant_type`. */
	readonly asked: string[];
	/** Removes the home. */
	leave(): Promise<void>;
}

export async function arrive(env: NodeJS.ProcessEnv = {}): Promise<TestPerson> {
	const home = await mkdtemp(join(tmpdir(), 'portcullis-person-'));
	const own = { PATH: process.env['PATH'], HOME: home, ...env };
	const written = { out: '', err: '' };
	const clock = { aheadMs: 0 };
	const asked: string[] = [];
	const person: TestPerson = {
		home,
		file: profileFile('default', own),
		written,
		clock,
		asked,
		browser: () => false,
		io: {
			out: (text) => {
				written.out += text;
			},
			err: (text) => {
				written.err += text;
			},
			stdin: new PassThrough(),
			env: own,
			color: false,
			columns: 100,
		},
		deps: {
			randomBytes,
			now: () => Date.now() + clock.aheadMs,
			delay: (ms) => new Promise((resolve) => setTimeout(resolve, Math.min(ms, 20))),
			openBrowser: (url) => person.browser(url),
			fetch: (input, init) => {
				const grant = new URLSearchParams(String(init?.body ?? '')).get('grant_type');
				asked.push(`${new URL(String(input)).pathname}${grant === null ? '' : ` ${grant}`}`);
				return fetch(input, init);
			},
		},
		leave: () => rm(home, { recursive: true, force: true }),
	};
	return person;
}
