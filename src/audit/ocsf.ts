/** Names and numbers of the Open Cybersecurity Schema Framework that records are written in, and the parts they share. */
import { isIP } from 'node:net';
import type { Identity, LoginMethod, ObjectUse, RuleRef, StatementDecision } from '../stages.ts';
import type { SessionInfo } from './event.ts';

/** Version of the schema that the attributes are taken from, and that tests validate against. */
export const ocsfVersion = '1.9.0-dev';

export const eventClass = {
	/** Datastore Activity. */
	datastore: { category_uid: 6, class_uid: 6005 },
	/** Authentication. */
	authentication: { category_uid: 3, class_uid: 3002 },
	/** Entity Management. */
	entity: { category_uid: 3, class_uid: 3004 },
} as const;

export const datastoreActivity = {
	Read: 1,
	Update: 2,
	Connect: 3,
	Query: 4,
	Write: 5,
	Create: 6,
	Delete: 7,
	Other: 99,
} as const;
export type DatastoreActivity = keyof typeof datastoreActivity;

export const severity = { Informational: 1, Low: 2, Medium: 3, High: 4, Critical: 5 } as const;

export const status = { Unknown: 0, Success: 1, Failure: 2, Other: 99 } as const;

/** auth_protocol_id and what goes beside it. 99 (Other) carries the method's own name. */
const authProtocol = {
	'scram-sha-256': { id: 99, name: 'SCRAM-SHA-256' },
	'scram-sha-256-plus': { id: 99, name: 'SCRAM-SHA-256-PLUS' },
	token: { id: 4, name: 'OpenID' },
	oauthbearer: { id: 6, name: 'OAUTH 2.0' },
	device: { id: 6, name: 'OAUTH 2.0' },
	certificate: { id: 99, name: 'TLS client certificate' },
} as const satisfies Record<LoginMethod, { id: number; name: string }>;

export function authProtocolOf(method: LoginMethod): {
	readonly auth_protocol_id: number;
	readonly auth_protocol: string;
} {
	const protocol = authProtocol[method];
	return { auth_protocol_id: protocol.id, auth_protocol: protocol.name };
}

export interface Endpoint {
	readonly ip?: string;
	readonly name?: string;
	readonly port?: number;
}

/** An address is an `ip` where it is one (an IPv4 address inside IPv6 comes as IPv4), else a `name`. */
export function endpointOf(address: string, port: number | null): Endpoint {
	const plain = address.startsWith('::ffff:') && isIP(address.slice(7)) === 4 ? address.slice(7) : address;
	const where = isIP(plain) === 0 ? { name: plain === '' ? 'unknown' : plain } : { ip: plain };
	return port === null ? where : { ...where, port };
}

/** `host:port`, `[v6]:port` or a bare host. */
export function endpointOfAuthority(authority: string): Endpoint {
	const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(authority);
	return match === null ? endpointOf(authority, null) : endpointOf(match[1] ?? match[2] ?? '', Number(match[3]));
}

/** Claim values and such go here as they are: the schema's place for what it has no attribute for. */
type Unmapped = Readonly<Record<string, unknown>>;

function userOf(identity: Identity): object {
	const groups = [
		...identity.groups.map((name) => ({ name, type: 'group' })),
		...identity.roles.map((name) => ({ name, type: 'role' })),
	];
	const service = identity.method.startsWith('scram');
	return {
		name: identity.name,
		...(identity.subject === undefined ? {} : { uid: identity.subject }),
		type_id: service ? 4 : 1,
		...(identity.tokenId === undefined ? {} : { credential_uid: identity.tokenId }),
		...(groups.length === 0 ? {} : { groups }),
	};
}

/** The user as records name them: the identity, or before a login is through the name that was claimed. */
export function userPart(session: SessionInfo, claimed: string): object {
	return session.identity === null
		? { name: claimed === '' ? '(none)' : claimed, type_id: 0 }
		: userOf(session.identity);
}

function sessionObject(session: SessionInfo): object {
	const identity = session.identity;
	return {
		uid: session.id,
		...(identity?.issuer === undefined ? {} : { issuer: identity.issuer }),
		...(identity?.expiresAtMs === undefined ? {} : { expiration_time: identity.expiresAtMs }),
	};
}

