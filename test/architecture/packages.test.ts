/** The lock file: complete for every platform, in step with package.json, and without the address of any registry. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

interface Entry {
	readonly version?: string;
	readonly resolved?: string;
	readonly dependencies?: Readonly<Record<string, string>>;
	readonly devDependencies?: Readonly<Record<string, string>>;
	readonly optionalDependencies?: Readonly<Record<string, string>>;
}

type Manifest = Pick<Entry, 'dependencies' | 'devDependencies'>;

/** One line for everything that would make `npm ci` refuse the lock, or tie it to one registry. */
function violations(manifest: Manifest, packages: Readonly<Record<string, Entry>>): string[] {
	const found: string[] = [];
	for (const kind of ['dependencies', 'devDependencies'] as const) {
		const [wanted, locked] = [manifest[kind] ?? {}, packages['']?.[kind] ?? {}];
		for (const name of new Set([...Object.keys(wanted), ...Object.keys(locked)])) {
			if (wanted[name] !== locked[name])
				found.push(`${name}: ${wanted[name]} in package.json, ${locked[name]} in the lock`);
		}
	}
	for (const [path, entry] of Object.entries(packages)) {
		if (path !== '' && entry.version === undefined) found.push(`${path} has no version`);
		if (entry.resolved !== undefined) found.push(`${path} names where it came from`);
		for (const name of Object.keys(entry.optionalDependencies ?? {})) {
			const places = [`node_modules/${name}`, `${path}/node_modules/${name}`];
			if (!places.some((place) => place in packages)) {
				found.push(`${path} needs ${name} on another platform: run npx tsx scripts/complete-lock.ts`);
			}
		}
	}
	return found;
}

function read(name: string): unknown {
	return JSON.parse(readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8'));
}

describe('package-lock.json', () => {
	it('can be installed from anywhere', () => {
		const { packages } = read('package-lock.json') as { packages: Record<string, Entry> };
		expect(Object.keys(packages).length).toBeGreaterThan(100);
		expect(violations(read('package.json') as Manifest, packages)).toEqual([]);
	});

	const version = '1.0.0';
	const planted: { name: string; packages: Record<string, Entry>; want: RegExp | null }[] = [
		{
			name: 'nothing wrong',
			packages: { '': { dependencies: { a: '^1' } }, 'node_modules/a': { version } },
			want: null,
		},
		{ name: 'a dependency added by hand', packages: { '': {} }, want: /a: \^1 in package.json, undefined in the lock/ },
		{
			name: 'a dependency removed by hand',
			packages: { '': { dependencies: { a: '^1', b: '^1' } } },
			want: /b: undefined in package.json, \^1 in the lock/,
		},
		{
			name: 'a platform left out',
			packages: {
				'': { dependencies: { a: '^1' } },
				'node_modules/a': { version, optionalDependencies: { 'a-mac': '1' } },
			},
			want: /node_modules\/a needs a-mac/,
		},
		{
			name: 'an entry that npm left empty',
			packages: { '': { dependencies: { a: '^1' } }, 'node_modules/a': {} },
			want: /node_modules\/a has no version/,
		},
		{
			name: 'an address',
			packages: {
				'': { dependencies: { a: '^1' } },
				'node_modules/a': { version, resolved: 'https://example.com/a.tgz' },
			},
			want: /node_modules\/a names where it came from/,
		},
	];
	it.each(planted)('planted: $name', ({ packages, want }) => {
		const found = violations({ dependencies: { a: '^1' } }, packages);
		if (want === null) expect(found).toEqual([]);
		else expect(found.join('\n')).toMatch(want);
	});
});
