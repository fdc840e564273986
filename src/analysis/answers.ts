/** Answers what the thread asks of catalogue, policy and session, about the text at hand. */
import type { CatalogSnapshot, Relation } from '../catalog/snapshot.ts';
import { unreachable } from '../errors.ts';
import { hiddenColumns } from '../sql/hidden-columns.ts';
import type { Access } from '../stages.ts';
import type { AccessHead, CatalogHead, Question } from './messages.ts';

/** What a text is analysed with, in the loop. */
export interface Knowledge {
	readonly catalog: CatalogSnapshot;
	readonly access: Access;
	readonly touchesProtected: (name: string) => boolean | undefined;
	readonly castTargets: (name: string) => readonly number[];
}

/** So many relations are told at once where all are asked for. */
const RELATIONS_AT_ONCE = 50;

/** Numbers for objects, the same as long as there is the object. */
export class Numbers {
	readonly #known = new WeakMap<object, number>();
	#last = 0;

	of(object: object): number {
		let number = this.#known.get(object);
		if (number === undefined) {
			this.#last += 1;
			number = this.#last;
			this.#known.set(object, number);
		}
		return number;
	}
}

/** For one text. */
export class Answers {
	readonly #knowledge: Knowledge;
	readonly #numbers: Numbers;
	/** All relations of a snapshot, as far as they were told. */
	#listing: { readonly id: number; readonly rest: Iterator<Relation>; told: number } | null = null;

	constructor(knowledge: Knowledge, numbers: Numbers) {
		this.#knowledge = knowledge;
		this.#numbers = numbers;
	}

	get catalogHead(): CatalogHead {
		return this.#headOf(this.#knowledge.catalog);
	}

	get accessHead(): AccessHead {
		const { access } = this.#knowledge;
		const { database, revision, shape, unrestricted, narrowsSystem } = access;
		return { id: this.#numbers.of(access), database, revision, shape, unrestricted, narrowsSystem };
	}

	/** Throws what the answer's making throws. */
	answer(question: Exclude<Question, { of: 'part' }>): unknown {
		switch (question.of) {
			case 'catalog': {
				const catalog = this.#catalog(question.id);
				return Reflect.apply(catalog[question.method], catalog, question.args);
			}
			case 'list':
				return this.#catalog(question.id)[question.list];
			case 'relations':
				return this.#relations(question.id, question.from);
			case 'access': {
				const { access } = this.#knowledge;
				return Reflect.apply(access[question.method], access, question.args) as unknown;
			}
			case 'prepared': {
				const { touchesProtected, castTargets } = this.#knowledge;
				return { touchesProtected: touchesProtected(question.name), castTargets: castTargets(question.name) };
			}
			case 'hidden':
				return hiddenColumns(this.#knowledge.catalog, this.#knowledge.access, question.columnsMax);
			default:
				return unreachable(question);
		}
	}

	#headOf(snapshot: CatalogSnapshot): CatalogHead {
		const { revision, serverVersion, user, timeZone, below } = snapshot;
		const id = this.#numbers.of(snapshot);
		return { id, revision, serverVersion, user, timeZone, below: below === undefined ? null : this.#headOf(below) };
	}

	#catalog(id: number): CatalogSnapshot {
		let snapshot: CatalogSnapshot | undefined = this.#knowledge.catalog;
		while (snapshot !== undefined && this.#numbers.of(snapshot) !== id) snapshot = snapshot.below;
		if (snapshot === undefined) throw new Error("the thread asks for a catalogue that is not the text's");
		return snapshot;
	}

	#relations(id: number, from: number): readonly Relation[] {
		if (this.#listing?.id !== id || this.#listing.told !== from) {
			this.#listing = { id, rest: this.#catalog(id).relations()[Symbol.iterator](), told: 0 };
			while (this.#listing.told < from && this.#listing.rest.next().done !== true) this.#listing.told += 1;
		}
		const some: Relation[] = [];
		while (some.length < RELATIONS_AT_ONCE) {
			const next = this.#listing.rest.next();
			if (next.done === true) break;
			some.push(next.value);
		}
		this.#listing.told += some.length;
		return some;
	}
}
