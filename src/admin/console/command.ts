/** Reads the commands of the console: PgBouncer's words, in a grammar small enough to be read at a glance. */
import { GatewayError } from '../../errors.ts';

export const showNames = [
	'help',
	'version',
	'databases',
	'hosts',
	'pools',
	'clients',
	'servers',
	'stats',
	'config',
	'readiness',
	'workers',
] as const;
export type ShowName = (typeof showNames)[number];

/** `database` null: all of them. */
export type Command =
	| { readonly type: 'show'; readonly name: ShowName }
	/** A setting as PostgreSQL has them: drivers ask for some. */
	| { readonly type: 'show-setting'; readonly name: string }
	/** What drivers set when they begin; it has no effect here. */
	| { readonly type: 'set'; readonly name: string }
	| { readonly type: 'select'; readonly what: DriverQuestion }
	| { readonly type: 'reload' }
	/** `wait`: until nobody has a server connection. */
	| { readonly type: 'pause'; readonly database: string | null; readonly wait: boolean }
	| { readonly type: 'resume' | 'kill'; readonly database: string | null }
	| { readonly type: 'disable' | 'enable'; readonly database: string }
	| { readonly type: 'kill-client'; readonly session: string };

/** Queries that drivers and pools send by themselves. */
export type DriverQuestion = 'one' | 'version' | 'array types';

export interface CommandText {
	readonly command: Command;
	/** As the client wrote it, without the semicolon. */
	readonly sql: string;
}

interface Token {
	readonly kind: 'word' | 'quoted' | 'string' | 'number' | 'symbol';
	/** A word in lower case; what is between quotes as it stands. */
	readonly text: string;
	/** Offset in the text. */
	readonly start: number;
	readonly end: number;
}

/** Settings that a client may set without being told that it cannot: none of them means anything here. */
const ignoredSettings: ReadonlySet<string> = new Set([
	'application_name',
	'bytea_output',
	'client_encoding',
	'client_min_messages',
	'datestyle',
	'extra_float_digits',
	'intervalstyle',
	'search_path',
	'session characteristics',
	'standard_conforming_strings',
	'statement_timeout',
	'timezone',
]);

const pattern =
	/\s+|--[^\n]*|\/\*[\s\S]*?\*\/|(?<word>[a-z_\u0080-\uffff][\w$\u0080-\uffff]*)|"(?<quoted>(?:[^"]|"")+)"|'(?<string>(?:[^']|'')*)'|(?<number>\d+(?:\.\d+)?)|(?<symbol>[^\s])/giy;

/** The commands of a text, in order; none for white space and comments. Throws GatewayError 42601 with a position. */
export function parseCommands(text: string): CommandText[] {
	const commands: CommandText[] = [];
	let tokens: Token[] = [];
	const take = (): void => {
		const [first] = tokens;
		const last = tokens.at(-1);
		if (first === undefined || last === undefined) return;
		const sql = text.slice(first.start, last.end);
		commands.push({ command: readCommand(new Reader(text, tokens), sql), sql });
		tokens = [];
	};
	for (const token of tokensOf(text)) {
		if (token.kind === 'symbol' && token.text === ';') take();
		else tokens.push(token);
	}
	take();
	return commands;
}

function* tokensOf(text: string): Generator<Token> {
	for (const match of text.matchAll(pattern)) {
		const { word, quoted, string, number, symbol } = match.groups ?? {};
		const start = match.index;
		const end = start + match[0].length;
		if (word !== undefined) yield { kind: 'word', text: word.toLowerCase(), start, end };
		else if (quoted !== undefined) yield { kind: 'quoted', text: quoted.replaceAll('""', '"'), start, end };
		else if (string !== undefined) yield { kind: 'string', text: string.replaceAll("''", "'"), start, end };
		else if (number !== undefined) yield { kind: 'number', text: number, start, end };
		else if (symbol !== undefined) yield { kind: 'symbol', text: symbol, start, end };
	}
}

class Reader {
	readonly #text: string;
	readonly #tokens: readonly Token[];
	#at = 0;

