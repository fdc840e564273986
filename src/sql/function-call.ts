/** The FunctionCall message: runs a routine by its oid, so the policy is asked for that very routine. */
import { systemRoutineSafety } from '../catalog/safety.ts';
import type { CatalogSnapshot, Routine } from '../catalog/snapshot.ts';
import { GatewayError } from '../errors.ts';
import type { Access, StatementDecision } from '../stages.ts';
import { residueOfCall } from './residue.ts';
import { reasonOf } from './walk.ts';

/** What a call in SQL needs; `execute` also of harmless built-in ones that SQL allows by what their arguments are, which nobody looks at here. */
export function functionCall(access: Access, catalog: CatalogSnapshot, oid: number): StatementDecision {
	const routine = catalog.routineByOid(oid);
	if (routine === undefined) {
		return decision(
			catalog,
			`FunctionCall ${oid}`,
			[],
			new GatewayError('42883', `function with OID ${oid} does not exist`),
		);
	}
	const types = routine.argNames.join(',');
	const name = `${routine.schema}.${routine.name}(${types})`;
	const answer = access.onFunction(routine.schema, routine.name, routine.argNames, 'execute');
	const safety = systemRoutineSafety(routine);
	const harmless = safety?.safe === true && answer.deniedByName !== true && isPlain(catalog, routine);
	const allowed = harmless || (answer.allowed && (answer.named || safety?.safe !== false));
	const objects: StatementDecision['objects'] = [
		{
			kind: 'function',
			schema: routine.schema,
			name: `${routine.name}(${types})`,
			action: 'execute',
			columns: [],
			masks: {},
			filters: [],
			hidden: [],
			rules: answer.rules,
		},
	];
	const error = allowed
		? undefined
		: new GatewayError(
				'42501',
				`permission denied for function ${name}: ${reasonOf(answer, 'execute', `${access.database}.${name}`)}`,
			);
	return decision(catalog, `FunctionCall ${name}`, objects, error);
}

/** Arguments of these decide whether a statement may call them. */
const BY_ARGUMENTS: ReadonlySet<string> = new Set(['current_setting', 'set_config', 'pg_notify']);

/** An ordinary function of ordinary values: none is of a type that stands for others, whose own functions would run. */
function isPlain(catalog: CatalogSnapshot, { kind, name, argTypes, returnType }: Routine): boolean {
	if (kind !== 'function' || BY_ARGUMENTS.has(name)) return false;
	return [...argTypes, returnType].every((oid) => catalog.typeByOid(oid)?.kind === 'b');
}

function decision(
	catalog: CatalogSnapshot,
	sql: string,
	objects: StatementDecision['objects'],
	error: GatewayError | undefined,
): StatementDecision {
	return {
		effect: error === undefined ? 'allow' : 'deny',
		node: 'FunctionCall',
		sql,
		rewritten: sql,
		objects,
		rules: objects.flatMap((object) => object.rules),
		touchesProtected: true,
		checks: [],
		hidesRows: false,
		effects: error === undefined ? residueOfCall(catalog, objects) : [],
		...(error === undefined ? {} : { error }),
	};
}
