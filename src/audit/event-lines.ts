/** The records of everything but statements, as attributes of the schema: sessions, policies, configuration, the log itself. */
import { unreachable } from '../errors.ts';
import type { SessionEvent, SessionInfo } from './event.ts';
import type { EventCode } from './lines.ts';
import {
	authProtocolOf,
	databasePart,
	datastoreClass,
	classPart,
	effects,
	endpointOf,
	eventClass,
	sessionUnmapped,
	severity,
	status,
	userPart,
	whoParts,
} from './ocsf.ts';

const success = { status_id: status.Success, status: 'Success' } as const;
const failure = { status_id: status.Failure, status: 'Failure' } as const;
const unknown = { status_id: status.Unknown, status: 'Unknown' } as const;

const logon = { Logon: 1, Logoff: 2 } as const;
/** Activities of Entity Management that are used. */
const entityActivity = { Create: 1, Update: 3, Delete: 4, Enable: 8, Disable: 9, Other: 99 } as const;

function authenticationClass(activity: keyof typeof logon): object {
	return classPart(eventClass.authentication, activity, logon[activity]);
}

function entityClass(activity: keyof typeof entityActivity): object {
	return classPart(eventClass.entity, activity, entityActivity[activity]);
}

/** What logins and logouts have in common. */
function authentication(session: SessionInfo, activity: keyof typeof logon, claimed: string): Record<string, unknown> {
	return {
		...authenticationClass(activity),
		...whoParts(session),
		user: userPart(session, claimed),
		service: { name: 'Portcullis' },
		...(session.identity === null ? {} : authProtocolOf(session.identity.method)),
		is_remote: true,
		is_cleartext: session.tls === null,
	};
}

function unmappedOf(session: SessionInfo, more: object = {}): object {
	return { ...sessionUnmapped(session), database: session.database, ...more };
}

export interface EventBody {
	readonly code: EventCode;
	readonly body: object;
	/** uid of the record that this one belongs to. */
	readonly correlation: string | null;
}

function cancelBody(event: Extract<SessionEvent, { type: 'cancel' }>): object {
	const { session, forwardedBy, passed = false } = event;
	const by = forwardedBy === undefined ? {} : { forwarded_by: forwardedBy };
	// Whether another gateway knew it is in the log of that one.
	const unmatched = passed ? unknown : failure;
	return {
		...datastoreClass('Other'),
		activity_name: 'Cancel',
		severity_id: severity.Informational,
		...(session === null ? unmatched : success),
		...(session === null
			? { actor: { app_name: '(unknown)' }, database: { name: '(none)', type_id: 0 } }
			: { ...whoParts(session), database: databasePart(session) }),
		src_endpoint: endpointOf(event.clientAddress, event.clientPort),
		unmapped:
			session === null
				? { matched: false, ...(passed ? { passed_on: true } : {}) }
				: { ...sessionUnmapped(session), matched: true, ...by },
	};
}

function breachBody(event: Extract<SessionEvent, { type: 'guard-breach' }>): object {
	return {
		...datastoreClass('Read'),
		severity_id: severity.Critical,
		is_alert: true,
		...effects.deny,
		...failure,
		status_detail: event.reason,
		...whoParts(event.session),
		database: databasePart(event.session),
		unmapped: { ...sessionUnmapped(event.session), object: event.object },
	};
}

/** The record's code and attributes for each kind of event. */
export function eventBody(event: SessionEvent): EventBody {
	switch (event.type) {
		case 'login': {
			const common = authentication(event.session, 'Logon', '');
			const how = { severity_id: severity.Informational, ...effects.allow, ...success };
			return { code: 'login', body: { ...common, ...how, unmapped: unmappedOf(event.session) }, correlation: null };
		}
		case 'login-failed': {
			const common = authentication(event.session, 'Logon', event.user);
			const how = { severity_id: severity.Medium, ...effects.deny, ...failure };
			const why = { status_code: event.sqlstate, status_detail: event.reason };
			const unmapped = unmappedOf(event.session, { claimed_user: event.user });
			return { code: 'login-failed', body: { ...common, ...how, ...why, unmapped }, correlation: null };
		}
		case 'logout': {
			const common = authentication(event.session, 'Logoff', '');
			const how = { severity_id: severity.Informational, ...success, status_detail: event.reason };
			const duration = Math.round(event.durationMs);
			return {
				code: 'logout',
				body: { ...common, ...how, duration, unmapped: unmappedOf(event.session) },
				correlation: null,
			};
		}
		case 'cancel':
			return { code: 'cancel', body: cancelBody(event), correlation: null };
		case 'guard-breach':
			return { code: 'guard-breach', body: breachBody(event), correlation: event.receipt?.id ?? null };
		case 'policy-reload': {
			const policy = { name: 'policies', version: event.revision, is_applied: event.ok };
			const body = {
				...entityClass('Update'),
				severity_id: event.ok ? severity.Informational : severity.High,
				...(event.ok ? success : { ...failure, status_detail: event.problems.join('\n') }),
				entity: { name: 'policies', type_id: 5, type: 'Policy', version: event.revision, policy },
				unmapped: { trigger: event.trigger, previous_revision: event.previousRevision, problems: event.problems },
			};
			return { code: 'policy-reload', body, correlation: null };
		}
		case 'config': {
			const body = {
				...entityClass('Update'),
				severity_id: event.ok ? severity.Informational : severity.High,
				...(event.ok ? success : failure),
				entity: { name: 'configuration', type_id: 99, type: 'Configuration' },
				unmapped: { trigger: event.trigger, changes: event.changes },
			};
			return { code: 'config', body, correlation: null };
		}
		default:
			return unreachable(event);
	}
}

/** Records that the log writes of itself. */
export type OwnEvent = Extract<
	EventCode,
	'segment' | 'audit-start' | 'audit-stop' | 'audit-gap' | 'audit-retention' | 'checkpoint'
>;

const ownActivity = {
	segment: 'Create',
	'audit-start': 'Enable',
	'audit-stop': 'Disable',
	'audit-gap': 'Other',
	'audit-retention': 'Delete',
	checkpoint: 'Other',
} as const satisfies Record<OwnEvent, keyof typeof entityActivity>;

/** `ok` is false where an operator has to look: a gap, or a damaged log found at start. */
export function ownBody(
	code: OwnEvent,
	log: { readonly origin: string; readonly logId: string },
	ok: boolean,
	unmapped: object,
): object {
	return {
		...entityClass(ownActivity[code]),
		severity_id: ok ? severity.Informational : severity.High,
		...(ok ? success : failure),
		entity: { name: log.origin, uid: log.logId, type_id: 99, type: 'Audit log' },
		unmapped,
	};
}
