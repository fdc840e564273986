/** The Merkle tree of RFC 6962, section 2.1: roots, inclusion and consistency proofs. Hashes are 32 bytes. Does no I/O. */
import { createHash, hash, timingSafeEqual } from 'node:crypto';

/** A SHA-256 hash as a string of 32 latin1 characters: several times cheaper to make and to keep than a Buffer. */
export type Hash = string & { readonly __brand: 'sha256' };

export const hashBytes = 32;

export function hashFromBytes(bytes: Buffer): Hash {
	if (bytes.length !== hashBytes) throw new RangeError(`a hash has ${hashBytes} bytes, not ${bytes.length}`);
	return bytes.toString('latin1') as Hash;
}

export function hashToBytes(value: Hash): Buffer {
	return Buffer.from(value, 'latin1');
}

/** Writes the bytes of a hash. For so few of them it is several times cheaper than a call into Node. */
export function copyHash(value: Hash, to: Buffer, at: number): void {
	for (let index = 0; index < hashBytes; index += 1) to[at + index] = value.charCodeAt(index);
}

export function hashToBase64(value: Hash): string {
	return hashToBytes(value).toString('base64');
}

/** Null when the text is not the canonical base64 of 32 bytes. */
export function hashFromBase64(text: string): Hash | null {
	const bytes = Buffer.from(text, 'base64');
	return bytes.length === hashBytes && bytes.toString('base64') === text ? hashFromBytes(bytes) : null;
}

export function sameHash(left: Hash, right: Hash): boolean {
	return timingSafeEqual(hashToBytes(left), hashToBytes(right));
}

/** Root of the tree without leaves. */
export const emptyRoot = hash('sha256', '', 'binary') as Hash;

/** Hash of a leaf whose bytes are already preceded by the 0x00 that tells leaves from nodes. */
export function prefixedLeafHash(zeroThenRecord: Buffer): Hash {
	return hash('sha256', zeroThenRecord, 'binary') as Hash;
}

/** Hash of one leaf: SHA-256(0x00 || record). */
export function leafHash(record: Buffer): Hash {
	return createHash('sha256').update('\0').update(record).digest('binary') as Hash;
}

/** Makes a function that hashes two children: SHA-256(0x01 || left || right). It owns the buffer that it works in. */
export function nodeHasher(): (left: Hash, right: Hash) => Hash {
	const buffer = Buffer.alloc(1 + 2 * hashBytes);
	buffer[0] = 1;
	return (left, right) => {
		copyHash(left, buffer, 1);
		copyHash(right, buffer, 1 + hashBytes);
		return hash('sha256', buffer, 'binary') as Hash;
	};
}

/**
 * The right edge of a growing tree: the roots of its perfect subtrees, biggest first. It is all that is needed to append and to
 * tell the root, so a log can go on from it after its older files are gone.
 */
export class Frontier {
	#size: number;
	#subtrees: Hash[];
	readonly #node = nodeHasher();

	/** Throws RangeError when `subtrees` cannot be those of a tree of that size. */
	constructor(size = 0, subtrees: readonly Hash[] = []) {
		if (!Number.isSafeInteger(size) || size < 0) throw new RangeError(`not a tree size: ${size}`);
		if (subtrees.length !== onesOf(size))
			throw new RangeError(`a tree of ${size} has ${onesOf(size)} perfect subtrees`);
		this.#size = size;
		this.#subtrees = [...subtrees];
	}

	get size(): number {
		return this.#size;
	}

	get subtrees(): readonly Hash[] {
		return this.#subtrees;
	}

	append(leaf: Hash): void {
		let top = leaf;
		for (let size = this.#size; size % 2 === 1; size = (size - 1) / 2) {
			top = this.#node(this.#subtrees.pop() as Hash, top);
		}
		this.#subtrees.push(top);
		this.#size += 1;
	}

	root(): Hash {
		let root: Hash | null = null;
		for (let index = this.#subtrees.length - 1; index >= 0; index -= 1) {
			const subtree = this.#subtrees[index] as Hash;
			root = root === null ? subtree : this.#node(subtree, root);
		}
		return root ?? emptyRoot;
	}

