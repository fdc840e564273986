/** One session of the console: the simple and the extended protocol, message by message, each answered before the next is read. */
import { timingSafeEqual } from 'node:crypto';
import { GatewayError } from '../../errors.ts';
import type { SessionInfo } from '../../audit/event.ts';
import type { ConsoleParts, LiveSession, SessionState, Traffic } from '../../session/live.ts';
import {
	encodeBackend,
	encodeBackendKeyData,
	encodeBindComplete,
	encodeCloseComplete,
	encodeCommandComplete,
	encodeEmptyQueryResponse,
	encodeGatewayError,
	encodeNoData,
	encodeNoticeResponse,
	encodeParameterStatus,
	encodeParseComplete,
	encodeReadyForQuery,
} from '../../wire/encode.ts';
import { Framer, frontendRules } from '../../wire/framer.ts';
import {
	decodeFrontend,
	type Bind,
	type Describe,
	type Execute,
	type Frontend,
	type Parse,
} from '../../wire/frontend.ts';
import { type CommandText, parseCommands } from './command.ts';
import type { Asking, Console, ConsoleOptions, Result } from './console.ts';
import { settings } from './drivers.ts';
import { dataRow, type Formats, rowDescription, type Table, type Value } from './table.ts';

/** Commands are short. */
const messageBytesMax = 64 * 1024;
const rules = frontendRules({
	Query: messageBytesMax,
	Parse: messageBytesMax,
	Bind: messageBytesMax,
	FunctionCall: messageBytesMax,
	CopyData: messageBytesMax,
});

/** Prepared statements and portals of one session, each. */
const namesMax = 100;

/** How long a client may take to read its last words. */
const farewellMs = 5_000;

interface Portal {
	/** Null: an empty query. */
	readonly text: CommandText | null;
	readonly formats: Formats;
	/** Set once it has run: what Execute has still to give. */
	rest: { readonly table: Table; readonly rows: readonly (readonly Value[])[]; readonly tag: string } | null;
	done: boolean;
}

export class ConsoleSession implements LiveSession {
	readonly console = true;
	readonly info: SessionInfo;
	readonly startedMs: number;
	readonly preparedStatements = 0;
	readonly #console: Console;
	readonly #options: ConsoleOptions;
	readonly #parts: ConsoleParts;
	readonly #begunMs = performance.now();
	readonly #framer = new Framer(rules);
	readonly #statements = new Map<string, CommandText | null>();
	readonly #portals = new Map<string, Portal>();
	#heardMs = performance.now();
	#busy = false;
	#work: Promise<void> = Promise.resolve();
	/** Chunks of the client that are at work or wait for that. */
	#chunks = 0;
	#ended = false;
	/** Aborted when nobody waits for what was asked last. */
	#asked: AbortController | null = null;
	/** Commands so far. */
	#count = 0;
	/** An error has been told: everything up to the next Sync is skipped. */
	#skipping = false;

	constructor(console: Console, options: ConsoleOptions, parts: ConsoleParts) {
		this.#console = console;
		this.#options = options;
		this.#parts = parts;
		this.info = parts.info;
		this.startedMs = options.now();
	}

