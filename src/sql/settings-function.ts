/** pg_show_all_settings() in FROM, as pgAdmin sends it: what pg_settings shows stands in its place. */
import { findRoutines } from './routines.ts';
import { stringsOf } from './names.ts';
import { as, type NodeOf } from './nodes.ts';
import { systemProtection } from './protection.ts';
import { subquery } from './protected-read.ts';
import { quoteIdentifier } from './quote.ts';
import type { RangeItem } from './scope.ts';
import { noteUse, type Walk } from './walk.ts';

const NAME = 'pg_show_all_settings';

/** Undefined for any other item; the gateway's own function of that name is asked for as any function is. */
export function settingsFunction(walk: Walk, node: NodeOf<'RangeFunction'>): RangeItem | undefined {
	const [entry] = node.functions ?? [];
	const call = as(as(entry, 'List')?.items?.[0], 'FuncCall');
	const names = stringsOf(call?.funcname);
	if (walk.mode !== 'statement' || call === undefined || names.at(-1) !== NAME || (call.args ?? []).length > 0)
		return undefined;
	if (node.functions?.length !== 1 || node.is_rowsfrom === true || node.ordinality === true) return undefined;
	const meant = findRoutines(walk.context, {
		names,
		args: [],
		loose: false,
		location: call.location,
		action: 'execute',
	});
	const relation = walk.context.catalog.relation('pg_catalog', 'pg_settings');
	const protection = relation === undefined ? undefined : systemProtection(relation);
	if (meant.length !== 1 || meant[0]?.builtin !== true || relation === undefined) return undefined;
	if (protection === undefined || typeof protection !== 'object' || 'refused' in protection) return undefined;
	const read = { relation, protection, only: false, sample: '', definition: null, pushed: [] };
	const text = subquery(walk, { ...read, sampled: new Set<string>(), systemColumns: new Set<string>() }, false);
	const open = walk.source.tokenAt(call.location ?? 0) + 2 * names.length - 1;
	const end = walk.source.tokens[walk.source.closing(open)]?.end ?? 0;
	const alias = node.alias?.aliasname;
	walk.edits.replace(call.location ?? 0, end, `(${text})${alias === undefined ? ` AS ${quoteIdentifier(NAME)}` : ''}`);
	const aliases = stringsOf(node.alias?.colnames);
	return {
		name: alias ?? NAME,
		schema: null,
		columns: relation.columns.map((column, i) => ({
			name: aliases[i] ?? column.name,
			type: column.typeOid,
			masked: true,
		})),
		replaced: true,
		qualifiedOnly: false,
		note: noteUse(walk, 'relation', relation.schema, relation.name, 'select'),
		rowType: null,
	};
}
