/** Hosts that exist in name only, for tests of a cluster: each can be promoted, cut off, or made to say nothing. */
import { PassThrough } from 'node:stream';
import type { HostReport } from '../../src/backend/cluster-host.ts';
import type { OpenProbe } from '../../src/backend/cluster-probe.ts';
import type { BackendConnection, connectBackend } from '../../src/backend/connection.ts';
import type { BackendTarget } from '../../src/backend/target.ts';
import { GatewayError } from '../../src/errors.ts';

export class FakeHost {
	role: HostReport['role'];
	timeline: number | null;
	lsn = 100n;
	replayedAgoMs: number | null = null;
	/** refused: nobody listens; silent: it accepts and says nothing. */
	mood: 'fine' | 'refused' | 'silent' | 'full' = 'fine';
	/** What logins say, where that is not what questions say. */
	loginRole: HostReport['role'] | null = null;
	logins = 0;
	/** Attempts to connect for questions. */
	probes = 0;
	questions = 0;
	readonly open = new Set<BackendConnection>();

	constructor(role: HostReport['role'], timeline: number | null = role === 'primary' ? 1 : null) {
		this.role = role;
		this.timeline = timeline;
	}

	promote(timeline: number): void {
		this.role = 'primary';
		this.timeline = timeline;
	}
}

export const refused = (): GatewayError =>
	new GatewayError('08001', 'cannot connect to the database server: connection refused', { severity: 'FATAL' });

export const target: BackendTarget = {
	host: 'nowhere',
	port: 1,
	dbname: 'shop',
	user: 'gateway',
	password: () => 'x',
	tls: { mode: 'disable' },
};

/** Named a, b, c ..., all on port 5432. */
export class FakeHosts {
	readonly hosts: Readonly<Record<string, FakeHost>>;

	constructor(hosts: Readonly<Record<string, FakeHost>>) {
		this.hosts = hosts;
	}

	of(name: string): FakeHost {
		const host = this.hosts[name];
		if (host === undefined) throw new Error(`no host ${name}`);
		return host;
	}

	get addresses(): { host: string; port: number }[] {
		return Object.keys(this.hosts).map((host) => ({ host, port: 5432 }));
	}

	readonly openProbe: OpenProbe = async (at, signal) => {
		const host = this.of(at.host);
		host.probes += 1;
		await answers(host, signal);
		return {
			ask: async () => {
				host.questions += 1;
				await answers(host, new AbortController().signal);
				const { role, timeline, lsn, replayedAgoMs } = host;
				return { role, readOnly: false, system: 's', timeline, lsn, received: lsn, replayedAgoMs };
			},
			close: () => Promise.resolve(),
		};
	};

	readonly connect: typeof connectBackend = async (at, _startup, options) => {
		const host = this.of(at.host);
		host.logins += 1;
		await answers(host, options?.signal ?? new AbortController().signal);
		if (host.mood === 'full') throw new GatewayError('53300', 'sorry, too many clients already', { severity: 'FATAL' });
		const socket = new PassThrough();
		socket.on('error', () => undefined);
		const role = host.loginRole ?? host.role;
		const close = (): Promise<void> => {
			socket.destroy();
			host.open.delete(connection);
			return Promise.resolve();
		};
		const connection = {
			socket,
			target: at,
			parameters: new Map([['in_hot_standby', role === 'standby' ? 'on' : 'off']]),
			channel: { destroy: (error: Error) => socket.destroy(error) },
			close,
		} as unknown as BackendConnection;
		socket.once('close', () => host.open.delete(connection));
		host.open.add(connection);
		return connection;
	};
}

async function answers({ mood }: FakeHost, signal: AbortSignal): Promise<void> {
	await Promise.resolve();
	if (mood === 'refused') throw refused();
	if (mood !== 'silent') return;
	await new Promise((_, reject) => {
		if (signal.aborted) reject(refused());
		else signal.addEventListener('abort', () => reject(refused()), { once: true });
	});
}
