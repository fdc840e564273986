/** Finds `-c portcullis.login=...` in the startup parameter `options`, and takes it out of what the backend is sent. */
import { LOGIN_KINDS, type LoginKind } from './settings.ts';

export interface LoginOption {
	/** The last one given; null when there is none. */
	readonly login: LoginKind | null;
	/** The value as sent when it is none of LOGIN_KINDS. */
	readonly invalid: string | null;
	/** The other options, unchanged. */
	readonly rest: string;
}

const NAME = 'portcullis.login';

/** `options` is split as the server does (pg_split_opts): at white space, with backslash escapes. */
export function takeLogin(options: string): LoginOption {
	const words = splitOptions(options);
	const kept: string[] = [];
	let value: string | null = null;
	for (let at = 0; at < words.length; at += 1) {
		const word = words[at];
		if (word === undefined) break;
		const next = words[at + 1];
		if (word.text === '-c' && next !== undefined) {
			const found = loginValue(next.text);
			if (found === null) kept.push(word.raw, next.raw);
			else value = found;
			at += 1;
			continue;
		}
		const found = /^(?:-c|--)/.test(word.text) ? loginValue(word.text.slice(2)) : null;
		if (found === null) kept.push(word.raw);
		else value = found;
	}
	const login = LOGIN_KINDS.find((kind) => kind === value) ?? null;
	return { login, invalid: value !== null && login === null ? value : null, rest: kept.join(' ') };
}

function loginValue(setting: string): string | null {
	const equals = setting.indexOf('=');
	if (equals < 0) return null;
	return setting.slice(0, equals).toLowerCase() === NAME ? setting.slice(equals + 1) : null;
}

interface Word {
	/** As sent, escapes and all. */
	readonly raw: string;
	readonly text: string;
}

function splitOptions(options: string): Word[] {
	return [...options.matchAll(/(?:\\[\s\S]|[^\s\\]|\\$)+/g)].map(([raw]) => ({
		raw,
		text: raw.replace(/\\([\s\S]|$)/g, '$1'),
	}));
}
