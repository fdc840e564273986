/** Accepts connections and counts them: opening, login, cancel requests, deadlines, and the orderly end of all of it. */
import { randomUUID } from 'node:crypto';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { SessionInfo } from '../audit/event.ts';
import { networkOf } from '../auth/failures.ts';
import { withoutToken } from '../auth/jwt.ts';
import { GatewayError } from '../errors.ts';
import type { CancelRequest } from '../wire/startup.ts';
import { type CancelQuestion, cancel, cancelHere } from './cancelling.ts';
import { readBytes, readingInto } from './client-socket.ts';
import { internalError } from './conversation.ts';
import { Crowds } from './crowds.ts';
import { applicationName } from './application-name.ts';
import { ClientGone, type Inbox } from './inbox.ts';
import type { LiveSession } from './live.ts';
import { LoginRefused, login, namesOf } from './login.ts';
import { type Opened, openConnection, requireTls } from './opening.ts';
import { RecordBudget } from './record-budget.ts';
import { replicationOf } from './replication.ts';
import type { ListenerTls, SessionServices } from './services.ts';
import { sayGoodbye } from './session.ts';

export interface ListenerOptions {
	readonly host: string;
	/** 0: any free port. */
	readonly port: number;
	/** Null: plaintext only. */
	readonly tls: ListenerTls | null;
}

/** How a listener ends. */
export interface ListenerEnd {
	readonly deadlineMs: number;
	/** What becomes of those that are signing in; `finish` where others take clients at the same port, so that nobody is refused. */
	readonly logins?: 'abort' | 'finish';
}

export interface ListenerStats {
	/** Sessions that are signed in. */
	readonly sessions: number;
	/** Connections that are not (yet). */
	readonly connecting: number;
}

/** Connections beyond `sessionsMax` that are still told why they are refused; further ones are cut at once. */
const refusedAtOnceMax = 100;

/** Sessions of the gateway's own database at a time. They come on top of `sessionsMax`: they are what helps when that is used up. */
const consoleSessionsMax = 20;

/** How often sessions are looked at for idleness, and at the end for whether they are done. */
const lookEveryMs = 100;

/** How often attempts without a record of their own are told of. */
const tellEveryMs = 60_000;

/** How often the log tells of connections that are cut. */
const crowdEveryMs = 10_000;

export class Listener {
	readonly #services: SessionServices;
	readonly #tls: ListenerTls | null;
	readonly #server: Server;
	readonly #sessions = new Set<LiveSession>();
	readonly #connecting = new Set<Connecting>();
	readonly #timers: NodeJS.Timeout[] = [];
	#looking: NodeJS.Timeout | null = null;
	readonly #crowds: Crowds;
	#crowdToldMs = Number.NEGATIVE_INFINITY;
	readonly #records = new RecordBudget();
	/** What clients send is read into this. */
	readonly #shared = Buffer.allocUnsafeSlow(readBytes);
	#closing: Promise<void> | null = null;
	/** Whoever begins to sign in is told 57P03. Not where a login that was begun may end: one that was accepted is one, whatever it has said so far. */
	#refusing = false;
	/** While it closes: the last one has gone. */
	#emptied: () => void = () => undefined;

	/** Listens. Rejects with GatewayError 55006 when the port is taken, 42501 when it may not be opened, else 58000. */
	static async listen(options: ListenerOptions, services: SessionServices): Promise<Listener> {
		const listener = new Listener(options.tls, services);
		await new Promise<void>((resolve, reject) => {
			listener.#server.once('error', (error) => reject(listenError(error, options)));
			listener.#server.listen({ host: options.host, port: options.port, backlog: 1024 }, resolve);
		});
		listener.#server.removeAllListeners('error');
		listener.#server.on('error', (error) => services.log.error({ error }, 'listener failed'));
		return listener;
	}

	private constructor(tls: ListenerTls | null, services: SessionServices) {
		this.#services = services;
		this.#tls = tls;
		this.#crowds = new Crowds(services.limits.connectingPerAddressMax);
		// The client may half-close and still read the rest.
		const { keepAliveMs: keepAliveInitialDelay } = services.limits;
		const options = {
			...{ allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay },
			pauseOnConnect: true,
		};
		this.#server = createServer(options, (socket) => this.#accept(socket));
		this.#every(tellEveryMs, () => this.#tellOfUnrecorded());
		const { idleTimeoutMs } = services.limits;
		if (idleTimeoutMs > 0) this.#every(lookEveryMs, () => this.#endIdle(idleTimeoutMs));
		this.lookEvery(services.lookEveryMs);
	}

