/** Checks an event against the schema's own definition: attributes, requirements, types, enumerations, constraints. */
import { readFileSync } from 'node:fs';

interface Attribute {
	readonly type: string;
	readonly requirement: string;
	readonly is_array?: boolean;
	readonly object?: string;
	readonly enum?: Readonly<Record<string, string>>;
}

interface Definition {
	readonly attributes: Readonly<Record<string, Attribute>>;
	readonly constraints: { readonly at_least_one?: readonly string[]; readonly just_one?: readonly string[] } | null;
	readonly class_uid?: number;
	readonly category_uid?: number;
}

interface Schema {
	readonly version: string;
	readonly types: Readonly<
		Record<
			string,
			{ readonly type?: string; readonly regex?: string; readonly max_len?: number; readonly range?: number[] }
		>
	>;
	readonly classes: Readonly<Record<string, Definition>>;
	readonly objects: Readonly<Record<string, Definition>>;
}

export const schema = JSON.parse(
	readFileSync(new URL('./ocsf-subset.generated.json', import.meta.url), 'utf8'),
) as Schema;

/** The class and category numbers come with other names in an enumeration of their own that the subset does not list. */
const unlisted = new Set(['class_uid', 'category_uid']);

function baseOf(type: string): string {
	const base = schema.types[type]?.type;
	return base === undefined ? type : base;
}

function scalarProblem(type: string, value: unknown): string | null {
	const rules = schema.types[type];
	switch (baseOf(type)) {
		case 'boolean_t':
			return typeof value === 'boolean' ? null : 'is no boolean';
		case 'integer_t':
		case 'long_t': {
			if (!Number.isSafeInteger(value)) return 'is no integer';
			const [low, high] = rules?.range ?? [];
			return low !== undefined && high !== undefined && ((value as number) < low || (value as number) > high)
				? 'is out of range'
				: null;
		}
		case 'float_t':
			return typeof value === 'number' ? null : 'is no number';
		case 'json_t':
			return null;
		case 'string_t': {
			if (typeof value !== 'string') return 'is no string';
			if (rules?.max_len !== undefined && value.length > rules.max_len) return 'is too long';
			return rules?.regex !== undefined && !new RegExp(rules.regex).test(value) ? 'does not match its type' : null;
		}
		default:
			return `has a type that nobody knows: ${type}`;
	}
}

function valueProblems(path: string, attribute: Attribute, value: unknown): string[] {
	if (attribute.type === 'object_t') {
		if (attribute.object === 'object')
			return typeof value === 'object' && value !== null ? [] : [`${path} is no object`];
		const definition = schema.objects[attribute.object ?? ''];
		return definition === undefined ? [`${path} has an unknown object`] : problemsOf(path, definition, value);
	}
	const problem = scalarProblem(attribute.type, value);
	return problem === null ? [] : [`${path} ${problem}`];
}

function enumProblems(path: string, name: string, attribute: Attribute, record: Record<string, unknown>): string[] {
	if (attribute.enum === undefined || unlisted.has(name)) return [];
	const value = record[name];
	const caption = attribute.enum[String(value)];
	if (caption === undefined) return [`${path} is not one of its values: ${String(value)}`];
	const sibling = name === 'activity_id' ? 'activity_name' : name.replace(/_id$/, '');
	const said = record[sibling];
	if (said === undefined || value === 99 || value === 0) return [];
	return said === caption ? [] : [`${path} is ${caption}, but ${sibling} says ${String(said)}`];
}

function problemsOf(path: string, definition: Definition, value: unknown): string[] {
	if (typeof value !== 'object' || value === null || Array.isArray(value)) return [`${path} is no object`];
	const record = value as Record<string, unknown>;
	const problems: string[] = [];
	for (const name of Object.keys(record)) {
		const attribute = definition.attributes[name];
		const at = path === '' ? name : `${path}.${name}`;
		if (attribute === undefined) {
			problems.push(`${at} is not an attribute`);
			continue;
		}
		const values = attribute.is_array === true ? record[name] : [record[name]];
		if (!Array.isArray(values)) problems.push(`${at} is no list`);
		else for (const one of values) problems.push(...valueProblems(at, attribute, one));
		problems.push(...enumProblems(at, name, attribute, record));
	}
	for (const [name, attribute] of Object.entries(definition.attributes)) {
		if (attribute.requirement === 'required' && !(name in record)) problems.push(`${path}.${name} is missing`);
	}
	const { at_least_one } = definition.constraints ?? {};
	if (at_least_one !== undefined && !at_least_one.some((name) => name in record)) {
		problems.push(`${path} needs one of ${at_least_one.join(', ')}`);
	}
	return problems;
}

/** What is wrong with an event; empty when nothing is. */
export function ocsfProblems(event: unknown): string[] {
	const { class_uid, category_uid, activity_id, type_uid, metadata } = event as Record<string, unknown>;
	const definition = Object.values(schema.classes).find((candidate) => candidate.class_uid === class_uid);
	if (definition === undefined) return [`class_uid ${String(class_uid)} is unknown`];
	const problems = problemsOf('', definition, event);
	if (category_uid !== definition.category_uid) problems.push('category_uid is not that of the class');
	if (type_uid !== Number(class_uid) * 100 + Number(activity_id)) problems.push('type_uid is not class and activity');
	if ((metadata as { version?: unknown }).version !== schema.version) problems.push('metadata.version is another');
	return problems;
}
