/** What a session adds to the records of its statements, as bytes: made once, and again in part when it gets another connection of a pool. */
import type { Identity } from '../stages.ts';
import type { SessionInfo } from './event.ts';
import { members, toJson } from './json.ts';
import { backendUnmapped, databasePart, endpointOfAuthority, sessionUnmapped, whoParts } from './ocsf.ts';

export interface SessionParts {
	/** From `actor` on; `unmapped` comes last and is left open. */
	readonly full: Buffer;
	/** The same for an outcome: enough to know whose it is; the record of the statement has the rest. */
	readonly short: Buffer;
}

/** What stays while connections come and go. */
interface Lasting {
	readonly of: SessionInfo;
	/** The pieces before and behind `dst_endpoint`. */
	readonly before: string;
	readonly behind: string;
	readonly short: Buffer;
}

const nowhere = { backendPid: null, backendRole: null, shard: null };

/** What was made of a text last. */
class Latest {
	readonly #make: (of: string) => string;
	#of: string | null = null;
	#made = '';

	constructor(make: (of: string) => string) {
		this.#make = make;
	}

	of(text: string): string {
		if (text !== this.#of) {
			this.#made = this.#make(text);
			this.#of = text;
		}
		return this.#made;
	}
}

export class SessionPartsCache {
	readonly #parts = new WeakMap<SessionInfo, SessionParts>();
	/** By the identity, which a session keeps: every login makes one of its own. */
	readonly #lasting = new WeakMap<Identity, Lasting>();
	/** Of the latest server: there are few, and every transaction of a pool may be on another connection to it. */
	readonly #server = new Latest((address: string) => `,"dst_endpoint":${toJson(endpointOfAuthority(address))}`);
	readonly #role = new Latest((role: string) => members(backendUnmapped({ ...nowhere, backendRole: role })));

	of(session: SessionInfo): SessionParts {
		let parts = this.#parts.get(session);
		if (parts === undefined) {
			parts = this.#make(session);
			this.#parts.set(session, parts);
		}
		return parts;
	}

	#make(session: SessionInfo): SessionParts {
		const { before, behind, short } = this.#lastingOf(session);
		const { backendAddress } = session;
		const to = backendAddress === null ? '' : this.#server.of(backendAddress);
		return { full: Buffer.from(`${before}${to}${behind}${this.#backend(session)}`), short };
	}

	/** What `backendUnmapped` says of the connection. */
	#backend(session: SessionInfo): string {
		const { backendPid, backendRole, shard } = session;
		if (backendPid === null || backendRole === null || typeof shard === 'string')
			return members(backendUnmapped(session));
		return `,"backend_pid":${backendPid}${this.#role.of(backendRole)}`;
	}

	#lastingOf(session: SessionInfo): Lasting {
		const { identity } = session;
		const known = identity === null ? undefined : this.#lasting.get(identity);
		if (known !== undefined && isSame(known.of, session)) return known;
		const alone = { ...session, backendAddress: null, backendPid: null, backendRole: null, shard: null };
		const behind = members({ database: databasePart(session), unmapped: sessionUnmapped(alone) });
		const made = {
			of: session,
			before: members(whoParts(alone)),
			behind: behind.slice(0, -1),
			short: shortPart(session),
		};
		if (identity !== null) this.#lasting.set(identity, made);
		return made;
	}
}

function isSame(left: SessionInfo, right: SessionInfo): boolean {
	return (
		left.id === right.id &&
		left.clientAddress === right.clientAddress &&
		left.clientPort === right.clientPort &&
		left.application === right.application &&
		left.tls === right.tls &&
		left.replication === right.replication &&
		left.database === right.database
	);
}

function shortPart(session: SessionInfo): Buffer {
	const { name } = session.identity ?? { name: '(none)' };
	const actor = { user: { name }, session: { uid: session.id } };
	const { src_endpoint } = whoParts(session);
	return Buffer.from(`${members({ actor, src_endpoint, database: databasePart(session) })},"unmapped":{`);
}
