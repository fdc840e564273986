/** What the tests of the policy share: a policy from text, and an identity from a few words. */
import { readFileSync } from 'node:fs';
import { isHarmlessFunctionName } from '../../src/catalog/safety.ts';
import { parsePolicy, type Policy } from '../../src/policy/policy.ts';
import { PolicyError } from '../../src/policy/problem.ts';
import type { PolicyHoles } from '../../src/sql/policy-print.ts';
import type { Access, Answer, ClaimValue, Identity } from '../../src/stages.ts';

export const MODEL = readFileSync(new URL('../../policies/model.conf', import.meta.url), 'utf8');

export const MASKS = `masks:
  ssn_last4: "'XXX-XX-' || right(value, 4)"
  email: "left(value, 1) || '***@' || split_part(value, '@', 2)"
  nothing: "null"
filters:
  own_tenant: "tenant = claims.tenant"
  own_region: "region = any(claims.regions)"
`;

export function policyOf(
	rules: string,
	options: { readonly masks?: string; readonly model?: string } = {},
): Promise<Policy> {
	return parsePolicy(
		{ model: options.model ?? MODEL, rules, masks: options.masks ?? MASKS },
		{ isHarmlessFunction: isHarmlessFunctionName },
	);
}

/** The lines that a policy is refused with; empty when it is taken. */
export async function errorsOf(
	rules: string,
	options: { readonly masks?: string; readonly model?: string } = {},
): Promise<string[]> {
	try {
		await policyOf(rules, options);
		return [];
	} catch (error) {
		if (!(error instanceof PolicyError)) throw error;
		return error.message.split('\n');
	}
}

/** `user:ana`, `role:writer`, `group:data-team`: the first user is the name. */
export function identityOf(principals: readonly string[], claims: Readonly<Record<string, ClaimValue>> = {}): Identity {
	const named = (kind: string): string[] =>
		principals
			.filter((principal) => principal.startsWith(`${kind}:`))
			.map((principal) => principal.slice(kind.length + 1));
	return { name: named('user')[0] ?? 'nobody', roles: named('role'), groups: named('group'), claims, method: 'token' };
}

/** Puts a question as it is written in the tables of the tests: `select shop.hr.employees.ssn`, `execute shop.public.f(integer)`. */
export function ask(access: Access, question: string): Answer {
	const [action, object = ''] = question.split(/ (.*)/s) as [Parameters<Access['onDatabase']>[0], string?];
	const call = /^(\w+)\.(\w+)\((.*)\)$/.exec(object);
	if (call) {
		const [, schema = '', name = '', types = ''] = call;
		const list = types === '' ? [] : types.split(',');
		return access.onFunction(schema, name, list, action as 'execute' | 'call');
	}
	const parts = object === '' ? [] : (object.match(/"[^"]+"|[^.]+/g) ?? []).map((part) => part.replaceAll('"', ''));
	const [schema = '', relation = '', column = ''] = parts;
	switch (parts.length) {
		case 0:
			return access.onDatabase(action);
		case 1:
			return access.onSchema(schema, action);
		case 2:
			return access.onRelation(schema, relation, action);
		case 3:
			return access.onColumn(schema, relation, column, action);
		default:
			throw new Error(`no such question: ${question}`);
	}
}

export const RENDERING: PolicyHoles = { value: 't.v', column: (name) => `t."${name.replaceAll('"', '""')}"` };
