/** Reads the startup parameter `options`: the command-line switches that a client may pass to its backend. */
import { GatewayError } from '../errors.ts';

/** One setting as the client asked for it. `name` is lower case with `-` read as `_`, as the server reads it. */
export interface Setting {
	readonly name: string;
	readonly value: string;
}

/**
 * The settings in `options`: `-c name=value`, `-cname=value` and `--name=value`, with backslash escapes.
 * Every other switch is refused: 42501 FATAL (they change how the server runs, not a setting).
 */
export function parseOptions(options: string): readonly Setting[] {
	const settings: Setting[] = [];
	const words = splitOptions(options);
	for (let i = 0; i < words.length; i += 1) {
		const word = words[i] as string;
		if (word === '-c') {
			i += 1;
			settings.push(setting(words[i] ?? '', word));
		} else if (word.startsWith('-c')) settings.push(setting(word.slice(2), word));
		else if (word.startsWith('--')) settings.push(setting(word.slice(2), word));
		else throw refused(`command-line switch "${word}" in startup parameter "options" is not allowed`);
	}
	return settings;
}

/** The words, split at white space; a backslash takes the next character as it is (pg_split_opts, postinit.c). */
export function splitOptions(options: string): readonly string[] {
	const words: string[] = [];
	let word = '';
	let inWord = false;
	for (let at = 0; at < options.length; at += 1) {
		const character = options[at] as string;
		if (/[ \t\n\v\f\r]/.test(character)) {
			if (inWord) words.push(word);
			word = '';
			inWord = false;
			continue;
		}
		inWord = true;
		if (character === '\\') at += 1;
		word += options[at] ?? '';
	}
	if (inWord) words.push(word);
	return words;
}

/** Writes settings so that the server reads back exactly these. */
export function formatOptions(settings: readonly Setting[]): string {
	return settings.map(({ name, value }) => `-c ${escaped(`${name}=${value}`)}`).join(' ');
}

function escaped(text: string): string {
	return text.replace(/[\\ \t\n\v\f\r]/g, '\\$&');
}

/** ParseLongOption (guc.c): up to the first `=`; `-` in the name stands for `_`. */
function setting(text: string, word: string): Setting {
	const equals = text.indexOf('=');
	if (equals <= 0) throw refused(`"${word}" in startup parameter "options" needs a name and a value`);
	const name = text.slice(0, equals).replaceAll('-', '_').toLowerCase();
	// As valid_custom_variable_name (guc.c): with white space in it, it would be another setting once written back.
	if (!/^[\w$.\u0080-\u{10ffff}]+$/u.test(name)) throw refused(`"${name}" is not the name of a setting`);
	return { name, value: text.slice(equals + 1) };
}

function refused(message: string): GatewayError {
	return new GatewayError('42501', message, { severity: 'FATAL' });
}
