/** Reads portcullis.yaml: every mistake is found at once and named by its key and line, before anything is started. */
import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Config, DatabaseConfig, ListenConfig, UserConfig } from './config.ts';
import { ConfigDocument, ConfigError, type ConfigProblem } from './document.ts';
import { configSchema, type RawConfig } from './schema.ts';
import { describeFileError, Secret, type SecretSource } from './secret.ts';

/** Largest configuration file, and largest PEM file that it names. */
const FILE_BYTES_MAX = 4 * 1024 * 1024;

/**
 * Reads the configuration and the secrets and certificates that it names.
 *
 * @param file path of portcullis.yaml
 * @param env the environment that `env:` secrets come from
 * @throws ConfigError with every problem
 */
export async function loadConfig(file: string, env: NodeJS.ProcessEnv): Promise<Config> {
	const path = resolve(file);
	let text: string;
	try {
		text = await readText(path);
	} catch (error) {
		throw new ConfigError(file, [{ key: '', line: 0, reason: messageOf(error) }]);
	}
	return parseConfig(text, { file: path, shown: file, env });
}

export interface ParseOptions {
	/** Absolute path of the file: what relative paths start from. */
	readonly file: string;
	/** The file as the operator knows it, for messages. */
	readonly shown: string;
	readonly env: NodeJS.ProcessEnv;
}

/** @throws ConfigError with every problem */
export async function parseConfig(text: string, options: ParseOptions): Promise<Config> {
	const document = new ConfigDocument(text);
	if (document.problems.length > 0) throw new ConfigError(options.shown, document.problems);
	const parsed = configSchema.safeParse(document.value);
	if (!parsed.success) throw new ConfigError(options.shown, document.explain(parsed.error));
	const loader = new Loader(parsed.data, document, options);
	const config = await loader.load();
	if (loader.problems.length > 0) throw new ConfigError(options.shown, loader.problems);
	return deepFreeze(config);
}

type Path = readonly (string | number)[];

/** Words of the format that this version does not do yet. Taking them and doing something else would be a trap. */
const NOT_YET = {
	login: new Set(['oauthbearer', 'device']),
	pool: new Set(['transaction']),
} as const;

/** What the schema cannot tell: files, secrets, and keys that contradict each other. */
class Loader {
	readonly problems: ConfigProblem[] = [];
	readonly #warnings: string[] = [];
	readonly #raw: RawConfig;
	readonly #document: ConfigDocument;
	readonly #folder: string;
	readonly #file: string;
	readonly #env: NodeJS.ProcessEnv;

	constructor(raw: RawConfig, document: ConfigDocument, options: ParseOptions) {
		this.#raw = raw;
		this.#document = document;
		this.#file = options.file;
		this.#folder = dirname(options.file);
		this.#env = options.env;
	}

