/** Prints a mask or filter: everything in parentheses, every function, operator and type of pg_catalog. */
import { unreachable } from '../errors.ts';
import type { PolicyTree } from '../stages.ts';
import { quoteIdentifier, quoteLiteral } from './quote.ts';

/** SQL that stands for what is not in the expression itself. */
export interface PolicyHoles {
	/** Of the masked column; filters have none. */
	readonly value?: string;
	/** Of another column of the same row. */
	readonly column: (name: string) => string;
}

/** SQL of the whole, safe to be spliced in anywhere. */
export function printPolicy(tree: PolicyTree, holes: PolicyHoles): string {
	return `(${new Printer(holes).print(tree)})`;
}

class Printer {
	readonly #holes: PolicyHoles;

	constructor(holes: PolicyHoles) {
		this.#holes = holes;
	}

	print(tree: PolicyTree): string {
		switch (tree.node) {
			case 'value':
				if (this.#holes.value === undefined) throw new Error('a mask was asked for without a column');
				return this.#holes.value;
			case 'column':
				return this.#holes.column(tree.name);
			case 'claim':
				throw new Error(`claims.${tree.name} has no value here`);
			case 'text':
				return quoteLiteral(tree.text);
			case 'number':
				return tree.number < 0 ? `(${tree.number})` : String(tree.number);
			case 'word':
				return tree.word;
			case 'operator': {
				const left = tree.left === null ? '' : `${this.print(tree.left)} `;
				return `(${left}OPERATOR(pg_catalog.${tree.op}) ${this.print(tree.right)})`;
			}
			case 'quantified':
				return `(${this.print(tree.left)} OPERATOR(pg_catalog.${tree.op}) ${tree.quantifier} (${this.print(tree.list)}))`;
			case 'logic':
				return `(${tree.parts.map((part) => this.print(part)).join(` ${tree.op} `)})`;
			case 'not':
				return `(NOT ${this.print(tree.of)})`;
			case 'test':
				return `(${this.print(tree.of)} ${tree.test})`;
			case 'cast':
				return `CAST(${this.print(tree.of)} AS pg_catalog.${tree.type}${tree.modifier}${tree.array ? '[]' : ''})`;
			case 'call':
				return `pg_catalog.${functionName(tree.name)}(${this.#list(tree.args)})`;
			case 'choice':
				return `${tree.of}(${this.#list(tree.items)})`;
			case 'case':
				return this.#case(tree);
			case 'index':
				return `((${this.print(tree.of)})[${this.print(tree.at)}])`;
			case 'array':
				return `ARRAY[${this.#list(tree.items)}]`;
			default:
				return unreachable(tree);
		}
	}

	#list(trees: readonly PolicyTree[]): string {
		return trees.map((tree) => this.print(tree)).join(', ');
	}

	#case({ branches, otherwise }: Extract<PolicyTree, { node: 'case' }>): string {
		const whens = branches.map(({ when, result }) => ` WHEN ${this.print(when)} THEN ${this.print(result)}`);
		return `(CASE${whens.join('')}${otherwise === null ? '' : ` ELSE ${this.print(otherwise)}`} END)`;
	}
}

function functionName(name: string): string {
	return /^[a-z_][a-z0-9_]*$/.test(name) ? name : quoteIdentifier(name);
}
