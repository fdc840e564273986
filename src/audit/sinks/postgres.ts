/** A PostgreSQL table: one row a record, with the line as it stands in the log. */
import pg from 'pg';
import { type Sink, SinkError, type SinkRecord } from './sink.ts';

export interface PostgresOptions {
	/** How to reach the server; never printed. Not through the gateway that writes the log: that would record itself. */
	readonly connection: Pick<
		pg.ClientConfig,
		'host' | 'port' | 'user' | 'password' | 'database' | 'ssl' | 'connectionString'
	>;
	readonly schema?: string;
	readonly table?: string;
	readonly timeoutMs?: number;
}

/**
 * `line` is text, not jsonb: jsonb would change it, so that it could not be verified any more, and refuses \u0000.
 * `line::jsonb` reads it where that matters not.
 */
function tableSql(name: string): string {
	return `create table if not exists ${name} (
		uid text primary key,
		sequence bigint not null,
		time timestamptz not null,
		event_code text not null,
		severity smallint not null,
		line text not null
	)`;
}

class PostgresSink implements Sink {
	readonly name = 'postgres';
	readonly acknowledges = true;
	readonly #options: PostgresOptions;
	readonly #table: string;
	#client: pg.Client | null = null;

	constructor(options: PostgresOptions) {
		this.#options = options;
		const { schema = 'public', table = 'portcullis_audit' } = options;
		this.#table = `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}`;
	}

	async deliver(records: readonly SinkRecord[], signal: AbortSignal): Promise<void> {
		const client = this.#client ?? (await this.#connect());
		const abort = () => this.#drop();
		signal.addEventListener('abort', abort, { once: true });
		try {
			const inserted = await client.query(
				`insert into ${this.#table} (uid, sequence, time, event_code, severity, line)
				select * from unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::text[], $5::smallint[], $6::text[])
				on conflict (uid) do nothing`,
				[
					records.map((record) => record.uid),
					records.map((record) => record.sequence),
					records.map((record) => new Date(record.timeMs).toISOString()),
					records.map((record) => record.code),
					records.map((record) => record.severity),
					records.map((record) => record.line),
				],
			);
			if (inserted.rowCount !== records.length) await this.#checkOthers(client, records);
		} catch (error) {
			this.#drop();
			throw error;
		} finally {
			signal.removeEventListener('abort', abort);
		}
	}

	/** Rows that were there are these records, given twice, or the log was set back to an older state and has gone on from there. */
	async #checkOthers(client: pg.Client, records: readonly SinkRecord[]): Promise<void> {
		const { rows } = await client.query<{ uid: string }>(
			`select uid from ${this.#table} join unnest($1::text[], $2::text[]) as given (uid, line) using (uid)
			where ${this.#table}.line <> given.line order by sequence limit 1`,
			[records.map((record) => record.uid), records.map((record) => record.line)],
		);
		const [other] = rows;
		if (other === undefined) return;
		throw new SinkError(
			`the table holds another record ${other.uid}: the log was set back to an older state; begin a new one in an empty directory`,
		);
	}

	async close(): Promise<void> {
		const client = this.#client;
		this.#client = null;
		await client?.end();
	}

	async #connect(): Promise<pg.Client> {
		const { connection, timeoutMs = 10_000 } = this.#options;
		const client = new pg.Client({
			...connection,
			application_name: 'portcullis-audit',
			connectionTimeoutMillis: timeoutMs,
			query_timeout: timeoutMs,
		});
		client.on('error', () => this.#drop());
		await client.connect();
		try {
			await client.query(tableSql(this.#table)).catch(unlessMadeMeanwhile);
		} catch (error) {
			await client.end();
			throw error;
		}
		this.#client = client;
		return client;
	}

	/** The connection is not to be trusted any more. */
	#drop(): void {
		const client = this.#client;
		this.#client = null;
		// It may be broken already; what it was doing fails by itself.
		client?.end().catch(() => {});
	}
}

/** `if not exists` does not help where several workers make the table at the same time: all but one then fail at the catalogue. */
function unlessMadeMeanwhile(error: unknown): void {
	const { code } = error as { code?: unknown };
	if (code !== uniqueViolation && code !== duplicateTable) throw error;
}

const uniqueViolation = '23505';
const duplicateTable = '42P07';

/** `deliver` resolves when the rows are committed. The table is made when it is missing and the role may. */
export function postgresSink(options: PostgresOptions): Sink {
	return new PostgresSink(options);
}
