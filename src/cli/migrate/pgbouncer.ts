/** Turns what PgBouncer's files say into portcullis.yaml as data, and lists what has no counterpart, each with a reason. */
import { formatVerifier, makeVerifier, parseVerifier } from '../../auth/verifier.ts';
import { type Entry, type Ini, parseConnectionString } from './ini.ts';
import { databaseOptions, type Fate, options, peerOptions, userOptions } from './options.ts';

export interface Migration {
	/** portcullis.yaml as data. */
	readonly config: object;
	/** What has no counterpart: `place: name: reason`. */
	readonly left: readonly string[];
	/** What is still to be done by hand. */
	readonly todo: readonly string[];
	/** Rules for policies/policy.csv. */
	readonly rules: readonly string[];
}

/** Role that is written where PgBouncer would have signed in as whoever the client was. */
const gatewayRole = 'gateway';

const reservedName = 'portcullis';

/** `users`: what auth_file holds; null when there is none. Passwords are never in the result, only verifiers of them. */
export async function migrate(ini: Ini, users: ReadonlyMap<string, string> | null): Promise<Migration> {
	const draft = new Draft(ini);
	const identity = await draft.identity(users);
	const databases = draft.databases();
	const config = {
		listen: draft.listen(),
		identity,
		databases,
		policies: './policies',
		audit: { path: './audit' },
		...draft.limits(),
	};
	draft.listUnknown();
	return {
		config,
		left: draft.left,
		todo: draft.todo,
		rules: [...draft.connectRules(databases), ...draft.consoleRules()],
	};
}

class Draft {
	readonly left: string[] = [];
	readonly todo: string[] = [];
	readonly #ini: Ini;
	readonly #options: ReadonlyMap<string, Entry>;
	/** Databases whose clients came with a role of their own. */
	readonly #roleless: string[] = [];

	constructor(ini: Ini) {
		this.#ini = ini;
		this.#options = new Map((ini.sections.get('pgbouncer') ?? []).map((entry) => [entry.name, entry]));
	}

