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
 * For relations of any schema: why a rule has to name this one without a wildcard, or null. Extensions keep statements of
 * all users, with their values, in relations of these names, in whichever schema they were put.
 */
export function needsNamedRule(name: string): string | null {
	return STATEMENT_RELATION.test(name) ? 'it holds statements of other users' : null;
}

const STATEMENT_RELATION =
	/^(pg_stat_statements|pg_stat_monitor|pg_stat_plans|pg_stat_kcache(_detail)?|pg_store_plans|pg_qualstats.*|powa_.*|citus_stat_statements|qs_view|query_store.*)$/;

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
