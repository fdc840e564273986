/** Opens the person's browser, where there is one. */
import { spawn } from 'node:child_process';

/** True when a browser was asked to open the page; whether it did is not known. Never throws. */
export function openBrowser(
	url: string,
	env: NodeJS.ProcessEnv,
	platform: NodeJS.Platform = process.platform,
): boolean {
	const command = commandFor(url, env, platform);
	if (command === null) return false;
	const [program, ...args] = command;
	try {
		const child = spawn(program, args, { detached: true, stdio: 'ignore', env });
		child.on('error', () => undefined);
		child.unref();
		return true;
	} catch {
		return false;
	}
}

/** Null where there is nobody to show it to: over ssh, or without a display. */
function commandFor(
	url: string,
	env: NodeJS.ProcessEnv,
	platform: NodeJS.Platform,
): readonly [string, ...string[]] | null {
	const { BROWSER: own = '', SSH_CONNECTION: ssh = '', DISPLAY: x = '', WAYLAND_DISPLAY: wayland = '' } = env;
	if (own !== '') return [own, url];
	if (ssh !== '') return null;
	if (platform === 'darwin') return ['open', url];
	// Not `start`: a shell would read the `&` of the address.
	if (platform === 'win32') return ['rundll32', 'url.dll,FileProtocolHandler', url];
	return x === '' && wayland === '' ? null : ['xdg-open', url];
}
