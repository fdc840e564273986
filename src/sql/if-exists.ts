/** ALTER ... IF EXISTS of a relation that nobody knows: the server skips it, whatever comes to be of that name meanwhile. */
import type { RangeVar } from '@pgsql/types';
import type { Relation } from '../catalog/snapshot.ts';
import type { Harmless } from './harmless-alter.ts';
import { mayOnName, mayOnRelation } from './may.ts';
import { UnknownObject } from './names.ts';
import { quoteIdentifier } from './quote.ts';
import { refuse, type Walk } from './walk.ts';

/** No schema can have such a name (a reserved prefix), so no relation is found in it. */
const NOWHERE = 'pg_portcullis_nowhere';

/** `alter` on a relation that the policy does not protect from that; undefined where it need not be there and is not. */
export function mayAlterIfThere(
	walk: Walk,
	range: RangeVar,
	ifExists: boolean,
	harmless: Harmless | true = true,
): Relation | undefined {
	try {
		return mayOnRelation(walk, range, 'alter', harmless);
	} catch (error) {
		if (!(error instanceof UnknownObject) || !ifExists) throw error;
		const { schemaname, relname = '' } = range;
		if (schemaname !== undefined && schemaname !== 'pg_temp') mayOnName(walk, schemaname, relname, 'alter');
		walk.doubt = true;
		walk.absent.push(...error.search);
		writeNowhere(walk, range);
		return undefined;
	}
}

/** What the session itself may have made is looked for again before this; a name with a schema leads to none. */
function writeNowhere(walk: Walk, { schemaname, catalogname, location = 0 }: RangeVar): void {
	if (schemaname === 'pg_temp') return;
	const { tokens } = walk.source;
	const first = walk.source.tokenAt(location);
	const schema = tokens[first + (catalogname === undefined ? 0 : 2)];
	if (tokens[first]?.start !== location || schema === undefined || schema.name === 'UIDENT')
		throw refuse(walk, 'this way of writing a name beside IF EXISTS', location);
	if (schemaname === undefined) walk.edits.insert(location, 'pg_temp.');
	else walk.edits.replace(schema.start, schema.end, quoteIdentifier(NOWHERE));
}