	clone(): Frontier {
		return new Frontier(this.#size, this.#subtrees);
	}
}

function onesOf(size: number): number {
	return perfectSubtrees(size).length;
}

/** The perfect subtrees that a tree of `size` leaves consists of, biggest first: which leaves each is over, [start, end). */
export function perfectSubtrees(size: number): [number, number][] {
	const found: [number, number][] = [];
	let width = 1;
	while (width * 2 <= size) width *= 2;
	for (let start = 0; start < size; width /= 2) {
		if (start + width > size) continue;
		found.push([start, start + width]);
		start += width;
	}
	return found;
}

/** The largest power of two smaller than `size` (RFC 6962: k). `size` is at least 2. */
function splitOf(size: number): number {
	let k = 1;
	while (k * 2 < size) k *= 2;
	return k;
}

/** Looks up the hash of leaves [start, end): one leaf, or a perfect subtree that the caller keeps; null when it does not know it. */
export type KnownHash = (start: number, end: number) => Hash | null;

/** Tells the hashes of a tree of which only some parts are at hand. Throws RangeError where a part is missing. */
export class PartialTree {
	readonly #known: KnownHash;
	readonly #node = nodeHasher();

	constructor(known: KnownHash) {
		this.#known = known;
	}

	/** Hash of the subtree over leaves [start, end): MTH of RFC 6962. */
	hash(start: number, end: number): Hash {
		const known = this.#known(start, end);
		if (known !== null) return known;
		if (end - start <= 1) throw new RangeError(`leaf ${start} is not at hand`);
		const middle = start + splitOf(end - start);
		return this.#node(this.hash(start, middle), this.hash(middle, end));
	}

	/** The audit path of leaf `index` in the tree of `size` leaves, nearest sibling first (RFC 6962, 2.1.1). */
	inclusion(index: number, size: number): Hash[] {
		if (index < 0 || index >= size) throw new RangeError(`record ${index} is not among the first ${size}`);
		const path: Hash[] = [];
		let [start, end] = [0, size];
		while (end - start > 1) {
			const middle = start + splitOf(end - start);
			if (index < middle) {
				path.unshift(this.hash(middle, end));
				end = middle;
			} else {
				path.unshift(this.hash(start, middle));
				start = middle;
			}
		}
		return path;
	}

	/** The proof that the tree of `first` leaves is a prefix of that of `second` (RFC 6962, 2.1.2). */
	consistency(first: number, second: number): Hash[] {
		if (first < 0 || first > second) throw new RangeError(`${first} is not a prefix of ${second}`);
		if (first === 0 || first === second) return [];
		const proof: Hash[] = [];
		let [start, end, whole] = [0, second, true];
		while (first !== end) {
			const middle = start + splitOf(end - start);
			if (first <= middle) {
				proof.unshift(this.hash(middle, end));
				end = middle;
			} else {
				proof.unshift(this.hash(start, middle));
				start = middle;
				whole = false;
			}
		}
		if (!whole) proof.unshift(this.hash(start, end));
		return proof;
	}
}

/** The root that an inclusion proof leads to, or null when it has the wrong length (RFC 9162, 2.1.3.2). */
export function rootFromInclusion(leaf: Hash, index: number, size: number, path: readonly Hash[]): Hash | null {
	if (!Number.isSafeInteger(index) || index < 0 || index >= size) return null;
	const node = nodeHasher();
	let [place, last, root] = [index, size - 1, leaf];
	for (const sibling of path) {
		if (last === 0) return null;
		if (place % 2 === 1 || place === last) {
			root = node(sibling, root);
			while (place % 2 === 0 && place !== 0) [place, last] = [place / 2, Math.floor(last / 2)];
		} else {
			root = node(root, sibling);
		}
		[place, last] = [Math.floor(place / 2), Math.floor(last / 2)];
	}
	return last === 0 ? root : null;
}

/** True when `proof` shows that `firstRoot` is the root of a prefix of the tree of `secondRoot` (RFC 9162, 2.1.4.2). */
export function consistencyHolds(
	first: { readonly size: number; readonly root: Hash },
	second: { readonly size: number; readonly root: Hash },
	proof: readonly Hash[],
): boolean {
	if (first.size > second.size) return false;
	if (first.size === second.size) return proof.length === 0 && sameHash(first.root, second.root);
	if (first.size === 0) return proof.length === 0 && sameHash(first.root, emptyRoot);
	const node = nodeHasher();
	let [place, last] = [first.size - 1, second.size - 1];
	while (place % 2 === 1) [place, last] = [(place - 1) / 2, Math.floor(last / 2)];
	const path = place === 0 ? [first.root, ...proof] : [...proof];
	const seed = path.shift();
	if (seed === undefined) return false;
	let [left, right] = [seed, seed];
	for (const sibling of path) {
		if (last === 0) return false;
		if (place % 2 === 1 || place === last) {
			left = node(sibling, left);
			right = node(sibling, right);
			while (place % 2 === 0 && place !== 0) [place, last] = [place / 2, Math.floor(last / 2)];
		} else {
			right = node(right, sibling);
		}
		[place, last] = [Math.floor(place / 2), Math.floor(last / 2)];
	}
	return last === 0 && sameHash(left, first.root) && sameHash(right, second.root);
}
