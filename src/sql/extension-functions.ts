/** What CREATE EXTENSION of some makes that migrations call at once, so that the rest of the text may call it: schemas are set up so, in one piece. */
import type { Routine } from '../catalog/snapshot.ts';
import { effectivePath, stringsOf, TYPE } from './names.ts';
import { as, type NodeOf } from './nodes.ts';
import { isSystem } from './read-relation.ts';
import type { Walk } from './walk.ts';

const BYTEA = 17;
const UUID = 2950;
const FLOAT4 = 700;
const TEXTS = 1009;
const DICTIONARY = 3769;

const NAMES: ReadonlyMap<number, string> = new Map([
	[BYTEA, 'bytea'],
	[TYPE.text, 'text'],
	[TYPE.int4, 'integer'],
	[UUID, 'uuid'],
	[FLOAT4, 'real'],
	[DICTIONARY, 'regdictionary'],
]);

/** Name, types of the arguments, type of the result. */
type Signature = readonly [name: string, args: readonly number[], result: number];

const TWO_TEXTS = [TYPE.text, TYPE.text] as const;

/** What defaults, constraints, indexes and the first rows of tables call, of all versions that come with PostgreSQL 14 to 18. */
const FUNCTIONS: ReadonlyMap<string, readonly Signature[]> = new Map<string, readonly Signature[]>([
	[
		'uuid-ossp',
		[
			['uuid_nil', [], UUID],
			['uuid_ns_dns', [], UUID],
			['uuid_ns_url', [], UUID],
			['uuid_generate_v1', [], UUID],
			['uuid_generate_v1mc', [], UUID],
			['uuid_generate_v3', [UUID, TYPE.text], UUID],
			['uuid_generate_v4', [], UUID],
			['uuid_generate_v5', [UUID, TYPE.text], UUID],
		],
	],
	[
		'pgcrypto',
		[
			['gen_random_uuid', [], UUID],
			['gen_random_bytes', [TYPE.int4], BYTEA],
			['gen_salt', [TYPE.text], TYPE.text],
			['gen_salt', [TYPE.text, TYPE.int4], TYPE.text],
			['crypt', [TYPE.text, TYPE.text], TYPE.text],
			['digest', [TYPE.text, TYPE.text], BYTEA],
			['digest', [BYTEA, TYPE.text], BYTEA],
			['hmac', [TYPE.text, TYPE.text, TYPE.text], BYTEA],
			['hmac', [BYTEA, BYTEA, TYPE.text], BYTEA],
		],
	],
	[
		'unaccent',
		[
			['unaccent', [TYPE.text], TYPE.text],
			['unaccent', [DICTIONARY, TYPE.text], TYPE.text],
		],
	],
	[
		'pg_trgm',
		[
			['similarity', TWO_TEXTS, FLOAT4],
			['word_similarity', TWO_TEXTS, FLOAT4],
			['strict_word_similarity', TWO_TEXTS, FLOAT4],
			['show_trgm', [TYPE.text], TEXTS],
		],
	],
	[
		'fuzzystrmatch',
		[
			['levenshtein', TWO_TEXTS, TYPE.int4],
			['levenshtein_less_equal', [...TWO_TEXTS, TYPE.int4], TYPE.int4],
			['soundex', [TYPE.text], TYPE.text],
			['difference', TWO_TEXTS, TYPE.int4],
			['metaphone', [TYPE.text, TYPE.int4], TYPE.text],
			['dmetaphone', [TYPE.text], TYPE.text],
			['dmetaphone_alt', [TYPE.text], TYPE.text],
		],
	],
]);

/** No server gives it to a routine. */
const NO_OID = -1;

/** They need `execute` like any. None where something has one of the names: the extension is there already, in whatever schema, or will not come to be. */
export function extensionRoutines(walk: Walk, node: NodeOf<'CreateExtensionStmt'>): readonly Routine[] {
	const signatures = FUNCTIONS.get(node.extname ?? '') ?? [];
	const option = node.options?.map((entry) => as(entry, 'DefElem')).find((entry) => entry?.defname === 'schema');
	const named = option?.arg === undefined ? undefined : stringsOf([option.arg])[0];
	const schema = named ?? effectivePath(walk.context, false).find((name) => !isSystem(name));
	if (schema === undefined || isSystem(schema)) return [];
	const { catalog } = walk.context;
	const isThere = ([name]: Signature) => catalog.routinesNamed(name).some((found) => !isSystem(found.schema));
	if (signatures.some(isThere)) return [];
	return signatures.map(([name, args, result]) => ({
		oid: NO_OID,
		schema,
		name,
		kind: 'function',
		argTypes: args,
		argNames: args.map((type) => NAMES.get(type) ?? ''),
		defaults: 0,
		variadic: 0,
		returnsSet: false,
		returnType: result,
		outColumns: [],
		volatility: 'volatile',
		leakproof: false,
		compiled: true,
		ofExtension: true,
		builtin: false,
	}));
}
