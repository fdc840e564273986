/** Sums up a period for an auditor: who read which protected column, what was denied, how policy changed, what went wrong. */
import type { LogPlace } from './logs.ts';
import { isObject, type JsonObject } from './record.ts';
import { columnsOf, databaseOf, decisionOf, detailOf, type Hit, objectsOf, searchLog, userOf } from './search.ts';
import { searchLogs } from './search-logs.ts';

export interface Period {
	/** Milliseconds since the epoch; from inclusive, until exclusive. */
	readonly fromMs?: number;
	readonly untilMs?: number;
}

interface Counted {
	count: number;
	firstMs: number;
	lastMs: number;
}

export interface ColumnRead extends Counted {
	readonly user: string;
	readonly database: string;
	/** schema.relation.column */
	readonly column: string;
	/** Name of the mask that they saw, or null for the value itself. */
	readonly mask: string | null;
	/** Rows that came back in all, where the outcomes tell. */
	rows: number;
	/** They saw it masked, or in the clear by a rule that lifts masks. */
	protection: boolean;
}

export interface Denial extends Counted {
	readonly user: string;
	readonly database: string;
	readonly reason: string;
}

export interface FailedLogin extends Counted {
	readonly user: string;
	readonly address: string;
	readonly reason: string;
}

export interface Change {
	readonly timeMs: number;
	readonly what: string;
	readonly ok: boolean;
	readonly detail: string;
	/** How many logs have it: each worker of a gateway records what it takes up. */
	readonly logs: number;
}

export interface AuditReport {
	readonly statements: number;
	readonly people: number;
	/** Reads of columns that are masked for somebody in the period, or that a rule unmasked: masked ones, and those in the clear. */
	readonly reads: readonly ColumnRead[];
	readonly denials: readonly Denial[];
	readonly failedLogins: readonly FailedLogin[];
	/** Loads of the policy and changes of the configuration. */
	readonly changes: readonly Change[];
	/** Guard breaches, gaps, damage found at a start, stops that were none. */
	readonly alarms: readonly Change[];
}

