/** Hot reload: changes are taken up, mistakes keep the policy in force and are told once, and editors' habits do no harm. */
import { mkdir, mkdtemp, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { isHarmlessFunctionName } from '../../src/catalog/safety.ts';
import type { Policy, PolicySource } from '../../src/policy/policy.ts';
import { type PolicyError, PolicyError as Refusal } from '../../src/policy/problem.ts';
import { PolicyStore, type StoreOptions } from '../../src/policy/store.ts';
import { identityOf, MODEL } from './support.ts';
import { eventually } from '../support/time.ts';

const ALLOW = 'p, *, shop.hr.t, select, allow\n';
const DENY = `${ALLOW}p, *, shop.hr.t, select, deny\n`;

let root: string;
let folder: string;
const stores: PolicyStore[] = [];

beforeEach(async () => {
	root = await mkdtemp(join(tmpdir(), 'portcullis-policy-'));
	folder = join(root, 'policies');
	await fill(folder, ALLOW);
});

afterEach(async () => {
	for (const store of stores.splice(0)) store.close();
	await rm(root, { recursive: true, force: true });
});

async function fill(into: string, rules: string): Promise<void> {
	await mkdir(into, { recursive: true });
	await writeFile(join(into, 'model.conf'), MODEL);
	await writeFile(join(into, 'policy.csv'), rules);
}

async function open(options: Partial<StoreOptions> = {}): Promise<PolicyStore> {
	const store = await PolicyStore.open(folder, {
		isHarmlessFunction: isHarmlessFunctionName,
		settleMs: 20,
		pollMs: 100,
		...options,
	});
	stores.push(store);
	return store;
}

/** What a store has told since it was watched. */
function follow(store: PolicyStore): { changes: Policy[]; refusals: PolicyError[] } {
	const seen = { changes: [] as Policy[], refusals: [] as PolicyError[] };
	store.onChange((policy) => seen.changes.push(policy));
	store.onRefusal((error) => seen.refusals.push(error));
	store.watch();
	return seen;
}

function allows(store: PolicyStore): boolean {
	return store
		.current()
		.accessFor(identityOf(['user:ana']), 'shop')
		.onRelation('hr', 't', 'select').allowed;
}

const rulesFile = (): string => join(folder, 'policy.csv');

/** As editors do. Written in place, a file is empty at first, and on a busy machine for as long as two looks at it take. */
async function replaceRules(rules: string): Promise<void> {
	await writeFile(`${rulesFile()}.swp`, rules);
	await rename(`${rulesFile()}.swp`, rulesFile());
}

describe('reload', () => {
	test('takes up a change, and tells when nothing changed', async () => {
		const store = await open();
		expect((await store.reload()).type).toBe('unchanged');
		await writeFile(rulesFile(), DENY);
		const result = await store.reload();
		expect(result.type).toBe('changed');
		expect(store.current()).toBe(result.policy);
		expect(allows(store)).toBe(false);
	});

	test('keeps the policy in force when the files are wrong, and tells all mistakes each time it is asked', async () => {
		const store = await open();
		const before = store.current();
		const refusals: PolicyError[] = [];
		store.onRefusal((error) => refusals.push(error));
		await writeFile(rulesFile(), 'nonsense\np, *, shop, connect, alow\n');
		for (const asked of [1, 2]) {
			const result = await store.reload();
			expect(result.type === 'refused' && result.error.problems.map((problem) => problem.line)).toEqual([1, 2]);
			expect(store.current()).toBe(before);
			expect(refusals).toHaveLength(asked);
		}
	});

	test('keeps it when a file is missing, unreadable as text, or the folder is gone', async () => {
		const store = await open();
		const before = store.current();
		await writeFile(rulesFile(), Buffer.from([0x70, 0xff, 0xfe]));
		expect((await store.reload()).type).toBe('refused');
		await unlink(rulesFile());
		const missing = await store.reload();
		expect(missing.type === 'refused' && missing.error.message).toContain('policy.csv: no such file');
		await rm(folder, { recursive: true });
		const gone = await store.reload();
		expect(gone.type === 'refused' && gone.error.problems.map((problem) => problem.file)).toEqual([
			'model.conf',
			'policy.csv',
		]);
		expect(store.current()).toBe(before);
	});

	test('refuses what the further checks refuse', async () => {
		const check = (policy: Policy): Refusal['problems'] =>
			policy.rules.length > 1 ? [{ severity: 'error', file: 'policy.csv', line: 2, reason: 'no such column' }] : [];
		const store = await open({ check });
		await writeFile(rulesFile(), DENY);
		const result = await store.reload();
		expect(result.type === 'refused' && result.error.message).toBe('policy.csv:2: no such column');
		expect(allows(store)).toBe(true);
		await expect(open({ check })).rejects.toThrow(Refusal);
	});

	test('changes the revision with the content of any file, and only then', async () => {
		const store = await open();
		const revisions = [store.current().revision];
		for (const [file, text] of [
			['policy.csv', DENY],
			['masks.yaml', 'masks: {}\n'],
			['model.conf', `${MODEL}\n# more\n`],
		] as const) {
			await writeFile(join(folder, file), text);
			revisions.push((await store.reload()).policy.revision);
		}
		expect(new Set(revisions).size).toBe(4);
		expect((await open()).current().revision).toBe(revisions[3]);
	});

	test('does nothing after close', async () => {
		const store = await open();
		store.close();
		await writeFile(rulesFile(), DENY);
		expect((await store.reload()).type).toBe('unchanged');
		expect(allows(store)).toBe(true);
	});
});

describe('watch', () => {
	test('takes up a file that is written in place', async () => {
		const store = await open();
		const seen = follow(store);
		await writeFile(rulesFile(), DENY);
		await eventually(() => expect(store.current().rules).toHaveLength(2));
		expect(seen.changes.at(-1)).toBe(store.current());
	});

	test('takes up a file that an editor replaces by renaming, again and again', async () => {
		const store = await open();
		follow(store);
		for (const rules of [DENY, ALLOW, DENY]) {
			await replaceRules(rules);
			await eventually(() => expect(allows(store)).toBe(rules === ALLOW));
		}
	});

	test('takes up a folder that is a link to another release', async () => {
		await rename(folder, join(root, 'one'));
		await fill(join(root, 'two'), DENY);
		await symlink('one', folder);
		const store = await open();
		follow(store);
		await symlink('two', join(root, 'next'));
		await rename(join(root, 'next'), folder);
		await eventually(() => expect(allows(store)).toBe(false));
	});

	test('takes up a folder that was gone for a while', async () => {
		const store = await open();
		const seen = follow(store);
		await rm(folder, { recursive: true });
		await eventually(() => expect(seen.refusals).toHaveLength(1));
		await fill(folder, DENY);
		await eventually(() => expect(allows(store)).toBe(false));
	});

	test('tells a mistake once, then the next one, and takes the mended file', async () => {
		const store = await open();
		const seen = follow(store);
		await replaceRules('wrong\n');
		await eventually(() => expect(seen.refusals).toHaveLength(1));
		await writeFile(join(folder, 'unrelated.txt'), 'x');
		await replaceRules('p, *, shop\n');
		await eventually(() => expect(seen.refusals).toHaveLength(2));
		expect(allows(store)).toBe(true);
		await replaceRules(DENY);
		await eventually(() => expect(allows(store)).toBe(false));
		expect(seen.refusals).toHaveLength(2);
	});

	test('does not take a file that is still being written, though each part of it is sound', async () => {
		const others = Array.from({ length: 6 }, (_, index) => `p, role:r${index}, shop.hr.t, select, allow\n`);
		const rules = [ALLOW, ...others, 'p, *, shop.hr.t, select, deny\n'];
		let readings = 0;
		// The first reading is that of `open`; each one after it finds a line more, until the file is whole.
		const read = async (): Promise<PolicySource> => ({
			model: MODEL,
			rules: rules.slice(0, ++readings).join(''),
			masks: '',
		});
		const store = await open({ read, settleMs: 5, pollMs: 10 });
		const seen = follow(store);
		await eventually(() => expect(allows(store)).toBe(false));
		expect(seen.changes.map((policy) => policy.rules.length)).toEqual([rules.length]);
	});

	test('stops when it is told to', async () => {
		const store = await open();
		const seen: Policy[] = [];
		const stop = store.onChange((policy) => seen.push(policy));
		stop();
		await writeFile(rulesFile(), DENY);
		await store.reload();
		expect(seen).toEqual([]);
	});
});
