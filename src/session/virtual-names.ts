/** Names of prepared statements on shared backends. */
import { type StatementName, statementName } from '../wire/frontend.ts';

/** All that the gateway prepares on a shared backend begins so; what does not is a client's. */
export const ownStatements = 'portcullis shared ';

/** As they stand in errors of the server. */
export const sharedNames = new RegExp(`"${ownStatements}\\d+"`, 'g');

/** No statement has this name: a Close of it does nothing but be answered in its turn. */
export const noStatementName = statementName('portcullis nothing');

/** `number`: never the same twice on one backend. */
export function sharedName(number: number): StatementName {
	return statementName(`${ownStatements}${number}`);
}
