/** Reads masks.yaml: named expressions for masks and filters, each compiled, every mistake reported with its line. */
import { isMap, isScalar, LineCounter, type Pair, parseDocument } from 'yaml';
import { type CompiledExpression, compileExpression, type ExpressionKind } from './expression.ts';
import type { ProblemList } from './problem.ts';

/** An expression and where it stands. */
export interface NamedExpression extends CompiledExpression {
	readonly line: number;
}

export interface MaskFile {
	readonly masks: ReadonlyMap<string, NamedExpression>;
	readonly filters: ReadonlyMap<string, NamedExpression>;
	/** Names that are there but whose expression is wrong: a rule that uses one has no mistake of its own. */
	readonly broken: ReadonlySet<string>;
}

const SECTIONS = { masks: 'mask', filters: 'filter' } as const satisfies Record<string, ExpressionKind>;

export function parseMasks(
	text: string,
	problems: ProblemList,
	isHarmlessFunction: (name: string) => boolean,
): MaskFile {
	const reader = new MaskReader(problems, isHarmlessFunction);
	const lines = new LineCounter();
	const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, version: '1.2' });
	for (const error of [...document.errors, ...document.warnings]) {
		problems.error(lines.linePos(error.pos[0]).line, error.message.split('\n')[0] ?? 'not YAML');
	}
	const root = document.contents;
	if (document.errors.length > 0 || root === null) return reader.result;
	const lineOf = (node: unknown): number => {
		const start = isNode(node) ? node.range?.[0] : undefined;
		return start === undefined ? 1 : lines.linePos(start).line;
	};
	if (!isMap(root)) {
		problems.error(lineOf(root), 'masks.yaml holds a map with the keys masks and filters');
		return reader.result;
	}
	for (const section of root.items) reader.section(section, lineOf);
	return reader.result;
}

class MaskReader {
	readonly #problems: ProblemList;
	readonly #isHarmlessFunction: (name: string) => boolean;
	readonly #masks = new Map<string, NamedExpression>();
	readonly #filters = new Map<string, NamedExpression>();
	readonly #broken = new Set<string>();

	constructor(problems: ProblemList, isHarmlessFunction: (name: string) => boolean) {
		this.#problems = problems;
		this.#isHarmlessFunction = isHarmlessFunction;
	}

	get result(): MaskFile {
		return { masks: this.#masks, filters: this.#filters, broken: this.#broken };
	}

	section(pair: Pair, lineOf: (node: unknown) => number): void {
		const key = isScalar(pair.key) ? String(pair.key.value) : '';
		if (!Object.hasOwn(SECTIONS, key)) {
			this.#problems.error(lineOf(pair.key), `unknown key ${JSON.stringify(key)}: there are masks and filters`);
			return;
		}
		const value = pair.value;
		if (value === null || (isScalar(value) && value.value === null)) return;
		if (!isMap(value)) {
			this.#problems.error(lineOf(pair.key), `${key} is a map from names to expressions`);
			return;
		}
		for (const entry of value.items) this.#entry(key as keyof typeof SECTIONS, entry, lineOf);
	}

	#entry(section: keyof typeof SECTIONS, pair: Pair, lineOf: (node: unknown) => number): void {
		const line = lineOf(pair.key);
		const kind = SECTIONS[section];
		const name = isScalar(pair.key) ? String(pair.key.value) : '';
		const text = isScalar(pair.value) ? pair.value.value : undefined;
		try {
			if (name === '' || /[\s,"'#*]/.test(name)) throw new Error('the name has to be one word');
			if (typeof text !== 'string') throw new Error('the expression has to be a string in quotes');
			const compiled = compileExpression(name, text, { kind, isHarmlessFunction: this.#isHarmlessFunction });
			(kind === 'mask' ? this.#masks : this.#filters).set(name, { ...compiled, line });
		} catch (error) {
			this.#broken.add(`${kind} ${name}`);
			this.#problems.error(line, `${kind} ${name}: ${error instanceof Error ? error.message : String(error)}`);
		}
	}
}

function isNode(node: unknown): node is { range?: [number, number, number] | null } {
	return typeof node === 'object' && node !== null && 'range' in node;
}
