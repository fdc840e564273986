/** Tells the commands of a replication connection from SQL, as the server's own scanner does (repl_scanner.l, repl_gram.y). */

/** Node of each command, by the keyword that it begins with; written in capitals, or it is SQL. */
const nodes = {
	ALTER_REPLICATION_SLOT: 'AlterReplicationSlotCmd',
	BASE_BACKUP: 'BaseBackupCmd',
	CREATE_REPLICATION_SLOT: 'CreateReplicationSlotCmd',
	DROP_REPLICATION_SLOT: 'DropReplicationSlotCmd',
	IDENTIFY_SYSTEM: 'IdentifySystemCmd',
	READ_REPLICATION_SLOT: 'ReadReplicationSlotCmd',
	SHOW: 'VariableShowStmt',
	START_REPLICATION: 'StartReplicationCmd',
	TIMELINE_HISTORY: 'TimeLineHistoryCmd',
	UPLOAD_MANIFEST: 'UploadManifestCmd',
} as const satisfies Record<string, string>;

export interface ReplicationCommand {
	/** The server's name for it, e.g. StartReplicationCmd. */
	readonly node: string;
	/** False: no tokens of a command, too many of them, or more than one command. No server would run it. */
	readonly wellFormed: boolean;
	/** BASE_BACKUP with a TARGET other than the client: the server writes files, or runs a program. */
	readonly writesOnServer: boolean;
}

/** The longest that clients write are lists of publications; scanning holds up everybody else. */
const commandCharactersMax = 64 * 1024;

/** Longest match first, as flex has it; `\v` is white space from version 16 on, where it cannot be first for version 15. */
const token =
	/[ \t\n\r\f\v]+|[0-9A-Fa-f]+\/[0-9A-Fa-f]+|[0-9]+|'(?:[^']|'')*'|"[^"]*"|[A-Za-z\u0080-\u{10ffff}_][A-Za-z\u0080-\u{10ffff}_0-9$]*|[(),.;]/uy;

const first = /^[ \t\n\r\f]*([A-Z_]+)(?![A-Za-z\u0080-\u{10ffff}_0-9$])/u;

/** Null: it is SQL. */
export function readCommand(text: string): ReplicationCommand | null {
	const keyword = first.exec(text)?.[1] ?? '';
	if (!isKeyword(keyword)) return null;
	const tokens = text.length > commandCharactersMax ? null : tokensOf(text);
	if (tokens === null) return { node: nodes[keyword], wellFormed: false, writesOnServer: false };
	const end = tokens.indexOf(';');
	const wellFormed = end === -1 || end === tokens.length - 1;
	return { node: nodes[keyword], wellFormed, writesOnServer: keyword === 'BASE_BACKUP' && hasTarget(tokens) };
}

function isKeyword(word: string): word is keyof typeof nodes {
	return Object.hasOwn(nodes, word);
}

/** Null: something that is no token. */
function tokensOf(text: string): readonly string[] | null {
	const tokens: string[] = [];
	token.lastIndex = 0;
	for (let at = 0; at < text.length; at = token.lastIndex) {
		token.lastIndex = at;
		const [found] = token.exec(text) ?? [];
		if (found === undefined) return null;
		if (found.trim() !== '') tokens.push(found);
	}
	return tokens;
}

function hasTarget(tokens: readonly string[]): boolean {
	return tokens.some((word, index) => {
		if (nameOf(word) !== 'target') return false;
		const before = tokens[index - 1];
		return (before === '(' || before === ',') && nameOf(tokens[index + 1] ?? '') !== 'client';
	});
}

/** A name as the server reads it, without its quotes. */
function nameOf(word: string): string {
	const quoted = /^["'](.*)["']$/su.exec(word)?.[1];
	return quoted ?? word.toLowerCase();
}