	/** Value of an option that is taken over; empty counts as not set. */
	#get(name: string): string | undefined {
		const value = this.#options.get(name)?.value;
		return value === undefined || value === '' ? undefined : value;
	}

	/** A whole number; undefined, with a note, for what is none. */
	#number(name: string): number | undefined {
		const value = this.#get(name);
		if (value === undefined) return undefined;
		if (/^\d{1,9}$/.test(value)) return Number(value);
		this.left.push(`${this.#options.get(name)?.place}: ${name}: not a number: ${value}`);
		return undefined;
	}

	/** Seconds as milliseconds; 0 is off on both sides. */
	#milliseconds(name: string): number | undefined {
		const value = this.#get(name);
		if (value === undefined) return undefined;
		if (/^\d{1,9}(\.\d+)?$/.test(value)) return Math.round(Number(value) * 1000);
		this.left.push(`${this.#options.get(name)?.place}: ${name}: not a number of seconds: ${value}`);
		return undefined;
	}

	// ------------------------------------------------------------ listen

	listen(): object {
		const [first = '127.0.0.1', ...more] = (this.#get('listen_addr') ?? '')
			.split(',')
			.flatMap((one) => one.trim() || []);
		if (more.length > 0) {
			const place = this.#options.get('listen_addr')?.place;
			this.left.push(`${place}: listen_addr: ${more.join(', ')}: the gateway listens on one address`);
		}
		const host = first === '*' ? '0.0.0.0' : first;
		return { host, port: this.#number('listen_port') ?? 6432, ...this.#listenTls(), ...this.#peers() };
	}

	/** Of section [peers], without the one that this is. */
	#peers(): object {
		const peers: object[] = [];
		for (const entry of this.#ini.sections.get('peers') ?? []) {
			if (entry.name === this.#get('peer_id')) continue;
			const given = parseConnectionString(entry);
			const at = `${entry.place}: peer ${entry.name}`;
			for (const option of given.keys()) {
				const fate = peerOptions[option];
				if (fate === undefined || 'why' in fate) this.#leave(`${at}: ${option}`, fate);
			}
			const host = given.get('host') ?? '';
			if (host === '' || host.startsWith('/') || host.startsWith('@')) {
				this.left.push(`${at}: gateways listen by TCP only; several processes of one machine are workers`);
				continue;
			}
			peers.push({ host, ...defined({ port: numberOf(given.get('port')) }) });
		}
		if (peers.length === 0) return {};
		this.todo.push(
			'listen.peers: peers elsewhere are reached with verify-full; say in their tls which authority to trust',
		);
		return { peers };
	}

	#listenTls(): object {
		const mode = this.#get('client_tls_sslmode') ?? 'disable';
		if (mode === 'disable') return {};
		const cert = this.#get('client_tls_cert_file');
		const key = this.#get('client_tls_key_file');
		const ca = mode.startsWith('verify') ? this.#get('client_tls_ca_file') : undefined;
		const tls = {
			mode: mode === 'allow' || mode === 'prefer' ? 'allow' : 'require',
			...defined({ cert, key, clientCa: ca }),
		};
		if (ca !== undefined)
			this.todo.push(
				'PgBouncer asked every client for a certificate. Portcullis takes one in place of a password, from accounts with certificate: true (identity.users).',
			);
		return { tls };
	}

	// ------------------------------------------------------------ identity

	async identity(users: ReadonlyMap<string, string> | null): Promise<object> {
		const type = this.#get('auth_type') ?? 'md5';
		if (!['md5', 'scram-sha-256'].includes(type)) {
			const place = this.#options.get('auth_type')?.place;
			this.left.push(
				`${place}: auth_type: ${type}: accounts sign in with SCRAM-SHA-256 or a certificate, people with a token`,
			);
		}
		const limits = this.#userLimits();
		const accounts: object[] = [];
		for (const [name, secret] of users ?? []) {
			const scram = await verifierOf(secret);
			const sessionsMax = limits.get(name);
			if (scram === null)
				this.todo.push(
					`account ${name}: its password is not known (${secret === '' ? 'empty' : 'MD5'}): portcullis hash-password`,
				);
			else accounts.push({ name, password: { scram }, ...defined({ sessionsMax }) });
		}
		if (accounts.length === 0)
			this.todo.push(
				'nobody can sign in yet: add service accounts (identity.users) or an OpenID provider (identity.issuers)',
			);
		return { users: accounts };
	}

	/** Of section [users]. */
	#userLimits(): ReadonlyMap<string, number> {
		const limits = new Map<string, number>();
		for (const entry of this.#ini.sections.get('users') ?? []) {
			for (const [option, value] of parseConnectionString(entry)) {
				if (option === 'max_user_client_connections' && /^\d{1,9}$/.test(value)) limits.set(entry.name, Number(value));
				else this.#leave(`${entry.place}: ${entry.name}: ${option}`, userOptions[option]);
			}
		}
		return limits;
	}

	// ------------------------------------------------------------ databases

	databases(): Record<string, object> {
		const databases: [string, object][] = [];
		for (const entry of this.#ini.sections.get('databases') ?? []) {
			if (entry.name === '*') {
				this.left.push(`${entry.place}: *: databases have to be listed by name`);
				continue;
			}
			const name = entry.name === reservedName ? `${reservedName}_db` : entry.name;
			if (name !== entry.name)
				this.todo.push(`database ${entry.name} is called ${name} here: the name is the gateway's own`);
			databases.push([name, this.#database(name, entry)]);
		}
		if (databases.length === 0) this.todo.push('there is no database yet: add one (databases)');
		if (this.#roleless.length > 0)
			this.todo.push(
				`databases ${this.#roleless.join(', ')}: PgBouncer signed in as whoever the client was. The gateway signs in as one role, ${gatewayRole} here: make it, give it what all of them may do together, and let the policy say who may do what`,
			);
		return Object.fromEntries(databases);
	}

	#database(name: string, entry: Entry): object {
		const given = parseConnectionString(entry);
		const at = `${entry.place}: ${name}`;
		for (const option of given.keys()) {
			const fate = databaseOptions[option];
			if (fate === undefined || 'why' in fate) this.#leave(`${at}: ${option}`, fate);
		}
		const user = given.get('user');
		const variable = `${name.toUpperCase().replaceAll(/[^A-Z0-9]+/g, '_')}_PASSWORD`;
		if (user === undefined) this.#roleless.push(name);
		this.todo.push(
			`database ${name}: put the password of ${user ?? gatewayRole} into the environment variable ${variable}`,
		);
		const hosts = this.#hosts(at, given.get('host'));
		const port = given.get('port');
		const dbname = given.get('dbname') ?? entry.name;
		const sessionsMax = numberOf(given.get('max_db_client_connections')) ?? this.#number('max_db_client_connections');
		return {
			// PgBouncer takes its hosts in turns and asks none of them what it is.
			...(hosts.length === 1 ? { host: hosts[0] } : { host: hosts, targetSessionAttrs: 'any' }),
			...defined({ port: numberOf(port) }),
			...(dbname === name ? {} : { dbname }),
			user: user ?? gatewayRole,
			password: { env: variable },
			...(hosts.every((host) => host.startsWith('/')) ? {} : this.#serverTls()),
			pool: { mode: this.#poolMode(at, given.get('pool_mode')), size: this.#poolSize(given) },
			...(sessionsMax === undefined || sessionsMax === 0 ? {} : { limits: { sessionsMax } }),
		};
	}

	#hosts(at: string, given: string | undefined): string[] {
		const folder = this.#get('unix_socket_dir') ?? '/tmp';
		const hosts = (given ?? folder).split(',').map((host) => host.trim());
		for (const host of hosts) {
			if (host.startsWith('@'))
				this.left.push(`${at}: host: ${host}: sockets of the abstract namespace are not connected to`);
		}
		if (hosts.length > 1)
			this.todo.push(`${at}: are these hosts one cluster? Then targetSessionAttrs: primary follows its primary`);
		return hosts;
	}

	#poolMode(at: string, given: string | undefined): string {
		const mode = given ?? this.#get('pool_mode') ?? 'session';
		const wanted = mode === 'statement' ? 'transaction' : mode;
		if (mode === 'statement') this.left.push(`${at}: pool_mode: statement: the nearest is transaction`);
		return wanted;
	}

	/** All roles together have one pool here, so the limit of a database counts before that of a pair. */
	#poolSize(given: ReadonlyMap<string, string>): number {
		const size = numberOf(given.get('pool_size')) ?? this.#number('default_pool_size') ?? 20;
		const most = numberOf(given.get('max_db_connections')) ?? this.#number('max_db_connections') ?? 0;
		return Math.max(1, most > 0 ? Math.min(size, most) : size);
	}

	#serverTls(): object {
		const mode = this.#get('server_tls_sslmode') ?? 'prefer';
		const ca = this.#get('server_tls_ca_file');
		const cert = this.#get('server_tls_cert_file');
		const key = this.#get('server_tls_key_file');
		if (mode === 'allow' || mode === 'prefer') {
			const words = `server_tls_sslmode ${mode} goes on without TLS when the server has none. tls.mode is left to its default: verify-full, or none to this machine`;
			if (!this.todo.includes(words)) this.todo.push(words);
			return {};
		}
		return { tls: { mode, ...defined({ ca, cert, key }) } };
	}

	// ------------------------------------------------------------ limits and rules

	limits(): object {
		const limits = defined({
			sessionsMax: this.#number('max_client_conn'),
			sessionsPerUserMax: this.#number('max_user_client_connections'),
			loginTimeoutMs: this.#milliseconds('client_login_timeout'),
			idleTimeoutMs: this.#milliseconds('client_idle_timeout'),
			queryTimeoutMs: this.#milliseconds('query_timeout'),
			transactionTimeoutMs: this.#milliseconds('transaction_timeout'),
			idleTransactionTimeoutMs: this.#milliseconds('idle_transaction_timeout'),
			connectTimeoutMs: this.#milliseconds('server_connect_timeout'),
			poolWaitMs: this.#milliseconds('query_wait_timeout'),
			keepAliveMs: this.#milliseconds('tcp_keepidle'),
		});
		// Off is no value for these: the defaults stay.
		for (const name of ['loginTimeoutMs', 'connectTimeoutMs', 'poolWaitMs', 'sessionsMax'])
			if (limits[name] === 0) delete limits[name];
		return Object.keys(limits).length === 0 ? {} : { limits };
	}

	/** Who could connect to PgBouncer could connect to every database of it. */
	connectRules(databases: object): string[] {
		return Object.keys(databases).map((name) => `p, *, ${quotedPart(name)}, connect, allow`);
	}

	consoleRules(): string[] {
		const names = (option: string): string[] =>
			(this.#get(option) ?? '').split(',').flatMap((name) => name.trim() || []);
		const enter = (name: string): string => `p, user:${name}, ${reservedName}, connect, allow`;
		return [
			...names('admin_users').flatMap((name) => [enter(name), `p, user:${name}, ${reservedName}, alter, allow`]),
			...names('stats_users').map(enter),
		];
	}

	/** Options and sections that were not looked at. */
	listUnknown(): void {
		for (const { name, place } of this.#options.values()) {
			const fate = options[name];
			if (fate === undefined || 'why' in fate) this.#leave(`${place}: ${name}`, fate);
		}
		for (const [section, entries] of this.#ini.sections) {
			if (['databases', 'users', 'pgbouncer', 'peers'].includes(section)) continue;
			this.left.push(`${entries[0]?.place ?? section}: [${section}]: a section that PgBouncer is not known to have`);
		}
	}

	#leave(what: string, fate: Fate | undefined): void {
		this.left.push(
			`${what}: ${fate === undefined || !('why' in fate) ? 'not an option that PgBouncer is known to have' : fate.why}`,
		);
	}
}

/** The verifier of a secret of auth_file; null when it cannot be made. */
async function verifierOf(secret: string): Promise<string | null> {
	if (parseVerifier(secret) !== null) return secret;
	if (secret === '' || /^md5[0-9a-f]{32}$/.test(secret)) return null;
	return formatVerifier(await makeVerifier(secret));
}

function numberOf(text: string | undefined): number | undefined {
	return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

/** Without the keys that have no value. */
function defined(values: Readonly<Record<string, string | number | undefined>>): Record<string, string | number> {
	const pairs = Object.entries(values).filter((pair): pair is [string, string | number] => pair[1] !== undefined);
	return Object.fromEntries(pairs);
}

/** A name as part of an object of the policy. */
function quotedPart(name: string): string {
	return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"""${name.replaceAll('"', '""""')}"""`;
}