	/** Where it listens. */
	get address(): AddressInfo {
		const address = this.#server.address();
		if (address === null || typeof address === 'string') throw new Error('the listener has no TCP address');
		return address;
	}

	get stats(): ListenerStats {
		return { sessions: this.#sessions.size, connecting: this.#connecting.size };
	}

	/** Every session that is signed in, those that are just ending included. */
	get sessions(): Iterable<LiveSession> {
		return this.#sessions;
	}

	/** A cancel request that another process has taken. True: a session here has its key; then it is dealt with, and on record. */
	cancel(question: CancelQuestion): Promise<boolean> {
		return cancelHere(question, { services: this.#services, sessions: this.#sessions });
	}

	/** How often sessions are compared with their limits of time from now on, in milliseconds; null: never. */
	lookEvery(ms: number | null): void {
		if (this.#looking !== null) clearInterval(this.#looking);
		this.#looking = ms === null || this.#closing !== null ? null : setInterval(() => this.#look(), ms).unref();
	}

	/**
	 * Takes no more clients, lets transactions under way finish for `deadlineMs`, then ends what is left (57P01). Resolves when every
	 * session is over and its lease given back. Until then it listens for cancel requests, and tells everybody else 57P03; where
	 * others take clients at the same port (`logins: 'finish'`), they do that.
	 */
	close({ deadlineMs, logins = 'abort' }: ListenerEnd): Promise<void> {
		this.#closing ??= this.#close(deadlineMs, logins);
		return this.#closing;
	}

	async #close(deadlineMs: number, logins: 'abort' | 'finish'): Promise<void> {
		for (const timer of this.#timers) clearInterval(timer);
		if (this.#looking !== null) clearInterval(this.#looking);
		this.#tellOfUnrecorded();
		this.#refusing = logins === 'abort';
		let closed = logins === 'finish' ? this.#stopListening() : null;
		const endMs = performance.now() + deadlineMs;
		if (logins === 'abort') for (const connecting of this.#connecting) connecting.abort(shutdown());
		while (this.#sessions.size > 0 || (logins === 'finish' && this.#connecting.size > 0)) {
			const late = performance.now() >= endMs;
			if (late) for (const connecting of this.#connecting) connecting.abort(shutdown());
			for (const session of this.#sessions) {
				if (late || session.idle || session.streaming === true) session.terminate(shutdown(), 'shutdown');
			}
			if (this.#sessions.size + this.#connecting.size === 0) break;
			// Nothing tells of a session that has become idle.
			await new Promise<void>((resolve) => {
				const timer = setTimeout(resolve, lookEveryMs);
				this.#emptied = () => {
					clearTimeout(timer);
					resolve();
				};
			});
		}
		closed ??= this.#stopListening();
		for (const connecting of this.#connecting) connecting.abort(shutdown());
		await closed;
	}

	#stopListening(): Promise<void> {
		return new Promise((resolve) => {
			this.#server.close(() => resolve());
		});
	}

	#every(ms: number, act: () => void): void {
		this.#timers.push(setInterval(act, ms).unref());
	}

	#look(): void {
		const nowMs = performance.now();
		for (const session of this.#sessions) session.look(nowMs);
	}

	#endIdle(idleTimeoutMs: number): void {
		for (const session of this.#sessions) {
			if (!session.idle || session.quietMs < idleTimeoutMs) continue;
			const error = new GatewayError('57P05', 'terminating connection due to idle-session timeout', {
				severity: 'FATAL',
			});
			session.terminate(error, 'idle');
		}
	}

	#tellOfUnrecorded(): void {
		for (const { network, count } of this.#records.drain(performance.now())) {
			const reason = `${count} more attempts from there in the last minute are not recorded one by one`;
			const session = strangerFrom(network, 0);
			const sqlstate = '53400';
			this.#services.audit.event({ type: 'login-failed', session, user: '', reason, sqlstate, method: null });
			this.#services.log.warn({ network, count }, 'logins and cancel requests in vain are not recorded one by one');
		}
	}

	/** A flood must not become one of the log. */
	#tellOfCrowd(address: string): void {
		const nowMs = performance.now();
		if (nowMs - this.#crowdToldMs < crowdEveryMs) return;
		this.#crowdToldMs = nowMs;
		const limit = this.#services.limits.connectingPerAddressMax;
		this.#services.log.warn({ address, limit }, 'connections are cut: too many of one address have not signed in');
	}

	#accept(accepted: Socket): void {
		const socket = readingInto(this.#shared, accepted);
		socket.on('error', () => undefined);
		const { sessionsMax } = this.#services.limits;
		const count = this.#sessions.size + this.#connecting.size + this.#services.admission.elsewhere;
		if (count >= sessionsMax + refusedAtOnceMax) {
			socket.destroy();
			return;
		}
		const leave = this.#crowds.enter(networkOf(socket.remoteAddress ?? ''));
		if (leave === null) {
			this.#tellOfCrowd(socket.remoteAddress ?? '');
			socket.destroy();
			return;
		}
		const full = count >= sessionsMax;
		const connecting = new Connecting(socket, this.#services, {
			full,
			closing: () => this.#refusing,
			sessions: this.#sessions,
			records: this.#records,
		});
		this.#connecting.add(connecting);
		connecting
			.run(this.#tls, (session) => {
				this.#sessions.delete(session);
				if (this.#sessions.size === 0) this.#emptied();
			})
			.finally(leave)
			.then(
				(session) => {
					this.#connecting.delete(connecting);
					if (session !== null && !session.ended) this.#sessions.add(session);
					else if (this.#sessions.size === 0) this.#emptied();
				},
				(error: unknown) => {
					this.#connecting.delete(connecting);
					this.#services.log.error({ error }, 'a connection failed inside of the gateway');
					socket.destroy();
				},
			);
	}
}

/** What a connection needs to know of the others. */
interface House {
	/** There are as many sessions as there may be. */
	readonly full: boolean;
	/** No more clients are taken. */
	readonly closing: () => boolean;
	readonly sessions: ReadonlySet<LiveSession>;
	readonly records: RecordBudget;
}

/** One connection from accept to greeting. */
class Connecting {
	readonly #services: SessionServices;
	readonly #house: House;
	readonly #abort = new AbortController();
	readonly #socket: Socket;
	readonly #gone = (): void => this.#abort.abort(new ClientGone());
	#inbox: Inbox | null = null;
	#timer: NodeJS.Timeout;
	#info: SessionInfo;
	/** Set once there is a startup packet: from then on there is somebody to talk to. */
	#user: string | null = null;

	constructor(socket: Socket, services: SessionServices, house: House) {
		this.#services = services;
		this.#socket = socket;
		this.#house = house;
		this.#info = strangerFrom(plainAddress(socket.remoteAddress), socket.remotePort ?? 0);
		this.#timer = this.#deadline(services.limits.loginTimeoutMs);
		socket.once('close', this.#gone);
	}

	/** Ends the attempt with `error`, as soon as whatever it waits for notices. */
	abort(error: GatewayError): void {
		if (this.#abort.signal.aborted) return;
		this.#abort.abort(error);
		// Before the startup packet nobody would understand an error.
		if (this.#user === null) this.#socket.destroy();
	}

	/** The session, or null when the connection came to nothing (the client was told then). */
	async run(tls: ListenerTls | null, over: (session: LiveSession) => void): Promise<LiveSession | null> {
		try {
			const opened = await this.#unlessAborted(
				openConnection(this.#socket, tls, this.#services.limits.startupBytesMax, (inbox) => {
					this.#inbox = inbox;
				}),
			);
			if (opened.type === 'startup') return await this.#login(tls, opened, over);
			await this.#cancel(opened.request);
		} catch (error) {
			this.#refuse(error);
		} finally {
			clearTimeout(this.#timer);
			this.#socket.off('close', this.#gone);
		}
		return null;
	}

	async #login(
		tls: ListenerTls | null,
		opened: Extract<Opened, { type: 'startup' }>,
		over: (session: LiveSession) => void,
	): Promise<LiveSession> {
		const { message, inbox } = opened;
		const { user, database } = namesOf(message);
		this.#user = withoutToken(user);
		const application = applicationName(withoutToken(message.params.get('application_name') ?? ''));
		const clientTls = opened.tls === null ? null : { version: opened.tls.version, cipher: opened.tls.cipher };
		this.#info = { ...this.#info, application, database: withoutToken(database), tls: clientTls };
		if (this.#house.closing())
			throw new GatewayError('57P03', 'the database system is shutting down', { severity: 'FATAL' });
		if (this.#isFull(database))
			throw new GatewayError('53300', 'sorry, too many clients already', { severity: 'FATAL' });
		requireTls(tls, opened.tls);
		const replication = replicationOf(message.params);
		if (replication !== null) this.#info = { ...this.#info, replication };
		let session: LiveSession | null = null;
		const { signal } = this.#abort;
		session = await this.#unlessAborted(
			login({
				services: this.#services,
				inbox,
				message,
				tls: opened.tls,
				info: this.#info,
				signal,
				known: (identity) => {
					this.#info = { ...this.#info, identity };
				},
				waits: () => {
					clearTimeout(this.#timer);
					this.#timer = this.#deadline(this.#services.limits.loginWaitMs);
				},
				over: () => {
					if (session !== null) over(session);
				},
			}),
		);
		return session;
	}

	/** Operators get in when nobody else does any more. */
	#isFull(database: string): boolean {
		if (database !== this.#services.console?.database) return this.#house.full;
		let consoles = 0;
		for (const session of this.#house.sessions) if (session.console) consoles += 1;
		return consoles >= consoleSessionsMax;
	}

	/** The client is never told whether the key was right: it only sees the connection close. */
	async #cancel(request: CancelRequest): Promise<void> {
		const { clientAddress, clientPort } = this.#info;
		const { sessions } = this.#house;
		const mayRecord = (): boolean => this.#mayRecord();
		const hasLeft = async (): Promise<boolean> => (await this.#inbox?.hasLeft()) ?? true;
		const house = { services: this.#services, sessions, mayRecord, hasLeft };
		await cancel(request, { clientAddress, clientPort }, house);
		const socket = this.#inbox?.socket ?? this.#socket;
		sayGoodbye(socket, undefined);
	}

	/** Somebody who has signed in is always on record; a stranger is as often as there is room for strangers. */
	#mayRecord(): boolean {
		const { identity, clientAddress } = this.#info;
		return identity !== null || this.#house.records.take(networkOf(clientAddress), performance.now());
	}

	#deadline(ms: number): NodeJS.Timeout {
		return setTimeout(() => {
			this.abort(new GatewayError('57014', 'canceling authentication due to timeout', { severity: 'FATAL' }));
		}, ms);
	}

	/** What is waited for may not notice the abort by itself (a client that says nothing). */
	async #unlessAborted<T>(work: Promise<T>): Promise<T> {
		const { signal } = this.#abort;
		let stop: () => void = () => undefined;
		const aborted = new Promise<never>((_, reject) => {
			stop = () => reject(signal.reason as Error);
			if (signal.aborted) stop();
			else signal.addEventListener('abort', stop, { once: true });
		});
		try {
			return await Promise.race([work, aborted]);
		} finally {
			signal.removeEventListener('abort', stop);
			work.catch(() => undefined);
		}
	}

	#refuse(error: unknown): void {
		const refused = error instanceof LoginRefused ? error : null;
		const told = refused?.error ?? (error instanceof GatewayError ? error : null);
		const reason = refused?.reason ?? (error instanceof Error ? error.message : String(error));
		if (!(error instanceof ClientGone) && told === null) {
			this.#services.log.error({ session: this.#info.id, error }, 'a login failed inside of the gateway');
		}
		const shown = error instanceof ClientGone ? null : (told ?? internalError(error));
		if (this.#user !== null && this.#mayRecord()) {
			const session = this.#info;
			const sqlstate = shown?.sqlstate ?? '08006';
			const method = session.identity?.method ?? refused?.method ?? null;
			this.#services.audit.event({ type: 'login-failed', session, user: this.#user, reason, sqlstate, method });
		}
		const socket = this.#inbox?.socket ?? this.#socket;
		if (shown === null) socket.destroy();
		else sayGoodbye(socket, asFatal(shown));
	}
}

function asFatal(error: GatewayError): GatewayError {
	if (error.severity === 'FATAL') return error;
	const { sqlstate, message, detail, hint } = error;
	return new GatewayError(sqlstate, message, {
		severity: 'FATAL',
		cause: error,
		...(detail === undefined ? {} : { detail }),
		...(hint === undefined ? {} : { hint }),
	});
}

/** What is known of a connection when it is made. */
function strangerFrom(clientAddress: string, clientPort: number): SessionInfo {
	return {
		id: randomUUID(),
		identity: null,
		clientAddress,
		clientPort,
		application: '',
		tls: null,
		database: '',
		backendAddress: null,
		backendPid: null,
		backendRole: null,
	};
}

function shutdown(): GatewayError {
	return new GatewayError('57P01', 'terminating connection due to administrator command', { severity: 'FATAL' });
}

/** An IPv4 client of a dual-stack listener, as IPv4. */
function plainAddress(address: string | undefined): string {
	return (address ?? '').replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/, '');
}

function listenError(error: NodeJS.ErrnoException, { host, port }: ListenerOptions): GatewayError {
	switch (error.code) {
		case 'EADDRINUSE':
			return new GatewayError('55006', `port ${port} on ${host} is in use already`, { cause: error });
		case 'EACCES':
			return new GatewayError('42501', `port ${port} on ${host} may not be opened by this user`, { cause: error });
		default:
			return new GatewayError('58000', `cannot listen on ${host}:${port}: ${error.message}`, { cause: error });
	}
}