function tally<T extends Counted>(
	map: Map<string, T>,
	key: readonly string[],
	timeMs: number,
	make: () => Omit<T, keyof Counted>,
): T {
	const id = JSON.stringify(key);
	let entry = map.get(id);
	if (entry === undefined) {
		entry = { ...make(), count: 0, firstMs: timeMs, lastMs: timeMs } as T;
		map.set(id, entry);
	}
	entry.count += 1;
	entry.firstMs = Math.min(entry.firstMs, timeMs);
	entry.lastMs = Math.max(entry.lastMs, timeMs);
	return entry;
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const member = (record: JsonObject, name: string): JsonObject => (isObject(record[name]) ? record[name] : {});

/** Workers take up the same change within this time of each other. */
const sameChangeMs = 60_000;
/** How many changes back the same one is looked for. */
const sameChangesMax = 1_000;

/** Changes in the order of their time; one that several logs have is there once. */
class Changes {
	readonly #all: { change: Change; readonly logs: Set<string> }[] = [];

	add(change: Change, log: string): void {
		for (const entry of this.#all.slice(-sameChangesMax).toReversed()) {
			const { what, detail, timeMs, ok } = entry.change;
			if (change.timeMs - timeMs > sameChangeMs) break;
			if (what !== change.what || detail !== change.detail || ok !== change.ok || entry.logs.has(log)) continue;
			entry.logs.add(log);
			entry.change = { ...entry.change, logs: entry.logs.size };
			return;
		}
		this.#all.push({ change, logs: new Set([log]) });
	}

	get all(): readonly Change[] {
		return this.#all.map(({ change }) => change);
	}
}

/** Takes in records one by one. */
class Summary {
	#statements = 0;
	readonly #people = new Set<string>();
	readonly #reads = new Map<string, ColumnRead>();
	/** database and schema.relation.column of whatever was masked for somebody. */
	readonly #protected = new Set<string>();
	readonly #denials = new Map<string, Denial>();
	readonly #failedLogins = new Map<string, FailedLogin>();
	readonly #changes = new Changes();
	readonly #alarms: Change[] = [];

	/** `log`: which of several has it, or '' where there is one. */
	add(hit: Hit, log: string): void {
		switch (hit.code) {
			case 'statement':
				this.#statement(hit);
				return;
			case 'login-failed': {
				const user = text(member(hit.record, 'user').name);
				const address = text(member(hit.record, 'src_endpoint').ip);
				const reason = detailOf(hit.record);
				tally(this.#failedLogins, [user, address, reason], hit.timeMs, () => ({ user, address, reason }));
				return;
			}
			case 'policy-reload':
			case 'config':
				this.#changes.add(changeOf(hit), log);
				return;
			case 'guard-breach':
			case 'audit-gap':
				this.#alarms.push(inLog(alarmOf(hit), log));
				return;
			case 'audit-start':
				if (hit.record.status_id !== 1 || member(hit.record, 'unmapped').previous_closed === false)
					this.#alarms.push(inLog(alarmOf(hit), log));
				return;
			default:
		}
	}

	report(): AuditReport {
		const byUser = (left: { user: string }, right: { user: string }) => left.user.localeCompare(right.user);
		return {
			statements: this.#statements,
			people: this.#people.size,
			reads: [...this.#reads.values()]
				.filter((read) => read.protection || this.#protected.has(`${read.database} ${read.column}`))
				.toSorted((left, right) => left.column.localeCompare(right.column) || byUser(left, right)),
			denials: [...this.#denials.values()].toSorted(byUser),
			failedLogins: [...this.#failedLogins.values()].toSorted(byUser),
			changes: this.#changes.all,
			alarms: this.#alarms,
		};
	}

	#statement(hit: Hit): void {
		const { record, timeMs } = hit;
		const user = userOf(record);
		const database = databaseOf(record);
		this.#statements += 1;
		this.#people.add(user);
		if (decisionOf(record) === 'deny') {
			const reason = detailOf(record);
			tally(this.#denials, [user, database, reason], timeMs, () => ({ user, database, reason }));
			return;
		}
		// A Parse reads nothing yet, nor does a cursor that is declared; what runs has a record of its own.
		const { phase, node } = member(record, 'unmapped');
		if (phase === 'prepare' || node === 'DeclareCursorStmt') return;
		const rows = hit.outcome === null ? 0 : Number(member(hit.outcome, 'unmapped').rows ?? 0);
		for (const object of objectsOf(hit)) {
			if (object.kind !== 'relation' || object.action !== 'select') continue;
			const masks = member(object, 'masks');
			for (const name of new Set([...columnsOf(object), ...Object.keys(masks)])) {
				const column = `${text(object.schema)}.${text(object.name)}.${name}`;
				const mask = name in masks ? text(masks[name]) : null;
				if (mask !== null) this.#protected.add(`${database} ${column}`);
				const protection = mask !== null || unmasked(record, name);
				const make = () => ({ user, database, column, mask, protection, rows: 0 });
				tally(this.#reads, [user, database, column, mask ?? '', String(protection)], timeMs, make).rows += rows;
			}
		}
	}
}

/** An unmask rule over the column took part in the decision. */
function unmasked(record: JsonObject, column: string): boolean {
	const { authorizations } = record;
	if (!Array.isArray(authorizations)) return false;
	return authorizations.some((authorization) => {
		const rule = isObject(authorization) ? text(member(authorization, 'policy').desc) : '';
		const [, , object, , effect] = rule.split(',').map((part) => part.trim());
		const last = object?.split('.').at(-1);
		return effect === 'unmask' && (last === '*' || last === column);
	});
}

function changeOf({ record, timeMs, code }: Hit): Change {
	const unmapped = member(record, 'unmapped');
	const ok = record.status_id === 1;
	if (code === 'config') {
		const changes = Array.isArray(unmapped.changes) ? unmapped.changes.map(text).join('; ') : '';
		return { timeMs, what: 'configuration', ok, detail: `${text(unmapped.trigger)}: ${changes}`, logs: 1 };
	}
	const revision = text(member(record, 'entity').version);
	const detail = ok
		? `revision ${revision} in force`
		: `refused, revision ${revision} stays in force: ${detailOf(record)}`;
	return { timeMs, what: 'policy', ok, detail: `${text(unmapped.trigger)}: ${detail}`, logs: 1 };
}

function alarmOf({ record, timeMs, code }: Hit): Change {
	const unmapped = member(record, 'unmapped');
	if (code === 'guard-breach') {
		return {
			timeMs,
			what: code,
			ok: false,
			detail: `${userOf(record)}: ${text(unmapped.object)}: ${detailOf(record)}`,
			logs: 1,
		};
	}
	if (code === 'audit-gap')
		return { timeMs, what: code, ok: false, detail: `${Number(unmapped.lost)} outcomes and events were lost`, logs: 1 };
	const problems = Array.isArray(unmapped.problems) ? unmapped.problems.map(text) : [];
	if (unmapped.previous_closed === false) problems.unshift('the process before it did not end in order');
	return { timeMs, what: code, ok: false, detail: problems.join('; '), logs: 1 };
}

function inLog(alarm: Change, log: string): Change {
	return log === '' ? alarm : { ...alarm, detail: `${log}: ${alarm.detail}` };
}

/** Reads the log once. */
export async function reportLog(directory: string, period: Period): Promise<AuditReport> {
	const summary = new Summary();
	await searchLog(directory, { ...period, code: null }, (hit) => summary.add(hit, ''));
	return summary.report();
}

/** The same for several logs together. */
export async function reportLogs(places: readonly LogPlace[], period: Period): Promise<AuditReport> {
	const summary = new Summary();
	await searchLogs(places, { ...period, code: null }, (hit) => summary.add(hit, hit.log));
	return summary.report();
}
