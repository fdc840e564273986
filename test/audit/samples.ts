/** Sessions, decisions and records for the tests of the audit log. */
import { GatewayError } from '../../src/errors.ts';
import type { SessionInfo, StatementRecord } from '../../src/audit/event.ts';
import type { Identity, ObjectUse, RuleRef, StatementDecision } from '../../src/stages.ts';

export const identity: Identity = {
	name: 'ada@example.com',
	roles: ['analyst'],
	groups: ['data-team'],
	claims: { tenant: 'acme' },
	method: 'token',
	issuer: 'https://id.example.com',
	subject: 'a1b2c3',
	tokenId: 'tok-1',
	expiresAtMs: 1_800_000_000_000,
};

export const session: SessionInfo = {
	id: '5e0c1d52-6d6c-4a57-9b1c-3f6a0ce1a001',
	identity,
	clientAddress: '127.0.0.1',
	clientPort: 50_123,
	application: 'psql',
	tls: { version: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' },
	database: 'shop',
	backendAddress: '10.0.0.5:5432',
	backendPid: 4711,
	backendRole: 'gateway',
};

export const rule: RuleRef = {
	file: 'policy.csv',
	line: 14,
	text: 'p, role:analyst, shop.hr.employees.ssn, select, mask, ssn_last4',
};

export function use(more: Partial<ObjectUse> = {}): ObjectUse {
	return {
		kind: 'relation',
		schema: 'hr',
		name: 'employees',
		action: 'select',
		columns: ['id', 'name', 'ssn'],
		masks: { ssn: 'ssn_last4' },
		filters: ['own_tenant'],
		hidden: ['photo'],
		rules: [rule],
		...more,
	};
}

export function decision(more: Partial<StatementDecision> = {}): StatementDecision {
	return {
		effect: 'mask',
		node: 'SelectStmt',
		sql: 'select id, name, ssn from hr.employees where id = $1',
		fingerprint: '28550ea0fc43bed7',
		rewritten:
			"select id, name, ssn from (select id, name, 'XXX-XX-' || right(ssn, 4) as ssn from hr.employees) employees where id = $1",
		objects: [use()],
		rules: [rule],
		touchesProtected: true,
		checks: [],
		hidesRows: false,
		effects: [],
		...more,
	};
}

export function denial(more: Partial<StatementDecision> = {}): StatementDecision {
	return decision({
		effect: 'deny',
		sql: 'select * from hr.secrets',
		rewritten: 'select * from hr.secrets',
		objects: [use({ name: 'secrets', columns: [], masks: {}, filters: [], hidden: [] })],
		error: new GatewayError('42501', 'relation hr.secrets is denied by policy.csv:16'),
		...more,
	});
}

export function record(more: Partial<StatementRecord> = {}): StatementRecord {
	return {
		session,
		transaction: 1,
		statement: 1,
		protocol: 'extended',
		phase: 'execute',
		decision: decision(),
		policyRevision: 'rev-1',
		parameters: [{ oid: 23, format: 0, value: Buffer.from('42'), redact: false }],
		...more,
	};
}
