/** What a decision adds to the records of its statement: as bytes that are kept for all texts that one analysis serves. */
import type { ObjectUse, StatementDecision } from '../stages.ts';
import { Batch } from './batch.ts';
import { DecisionWriter } from './decision-writer.ts';
import type { AuditLimits } from './limits.ts';
import { SharedText } from './shared-text.ts';

/** Pieces of a statement's line; each begins with a comma unless it is empty. */
export interface DecisionParts {
	/** Writes the attributes, from `category_uid` on. */
	attributes(to: Batch): void;
	/** Writes the members of `unmapped`. */
	unmapped(to: Batch): void;
}

const closing = Buffer.alloc(0);

/** The parts of one decision after the other, which have an analysis in common; those of the latest are kept. */
class Known implements DecisionParts {
	readonly activity: Buffer;
	/** Bytes that are kept, at most. */
	readonly bytes: number;
	readonly #write: DecisionWriter;
	readonly #of: StatementDecision;
	readonly #query: SharedText;
	readonly #rewritten: SharedText;
	readonly #objects: Buffer;
	/** Null before the first. */
	#latest: StatementDecision | null = null;
	/** Both pieces whole, once the latest has come a second time. */
	#attributes: Buffer | null = null;
	#unmapped: Buffer | null = null;

	constructor(decision: StatementDecision, write: DecisionWriter) {
		const before = bytesOf((to) => write.beforeText(to, decision));
		const after = bytesOf((to) => write.afterText(to, decision));
		this.#objects = bytesOf((to) => write.objects(to, decision));
		const beforeRewritten = bytesOf((to) => {
			to.piece(this.#objects);
			write.beforeRewritten(to);
		});
		this.#write = write;
		this.#of = decision;
		this.activity = write.activity(decision);
		this.#query = new SharedText(before, after);
		this.#rewritten = new SharedText(beforeRewritten, closing);
		const { sql, rewritten } = decision;
		// Each in up to three places: what is in common, the latest whole, and what is written around it.
		this.bytes = 3 * (before.length + after.length + beforeRewritten.length + 2 * (sql.length + rewritten.length));
	}

	/** True when the decision differs from the first one in nothing but its text. */
	fits({ effect, node, objects, rules, error, fingerprint }: StatementDecision): boolean {
		const of = this.#of;
		return (
			effect === of.effect &&
			node === of.node &&
			objects === of.objects &&
			rules === of.rules &&
			error === of.error &&
			fingerprint === of.fingerprint
		);
	}

	take(decision: StatementDecision): this {
		if (decision !== this.#latest) {
			this.#latest = decision;
			this.#attributes = null;
			this.#unmapped = null;
		} else if (this.#attributes === null) {
			this.#attributes = bytesOf((to) => this.#writeAttributes(to, decision));
			this.#unmapped = bytesOf((to) => this.#writeUnmapped(to, decision));
		}
		return this;
	}

	attributes(to: Batch): void {
		if (this.#attributes === null) this.#writeAttributes(to, this.#latest ?? this.#of);
		else to.piece(this.#attributes);
	}

	unmapped(to: Batch): void {
		if (this.#unmapped === null) this.#writeUnmapped(to, this.#latest ?? this.#of);
		else to.piece(this.#unmapped);
	}

	#writeAttributes(to: Batch, decision: StatementDecision): void {
		// What was denied may be cut.
		if (decision.effect === 'deny') this.#write.attributes(to, decision);
		else this.#query.write(to, decision.sql);
	}

	#writeUnmapped(to: Batch, decision: StatementDecision): void {
		if (decision.effect === 'deny' || decision.rewritten === decision.sql) to.piece(this.#objects);
		else this.#rewritten.write(to, decision.rewritten);
		this.#write.more(to, decision);
	}
}

/** The parts of decisions of which nothing is kept. */
class Passing implements DecisionParts {
	readonly #write: DecisionWriter;
	readonly #decision: StatementDecision;

	constructor(decision: StatementDecision, write: DecisionWriter) {
		this.#decision = decision;
		this.#write = write;
	}

	attributes(to: Batch): void {
		this.#write.attributes(to, this.#decision);
	}

	unmapped(to: Batch): void {
		this.#write.unmapped(to, this.#decision);
	}
}

export type DecisionPartsLimits = Pick<AuditLimits, 'cachedPartBytesMax' | 'deniedTextMax'>;

/** Making what is kept costs as much as a record, and many statements come once. So it is made for one in so many that nothing is known of. */
const keptOneIn = 16;

/** The parts of decisions; those that are asked for again and again are kept as long as the decision is. */
export class DecisionPartsCache {
	/** By what all decisions of one analysis have in common. */
	readonly #known = new WeakMap<readonly ObjectUse[], Known>();
	readonly #write: DecisionWriter;
	readonly #limits: DecisionPartsLimits;
	#unknown = 0;

	constructor(limits: DecisionPartsLimits) {
		this.#write = new DecisionWriter(limits.deniedTextMax);
		this.#limits = limits;
	}

	/** For the line of a statement; to be used before the next call. */
	of(decision: StatementDecision): DecisionParts {
		const known = this.#known.get(decision.objects);
		if (known?.fits(decision) === true) return known.take(decision);
		this.#unknown += 1;
		if (this.#unknown % keptOneIn !== 0) return new Passing(decision, this.#write);
		const made = new Known(decision, this.#write);
		if (made.bytes <= this.#limits.cachedPartBytesMax) this.#known.set(decision.objects, made);
		return made.take(decision);
	}

	/** The class and activity alone, for the line of an outcome. */
	activity(decision: StatementDecision): Buffer {
		const known = this.#known.get(decision.objects);
		return known?.fits(decision) === true ? known.activity : this.#write.activity(decision);
	}
}

/** What is written, to be kept. */
function bytesOf(write: (to: Batch) => void): Buffer {
	const batch = new Batch(1024);
	write(batch);
	return Buffer.from(batch.bytes);
}
