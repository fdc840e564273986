/** A session as operators see it, made of plain values. */
import type { LiveSession, SessionState } from '../../src/session/live.ts';
import type { Identity } from '../../src/stages.ts';

const someone: Identity = { name: 'ana', roles: [], groups: [], claims: {}, method: 'token' };

export interface TestSession extends LiveSession {
	/** Reasons that it was ended with. */
	readonly terminated: string[];
}

export function testSession(
	options: {
		readonly id?: string;
		readonly database?: string;
		readonly state?: SessionState;
		readonly ended?: boolean;
	} = {},
): TestSession {
	const terminated: string[] = [];
	return {
		terminated,
		info: {
			id: options.id ?? 's1',
			identity: someone,
			clientAddress: '10.1.2.3',
			clientPort: 40_000,
			application: 'psql',
			tls: { version: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' },
			database: options.database ?? 'shop',
			backendAddress: '10.0.0.5:5432',
			backendPid: 77,
			backendRole: 'gateway',
		},
		startedMs: 1_700_000_002_000,
		ended: options.ended ?? false,
		idle: true,
		state: options.state ?? 'idle',
		quietMs: 10,
		traffic: { fromClient: 1, toClient: 20, fromBackend: 300, toBackend: 4_000 },
		preparedStatements: 2,
		console: false,
		hasKey: () => false,
		look: () => undefined,
		terminate: (_error, reason) => {
			terminated.push(reason);
		},
	};
}
