/** Whether masks fit the columns that rules put them on: the server is asked once for each mask and type, with a value of that type. */
import type { CatalogSnapshot, Column, Relation } from '../catalog/snapshot.ts';
import type { MaskUse } from '../policy/mask-uses.ts';
import type { PolicyProblem } from '../policy/problem.ts';
import { isMisfit } from '../sql/mask-error.ts';
import { maskedColumn, PolicyMisfit } from '../sql/protection.ts';
import { quoteIdentifier } from '../sql/quote.ts';
import { turns } from './turns.ts';

/** Runs a query on the database; rejects with an error that has the server's SQLSTATE as `sqlstate`. */
export type AskServer = (sql: string) => Promise<unknown>;

/** Masks on types beyond this number are not tried. */
const TRIALS_MAX = 1_000;

/** One mask on one type, and where it stands. */
interface Trial {
	readonly use: MaskUse;
	readonly relation: Relation;
	readonly column: Column;
	columns: number;
}

const KINDS: ReadonlySet<Relation['kind']> = new Set(['table', 'partitioned', 'view', 'matview', 'foreign']);

/** A warning for each mask that fails on a column's type. Rejects when the server cannot be asked. */
export async function maskMisfits(
	uses: readonly MaskUse[],
	catalog: CatalogSnapshot,
	ask: AskServer,
): Promise<PolicyProblem[]> {
	if (uses.length === 0) return [];
	const problems: PolicyProblem[] = [];
	for (const trial of [...(await trials(uses, catalog))].slice(0, TRIALS_MAX)) {
		const reason = await failure(trial, catalog, ask);
		if (reason !== null) problems.push(problem(trial, reason));
	}
	return problems;
}

async function trials(uses: readonly MaskUse[], catalog: CatalogSnapshot): Promise<Iterable<Trial>> {
	const turn = turns();
	const found = new Map<string, Trial>();
	// In an order of their own: the same problem is told in the same words, and a log has it once.
	for (const relation of [...catalog.relations()].sort((one, other) => one.oid - other.oid)) {
		if (!KINDS.has(relation.kind) || relation.schema.startsWith('pg_') || relation.schema === 'information_schema')
			continue;
		for (const column of relation.columns) {
			await turn();
			for (const [at, use] of uses.entries()) {
				const others = use.mask.columns.map((name) => relation.columns.find((other) => other.name === name)?.type);
				// That a column is not there is told of as it is.
				if (others.includes(undefined) || !use.holds(relation.schema, relation.name, column.name)) continue;
				const key = JSON.stringify([at, column.type, column.plainType, others]);
				const known = found.get(key);
				if (known === undefined) found.set(key, { use, relation, column, columns: 1 });
				else known.columns += 1;
			}
		}
	}
	return found.values();
}

async function failure(
	{ use, relation, column }: Trial,
	catalog: CatalogSnapshot,
	ask: AskServer,
): Promise<string | null> {
	const others = relation.columns.filter(({ name }) => name !== column.name && use.mask.columns.includes(name));
	const values = [column, ...others].map((one) => `${sampleOf(one, catalog)} AS ${quoteIdentifier(one.name)}`);
	const protection = maskedColumn(catalog, relation, column, use.mask);
	if (protection.state !== 'masked') return null;
	try {
		await ask(`SELECT ${protection.render('"_p"')} FROM (SELECT ${values.join(', ')} OFFSET 0) AS "_p"`);
		return null;
	} catch (error) {
		// What cannot be written so that it means the same in every session is told by itself.
		if (error instanceof PolicyMisfit) return null;
		const { sqlstate, message } = error as { readonly sqlstate?: unknown; readonly message?: unknown };
		if (typeof sqlstate !== 'string' || !isMisfit(sqlstate)) {
			if (typeof sqlstate === 'string' && !sqlstate.startsWith('08') && !sqlstate.startsWith('57')) return null;
			throw error;
		}
		return String(message);
	}
}

/** A value of the type as somebody might have it; null of types that are not thought of here. */
function sampleOf({ type, typeOid }: Column, catalog: CatalogSnapshot): string {
	const known = catalog.typeByOid(typeOid);
	const name = known?.schema === 'pg_catalog' ? known.name : '';
	const text = BY_NAME[name] ?? BY_CATEGORY[known?.kind === 'b' ? known.category : ''];
	if (known?.kind === 'e') return `(pg_catalog.enum_range(NULL::${type}))[1]`;
	return text === undefined ? `NULL::${type}` : `'${text}'::${type}`;
}

const BY_NAME: Readonly<Record<string, string>> = {
	uuid: '00000000-0000-4000-8000-000000000001',
	json: '{}',
	jsonb: '{}',
	bytea: '\\x01',
	time: '12:34',
	timetz: '12:34+00',
	char: 'a',
	oid: '1',
};

/** pg_type.typcategory of plain types. Numbers that are oids of objects (regclass) take a number too. */
const BY_CATEGORY: Readonly<Record<string, string>> = {
	B: 'true',
	D: '2001-02-03',
	I: '10.0.0.1',
	N: '0',
	S: 'a',
	T: '1 day',
};

function problem({ use, relation, column, columns }: Trial, reason: string): PolicyProblem {
	const place = `${relation.schema}.${relation.name}.${column.name}`;
	const more = columns === 1 ? '' : ` and ${columns - 1} more of that type`;
	return {
		severity: 'warning',
		file: use.rule.file,
		line: use.rule.line,
		reason:
			`the mask ${use.mask.name} does not fit ${place} (${column.type})${more}, which cannot be read so: ${reason}. ` +
			'Put a rule for it before this one, with a mask of its type or null, or name here the columns that the mask is for',
	};
}
