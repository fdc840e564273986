/** Adds to package-lock.json the binaries for other platforms that npm left out because the registry at hand lacks them; without them `npm ci` refuses the lock. */
import { readFileSync, writeFileSync } from 'node:fs';

interface Entry {
	readonly version?: string;
	readonly dev?: boolean;
	readonly optional?: boolean;
	readonly optionalDependencies?: Readonly<Record<string, string>>;
	readonly [key: string]: unknown;
}

interface Lock {
	packages: Record<string, Entry>;
}

/** An entry for `name` at exactly `version`, for the platform that its name ends in; null where that is not to be told. */
function entryFor(name: string, version: string, dev: boolean): Entry | null {
	const platform = /[-/](android|darwin|freebsd|linux|openharmony|win32)-([a-z0-9]+)(?:-([a-z]+))?$/.exec(name);
	if (platform === null || !/^\d+\.\d+\.\d+/.test(version)) return null;
	const [, os = '', architecture = '', abi] = platform;
	return {
		version,
		cpu: [architecture],
		...(dev ? { dev } : {}),
		...(os === 'linux' ? { libc: [abi?.startsWith('musl') === true ? 'musl' : 'glibc'] } : {}),
		optional: true,
		os: [os],
	};
}

const path = new URL('../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(path, 'utf8')) as Lock;
let added = 0;
for (const [parent, { dev = false, optionalDependencies = {} }] of Object.entries(lock.packages)) {
	for (const [name, version] of Object.entries(optionalDependencies)) {
		if (`node_modules/${name}` in lock.packages || `${parent}/node_modules/${name}` in lock.packages) continue;
		const entry = entryFor(name, version, dev);
		if (entry === null) throw new Error(`${parent} needs ${name}@${version}, which the lock lacks`);
		lock.packages[`node_modules/${name}`] = entry;
		added++;
	}
}
const [project, ...others] = Object.entries(lock.packages);
if (project === undefined) throw new Error('package-lock.json is empty');
lock.packages = Object.fromEntries([project, ...others.sort(([a], [b]) => (a < b ? -1 : 1))]);
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
process.stdout.write(`${added} packages of other platforms added to package-lock.json\n`);
