/** The gateway's own database, for operators: who may enter, who may do what, and each command on record before it is done. */
import type { SessionInfo, StatementRecord } from '../../audit/event.ts';
import { GatewayError, unreachable } from '../../errors.ts';
import type { ConsoleParts, ConsoleServices, LiveSession } from '../../session/live.ts';
import type { Access, Action, Answer, AuditReceipt, Identity, StatementDecision } from '../../stages.ts';
import type { Operations } from '../control.ts';
import { workerNames } from '../crew/bus.ts';
import type { CrewTables } from '../crew/tables.ts';
import type { RecordSink } from '../meters.ts';
import type { Command, CommandText } from './command.ts';
import { pause } from './pause.ts';
import { driverAnswer, driverColumns, showSetting } from './drivers.ts';
import { ConsoleSession } from './session.ts';
import { type ShowInputs, shows } from './shows.ts';
import { columns, type Table } from './table.ts';

/** Name of the database: reserved in the configuration. */
export const consoleDatabase = 'portcullis';

export interface ConsoleOptions extends ShowInputs {
	readonly control: Operations;
	/** Shows what all workers have; null: there is one. */
	readonly tables?: CrewTables | null;
	readonly sink: RecordSink;
	/** How long PAUSE may take, in milliseconds. */
	readonly pauseWaitMs: () => number;
	/** The policy of now. */
	readonly accessFor: (identity: Identity) => Access;
	/** Milliseconds since the epoch. */
	readonly now: () => number;
}

/** What a command gives back: rows, or words for a notice. */
export type Result =
	| { readonly type: 'table'; readonly table: Table; readonly tag: string; readonly notice?: string }
	| { readonly type: 'done'; readonly tag: string; readonly notice: string };

/** Who asks, and how it is counted for the audit log. */
export interface Asking {
	readonly identity: Identity;
	readonly info: SessionInfo;
	readonly protocol: 'simple' | 'extended';
	/** Number within the session, from 1. */
	readonly number: number;
	/** Aborted when nobody waits for it any more. */
	readonly signal: AbortSignal;
}

export class Console implements ConsoleServices {
	readonly database = consoleDatabase;
	readonly #options: ConsoleOptions;

	constructor(options: ConsoleOptions) {
		this.#options = options;
	}

	admit(access: Access): void {
		if (isNamed(access.onDatabase('connect'))) return;
		throw new GatewayError('42501', `permission denied for database "${consoleDatabase}"`, {
			severity: 'FATAL',
			detail: `No rule of the policy names ${consoleDatabase} and allows connect; one with a wildcard in its place is not enough.`,
		});
	}

