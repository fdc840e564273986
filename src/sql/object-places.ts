/** Finds where the names of relations stand in DROP and COMMENT, whose trees do not tell, and writes schemas before them. */
import { quoteIdentifier } from './quote.ts';
import { isKeyword } from './source.ts';
import { refuse, type Walk } from './walk.ts';

/** Words by which a statement names the kind of its objects. */
const KIND_WORDS: Readonly<Record<string, readonly string[]>> = {
	OBJECT_TABLE: ['table'],
	OBJECT_VIEW: ['view'],
	OBJECT_MATVIEW: ['materialized', 'view'],
	OBJECT_SEQUENCE: ['sequence'],
	OBJECT_INDEX: ['index'],
	OBJECT_FOREIGN_TABLE: ['foreign', 'table'],
	OBJECT_TRIGGER: ['trigger'],
	OBJECT_RULE: ['rule'],
	OBJECT_POLICY: ['policy'],
	OBJECT_COLUMN: ['column'],
	OBJECT_TABCONSTRAINT: ['constraint'],
	OBJECT_TYPE: ['type'],
	OBJECT_DOMAIN: ['domain'],
	OBJECT_FUNCTION: ['function'],
	OBJECT_PROCEDURE: ['procedure'],
	OBJECT_ROUTINE: ['routine'],
	OBJECT_AGGREGATE: ['aggregate'],
};

/** What stands between the kind and the first name. */
export interface Between {
	readonly verb: readonly ('drop' | 'comment' | 'on')[];
	readonly concurrently?: boolean;
	readonly ifExists?: boolean;
}

/** Goes through the objects of a statement in their order; `parts`: how many names each has that dots join. */
export class ObjectPlaces {
	readonly #walk: Walk;
	/** Token at which the next name begins; undefined where the text is not as it should be. */
	#next: number | undefined;

	constructor(walk: Walk, kind: string, { verb, concurrently, ifExists }: Between) {
		this.#walk = walk;
		const words = [
			...verb,
			...(KIND_WORDS[kind] ?? ['']),
			...(concurrently === true ? ['concurrently'] : []),
			...(ifExists === true ? ['if', 'exists'] : []),
		];
		const { source } = walk;
		const first = source.tokenAt(walk.start);
		const isSo = words.every((word, i) => isKeyword(source.tokens[first + i], word));
		this.#next = isSo ? first + words.length : undefined;
	}

	/** The place of the next object's relation. `behind`: it stands behind the object's own name and ON. */
	next(parts: number, behind = false): number | undefined {
		const { tokens } = this.#walk.source;
		if (this.#next !== undefined && behind)
			this.#next = isKeyword(tokens[this.#next + 1], 'on') ? this.#next + 2 : undefined;
		const at = this.#next;
		if (at === undefined) return undefined;
		for (let dot = at + 1; dot < at + 2 * parts - 1; dot += 2) if (tokens[dot]?.text !== '.') return this.#lose();
		const behindName = at + 2 * parts - 1;
		// Types of arguments.
		const last = tokens[behindName]?.text === '(' ? this.#walk.source.closing(behindName) + 1 : behindName;
		const after = tokens[last];
		const ends = after === undefined || ENDS.has(after.text.toLowerCase());
		if (!ends) return this.#lose();
		this.#next = last + 1;
		return tokens[at]?.start;
	}

	#lose(): undefined {
		this.#next = undefined;
		return undefined;
	}
}

/** What may follow a name. */
const ENDS: ReadonlySet<string> = new Set([',', ';', 'cascade', 'restrict', 'is']);

/** Writes `schema` before the name at `place`. */
export function writeSchemaAt(walk: Walk, place: number | undefined, schema: string, name: string): void {
	if (place === undefined) {
		const hint = 'Write its schema before it.';
		throw refuse(walk, `${name}, a name that the gateway cannot place,`, undefined, hint);
	}
	walk.edits.insert(place, `${schema === 'pg_temp' ? schema : quoteIdentifier(schema)}.`);
}
