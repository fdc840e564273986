/** What a client wishes about its login in the startup parameter `options`: `-c portcullis.login=...`, `portcullis.issuer`. */
import { LOGIN_KINDS, type LoginKind } from './settings.ts';

export interface LoginWish {
	/** The last one given; null when there is none. */
	readonly login: LoginKind | null;
	/** The issuer to sign in at, where there are several; null when none is named. */
	readonly issuer: string | null;
	/** The value of portcullis.login as sent when it is none of LOGIN_KINDS. */
	readonly invalid: string | null;
}

/** Other options, and words that are none, are passed over: they are the session's to judge. */
export function readLoginWish(options: string): LoginWish {
	let value: string | null = null;
	let issuer: string | null = null;
	for (const [name, text] of settingsIn(splitOptions(options))) {
		if (name === 'portcullis.login') value = text;
		if (name === 'portcullis.issuer') issuer = text;
	}
	const login = LOGIN_KINDS.find((kind) => kind === value) ?? null;
	return { login, issuer, invalid: value !== null && login === null ? value : null };
}

/** `-c name=value`, `-cname=value` and `--name=value`, names in lower case. */
function* settingsIn(words: readonly string[]): Generator<readonly [string, string]> {
	for (let at = 0; at < words.length; at += 1) {
		const word = words[at] ?? '';
		let text = /^(?:-c|--)/.test(word) ? word.slice(2) : '';
		if (word === '-c') {
			at += 1;
			text = words[at] ?? '';
		}
		const equals = text.indexOf('=');
		if (equals > 0) yield [text.slice(0, equals).toLowerCase(), text.slice(equals + 1)];
	}
}

/** As the server does (pg_split_opts): at white space; a backslash takes the next character as it is. */
function splitOptions(options: string): string[] {
	return [...options.matchAll(/(?:\\[\s\S]|[^\s\\]|\\$)+/g)].map(([word]) => word.replace(/\\([\s\S]|$)/g, '$1'));
}
