/** Which relations of pg_catalog and information_schema anyone may read, which only in part, and why the rest not. */
import { harmlessRelations, maskedRelations, refusedRelations } from './data/relations.ts';
import type { RelationSafety } from './safety.ts';

const SAFE: RelationSafety = Object.freeze({ safe: true });

const verdicts = collect();

/**
 * Whether anyone may read the relation of pg_catalog or information_schema. What is not on the list, a newer version's
 * relations included, is refused, and so are other system schemas (pg_toast holds raw values). Relations of any other
 * schema are a matter of the policy: do not ask.
 */
export function relationSafety(schema: string, name: string): RelationSafety {
	return (
		verdicts.get(`${schema}.${name}`) ?? {
			safe: false,
			reason: `it is not among the relations of ${schema} known to be harmless`,
		}
	);
}

/**
 * For relations of schemas that are not the server's own: why a rule has to name this one without a wildcard, or null. Extensions
 * keep statements of all users, with their values, in relations of certain names, in whichever schema they were put.
 */
export function needsNamedRule(schema: string, name: string): string | null {
	if (STATEMENT_RELATION.test(name)) return "it tells of other people's statements";
	return schemasOfValues.includes(schema) ? 'it holds values of other tables' : null;
}

/** Where columnar tables keep the least and the greatest value of each piece of a column. */
export const schemasOfValues: readonly string[] = ['columnar', 'columnar_internal'];

const STATEMENT_RELATION =
	/^(pg_stat_statements|pg_stat_monitor|pg_stat_plans|pg_stat_kcache(_detail)?|pg_store_plans|pg_qualstats.*|powa_.*|citus_(dist_)?stat_.*|citus_worker_stat_activity|citus_lock_waits|citus_query_stats|dump_.*_wait_edges|qs_view|query_store.*)$/;

/** One table from the three lists; throws when a relation stands on two of them. */
function collect(): Map<string, RelationSafety> {
	const verdicts = new Map<string, RelationSafety>();
	const add = (key: string, safety: RelationSafety) => {
		const full = key.includes('.') ? key : `pg_catalog.${key}`;
		if (verdicts.has(full)) throw new Error(`relation list: ${full} stands there twice`);
		verdicts.set(full, Object.freeze(safety));
	};
	for (const name of words(harmlessRelations.pg_catalog)) add(name, SAFE);
	for (const name of words(harmlessRelations.information_schema)) add(`information_schema.${name}`, SAFE);
	for (const { reason, relations } of refusedRelations) {
		for (const name of words(relations)) add(name, { safe: false, reason });
	}
	for (const { relations, ...mask } of maskedRelations) {
		for (const name of words(relations)) add(name, { safe: 'masked', ...mask });
	}
	return verdicts;
}

function words(text: string): string[] {
	return text.split(/\s+/).filter((word) => word !== '');
}
