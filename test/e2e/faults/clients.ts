/** Clients of a fault run: each does work whose answers and effects can be told from right and wrong, until its session or the run ends. */
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { encodeCancelRequest } from '../../../src/wire/encode.ts';
import { copyIn, copyOut, pipelined, rawOf } from './copies.ts';
import type { Ledger } from './ledger.ts';
import type { Seeded } from './seeded.ts';

export interface Counts {
	sessions: number;
	answers: number;
	/** Clients that left without a word. */
	left: number;
	cancels: number;
	/** Errors that a fault explains, by code. */
	readonly excused: Record<string, number>;
}

export interface ClientsOptions {
	readonly port: number;
	readonly host: string;
	readonly user: string;
	readonly password: string;
	readonly ledger: Ledger;
	readonly counts: Counts;
	/** What takes longer is a hang. */
	readonly patienceMs: number;
}

/** What a fault may bring about, and nothing else. */
const excused: ReadonlySet<string> = new Set([
	...['57P01', '57P02', '57P03', '57014', '53300', '08006', '08001', '25P02'],
	...['ECONNRESET', 'EPIPE'],
]);

/** The same for those who work in a database that is taken out of the configuration for a while. */
const removable: ReadonlySet<string> = new Set([...excused, '3D000']);

/** A wrong answer, a hang, or an error that no fault explains. */
export class Wrong extends Error {}

/** Sessions one after the other, until `goesOn` says no. */
export async function work(
	name: string,
	database: string,
	random: Seeded,
	options: ClientsOptions,
	goesOn: () => boolean,
): Promise<void> {
	for (let turn = 0; goesOn(); turn += 1) {
		const session = new FaultSession(`${name}.${turn}`, database, random, options);
		await session.run(goesOn);
		// One that is refused at once does not try without a pause.
		if (session.asked === 0) await sleep(random.between(10, 100));
	}
}

class FaultSession {
	/** Answers that it has had. */
	asked = 0;
	readonly #name: string;
	readonly #random: Seeded;
	readonly #options: ClientsOptions;
	readonly #client: pg.Client;
	readonly #reading: boolean;
	#ops = 0;
	#doing = 'connect';
	/** The server has said that a commit did not wait for the standby. */
	#warned = false;
	#gone = false;