	async load(): Promise<Config> {
		const raw = this.#raw;
		const listen = await this.#listen();
		const identity = await this.#identity();
		const databases: DatabaseConfig[] = [];
		for (const name of Object.keys(raw.databases)) databases.push(...(await this.#database(name)));
		const policies = resolve(this.#folder, raw.policies);
		await this.#mustBeFolder(['policies'], policies);
		const key = raw.audit.key ? await this.#secret(['audit', 'key'], raw.audit.key) : null;
		return {
			file: this.#file,
			listen,
			identity,
			databases,
			policies,
			audit: {
				path: resolve(this.#folder, raw.audit.path),
				durability: raw.audit.durability,
				key: key ?? null,
				parameters: raw.audit.parameters,
			},
			admin: raw.admin ?? null,
			limits: raw.limits,
			warnings: this.#warnings,
		};
	}

	async #listen(): Promise<ListenConfig> {
		const { host, port, tls } = this.#raw.listen;
		if (tls.mode === 'off') {
			if (!isLoopback(host))
				this.#warnings.push(`listen.tls.mode: off on ${host}: what clients send can be read on the network`);
			return { host, port, tls: null };
		}
		for (const key of ['cert', 'key'] as const) {
			if (tls[key] === undefined) this.#problem(['listen', 'tls', key], `missing: mode ${tls.mode} needs it`);
			else await this.#pem(['listen', 'tls', key], tls[key]);
		}
		const { cert = '', key = '' } = tls;
		return { host, port, tls: { mode: tls.mode, cert: resolve(this.#folder, cert), key: resolve(this.#folder, key) } };
	}

	async #identity(): Promise<Config['identity']> {
		const { login, issuers, users } = this.#raw.identity;
		if (issuers.length === 0 && users.length === 0)
			this.#problem(['identity'], 'has neither issuers nor users, so nobody could sign in');
		if (NOT_YET.login.has(login)) this.#problem(['identity', 'login'], `${login} is not available in this version`);
		else if (login !== 'password' && issuers.length === 0)
			this.#problem(['identity', 'login'], `${login} needs an issuer`);
		this.#unique(['identity', 'issuers'], 'issuer', issuers);
		this.#unique(['identity', 'users'], 'name', users);
		const accounts: UserConfig[] = [];
		for (const [index, user] of users.entries()) {
			const source = 'scram' in user.password ? { text: user.password.scram } : user.password;
			const password = await this.#secret(['identity', 'users', index, 'password'], source);
			if (password) accounts.push({ name: user.name, password, roles: user.roles, claims: user.claims });
		}
		return {
			login,
			users: accounts,
			issuers: issuers.map((issuer) => ({
				...issuer,
				audience: typeof issuer.audience === 'string' ? [issuer.audience] : issuer.audience,
				clientId: issuer.clientId ?? null,
				groups: issuer.groups ?? null,
			})),
		};
	}

	async #database(name: string): Promise<DatabaseConfig[]> {
		const raw = this.#raw.databases[name];
		if (!raw) return [];
		const at: Path = ['databases', name];
		const mode = raw.tls?.mode ?? (isLoopback(raw.host) ? 'disable' : 'verify-full');
		if ((raw.tls?.cert === undefined) !== (raw.tls?.key === undefined)) {
			this.#problem([...at, 'tls'], 'cert and key go together');
		}
		if (mode === 'verify-ca' && raw.tls?.ca === undefined)
			this.#problem([...at, 'tls', 'ca'], 'missing: mode verify-ca needs it');
		if (mode === 'disable' && !isLoopback(raw.host)) {
			this.#warnings.push(
				`databases.${name}.tls.mode: disable to ${raw.host}: statements and rows can be read on the network`,
			);
		}
		if (NOT_YET.pool.has(raw.pool.mode))
			this.#problem([...at, 'pool', 'mode'], `${raw.pool.mode} is not available in this version`);
		const password = raw.password ? await this.#secret([...at, 'password'], raw.password) : null;
		const key = raw.tls?.key === undefined ? null : await this.#secret([...at, 'tls', 'key'], { file: raw.tls.key });
		return [
			{
				name,
				host: raw.host,
				port: raw.port,
				dbname: raw.dbname ?? name,
				user: raw.user,
				password: password ?? null,
				tls: {
					mode,
					ca: raw.tls?.ca === undefined ? null : await this.#pem([...at, 'tls', 'ca'], raw.tls.ca),
					cert: raw.tls?.cert === undefined ? null : await this.#pem([...at, 'tls', 'cert'], raw.tls.cert),
					key: key ?? null,
				},
				pool: raw.pool,
			},
		];
	}

	async #secret(path: Path, source: SecretSource): Promise<Secret | undefined> {
		try {
			return await Secret.read('file' in source ? { file: resolve(this.#folder, source.file) } : source, this.#env);
		} catch (error) {
			this.#problem(path, messageOf(error));
			return undefined;
		}
	}

	async #pem(path: Path, file: string): Promise<string> {
		try {
			const text = await readText(resolve(this.#folder, file));
			if (!text.includes('-----BEGIN ')) throw new Error(`${file} is not a PEM file`);
			return text;
		} catch (error) {
			this.#problem(path, messageOf(error));
			return '';
		}
	}

	async #mustBeFolder(path: Path, folder: string): Promise<void> {
		try {
			if (!(await stat(folder)).isDirectory()) this.#problem(path, `${folder} is not a folder`);
		} catch (error) {
			this.#problem(path, describeFileError(folder, error));
		}
	}

	#unique<Key extends string>(path: Path, key: Key, items: readonly Readonly<Record<Key, string>>[]): void {
		for (const [index, item] of items.entries()) {
			const first = items.findIndex((other) => other[key] === item[key]);
			if (first !== index) this.#problem([...path, index, key], `${JSON.stringify(item[key])} is there twice`);
		}
	}

	#problem(path: Path, reason: string): void {
		this.problems.push(this.#document.problem(path, reason));
	}
}

/** True for the machine itself: a loopback address or the folder of a Unix socket. */
function isLoopback(host: string): boolean {
	return host === 'localhost' || host === '::1' || host.startsWith('/') || /^127\.\d+\.\d+\.\d+$/.test(host);
}

async function readText(path: string): Promise<string> {
	let bytes: Buffer;
	try {
		bytes = await readFile(path);
	} catch (error) {
		throw new Error(describeFileError(path, error));
	}
	if (bytes.length > FILE_BYTES_MAX) throw new Error(`${path} is larger than ${FILE_BYTES_MAX} bytes`);
	try {
		return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
	} catch {
		throw new Error(`${path} is not UTF-8`);
	}
}

function messageOf(error: unknown): string {
	return error instanceof Error ? error.message : String(error);
}

function deepFreeze<T>(value: T): T {
	if (typeof value === 'object' && value !== null && !(value instanceof Secret) && !Object.isFrozen(value)) {
		for (const inner of Object.values(value)) deepFreeze(inner);
		Object.freeze(value);
	}
	return value;
}
