/** The version of this program, from package.json. */
import { readFileSync } from 'node:fs';

/** E.g. 0.1.0. The file is two folders up, from src as from dist. */
export function version(): string {
	const file = new URL('../../package.json', import.meta.url);
	return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