	/** Greets, and serves until one of the two leaves. */
	start(): void {
		const { socket, welcome, pid, key, identity } = this.#parts;
		const reported = new Map(settings(this.#options.view.version));
		reported.set('application_name', this.info.application);
		reported.set('session_authorization', identity.name);
		const statuses = [...reported].map(([name, value]) => encodeParameterStatus(name, value));
		socket.on('error', () => undefined);
		socket.once('close', () => this.#end('connection lost'));
		socket.write(Buffer.concat([...welcome, ...statuses, encodeBackendKeyData(pid, key), encodeReadyForQuery('I')]));
		socket.on('data', (chunk: Buffer) => {
			socket.pause();
			this.#then(() => this.#receive(chunk));
		});
		socket.once('end', () => {
			this.#asked?.abort();
			this.#then(() => this.#end('terminate'));
		});
		this.#parts.standing?.watch(({ error, reason }) => this.#end(reason, error));
		this.#then(() => this.#receive(this.#parts.rest));
	}

	get ended(): boolean {
		return this.#ended;
	}

	get idle(): boolean {
		return !this.#busy;
	}

	get state(): SessionState {
		return this.#busy ? 'active' : 'idle';
	}

	get quietMs(): number {
		return performance.now() - this.#heardMs;
	}

	get traffic(): Traffic {
		const { bytesRead, bytesWritten } = this.#parts.socket;
		return { fromClient: bytesRead, toClient: bytesWritten, fromBackend: 0, toBackend: 0 };
	}

	hasKey(pid: number, key: Buffer): boolean {
		const own = this.#parts;
		return own.pid === pid && own.key.length === key.length && timingSafeEqual(own.key, key);
	}

	look(): void {
		// Nothing here runs for long, and there are no transactions.
	}

	terminate(error: GatewayError, reason: string): void {
		this.#end(reason, error);
	}

	/** One after the other: nothing more is read from the client meanwhile. */
	#then(step: () => Promise<void> | void): void {
		const { socket } = this.#parts;
		this.#chunks += 1;
		this.#work = this.#work.then(step).then(
			() => {
				this.#chunks -= 1;
				if (this.#chunks === 0) socket.resume();
			},
			(error: unknown) => this.#fail(error),
		);
	}

	async #receive(chunk: Buffer): Promise<void> {
		if (chunk.length === 0) return;
		this.#heardMs = performance.now();
		this.#framer.push(chunk);
		while (!this.#ended && this.#framer.next()) {
			const { buffer, start, end } = this.#framer;
			this.#busy = true;
			await this.#handle(decodeFrontend(buffer.subarray(start, end)));
			await this.#drained();
			this.#busy = false;
		}
	}

	async #handle(message: Frontend): Promise<void> {
		if (message.type === 'Terminate') return this.#end('terminate');
		const lapse = this.#parts.lapse(this.#options.now());
		if (lapse !== null) return this.#end(lapse.reason, lapse.error);
		if (this.#skipping && message.type !== 'Sync') return;
		try {
			await this.#answer(message);
		} catch (error) {
			if (!(error instanceof GatewayError) || error.severity === 'FATAL') throw error;
			this.#write(encodeGatewayError(error));
			if (message.type === 'Query' || message.type === 'FunctionCall') this.#write(encodeReadyForQuery('I'));
			else this.#skipping = true;
		}
	}

	async #answer(message: Frontend): Promise<void> {
		switch (message.type) {
			case 'Query':
				return this.#query(message.sql);
			case 'Parse':
				return this.#parse(message);
			case 'Bind':
				return this.#bind(message);
			case 'Describe':
				return this.#describe(message);
			case 'Execute':
				return this.#execute(message);
			case 'Close':
				(message.kind === 'S' ? this.#statements : this.#portals).delete(message.name);
				return this.#write(encodeCloseComplete());
			case 'Sync':
				this.#skipping = false;
				this.#portals.clear();
				return this.#write(encodeReadyForQuery('I'));
			case 'Flush':
				return;
			case 'FunctionCall':
				throw new GatewayError('0A000', 'the console has no functions');
			default:
				throw new GatewayError('08P01', `unexpected ${message.type} message`, { severity: 'FATAL' });
		}
	}

	async #query(sql: string): Promise<void> {
		const texts = await this.#read(sql, 'simple');
		if (texts.length === 0) this.#write(encodeEmptyQueryResponse());
		const asking = this.#asking('simple', texts.length);
		await this.#console.run(texts, asking, (result) => {
			this.#tell(result);
			return this.#drained();
		});
		this.#write(encodeReadyForQuery('I'));
	}

	/** What is no command is put on record as well. */
	async #read(sql: string, protocol: Asking['protocol']): Promise<readonly CommandText[]> {
		try {
			return parseCommands(sql);
		} catch (error) {
			if (error instanceof GatewayError) await this.#console.refuse(sql, error, this.#asking(protocol, 1));
			throw error;
		}
	}

	/** A cancel request: PAUSE is what may take a while. */
	interrupt(): boolean {
		this.#asked?.abort();
		return this.#busy;
	}

	#asking(protocol: Asking['protocol'], commands: number): Asking {
		this.#asked = new AbortController();
		const { signal } = this.#asked;
		// So that the end of the client is noticed; what it sends meanwhile waits for its turn, one chunk of it.
		if (this.#chunks === 1) this.#parts.socket.resume();
		const { identity } = this.#parts;
		const number = this.#count + 1;
		this.#count += commands;
		return { identity, info: this.info, protocol, number, signal };
	}

	#tell(result: Result): void {
		if (result.type === 'done') return this.#done(result);
		const { columns, rows } = result.table;
		this.#notice(result.notice ?? '');
		this.#write(rowDescription(columns, []));
		for (const row of rows) this.#write(dataRow(columns, row, []));
		this.#write(encodeCommandComplete(tagOf(result.tag, rows.length)));
	}

	#done({ tag, notice }: Extract<Result, { type: 'done' }>): void {
		this.#notice(notice);
		this.#write(encodeCommandComplete(tag));
	}

	/** Empty: none. */
	#notice(words: string): void {
		if (words === '') return;
		const fields = new Map([
			['S', 'NOTICE'],
			['V', 'NOTICE'],
			['C', '00000'],
			['M', words],
		]);
		this.#write(encodeNoticeResponse(fields));
	}

	async #parse({ name, sql }: Parse): Promise<void> {
		const texts = await this.#read(sql, 'extended');
		if (texts.length > 1) throw new GatewayError('42601', 'cannot insert multiple commands into a prepared statement');
		if (name !== '' && this.#statements.has(name))
			throw new GatewayError('42P05', `prepared statement "${name}" already exists`);
		checkRoom(this.#statements, 'prepared statements');
		this.#statements.set(name, texts[0] ?? null);
		this.#write(encodeParseComplete());
	}

	#bind({ statement, portal, params, resultFormats }: Bind): void {
		const text = this.#statement(statement);
		if (params.length > 0) throw new GatewayError('08P01', 'commands of the console have no parameters');
		const columns = text === null ? 0 : (this.#console.columnsOf(text.command)?.length ?? 0);
		if (resultFormats.length > 1 && resultFormats.length !== columns)
			throw new GatewayError(
				'08P01',
				`bind message has ${resultFormats.length} result formats but query has ${columns} columns`,
			);
		checkRoom(this.#portals, 'portals');
		this.#portals.set(portal, { text, formats: resultFormats, rest: null, done: false });
		this.#write(encodeBindComplete());
	}

	#describe(message: Describe): void {
		const portal = message.kind === 'P' ? this.#portal(message.name) : null;
		const text = portal === null ? this.#statement(message.name) : portal.text;
		if (message.kind === 'S') this.#write(encodeBackend({ type: 'ParameterDescription', paramTypes: [] }));
		const columns = text === null ? null : this.#console.columnsOf(text.command);
		this.#write(columns === null ? encodeNoData() : rowDescription(columns, portal?.formats ?? []));
	}

	async #execute({ portal: name, maxRows }: Execute): Promise<void> {
		const portal = this.#portal(name);
		if (portal.text === null) return this.#write(encodeEmptyQueryResponse());
		if (!portal.done) {
			portal.done = true;
			await this.#console.run([portal.text], this.#asking('extended', 1), (result) => {
				if (result.type === 'done') return this.#done(result);
				this.#notice(result.notice ?? '');
				portal.rest = { ...result, rows: result.table.rows };
			});
			if (portal.rest === null) return;
		}
		if (portal.rest === null) throw new GatewayError('55000', `portal "${name}" cannot be run`);
		const { table, rows, tag } = portal.rest;
		const now = maxRows > 0 ? rows.slice(0, maxRows) : rows;
		for (const row of now) this.#write(dataRow(table.columns, row, portal.formats));
		portal.rest = { table, tag, rows: rows.slice(now.length) };
		if (portal.rest.rows.length > 0) this.#write(encodeBackend({ type: 'PortalSuspended' }));
		else this.#write(encodeCommandComplete(tagOf(tag, now.length)));
	}

	#statement(name: string): CommandText | null {
		const text = this.#statements.get(name);
		if (text === undefined) throw new GatewayError('26000', `prepared statement "${name}" does not exist`);
		return text;
	}

	#portal(name: string): Portal {
		const portal = this.#portals.get(name);
		if (portal === undefined) throw new GatewayError('34000', `portal "${name}" does not exist`);
		return portal;
	}

	#write(bytes: Buffer): void {
		if (!this.#ended) this.#parts.socket.write(bytes);
	}

	/** A client that does not read is asked for nothing more: answers do not pile up here. */
	#drained(): Promise<void> | void {
		const { socket } = this.#parts;
		if (this.#ended || !socket.writableNeedDrain) return;
		return new Promise((resolve) => {
			const done = (): void => {
				socket.off('drain', done).off('close', done);
				resolve();
			};
			socket.once('drain', done).once('close', done);
		});
	}

	#fail(error: unknown): void {
		if (error instanceof GatewayError) {
			const { sqlstate, message } = error;
			this.#end('protocol violation by the client', new GatewayError(sqlstate, message, { severity: 'FATAL' }));
			return;
		}
		const lost = this.#parts.socket.destroyed;
		const internal = new GatewayError('XX000', 'internal error of the gateway', { severity: 'FATAL', cause: error });
		this.#end(lost ? 'connection lost' : 'internal error', internal);
	}

	#end(reason: string, error?: GatewayError): void {
		if (this.#ended) return;
		this.#ended = true;
		this.#asked?.abort();
		const { socket, over } = this.#parts;
		this.#parts.standing?.close();
		this.#options.view.meters.ended(this);
		const durationMs = performance.now() - this.#begunMs;
		this.#options.sink.event({ type: 'logout', session: this.info, reason, durationMs });
		const timer = setTimeout(() => socket.destroy(), farewellMs).unref();
		socket.once('close', () => clearTimeout(timer));
		if (error === undefined) socket.end();
		else socket.end(encodeGatewayError(error));
		over();
	}
}

function tagOf(tag: string, rows: number): string {
	return tag === 'SELECT' ? `SELECT ${rows}` : tag;
}

function checkRoom(names: ReadonlyMap<string, unknown>, what: string): void {
	if (names.size >= namesMax)
		throw new GatewayError('54000', `more than ${namesMax} ${what} in one session of the console`);
}
