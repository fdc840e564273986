/** `portcullis policy test`: asks the policy what its cases ask, and tells where the answer is not the expected one. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isHarmlessFunctionName } from '../catalog/safety.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { Pipeline } from '../pipeline.ts';
import { loadPolicy } from '../policy/policy.ts';
import { catalogOf } from './backends.ts';
import { report, runCases } from './case-runner.ts';
import { loadCases } from './cases.ts';
import { CommandError, type CommandIo } from './io.ts';

export interface PolicyTestOptions {
	readonly config: string;
}

/** Exit status 0 when every case is as expected, 1 otherwise. Throws for a configuration, policy or case file that will not do. */
export async function policyTest(io: CommandIo, options: PolicyTestOptions): Promise<number> {
	const config = await loadConfig(options.config, io.env);
	const policy = await loadPolicy(config.policies, { isHarmlessFunction: isHarmlessFunctionName });
	const folder = join(config.policies, 'cases');
	const isFolder = await stat(folder).then(
		(found) => found.isDirectory(),
		() => false,
	);
	if (!isFolder) throw new CommandError(`there are no cases: ${folder} is not a folder`);
	const cases = await loadCases(folder, {
		databases: config.databases.map(({ name }) => name),
		users: config.identity.users,
	});
	if (cases.length === 0) throw new CommandError(`there are no cases in ${folder}`);
	const catalogs = await startCatalogs(config, new Set(cases.map((one) => one.database)));
	try {
		const pipeline = new Pipeline({ audit: null });
		const results = await runCases(cases, async (one) => {
			const catalog = catalogs.get(one.database);
			if (!catalog) throw new Error(`no catalogue of ${one.database}`);
			const access = policy.accessFor(one.identity, one.database);
			const names = { searchPath: one.searchPath, tempSchema: null };
			const info = { ...NO_SESSION, identity: one.identity, database: one.database };
			return pipeline.decide({ identity: one.identity, database: one.database, access, catalog, names, info }, one.sql);
		});
		return report(io, results);
	} finally {
		await Promise.all([...catalogs.values()].map((catalog) => catalog.close()));
	}
}

const NO_SESSION = {
	id: 'policy-test',
	clientAddress: '',
	clientPort: 0,
	application: 'policy test',
	tls: null,
	backendAddress: null,
	backendPid: null,
	backendRole: null,
} as const;

async function startCatalogs(config: Config, names: ReadonlySet<string>): Promise<Map<string, Catalog>> {
	const catalogs = new Map<string, Catalog>();
	try {
		for (const database of config.databases) {
			if (!names.has(database.name)) continue;
			const catalog = catalogOf(database, config);
			catalogs.set(database.name, catalog);
			await catalog.start();
		}
		return catalogs;
	} catch (error) {
		await Promise.all([...catalogs.values()].map((catalog) => catalog.close()));
		throw error;
	}
}
