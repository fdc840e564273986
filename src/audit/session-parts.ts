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

export class SessionPartsCache {
	readonly #parts = new WeakMap<SessionInfo, SessionParts>();
	/** By the identity, which a session keeps: every login makes one of its own. */
	readonly #lasting = new WeakMap<Identity, Lasting>();

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
		const to = backendAddress === null ? '' : `,"dst_endpoint":${toJson(endpointOfAuthority(backendAddress))}`;
		return { full: Buffer.from(`${before}${to}${behind}${members(backendUnmapped(session))}`), short };
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
		left.database === right.database
	);
}

function shortPart(session: SessionInfo): Buffer {
	const { name } = session.identity ?? { name: '(none)' };
	const actor = { user: { name }, session: { uid: session.id } };
	const { src_endpoint } = whoParts(session);
	return Buffer.from(`${members({ actor, src_endpoint, database: databasePart(session) })},"unmapped":{`);
}