	constructor(name: string, database: string, random: Seeded, options: ClientsOptions) {
		this.#name = name;
		this.#random = random;
		this.#options = options;
		this.#reading = database.endsWith('_ro');
		const { host, port, user, password } = options;
		this.#client = new pg.Client({ host, port, user, password, database });
		this.#client.on('error', () => undefined);
		this.#client.on('notice', ({ message = '' }) => {
			if (message.includes('synchronous replication')) this.#warned = true;
		});
	}

	async run(goesOn: () => boolean): Promise<void> {
		const { counts } = this.#options;
		try {
			await this.#within(this.#client.connect());
			counts.sessions += 1;
			await this.#ask(`set application_name = '${this.#name}'`);
			for (let left = this.#random.below(40); left > 0 && !this.#gone && goesOn(); left -= 1)
				await this.#step(left === 1);
		} catch (error) {
			this.#excuse(error);
		} finally {
			if (!this.#gone) await this.#within(this.#client.end().catch(() => undefined));
		}
	}

	/** One act. After an error the session goes on where the server says that it does. */
	async #step(last: boolean): Promise<void> {
		try {
			await this.#act(last)();
		} catch (error) {
			if (!isOfStatement(error)) throw error;
			this.#excuse(error);
			await this.#ask('rollback');
		}
	}

	#act(last: boolean): () => Promise<void> {
		const reading = [
			{ weight: 4, value: this.#echo },
			{ weight: 3, value: this.#prepared },
			{ weight: 2, value: this.#many },
			{ weight: 2, value: this.#settings },
			{ weight: 1, value: this.#copyOut },
			{ weight: 1, value: this.#cancelled },
		];
		const writing = [
			{ weight: 6, value: this.#insert },
			{ weight: 6, value: this.#transfer },
			{ weight: 2, value: this.#pipeline },
			{ weight: 2, value: this.#copyIn },
			{ weight: 1, value: this.#temporary },
			{ weight: 1, value: this.#lock },
			{ weight: 1, value: this.#sleeps },
		];
		if (last && this.#random.chance(0.4)) return this.#random.pick(this.#reading ? this.#leavingReads : this.#leaving);
		return this.#random.pick(this.#reading ? reading : [...reading, ...writing]);
	}

	// -------------------------------------------------------------- reading

	readonly #echo = async (): Promise<void> => {
		const n = this.#random.below(1_000_000);
		this.#same(await this.#ask('select $1::int + 1, $2::text', [n, this.#name]), [[n + 1, this.#name]]);
	};

	readonly #prepared = async (): Promise<void> => {
		const n = this.#random.below(9);
		const rows = await this.#ask(`select ${n}, $1::text`, [this.#name], `statement ${n}`);
		this.#same(rows, [[n, this.#name]]);
	};

	readonly #many = async (): Promise<void> => {
		const count = this.#random.between(1, 3_000);
		const rows = await this.#ask(`select $1 || ':' || g from generate_series(1, ${count}) g`, [this.#name]);
		this.#same([rows.length, rows.at(-1)], [count, [`${this.#name}:${count}`]]);
	};

	readonly #settings = async (): Promise<void> => {
		this.#same(await this.#ask('show application_name'), [[this.#name]]);
		const zone = this.#random.chance(0.5) ? 'Asia/Tokyo' : 'Europe/Berlin';
		await this.#ask(`set timezone = '${zone}'`);
		this.#same(await this.#ask('show timezone'), [[zone]]);
	};

	readonly #copyOut = async (): Promise<void> => {
		const count = this.#random.between(1, 5_000);
		let lines = 0;
		const text = `copy (select '${this.#name}', g from generate_series(1, ${count}) g) to stdout`;
		await this.#within(
			copyOut(this.#client, text, (line) => {
				lines += 1;
				this.#same(line, `${this.#name}\t${lines}`);
			}),
			text,
		);
		this.#same(lines, count);
	};

	/** A statement that is likely to run when the request comes; it may come late, and hit nothing. */
	readonly #cancelled = async (): Promise<void> => {
		const slow = this.#ask('select pg_sleep(0.3), $1::text', [this.#name]);
		// It is awaited below; until then its failure is nobody's.
		slow.catch(() => undefined);
		if (this.#random.chance(0.7)) await sleep(this.#random.below(100));
		this.#cancel();
		this.#same(await slow, [['', this.#name]]);
	};

	#cancel(): void {
		const { processID: pid, secretKey } = this.#client as unknown as { processID: number; secretKey: number };
		const key = Buffer.alloc(4);
		key.writeInt32BE(secretKey);
		const { host, port, counts } = this.#options;
		const socket = connect({ host, port });
		socket.on('error', () => undefined);
		socket.end(encodeCancelRequest(pid, key));
		socket.resume();
		counts.cancels += 1;
	}

	// -------------------------------------------------------------- writing

	readonly #insert = (): Promise<void> =>
		this.#write({ rows: 1, counted: false }, async (op) => {
			await this.#ask('insert into public.ledger values ($1, $2)', [op, this.#name], 'insert');
		});

	readonly #transfer = async (): Promise<void> => {
		await this.#ask('begin');
		let sealed = false;
		await this.#write(
			{ rows: 1, counted: true },
			async (op) => {
				await this.#ask('insert into public.ledger values ($1, $2)', [op, this.#name]);
				if (this.#random.chance(0.2)) await sleep(this.#random.below(30));
				await this.#ask('update public.counters set n = n + 1 where id = $1', [this.#random.below(20)]);
				const own = await this.#ask('select who from public.ledger where op = $1', [op], 'own');
				this.#same(own, [[this.#name]]);
				if (this.#random.chance(0.15)) return this.#rollBack();
				sealed = true;
				await this.#ask('commit');
			},
			() => !sealed,
		);
	};

	async #rollBack(): Promise<never> {
		await this.#ask('rollback');
		throw new RolledBack();
	}

	readonly #pipeline = (): Promise<void> =>
		this.#write({ rows: 3, counted: false }, async (op) => {
			const text = 'insert into public.ledger values ($1, $2)';
			const queries = Array.from({ length: 3 }, () => ({ text, values: [op, this.#name] }));
			await this.#within(pipelined(this.#client, queries), 'a pipeline');
		});

	readonly #copyIn = (): Promise<void> => {
		const rows = this.#random.between(1, 2_000);
		return this.#write({ rows, counted: false }, async (op) => {
			const line = Buffer.from(`${op}\t${this.#name}\n`);
			const whole = copyIn(this.#client, 'copy public.ledger from stdin', (connection) => {
				for (let n = 0; n < rows; n += 1) connection.sendCopyFromChunk(line);
				connection.endCopyFrom();
			});
			await this.#within(whole, 'copy in');
		});
	};

	readonly #temporary = async (): Promise<void> => {
		await this.#ask(`create temp table mine as select '${this.#name}'::text as owner`);
		this.#same(await this.#ask('select owner from mine'), [[this.#name]]);
		await this.#ask('drop table mine');
	};

	readonly #lock = async (): Promise<void> => {
		const key = this.#random.below(1_000_000);
		await this.#ask('select pg_advisory_lock($1)', [key]);
		this.#same(await this.#ask('select pg_advisory_unlock($1)', [key]), [[true]]);
	};

	readonly #sleeps = async (): Promise<void> => {
		await this.#ask('begin');
		await this.#ask('set local work_mem = 1000');
		await sleep(this.#random.below(50));
		await this.#ask('rollback');
	};

	// -------------------------------------------------------------- leaving

	#vanish(): void {
		this.#gone = true;
		this.#options.counts.left += 1;
		const { stream } = rawOf(this.#client);
		if (this.#random.chance(0.5)) stream.destroy();
		else stream.resetAndDestroy();
	}

	readonly #leaveTransaction = async (): Promise<void> => {
		await this.#ask('begin');
		await this.#write({ rows: 1, counted: false }, async (op) => {
			await this.#ask('insert into public.ledger values ($1, $2)', [op, this.#name]);
			this.#vanish();
			throw new RolledBack();
		});
	};

	readonly #leaveCommit = async (): Promise<void> => {
		await this.#ask('begin');
		const op = this.#opOf(1, false);
		await this.#ask('insert into public.ledger values ($1, $2)', [op, this.#name]);
		this.#client.query('commit').catch(() => undefined);
		if (this.#random.chance(0.5)) await sleep(this.#random.below(20));
		this.#vanish();
	};

	readonly #leaveCopyIn = async (): Promise<void> => {
		await this.#write({ rows: 1, counted: false }, async (op) => {
			const never = copyIn(this.#client, 'copy public.ledger from stdin', (connection) => {
				connection.sendCopyFromChunk(Buffer.from(`${op}\t${this.#name}\n`));
				this.#vanish();
			});
			await this.#within(never, 'copy in').catch((error: unknown) => {
				throw this.#gone ? new RolledBack() : error;
			});
		});
	};

	readonly #leaveCopyOut = async (): Promise<void> => {
		const text = `copy (select '${this.#name}', g from generate_series(1, 200000) g) to stdout`;
		let lines = 0;
		const never = copyOut(this.#client, text, (line) => {
			lines += 1;
			this.#same(line, `${this.#name}\t${lines}`);
			if (lines === 10) this.#vanish();
		});
		await this.#within(never, text).catch((error: unknown) => {
			if (!this.#gone) throw error;
		});
	};

	/** What was sent is not ended by a Sync, or it is, and nobody waits for the answer. */
	readonly #leavePipeline = async (): Promise<void> => {
		const op = this.#opOf(2, false);
		const raw = rawOf(this.#client);
		for (let n = 0; n < 2; n += 1) {
			raw.parse({ text: 'insert into public.ledger values ($1, $2)' });
			raw.bind({ values: [op, this.#name] });
			raw.execute({});
		}
		if (this.#random.chance(0.5)) raw.sync();
		else raw.flush();
		if (this.#random.chance(0.7)) await sleep(this.#random.below(30));
		this.#vanish();
	};

	readonly #leaveLock = async (): Promise<void> => {
		await this.#ask('select pg_advisory_lock($1)', [this.#random.below(1_000_000)]);
		this.#vanish();
	};

	readonly #leaveWaiting = async (): Promise<void> => {
		this.#client.query('select 1').catch(() => undefined);
		this.#vanish();
		await sleep(1);
	};

	readonly #leavingReads = [
		{ weight: 1, value: this.#leaveCopyOut },
		{ weight: 1, value: this.#leaveWaiting },
	];

	readonly #leaving = [
		...this.#leavingReads,
		{ weight: 1, value: this.#leaveTransaction },
		{ weight: 1, value: this.#leaveCommit },
		{ weight: 1, value: this.#leaveCopyIn },
		{ weight: 1, value: this.#leavePipeline },
		{ weight: 1, value: this.#leaveLock },
	];

	// -------------------------------------------------------------- means

	#opOf(rows: number, counted: boolean): string {
		this.#ops += 1;
		const op = `${this.#name}/${this.#ops}`;
		this.#options.ledger.sent(op, rows, counted);
		return op;
	}

	/** `cannotBe`: asked after an error that ended the session: whether the work can not have been done even so. */
	async #write(
		{ rows, counted }: { readonly rows: number; readonly counted: boolean },
		act: (op: string) => Promise<void>,
		cannotBe: () => boolean = () => false,
	): Promise<void> {
		const { ledger } = this.#options;
		const op = this.#opOf(rows, counted);
		this.#warned = false;
		try {
			await act(op);
			if (!this.#warned) ledger.told(op);
		} catch (error) {
			if (error instanceof RolledBack || isOfStatement(error) || cannotBe()) ledger.refused(op);
			if (!(error instanceof RolledBack)) throw error;
		}
	}

	async #ask(text: string, values?: unknown[], prepared?: string): Promise<unknown[][]> {
		const given = { text, rowMode: 'array', ...(values === undefined ? {} : { values }) } as const;
		const asked = this.#client.query<unknown[]>(prepared === undefined ? given : { ...given, name: prepared });
		const { rows } = await this.#within(asked, text);
		this.#options.counts.answers += 1;
		this.asked += 1;
		return rows;
	}

	#same(got: unknown, wanted: unknown): void {
		const [one, other] = [JSON.stringify(got), JSON.stringify(wanted)];
		if (one !== other) throw new Wrong(`${this.#name}: ${this.#doing}: ${one} in place of ${other}`);
	}

	/** Nothing may take for ever, whatever is broken. */
	async #within<T>(work: Promise<T>, doing = this.#doing): Promise<T> {
		this.#doing = doing;
		const { patienceMs } = this.#options;
		let timer: NodeJS.Timeout | undefined;
		const late = new Promise<never>((_, reject) => {
			const words = `${this.#name} has waited for ${patienceMs} ms: ${doing}`;
			timer = setTimeout(() => reject(new Wrong(words)), patienceMs);
		});
		try {
			return await Promise.race([work, late]);
		} finally {
			clearTimeout(timer);
		}
	}

	/** Throws what no fault explains. */
	#excuse(error: unknown): void {
		if (error instanceof Wrong) throw error;
		const { code, message } = error as { code?: string; message: string };
		const lost = /Connection terminated|not queryable|connection was lost/.test(message);
		if (!lost && (code === undefined || !(this.#reading ? removable : excused).has(code)))
			throw new Wrong(`${this.#name}: ${this.#doing}: ${code ?? ''} ${message}`, { cause: error });
		const { excused: counts } = this.#options.counts;
		const key = code ?? 'lost';
		counts[key] = (counts[key] ?? 0) + 1;
	}
}

/** The client did so itself. */
class RolledBack extends Error {}

/** An ERROR: the statement has done nothing, its transaction neither, and the session goes on. */
function isOfStatement(error: unknown): boolean {
	return (error as { severity?: string }).severity === 'ERROR';
}
