/** The Merkle tree: known roots, and proofs of inclusion and consistency against the definition. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
	consistencyHolds,
	emptyRoot,
	Frontier,
	type Hash,
	hashFromBase64,
	hashToBase64,
	hashToBytes,
	leafHash,
	PartialTree,
	rootFromInclusion,
} from '../../src/audit/merkle.ts';

/** The leaves that the implementations of Certificate Transparency test with, and the roots of their first n. */
const vectorLeaves = [
	'',
	'00',
	'10',
	'2021',
	'3031',
	'40414243',
	'5051525354555657',
	'606162636465666768696a6b6c6d6e6f',
];
const vectorRoots = [
	'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
	'6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
	'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
	'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
	'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
	'4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
	'76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
	'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
	'5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];

const hex = (hash: Hash) => hashToBytes(hash).toString('hex');

function leavesOf(count: number): Hash[] {
	return Array.from({ length: count }, (_nothing, index) => leafHash(Buffer.from(`record ${index}`)));
}

/** MTH straight from RFC 6962, 2.1: what everything else is compared with. */
function naiveRoot(leaves: readonly Hash[]): Hash {
	if (leaves.length === 0) return emptyRoot;
	if (leaves.length === 1) return leaves[0] as Hash;
	let k = 1;
	while (k * 2 < leaves.length) k *= 2;
	const pair = [Buffer.from([1]), hashToBytes(naiveRoot(leaves.slice(0, k))), hashToBytes(naiveRoot(leaves.slice(k)))];
	return createHash('sha256').update(Buffer.concat(pair)).digest('binary') as Hash;
}

function treeOf(leaves: readonly Hash[]): PartialTree {
	return new PartialTree((start, end) => (end - start === 1 ? (leaves[start] ?? null) : null));
}

describe('RFC 6962, 2.1', () => {
	it.each(vectorRoots.map((root, size) => ({ size, root })))(
		'has the known root for $size leaves',
		({ size, root }) => {
			const frontier = new Frontier();
			for (const leaf of vectorLeaves.slice(0, size)) frontier.append(leafHash(Buffer.from(leaf, 'hex')));
			expect(hex(frontier.root())).toBe(root);
		},
	);

	it('has the same root by appending, by parts and by the definition', () => {
		const leaves = leavesOf(70);
		const frontier = new Frontier();
		leaves.forEach((leaf, index) => {
			frontier.append(leaf);
			const want = hex(naiveRoot(leaves.slice(0, index + 1)));
			expect(hex(frontier.root())).toBe(want);
			expect(hex(treeOf(leaves).hash(0, index + 1))).toBe(want);
		});
	});

	it('goes on from a frontier that was written down', () => {
		fc.assert(
			fc.property(fc.nat(200), fc.nat(200), (before, after) => {
				const leaves = leavesOf(before + after);
				const first = new Frontier();
				for (const leaf of leaves.slice(0, before)) first.append(leaf);
				const texts = first.subtrees.map(hashToBase64);
				const second = new Frontier(
					before,
					texts.map((text) => hashFromBase64(text) as Hash),
				);
				for (const leaf of leaves.slice(before)) second.append(leaf);
				expect(hex(second.root())).toBe(hex(naiveRoot(leaves)));
			}),
			{ numRuns: 50 },
		);
	});

	it('knows which frontiers cannot be', () => {
		expect(() => new Frontier(3, leavesOf(1))).toThrow(RangeError);
		expect(() => new Frontier(-1, [])).toThrow(RangeError);
		expect(() => new Frontier(1.5, [])).toThrow(RangeError);
	});
});

describe('inclusion proofs (RFC 9162, 2.1.3)', () => {
	const leaves = leavesOf(33);
	it('hold for every record of every tree, and for no other record, place or size', () => {
		for (let size = 1; size <= leaves.length; size += 1) {
			const root = hex(naiveRoot(leaves.slice(0, size)));
			for (let index = 0; index < size; index += 1) {
				const path = treeOf(leaves).inclusion(index, size);
				const lead = (leaf: Hash, at: number, of: number, by: readonly Hash[]) => {
					const found = rootFromInclusion(leaf, at, of, by);
					return found === null ? null : hex(found);
				};
				const own = leaves[index] as Hash;
				expect(lead(own, index, size, path)).toBe(root);
				expect(lead(leafHash(Buffer.from('another')), index, size, path)).not.toBe(root);
				if (size > 1) expect(lead(own, (index + 1) % size, size, path)).not.toBe(root);
				expect(lead(own, index, size, [...path, own])).not.toBe(root);
				expect(lead(own, index, size, path.slice(1))).not.toBe(size === 1 ? null : root);
			}
		}
	});

	it('are refused outside of the tree', () => {
		expect(() => treeOf(leaves).inclusion(5, 5)).toThrow(RangeError);
		expect(rootFromInclusion(leaves[0] as Hash, 1, 1, [])).toBeNull();
		expect(rootFromInclusion(leaves[0] as Hash, -1, 1, [])).toBeNull();
	});
});

describe('consistency proofs (RFC 9162, 2.1.4)', () => {
	const leaves = leavesOf(20);
	const at = (size: number) => ({ size, root: naiveRoot(leaves.slice(0, size)) });
	it('hold for every pair of sizes, and not for another root', () => {
		for (let second = 0; second <= leaves.length; second += 1) {
			for (let first = 0; first <= second; first += 1) {
				const proof = treeOf(leaves).consistency(first, second);
				expect([first, second, consistencyHolds(at(first), at(second), proof)]).toEqual([first, second, true]);
				if (first === 0) continue;
				const wrong = { size: first, root: leafHash(Buffer.from('x')) };
				expect(consistencyHolds(wrong, at(second), proof)).toBe(false);
				expect(consistencyHolds(at(first), at(second), [...proof, leaves[0] as Hash])).toBe(false);
				if (proof.length > 0) expect(consistencyHolds(at(first), at(second), proof.slice(0, -1))).toBe(false);
			}
		}
	});
});