	constructor(text: string, tokens: readonly Token[]) {
		this.#text = text;
		this.#tokens = tokens;
	}

	/** The next token if it is a word, in lower case. */
	word(): string | null {
		const token = this.#tokens[this.#at];
		if (token?.kind !== 'word') return null;
		this.#at += 1;
		return token.text;
	}

	/** The next token if it can be a name: a word, or anything in quotes. */
	name(): string | null {
		const token = this.#tokens[this.#at];
		if (token === undefined || token.kind === 'symbol' || token.kind === 'number') return null;
		this.#at += 1;
		return token.text;
	}

	/** Whether the next token is this word; then it is behind. */
	keyword(text: string): boolean {
		const token = this.#tokens[this.#at];
		if (token?.kind !== 'word' || token.text !== text) return false;
		this.#at += 1;
		return true;
	}

	skip(): void {
		this.#at = this.#tokens.length;
	}

	end(): void {
		if (this.#at < this.#tokens.length) throw this.error();
	}

	/** 42601 at the next token, in PostgreSQL's words. */
	error(hint = 'SHOW HELP lists the commands of the console.'): GatewayError {
		const token = this.#tokens[this.#at];
		if (token === undefined) {
			const position = [...this.#text].length + 1;
			return new GatewayError('42601', 'syntax error at end of input', { position, hint });
		}
		const position = [...this.#text.slice(0, token.start)].length + 1;
		const near = this.#text.slice(token.start, token.end);
		return new GatewayError('42601', `syntax error at or near "${near}"`, { position, hint });
	}

	/** 42601 at the first token. */
	unknown(): GatewayError {
		this.#at = 0;
		return this.error();
	}
}

function readCommand(reader: Reader, sql: string): Command {
	const verb = reader.word();
	switch (verb) {
		case 'show':
			return readShow(reader);
		case 'help':
			reader.end();
			return { type: 'show', name: 'help' };
		case 'reload':
			reader.end();
			return { type: verb };
		case 'pause': {
			const bare = reader.keyword('nowait');
			const database = bare ? null : reader.name();
			const wait = !bare && !reader.keyword('nowait');
			reader.end();
			return { type: verb, database, wait };
		}
		case 'resume':
		case 'kill': {
			const database = reader.name();
			reader.end();
			return { type: verb, database };
		}
		case 'disable':
		case 'enable':
			return { type: verb, database: readName(reader) };
		case 'kill_client':
			return { type: 'kill-client', session: readName(reader) };
		case 'set':
			return readSet(reader);
		case 'select':
			return readSelect(reader, sql);
		default:
			throw reader.unknown();
	}
}

function readShow(reader: Reader): Command {
	const name = reader.word();
	if (name === null) throw reader.error();
	const show = showNames.find((known) => known === name);
	if (show !== undefined) {
		reader.end();
		return { type: 'show', name: show };
	}
	// SHOW TRANSACTION ISOLATION LEVEL
	let setting = name;
	for (let more = reader.word(); more !== null; more = reader.word()) setting += ` ${more}`;
	reader.end();
	return { type: 'show-setting', name: setting };
}

function readName(reader: Reader): string {
	const name = reader.name();
	if (name === null) throw reader.error();
	reader.end();
	return name;
}

function readSet(reader: Reader): Command {
	let name = reader.word();
	if (name === 'session' || name === 'local') {
		const next = reader.word();
		name = next === 'characteristics' ? `${name} ${next}` : next;
	}
	if (name === 'time') name = 'timezone';
	if (name === null || !ignoredSettings.has(name)) throw reader.unknown();
	reader.skip();
	return { type: 'set', name };
}

function readSelect(reader: Reader, sql: string): Command {
	const plain = sql.toLowerCase().replaceAll(/\s+/g, ' ');
	if (plain === 'select 1') return { type: 'select', what: 'one' };
	if (plain === 'select version()') return { type: 'select', what: 'version' };
	// postgres.js, when it connects.
	if (plain.startsWith('select b.oid, b.typarray from pg_catalog.pg_type a '))
		return { type: 'select', what: 'array types' };
	throw reader.unknown();
}
