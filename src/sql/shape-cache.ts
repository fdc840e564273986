/** Remembers, within a bound, which shapes of statements one analysis can serve, and serves them. */
import { LRUCache } from 'lru-cache';
import type { Decision } from '../stages.ts';
import type { SqlLimits } from './parse.ts';
import { type Shape, shapeOf } from './shape.ts';
import { fill, makeTemplate, type Template } from './template.ts';
import type { AnalysisContext } from './walk.ts';

export interface ShapeCacheOptions {
	/** Bytes that everything remembered may take together, roughly. */
	readonly bytesMax: number;
	readonly limits: SqlLimits;
	/** Random printable text; asked for once for each template. */
	readonly mark: () => string;
}

/** A text whose shape was looked up. */
export interface Shaped {
	readonly key: string;
	readonly shape: Shape;
	/** seen: one text of the shape has been analysed. single: every text needs an analysis of its own. null: a new shape. */
	readonly known: Template | 'seen' | 'single' | null;
}

/** What is remembered besides the texts takes about so much. */
const SEEN_BYTES = 128;
const TEMPLATE_BYTES = 4096;

export class ShapeCache {
	readonly #limits: SqlLimits;
	readonly #mark: () => string;
	readonly #known: LRUCache<string, Template | 'seen' | 'single'>;

	constructor({ bytesMax, limits, mark }: ShapeCacheOptions) {
		this.#limits = limits;
		this.#mark = mark;
		this.#known = new LRUCache({ maxSize: bytesMax });
	}

	/** Shapes that are remembered, those among them that every text is analysed for included. */
	get size(): number {
		return this.#known.size;
	}

	/** `scope`: everything else that a decision depends on. Null for a text that has no shape. */
	look(scope: string, sql: string): Shaped | null {
		// The parser's limits could tell longer texts of one shape apart.
		if (!this.#isShort(sql)) return null;
		const shape = shapeOf(sql);
		if (shape === null) return null;
		const key = `${scope}\0${shape.key}`;
		return { key, shape, known: this.#known.get(key) ?? null };
	}

	/** The decision, where the shape has a template. */
	decision({ known, shape }: Shaped, sql: string, revision: string): Decision | undefined {
		return known === null || typeof known === 'string' ? undefined : fill(known, sql, shape, revision);
	}

	/** A text of the shape has been analysed, and allowed. When that happens a second time a template is tried. */
	learn({ key, shape, known }: Shaped, sql: string, context: AnalysisContext): void {
		if (known === null) {
			this.#known.set(key, 'seen', { size: 2 * key.length + SEEN_BYTES });
			return;
		}
		if (known !== 'seen') return;
		const template = makeTemplate(sql, shape, { context, limits: this.#limits, mark: this.#mark() });
		const size = 2 * (key.length + sizeOf(template)) + TEMPLATE_BYTES;
		this.#known.set(key, template ?? 'single', { size });
	}

	#isShort(sql: string): boolean {
		const { nestingMax, statementBytesMax } = this.#limits;
		const bytesMax = Math.min(nestingMax, statementBytesMax);
		return 3 * sql.length <= bytesMax || (sql.length <= bytesMax && Buffer.byteLength(sql) <= bytesMax);
	}
}

function sizeOf(template: Template | null): number {
	let size = 0;
	for (const { text } of template?.edits ?? [])
		for (const part of text) size += typeof part === 'string' ? part.length : 16;
	return size;
}
