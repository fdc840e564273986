/** Several whole gateways with one configuration, as replicas behind a balancer, each reached by the others over a way that tests can cut. */
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { type Gateway, startGateway } from '../../src/cli/gateway.ts';
import { loadConfig } from '../../src/config/load.ts';
import { Cable } from './cable.ts';
import { type LogLine, readAudit, type TestConfig, type TestGateway } from './gateway.ts';

export interface Sibling {
	readonly port: number;
	readonly adminPort: number;
	readonly gateway: Gateway;
	/** Files of its own policy. */
	readonly policies: string;
	readonly log: readonly LogLine[];
	/** Every record of its audit log up to now. */
	audit(): Promise<Record<string, unknown>[]>;
	metrics(): Promise<string>;
}

export interface Siblings {
	readonly all: readonly Sibling[];
	/** The ways to them, in the same order. */
	readonly cables: readonly Cable[];
	stop(): Promise<void>;
}

export interface SiblingOptions {
	readonly count: number;
	/** Changes the configuration of the one with this index; `ports` are those of the ways to all of them. */
	readonly configure: (config: TestConfig, index: number, ports: readonly number[]) => void;
	readonly secrets?: Readonly<Record<string, string>>;
}

/** `world` gives the database, the provider, the folder, and the policy, of which each gets a copy. */
export async function startSiblings(world: TestGateway, options: SiblingOptions): Promise<Siblings> {
	const places = Array.from({ length: options.count }, () => ({ host: '127.0.0.1', port: 0 }));
	const cables = await Promise.all(places.map((place) => Cable.lay(place)));
	const ports = cables.map((cable) => cable.port);
	const all: Sibling[] = [];
	const stop = async (): Promise<void> => {
		await Promise.all(all.map(({ gateway }) => gateway.close(0)));
		await Promise.all(cables.map((cable) => cable.close()));
	};
	try {
		for (const [index, place] of places.entries()) {
			const sibling = await startSibling(
				world,
				index,
				(config) => options.configure(config, index, ports),
				options.secrets,
			);
			all.push(sibling);
			place.port = sibling.port;
		}
	} catch (error) {
		await stop();
		throw error;
	}
	return { all, cables, stop };
}

async function startSibling(
	world: TestGateway,
	index: number,
	configure: (config: TestConfig) => void,
	secrets: Readonly<Record<string, string>> = {},
): Promise<Sibling> {
	const config = parse(await readFile(world.configFile, 'utf8')) as TestConfig;
	const name = `sibling${index}-${process.hrtime.bigint()}`;
	const policies = join(world.folder, `policies-${name}`);
	await cp(join(world.folder, 'policies'), policies, { recursive: true });
	config['policies'] = policies;
	config['audit'] = { path: `./audit-${name}` };
	config['admin'] = { host: '127.0.0.1', port: 0 };
	configure(config);
	const file = join(world.folder, `${name}.yaml`);
	await writeFile(file, stringify(config));
	const log: LogLine[] = [];
	const write =
		(level: LogLine['level']) =>
		(fields: object, message: string): void => {
			log.push({ level, message, fields: { ...fields } });
		};
	const env = { SHOP_PASSWORD: 'gateway-password', ...secrets };
	const gateway = await startGateway(await loadConfig(file, env), {
		log: { info: write('info'), warn: write('warn'), error: write('error') },
	});
	const { port, adminPort } = gateway;
	if (adminPort === null) throw new Error('no admin port');
	return {
		port,
		adminPort,
		gateway,
		policies,
		log,
		audit: () => readAudit(join(world.folder, `audit-${name}`)),
		metrics: async () => (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text(),
	};
}
