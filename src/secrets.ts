/** Takes secrets out of a statement's text before it is written down: passwords of roles, of connection strings and URIs, keys of pgcrypto. */

/** Stands in place of what was taken out. */
export const redacted = '[redacted]';

/** The text without its secrets; the same string where there is none. Reads what does not parse as well. Never throws; linear in the text. */
export function withoutSecrets(sql: string): string {
	return suspicious.test(sql) ? cleaned(sql, 0) : sql;
}

/** Bytes that `copyPlain` takes for each character at most. */
export const plainBytesMax = 2;

/**
 * Copies the JSON text of a plain text, without its quotation marks, to `to` from `start` on, where there is room for it. Answers where
 * that ends; -1 for a text that is not plain, and then what stands there is not to be used. Plain is printable ASCII with tabs and line
 * feeds in which no secret is. Much cheaper than `withoutSecrets` and JSON.stringify, which it stands for. Of a part, [from, until),
 * the caller knows that what is before and behind it is plain, and that `mayHoldSecretWord` of neither.
 */
export function copyPlain(text: string, to: Uint8Array, start: number, from = 0, until = text.length): number {
	// A word may begin before the part, and end behind it.
	let before = from > 0 ? text.charCodeAt(from - 1) | 0x20 : 0;
	let innocent = false;
	let end = start;
	for (let at = from; at < until; at += 1) {
		const unit = text.charCodeAt(at);
		// Letters become lower case.
		const now = unit | 0x20;
		if (now === pairs[before] && !innocent) {
			if (suspicious.test(text)) return -1;
			innocent = true;
		}
		before = now;
		if (unit < 0x20 || unit > 0x7e || unit === quotationMark || unit === backslash) {
			const escape = escapes[unit];
			if (escape === undefined || escape === 0) return -1;
			to[end] = backslash;
			to[end + 1] = escape;
			end += 2;
		} else {
			to[end] = unit;
			end += 1;
		}
	}
	if (until < text.length && (text.charCodeAt(until) | 0x20) === pairs[before] && !innocent && suspicious.test(text))
		return -1;
	return end;
}

/** Whether a word stands in the text, whole or as a part of others, that a secret may follow. */
export function holdsSecretWord(text: string): boolean {
	return suspicious.test(text);
}

/** False: no text that this is a part of has such a word that lies in this part but for one character at most. */
export function mayHoldSecretWord(part: string): boolean {
	for (let at = 1; at < part.length; at += 1) {
		if (pairs[part.charCodeAt(at - 1) | 0x20] === (part.charCodeAt(at) | 0x20)) return true;
	}
	return false;
}

/** A value without the password of a connection string: behind `password=` to its end, or between `scheme://user:` and `@`. */
export function withoutConnectionSecrets(value: string): string {
	return mayConnect.test(value) ? connectionCleaned(value) : value;
}

/** `name`: without its schema, as the catalogue has it. A parameter among its arguments may be a password or a key. */
export function isSecretFunction(name: string): boolean {
	return secretFunctions.has(name);
}