	open(parts: ConsoleParts): LiveSession {
		const session = new ConsoleSession(this, this.#options, parts);
		session.start();
		return session;
	}

	/** Columns of what the command answers; null when it answers no rows. */
	columnsOf(command: Command): Table['columns'] | null {
		switch (command.type) {
			case 'show':
				return this.#options.tables?.columnsOf(command.name) ?? shows[command.name].columns;
			case 'show-setting':
				return columns(command.name.replaceAll(' ', '_'));
			case 'select':
				return driverColumns[command.what];
			default:
				return null;
		}
	}

	/**
	 * Decides about each of the commands before any of them is done: the first that is not allowed refuses all of them. Then
	 * each is done, once it is on record. `each` gets the results in order; the next command waits until it has taken one.
	 * Rejects with GatewayError: 42501 not allowed, 3D000 no such database, 53100 or 58030 (FATAL) no record can be written.
	 */
	async run(
		texts: readonly CommandText[],
		asking: Asking,
		each: (result: Result) => Promise<void> | void,
	): Promise<void> {
		const access = this.#options.accessFor(asking.identity);
		const decisions = texts.map((text) => decide(text, access));
		const denied = decisions.find(({ effect }) => effect === 'deny');
		for (const [index, decision] of decisions.entries()) {
			if (denied !== undefined && decision !== denied) continue;
			const receipt = await this.#record(decision, { ...asking, number: asking.number + index }, access.revision);
			if (decision.error !== undefined) throw decision.error;
			await this.#perform(texts[index] as CommandText, { receipt, signal: asking.signal }, each);
		}
	}

	/** Puts a text on record that is no command. */
	async refuse(sql: string, error: GatewayError, asking: Asking): Promise<void> {
		const { revision } = this.#options.accessFor(asking.identity);
		await this.#record(decisionOf(sql, 'Unparsable', [], error), asking, revision);
	}

	#record(decision: StatementDecision, asking: Asking, policyRevision: string): Promise<AuditReceipt> {
		const { info: session, number, protocol } = asking;
		const record: StatementRecord = {
			session,
			transaction: number,
			statement: number,
			protocol,
			phase: 'execute',
			decision,
			policyRevision,
		};
		return new Promise((resolve, reject) => {
			this.#options.sink.accept(record, (error, receipt) => {
				if (receipt !== null) resolve(receipt);
				else reject(new GatewayError(error?.sqlstate ?? '58030', error?.message ?? 'no record', { severity: 'FATAL' }));
			});
		});
	}

	async #perform(
		{ command }: CommandText,
		{ receipt, signal }: { readonly receipt: AuditReceipt; readonly signal: AbortSignal },
		each: (result: Result) => Promise<void> | void,
	): Promise<void> {
		const begunMs = performance.now();
		const outcome = (status: 'success' | 'failure', sqlstate: string | null, result: Result | null): void => {
			const rows = result?.type === 'table' ? result.table.rows.length : null;
			const durationMs = performance.now() - begunMs;
			this.#options.sink.outcome(receipt, { status, sqlstate, tag: result?.tag ?? null, rows, bytes: 0, durationMs });
		};
		try {
			const result = await this.#do(command, signal);
			outcome('success', null, result);
			await each(result);
		} catch (error) {
			outcome('failure', error instanceof GatewayError ? error.sqlstate : 'XX000', null);
			throw error;
		}
	}

	async #pause({ database, wait }: Extract<Command, { type: 'pause' }>, signal: AbortSignal): Promise<string> {
		const { control, view, pauseWaitMs } = this.#options;
		if (!wait) return control.pause(database);
		await pause({ control, databases: view.databases, database, waitMs: pauseWaitMs(), signal });
		return '';
	}

	async #do(command: Command, signal: AbortSignal): Promise<Result> {
		const { control } = this.#options;
		switch (command.type) {
			case 'show':
				return this.#show(command.name);
			case 'show-setting':
				return { type: 'table', tag: 'SHOW', table: showSetting(command.name, this.#options.view.version) };
			case 'select':
				return { type: 'table', tag: 'SELECT', table: driverAnswer(command.what, this.#options.view.version) };
			case 'set':
				return { type: 'done', tag: 'SET', notice: '' };
			case 'reload':
				return { type: 'done', tag: 'RELOAD', notice: await control.reload() };
			case 'pause':
				return { type: 'done', tag: 'PAUSE', notice: await this.#pause(command, signal) };
			case 'resume':
				return { type: 'done', tag: 'RESUME', notice: await control.resume(command.database) };
			case 'kill':
				return { type: 'done', tag: 'KILL', notice: await control.kill(command.database) };
			case 'kill-client':
				return { type: 'done', tag: 'KILL_CLIENT', notice: await control.killClient(command.session) };
			case 'disable':
				return { type: 'done', tag: 'DISABLE', notice: await control.disable(command.database) };
			case 'enable':
				return { type: 'done', tag: 'ENABLE', notice: await control.enable(command.database) };
			default:
				return unreachable(command);
		}
	}

	async #show(name: keyof typeof shows): Promise<Result> {
		const { tables } = this.#options;
		if (tables === undefined || tables === null) {
			const show = shows[name];
			return { type: 'table', tag: 'SHOW', table: { columns: show.columns, rows: show.rows(this.#options) } };
		}
		const { table, silent } = await tables.show(name);
		const notice = silent.length === 0 ? '' : `${workerNames(silent)} did not answer, and what is theirs is not shown`;
		return { type: 'table', tag: 'SHOW', table, notice };
	}
}

/** What a rule with a wildcard in place of the name allows is meant for databases, not for the gateway itself. */
function isNamed(answer: Answer): boolean {
	return answer.allowed && answer.named;
}

/** Looking needs `connect`, which the session had to have already; acting needs `alter` too. */
function actionOf(command: Command): Extract<Action, 'connect' | 'alter'> {
	switch (command.type) {
		case 'show':
		case 'show-setting':
		case 'select':
		case 'set':
			return 'connect';
		default:
			return 'alter';
	}
}

function decide({ command, sql }: CommandText, access: Access): StatementDecision {
	const action = actionOf(command);
	const entry = access.onDatabase('connect');
	const answer = isNamed(entry) ? access.onDatabase(action) : entry;
	const node = `Console ${command.type}`;
	const use = {
		kind: 'database',
		schema: '',
		name: consoleDatabase,
		action: action === 'connect' ? 'show' : action,
		columns: [],
		masks: {},
		filters: [],
		hidden: [],
		rules: answer.rules,
	} as const;
	if (isNamed(answer)) return decisionOf(sql, node, [use], undefined);
	const verb = sql.split(/\s/, 1)[0]?.toUpperCase() ?? '';
	const error = new GatewayError('42501', `permission denied for ${verb} on the console`, {
		detail: `No rule of the policy names ${consoleDatabase} and allows ${action}.`,
	});
	return decisionOf(sql, node, [use], error);
}

function decisionOf(
	sql: string,
	node: string,
	objects: StatementDecision['objects'],
	error: GatewayError | undefined,
): StatementDecision {
	return {
		effect: error === undefined ? 'allow' : 'deny',
		node,
		sql,
		rewritten: sql,
		objects,
		rules: objects.flatMap(({ rules }) => rules),
		touchesProtected: false,
		checks: [],
		hidesRows: false,
		effects: [],
		...(error === undefined ? {} : { error }),
	};
}
