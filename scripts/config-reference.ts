/** docs/configuration.md, made from the schema, so that every key is documented with the default that holds. */
import { z } from 'zod';
import { configSchema } from '../src/config/schema.ts';

/** A node of the JSON Schema that zod makes of the configuration's schema; only what is used here. */
interface SchemaNode {
	readonly type?: string;
	readonly description?: string;
	readonly default?: unknown;
	readonly enum?: readonly string[];
	readonly properties?: Readonly<Record<string, SchemaNode>>;
	readonly required?: readonly string[];
	readonly additionalProperties?: boolean | SchemaNode;
	readonly items?: SchemaNode;
	readonly anyOf?: readonly SchemaNode[];
}

/** One key of the configuration. */
export interface ConfigKey {
	/** E.g. `identity.users[].password`; `<name>` stands for a name of the operator's own. */
	readonly path: string;
	readonly type: string;
	/** As YAML, or in words for keys whose default is none, or depends. */
	readonly fallback: string;
	readonly description: string;
}

/** Every key that holds a value, in the order of the schema. */
export function configKeys(): ConfigKey[] {
	const schema = z.toJSONSchema(configSchema, { io: 'input', unrepresentable: 'any' }) as SchemaNode;
	return keysOf(schema, '');
}

/** The whole page. */
export function configReference(): string {
	const rows = configKeys().map(
		({ path, type, fallback, description }) => `| \`${path}\` | ${type} | ${fallback} | ${description} |`,
	);
	return `${HEAD}\n| Key | Type | Default | |\n| --- | --- | --- | --- |\n${rows.join('\n')}\n`;
}

const HEAD = `# Configuration

Everything is in one YAML file, \`portcullis.yaml\` by default (\`--config\` names another). An unknown key, a wrong type or a
missing file is an error that names the key and the line, before any port is opened; all mistakes are told at once.
\`portcullis check\` reads the file without starting anything.

Paths are relative to the folder of the file. Secrets come from the environment (\`{ env: NAME }\`) or from a file
(\`{ file: PATH }\`), and are never printed. 
What a change takes: the policies are followed while the gateway runs, the files of \`listen.tls\` are read again when they
change, and so is the password of a database. \`databases\`, with the limits that it takes from \`limits\`, is taken up at SIGHUP and
at \`RELOAD\` in the console ([operating.md](operating.md#changing-the-databases)). Everything else takes effect at the next start;
the log and \`RELOAD\` name what has changed and waits for that, and \`SHOW CONFIG\` shows what is in force.

\`<name>\` stands for a name of your own, \`[]\` for each item of a list.
`;

function keysOf(node: SchemaNode, path: string): ConfigKey[] {
	return Object.entries(node.properties ?? {}).flatMap(([key, value]) => {
		const here = path === '' ? key : `${path}.${key}`;
		const required = node.required?.includes(key) === true;
		return describe(value, here, required);
	});
}

function describe(node: SchemaNode, path: string, required: boolean): ConfigKey[] {
	const type = node.properties ? 'map' : typeOf(node);
	return [
		{ path, type, fallback: fallbackOf(node, required), description: node.description ?? '' },
		...nestedKeys(node, path),
	];
}

function fallbackOf(node: SchemaNode, required: boolean): string {
	if (required) return 'required';
	if (node.default === undefined) return node.description?.includes('Default:') ? 'see there' : 'none';
	const isEmptyMap = asYaml(node.default) === '{}';
	return node.properties && isEmptyMap ? 'as below' : `\`${asYaml(node.default)}\``;
}

function nestedKeys(node: SchemaNode, path: string): ConfigKey[] {
	if (node.properties) return keysOf(node, path);
	if (node.items?.properties) return keysOf(node.items, `${path}[]`);
	const each = typeof node.additionalProperties === 'object' ? node.additionalProperties : undefined;
	return each?.properties ? keysOf(each, `${path}.<name>`) : [];
}

function typeOf(node: SchemaNode): string {
	if (node.enum) return node.enum.map((word) => `\`${word}\``).join(', ');
	if (node.anyOf) return node.anyOf.map(typeOf).join(' or ');
	if (node.properties) return `\`{ ${Object.keys(node.properties).join(', ')} }\``;
	switch (node.type) {
		case 'array':
			return `list of ${listed(node.items ?? {})}`;
		case 'boolean':
			return '`true`, `false`';
		case 'object':
			return 'map';
		case 'integer':
			return 'whole number';
		default:
			return node.type ?? 'any';
	}
}

function listed(items: SchemaNode): string {
	if (items.properties) return 'maps';
	return items.enum ? typeOf(items) : `${typeOf(items)}s`;
}

function asYaml(value: unknown): string {
	if (Array.isArray(value)) return `[${value.map(asYaml).join(', ')}]`;
	if (typeof value === 'object' && value !== null) {
		const entries = Object.entries(value).map(([key, inner]) => `${key}: ${asYaml(inner)}`);
		return entries.length === 0 ? '{}' : `{ ${entries.join(', ')} }`;
	}
	return typeof value === 'string' ? value : JSON.stringify(value);
}