/** What the server said of a text, where it may quote a secret of it: scan errors end in `at or near "..."`. */
export function withoutQuoted(message: string): string {
	return message.replace(/(at or near ").*"/s, `$1${redacted}"`);
}

/** Nothing below finds anything in a text without one of these. */
const suspicious = /passw|secret|token|key|crypt|hmac|:\/\//i;

const [quotationMark, backslash] = [0x22, 0x5c];

/** By a character, the one that makes a word of `suspicious` possible behind it: paSSW, seCRet, CRypt, tOKen, kEY, HMac, `:/`. */
const pairs: Uint8Array = new Uint8Array(256);
for (const pair of ['sw', 'cr', 'ok', 'ey', 'hm', ':/']) pairs[pair.charCodeAt(0)] = pair.charCodeAt(1);

/** What JSON writes behind a backslash in place of a character; 0 for those that `copyPlain` leaves to others. */
const escapes: Uint8Array = new Uint8Array(128);
for (const pair of ['""', '\\\\', '\nn', '\tt']) escapes[pair.charCodeAt(0)] = pair.charCodeAt(1);

const mayConnect = /passw|:\/\//i;

/** Options whose value is a secret (CREATE ROLE ... PASSWORD '...', OPTIONS (password '...'), CREATE SUBSCRIPTION): a string right behind the word. */
const secretOption =
	/^(?:(?:ssl)?password|passwd|passphrase|secret|token|(?:\w+_)?(?:password|secret|token|(?:access|secret|api|private|account)_?key))$/;

/** pgcrypto: every string among their arguments may be a password or a key. */
const secretFunctions: ReadonlySet<string> = new Set([
	'crypt',
	'hmac',
	'encrypt',
	'decrypt',
	'encrypt_iv',
	'decrypt_iv',
	'pgp_sym_encrypt',
	'pgp_sym_encrypt_bytea',
	'pgp_sym_decrypt',
	'pgp_sym_decrypt_bytea',
	'pgp_pub_decrypt',
	'pgp_pub_decrypt_bytea',
]);

/** A string in a string in a string: deeper ones are taken out whole. */
const depthMax = 4;

/** A string literal's place in the text: all of it, and what is between its quotes. */
interface Quoted {
	readonly contentStart: number;
	readonly contentEnd: number;
	readonly end: number;
	readonly kind: 'plain' | 'escape' | 'dollar';
}

function cleaned(sql: string, depth: number): string {
	return new Cleaner(sql, depth).run();
}

/** Goes over the tokens once; what is kept is copied in stretches. */
class Cleaner {
	readonly #sql: string;
	readonly #depth: number;
	#at = 0;
	#copied = 0;
	#out = '';
	/** The word right before, lower case; '' behind anything else. Comments and white space do not count. */
	#word = '';
	/** The string right before was taken out: one that goes on on the next line is part of it. */
	#took = false;
	/** Open brackets, and how many of them were open before the arguments of a secret function began; -1 outside of one. */
	#open = 0;
	#secretFrom = -1;

	constructor(sql: string, depth: number) {
		this.#sql = sql;
		this.#depth = depth;
	}

	run(): string {
		const sql = this.#sql;
		while (this.#at < sql.length) this.#token();
		return this.#copied === 0 ? sql : this.#out + sql.slice(this.#copied);
	}

	#token(): void {
		const sql = this.#sql;
		skipped.lastIndex = this.#at;
		if (skipped.test(sql)) {
			this.#at = skipped.lastIndex;
			return;
		}
		const afterComment = commentEnd(sql, this.#at);
		if (afterComment !== this.#at) {
			// What was a statement once and is a comment now holds the same secrets.
			this.#keep(
				this.#at + 2,
				afterComment,
				cleanedContent(sql.slice(this.#at + 2, afterComment), 'dollar', this.#depth),
			);
			this.#at = afterComment;
			return;
		}
		const quoted = quotedAt(sql, this.#at);
		if (quoted !== null) {
			this.#string(quoted);
			return;
		}
		this.#took = false;
		if (sql[this.#at] === '"') {
			const end = afterQuote(sql, this.#at + 1, '"');
			this.#word = sql.slice(this.#at + 1, end - 1).toLowerCase();
			this.#at = end;
			return;
		}
		word.lastIndex = this.#at;
		const found = word.exec(sql)?.[0];
		if (found === undefined) this.#sign();
		else {
			this.#word = found.toLowerCase();
			this.#at += found.length;
		}
	}

	#sign(): void {
		const sign = this.#sql[this.#at];
		if (sign === '(') {
			if (this.#secretFrom < 0 && secretFunctions.has(this.#word)) this.#secretFrom = this.#open;
			this.#open += 1;
		} else if (sign === ')') {
			this.#open -= 1;
			if (this.#open <= this.#secretFrom) this.#secretFrom = -1;
		}
		this.#word = '';
		this.#at += 1;
	}

	#string({ contentStart, contentEnd, end, kind }: Quoted): void {
		const sql = this.#sql;
		const whole = this.#took || this.#secretFrom >= 0 || secretOption.test(this.#word);
		const content = sql.slice(contentStart, contentEnd);
		const kept = whole ? redacted : cleanedContent(content, kind, this.#depth);
		this.#keep(contentStart, contentEnd, kept);
		this.#took = whole;
		this.#word = '';
		this.#at = end;
	}

	/** That stretch of the text is written as `text`. */
	#keep(start: number, end: number, text: string): void {
		if (text === this.#sql.slice(start, end)) return;
		this.#out += this.#sql.slice(this.#copied, start) + text;
		this.#copied = end;
	}
}

const skipped = /\s+/y;
const lineComment = /--[^\n\r]*/y;
const word = /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y;
const dollarTag = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y;

/** Behind a comment that begins at `start`; `start` where there is none. Nested as the server reads them; one that nobody closes takes the rest. */
function commentEnd(sql: string, start: number): number {
	lineComment.lastIndex = start;
	if (lineComment.test(sql)) return lineComment.lastIndex;
	if (!sql.startsWith('/*', start)) return start;
	let depth = 0;
	const mark = /\/\*|\*\//g;
	mark.lastIndex = start;
	for (let found = mark.exec(sql); found !== null; found = mark.exec(sql)) {
		depth += found[0] === '/*' ? 1 : -1;
		if (depth === 0) return mark.lastIndex;
	}
	return sql.length;
}

/** A string that begins at `at`, with its prefix (E'', B'', X'', N'', U&''); null for anything else. */
function quotedAt(sql: string, at: number): Quoted | null {
	if (sql[at] === '$') {
		dollarTag.lastIndex = at;
		const tag = dollarTag.exec(sql)?.[0];
		if (tag === undefined) return null;
		const close = sql.indexOf(tag, at + tag.length);
		const contentEnd = close === -1 ? sql.length : close;
		const end = close === -1 ? sql.length : close + tag.length;
		return { contentStart: at + tag.length, contentEnd, end, kind: 'dollar' };
	}
	prefix.lastIndex = at;
	const before = prefix.exec(sql)?.[0];
	if (before === undefined) return null;
	const contentStart = at + before.length;
	const escapes = before[0] === 'e' || before[0] === 'E';
	const end = escapes ? afterEscapes(sql, contentStart) : afterQuote(sql, contentStart, "'");
	const closed = sql[end - 1] === "'" && end > contentStart;
	return { contentStart, contentEnd: closed ? end - 1 : end, end, kind: escapes ? 'escape' : 'plain' };
}

const prefix = /(?:[eEbBxXnN]|[uU]&)?'/y;

/** Behind the closing quote; the end of the text where there is none. Doubled ones are part of what is quoted. */
function afterQuote(sql: string, from: number, quote: string): number {
	for (let at = sql.indexOf(quote, from); at !== -1; at = sql.indexOf(quote, at + 2)) {
		if (sql[at + 1] !== quote) return at + 1;
	}
	return sql.length;
}

function afterEscapes(sql: string, from: number): number {
	const step = /\\|'/g;
	step.lastIndex = from;
	for (let found = step.exec(sql); found !== null; found = step.exec(sql)) {
		if (found[0] === "'" && sql[found.index + 1] !== "'") return step.lastIndex;
		step.lastIndex = found.index + 2;
	}
	return sql.length;
}

/** What stands between quotes, without connection strings' passwords, and without the secrets of SQL in it (a function's body, EXECUTE). */
function cleanedContent(content: string, kind: Quoted['kind'], depth: number): string {
	if (!suspicious.test(content)) return content;
	const plain = connectionCleaned(content);
	if (!/['"$]/.test(plain)) return plain;
	if (depth >= depthMax) return redacted;
	if (kind === 'dollar') return cleaned(plain, depth + 1);
	if (kind === 'escape') return /passw/i.test(plain) ? redacted : plain;
	const inner = plain.replaceAll("''", "'");
	const without = cleaned(inner, depth + 1);
	return without === inner ? plain : without.replaceAll("'", "''");
}

function connectionCleaned(content: string): string {
	const uris = content.includes('://')
		? content
				.replaceAll(/:\/\/([^\s/?#@:]{0,256}):[^\s/?#]{1,1024}@/g, `://$1:${redacted}@`)
				.replaceAll(/([?&](?:ssl)?password=)[^\s&'"]{1,1024}/gi, `$1${redacted}`)
		: content;
	const pairs = /^\s*[a-z_]+\s*=/i.test(uris) ? /(?:^|[\s'])(?:ssl)?password\s*=\s*/i.exec(uris) : null;
	return pairs === null ? uris : uris.slice(0, pairs.index + pairs[0].length) + redacted;
}
