/** Who is asked to open a page: the person's own choice, and nobody where there is no screen. */
import { existsSync } from 'node:fs';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { openBrowser } from '../../../src/cli/person/browser.ts';
import { until } from '../../session/until.ts';
import { arrive } from './person.ts';

test('the browser that BROWSER names gets the address as it is', async () => {
	const person = await arrive();
	onTestFinished(() => person.leave());
	const [script, seen] = [join(person.home, 'my browser'), join(person.home, 'seen')];
	await writeFile(script, `#!/bin/sh\nprintf '%s|' "$@" > '${seen}.new' && mv '${seen}.new' '${seen}'\n`);
	await chmod(script, 0o700);
	const url = 'https://id.example.com/auth?a=1&b=$(touch x)\'"';
	expect(openBrowser(url, { BROWSER: script, PATH: process.env['PATH'] })).toBe(true);
	await until(() => existsSync(seen));
	expect(await readFile(seen, 'utf8')).toBe(`${url}|`);
});

test.each([
	{ name: 'no screen', env: {} },
	{ name: 'over ssh', env: { DISPLAY: ':0', SSH_CONNECTION: '10.0.0.1 1 10.0.0.2 22' } },
])('$name: nobody', ({ env }) => {
	expect(openBrowser('https://id.example.com', env, 'linux')).toBe(false);
});

test('a browser that is not there is no error', () => {
	expect(openBrowser('https://id.example.com', { BROWSER: '/nonexistent/browser' }, 'linux')).toBe(true);
});