/** actor, src_endpoint, dst_endpoint: who and from where to where. */
export function whoParts(session: SessionInfo): Readonly<Record<string, unknown>> {
	return {
		actor: {
			...(session.identity === null ? {} : { user: userOf(session.identity) }),
			session: sessionObject(session),
			...(session.application === '' ? {} : { app_name: session.application }),
		},
		src_endpoint: endpointOf(session.clientAddress, session.clientPort),
		...(session.backendAddress === null ? {} : { dst_endpoint: endpointOfAuthority(session.backendAddress) }),
	};
}

/** What a session has that the schema has no attribute for. */
export function sessionUnmapped(session: SessionInfo): Unmapped {
	const identity = session.identity;
	return {
		method: identity?.method ?? null,
		...(identity !== null && Object.keys(identity.claims).length > 0 ? { claims: identity.claims } : {}),
		tls: session.tls,
		...(session.replication === undefined ? {} : { replication: replicationKinds[session.replication] }),
		...backendUnmapped(session),
	};
}

const replicationKinds = { physical: 'physical', database: 'logical' } as const;

/** The part of it that changes with the connection to the server. */
export function backendUnmapped({
	backendPid,
	backendRole,
	shard,
}: Pick<SessionInfo, 'backendPid' | 'backendRole' | 'shard'>): Unmapped {
	return {
		...(backendPid === null ? {} : { backend_pid: backendPid }),
		...(backendRole === null ? {} : { backend_role: backendRole }),
		...(typeof shard === 'string' ? { shard } : {}),
	};
}

export function databasePart(session: SessionInfo): object {
	return { name: session.database === '' ? '(none)' : session.database, type_id: 1 };
}

const nodeActivity: Readonly<Record<string, DatastoreActivity>> = {
	InsertStmt: 'Write',
	MergeStmt: 'Write',
	UpdateStmt: 'Update',
	DeleteStmt: 'Delete',
	TruncateStmt: 'Delete',
	DropStmt: 'Delete',
	BaseBackupCmd: 'Read',
	StartReplicationCmd: 'Read',
	CreateReplicationSlotCmd: 'Create',
	AlterReplicationSlotCmd: 'Update',
	DropReplicationSlotCmd: 'Delete',
};

/** The strongest first. */
const byAction: readonly { readonly activity: DatastoreActivity; readonly actions: readonly ObjectUse['action'][] }[] =
	[
		{ activity: 'Delete', actions: ['truncate', 'delete', 'drop'] },
		{ activity: 'Create', actions: ['create', 'temp'] },
		{ activity: 'Write', actions: ['insert'] },
		{ activity: 'Update', actions: ['update', 'alter', 'grant'] },
		{ activity: 'Read', actions: ['select'] },
	];

/** What a statement does, in the schema's words: by its node where that says it, else by the strongest action on an object. */
export function activityOf(decision: StatementDecision): DatastoreActivity {
	const byNode = nodeActivity[decision.node];
	if (byNode !== undefined) return byNode;
	let strongest = byAction.length;
	for (const { action } of decision.objects) {
		const at = byAction.findIndex(({ actions }) => actions.includes(action));
		if (at !== -1 && at < strongest) strongest = at;
	}
	return byAction[strongest]?.activity ?? 'Query';
}

/** What every event says of its class (OCSF, base event). */
export interface ClassPart {
	readonly category_uid: number;
	readonly class_uid: number;
	readonly activity_id: number;
	readonly activity_name: string;
	/** class_uid * 100 + activity_id */
	readonly type_uid: number;
}

export function datastoreClass(activity: DatastoreActivity): ClassPart {
	return classPart(eventClass.datastore, activity, datastoreActivity[activity]);
}

export function classPart(
	{ category_uid, class_uid }: { readonly category_uid: number; readonly class_uid: number },
	activity_name: string,
	activity_id: number,
): ClassPart {
	return { category_uid, class_uid, activity_id, activity_name, type_uid: class_uid * 100 + activity_id };
}

export const effects = {
	allow: { action_id: 1, action: 'Allowed' },
	mask: { action_id: 4, action: 'Modified' },
	deny: { action_id: 2, action: 'Denied' },
} as const satisfies Record<StatementDecision['effect'], object>;

/** A rule that took part in a decision, as `authorizations` names it. */
export function authorizationOf(rule: RuleRef, decision: string): object {
	return { decision, policy: { name: `${rule.file}:${rule.line}`, desc: rule.text } };
}
