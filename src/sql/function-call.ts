/** The FunctionCall message: runs a routine by its oid, so the policy is asked for that very routine. */
import { systemRoutineSafety } from '../catalog/safety.ts';
import type { CatalogSnapshot } from '../catalog/snapshot.ts';
import { GatewayError } from '../errors.ts';
import type { Access, StatementDecision } from '../stages.ts';
import { residueOfCall } from './residue.ts';
import { reasonOf } from './walk.ts';

/** Unlike a call in SQL even a harmless built-in one needs `execute`: nobody but libpq's large objects uses the message. */
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
	const harmful = systemRoutineSafety(routine)?.safe === false;
	const allowed = answer.allowed && (answer.named || !harmful);
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
