/** Session mode with `reuse`: a backend that goes from one client to the next that asks for the same, with DISCARD ALL between them. */
import type { Backend } from '../wire/backend.ts';
import { encodeQuery } from '../wire/encode.ts';
import type { BackendConnection } from './connection.ts';
import { converse } from './converse.ts';
import { backendFailure } from './errors.ts';
import type { LeaseRequest } from './lease.ts';

const discardAll = encodeQuery('discard all');

/** What another has notified before the client's LISTEN was discarded, and warnings of the server. */
const unasked: ReadonlySet<Backend['type']> = new Set(['NotificationResponse', 'NoticeResponse']);

/** Equal for those that may have a connection one after the other: the same role, and the same startup parameters in the same order. */
export function keyOf({ as, startup }: Pick<LeaseRequest, 'as' | 'startup'>): string {
	return JSON.stringify([as ?? null, Object.entries(startup)]);
}

export class Reusable {
	readonly connection: BackendConnection;
	readonly key: string;
	/** performance.now() when it was dialled. */
	readonly bornMs: number;
	/** ParameterStatus since its login, by name. */
	readonly reported = new Map<string, string>();
	/** performance.now() when it last was as new. */
	idleSinceMs = 0;

	constructor(connection: BackendConnection, key: string) {
		this.connection = connection;
		this.key = key;
		this.bornMs = performance.now();
	}

	/** The server reports what it reported at the login. */
	get isAsBefore(): boolean {
		const { parameters } = this.connection;
		for (const [name, value] of this.reported) if (parameters.get(name) !== value) return false;
		return true;
	}

	/** While nobody has it: whatever the server says, it ends it. */
	watch(gone: () => void): void {
		this.connection.attach({ data: gone, closed: gone });
	}

	unwatch(): void {
		this.connection.detach();
	}
}

/** Whether it is as new by DISCARD ALL. Nobody may have it, and nothing may be outstanding. */
export async function renew(kept: Reusable, timeoutMs: number): Promise<boolean> {
	const { channel, socket } = kept.connection;
	const late = (): void => channel.destroy(backendFailure('08006', 'the database server does not answer'));
	const timer = setTimeout(late, timeoutMs);
	const answers: string[] = [];
	try {
		socket.write(discardAll);
		const status = await converse(channel, (message) => {
			if (message.type === 'ReadyForQuery') return message.status;
			if (message.type === 'ParameterStatus') kept.reported.set(message.name, message.value);
			else if (message.type === 'CommandComplete') answers.push(message.tag);
			else if (!unasked.has(message.type)) answers.push(message.type);
			return undefined;
		});
		kept.idleSinceMs = performance.now();
		return status === 'I' && answers.length === 1 && answers[0] === 'DISCARD ALL' && kept.isAsBefore;
	} catch {
		return false;
	} finally {
		clearTimeout(timer);
	}
}
