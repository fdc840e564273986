/** What servers before PostgreSQL 18 say of a text that does not parse, where the gateway's grammar says it in other words or at a place. */
import { GatewayError } from '../errors.ts';

interface OlderWords {
	/** As in server_version_num: from this version on the server says what the grammar does. */
	readonly since: number;
	readonly said: RegExp;
	/** In place of what matched; without it the words are the same. */
	readonly before?: string;
	/** Older servers gave no position with it. */
	readonly unplaced?: true;
}

const OLDER: readonly OlderWords[] = [
	{
		since: 180_000,
		said: /^constraints cannot be altered to be NOT VALID$/,
		before: 'FOREIGN KEY constraints cannot be marked NOT VALID',
		unplaced: true,
	},
	{ since: 180_000, said: /^[A-Z ]+ constraints cannot be marked /, unplaced: true },
	{ since: 180_000, said: /^unrecognized partitioning strategy /, unplaced: true },
	{ since: 180_000, said: /^(modulus|remainder) for hash partition must be specified$/, unplaced: true },
	{ since: 180_000, said: /WITH TIES (options )?cannot be /, unplaced: true },
	{ since: 180_000, said: /^OUT and INOUT arguments aren't allowed in TABLE functions$/, unplaced: true },
	{ since: 180_000, said: /^CREATE (ASSERTION|OR REPLACE CONSTRAINT TRIGGER) is not /, unplaced: true },
	{
		since: 160_000,
		said: /^invalid (hexadecimal|octal|binary) integer at or near /,
		before: 'trailing junk after numeric literal at or near ',
	},
];

/** The grammar's error as a server of this version tells it (its gram.y and scan.l); SQLSTATE, HINT and DETAIL stay. */
export function asOlderServer(error: GatewayError, serverVersion: number): GatewayError {
	const words = OLDER.find(({ since, said }) => serverVersion < since && said.test(error.message));
	if (words === undefined) return error;
	const { detail, hint, position, severity, cause, sqlstate } = error;
	return new GatewayError(sqlstate, error.message.replace(words.said, words.before ?? '$&'), {
		severity,
		cause,
		...(detail === undefined ? {} : { detail }),
		...(hint === undefined ? {} : { hint }),
		...(position === undefined || words.unplaced === true ? {} : { position }),
	});
}
