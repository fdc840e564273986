/** What the thread knows of the latest catalogues and policies, so that texts that follow each other ask less. */
import { LRUCache } from 'lru-cache';
import type { CatalogSnapshot } from '../catalog/snapshot.ts';
import type { AccessHead, CatalogHead } from './messages.ts';
import { type Ask, RemoteAccess, RemoteCatalog } from './remote.ts';

const CATALOGS_MAX = 8;
const ACCESSES_MAX = 32;
/** One that has kept more answers is begun anew for the next text. */
const ANSWERS_MAX = 10_000;

export class Remembered {
	readonly #ask: Ask;
	readonly #catalogs = new LRUCache<number, RemoteCatalog>({ max: CATALOGS_MAX });
	readonly #accesses = new LRUCache<number, RemoteAccess>({ max: ACCESSES_MAX });

	constructor(ask: Ask) {
		this.#ask = ask;
	}

	catalog(head: CatalogHead): CatalogSnapshot {
		const known = this.#catalogs.get(head.id);
		if (known !== undefined && known.size <= ANSWERS_MAX) return known;
		const below = head.below === null ? null : this.catalog(head.below);
		const made = new RemoteCatalog(head, below, this.#ask);
		this.#catalogs.set(head.id, made);
		return made;
	}

	access(head: AccessHead): RemoteAccess {
		const known = this.#accesses.get(head.id);
		if (known !== undefined && known.size <= ANSWERS_MAX) return known;
		const made = new RemoteAccess(head, this.#ask);
		this.#accesses.set(head.id, made);
		return made;
	}
}
