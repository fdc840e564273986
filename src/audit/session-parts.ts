/** What a session adds to the records of its statements, as bytes: made once; of a connection that is another every time, only what it is. */
import type { Batch } from './batch.ts';
import type { BackendPlace, SessionInfo } from './event.ts';
import { members, toJson } from './json.ts';
import { backendUnmapped, databasePart, endpointOfAuthority, sessionUnmapped, whoParts } from './ocsf.ts';

const pidMember = Buffer.from(',"backend_pid":');

/** From `actor` on; `unmapped` comes last and is left open. Each is made when it is asked for. */
class SessionParts {
	readonly #session: SessionInfo;
	#full: Buffer | null = null;
	#short: Buffer | null = null;
	#around: readonly [Buffer, Buffer, Buffer] | null = null;

	constructor(session: SessionInfo) {
		this.#session = session;
	}

	/** With the connection that the session has. */
	get full(): Buffer {
		this.#full ??= Buffer.from(withoutEnd(this.#session));
		return this.#full;
	}

	/** For an outcome: enough to know whose it is; the record of the statement has the rest. */
	get short(): Buffer {
		this.#short ??= shortPart(this.#session);
		return this.#short;
	}

	/** Without a connection: what stands before its `dst_endpoint`, between that and its `backend_pid`, and behind both. */
	get around(): readonly [Buffer, Buffer, Buffer] {
		this.#around ??= aroundBackend(this.#session);
		return this.#around;
	}
}

export class SessionPartsCache {
	readonly #parts = new WeakMap<SessionInfo, SessionParts>();
	/** Of the latest server: there are few, and a pool has many connections to one. */
	#address = '';
	#endpoint = Buffer.alloc(0);

	of(session: SessionInfo): SessionParts {
		let parts = this.#parts.get(session);
		if (parts === undefined) {
			parts = new SessionParts(session);
			this.#parts.set(session, parts);
		}
		return parts;
	}

	/** Adds the session's part of a statement's record. `backend`: where the statement runs; null or missing: where the session says. */
	write(to: Batch, session: SessionInfo, backend: BackendPlace | null | undefined): void {
		const parts = this.of(session);
		if (backend === null || backend === undefined) {
			to.piece(parts.full);
			return;
		}
		const [before, between, behind] = parts.around;
		to.piece(before);
		to.piece(this.#endpointOf(backend.address));
		to.piece(between);
		to.piece(pidMember);
		to.number(backend.pid);
		to.piece(behind);
	}

	#endpointOf(address: string): Buffer {
		if (address !== this.#address) {
			this.#endpoint = Buffer.from(`,"dst_endpoint":${toJson(endpointOfAuthority(address))}`);
			this.#address = address;
		}
		return this.#endpoint;
	}
}

function withoutEnd(session: SessionInfo): string {
	return members({ ...whoParts(session), database: databasePart(session), unmapped: sessionUnmapped(session) }).slice(
		0,
		-1,
	);
}

function aroundBackend(session: SessionInfo): readonly [Buffer, Buffer, Buffer] {
	const { backendRole, shard = null } = session;
	const alone = { ...session, backendAddress: null, backendPid: null, backendRole: null, shard: null };
	const before = members(whoParts(alone));
	const role = members(backendUnmapped({ backendPid: null, backendRole, shard }));
	return [Buffer.from(before), Buffer.from(withoutEnd(alone).slice(before.length)), Buffer.from(role)];
}

function shortPart(session: SessionInfo): Buffer {
	const { name } = session.identity ?? { name: '(none)' };
	const actor = { user: { name }, session: { uid: session.id } };
	const { src_endpoint } = whoParts(session);
	return Buffer.from(`${members({ actor, src_endpoint, database: databasePart(session) })},"unmapped":{`);
}
