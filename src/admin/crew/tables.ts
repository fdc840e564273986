/** What the console shows of all workers: rows of one table, either joined by what they are about, or each with its worker. */
import { type ShowInputs, shows } from '../console/shows.ts';
import type { ShowName } from '../console/command.ts';
import { type Column, columns, type Table, type Value } from '../console/table.ts';
import { answerTimes, askOthers, type CrewBus } from './bus.ts';
import type { CrewReady } from './readiness.ts';

type Rows = readonly (readonly Value[])[];

/** How the rows of several workers become one table. */
type Joining =
	/** All of them would show the same. */
	| { readonly how: 'own' }
	/** A row is of one worker, which a last column says. */
	| { readonly how: 'each' }
	/** A row says by itself which worker it is of. */
	| { readonly how: 'all' }
	/** By /readyz. */
	| { readonly how: 'readiness' }
	/** Rows that agree in `key` become one; `sum` and `max` name the columns that are, the others are as the first has them. */
	| {
			readonly how: 'join';
			readonly key: readonly string[];
			readonly sum: readonly string[];
			readonly max: readonly string[];
	  };

function join(key: string, sum: string, max = ''): Joining {
	const names = (words: string): string[] => words.split(' ').filter((word) => word !== '');
	return { how: 'join', key: names(key), sum: names(sum), max: names(max) };
}

/** Complete by type. */
const joinings: Readonly<Record<ShowName, Joining>> = {
	help: { how: 'own' },
	version: { how: 'own' },
	config: { how: 'own' },
	readiness: { how: 'readiness' },
	workers: { how: 'all' },
	clients: { how: 'each' },
	servers: { how: 'each' },
	databases: join('name', 'current_connections current_client_connections', 'pool_size paused disabled'),
	// Workers ask by themselves: what they do not agree about are two rows.
	hosts: join('database shard host port state', 'connections', 'used'),
	pools: join(
		'database user',
		'cl_active cl_waiting sv_active sv_login sv_idle sv_pinned pins sv_listen cl_listen channels',
	),
	stats: join(
		'database',
		'total_server_assignment_count total_query_count total_allowed_count total_masked_count total_denied_count total_received total_sent total_query_time total_wait_time',
	),
};

const workerColumn = columns('worker:int4');
const question = 'show';

export class CrewTables {
	readonly #bus: CrewBus;
	readonly #workers: number;
	readonly #inputs: ShowInputs;
	readonly #ready: CrewReady;

	constructor(bus: CrewBus, workers: number, inputs: ShowInputs, ready: CrewReady) {
		this.#bus = bus;
		this.#workers = workers;
		this.#inputs = inputs;
		this.#ready = ready;
		bus.on(question, (name) => this.#own(name as ShowName));
	}

	columnsOf(name: ShowName): readonly Column[] {
		const own = shows[name].columns;
		return joinings[name].how === 'each' ? [...own, ...workerColumn] : own;
	}

	/** `silent`: live workers that have not answered, so that their rows are missing. */
	async show(name: ShowName): Promise<{ readonly table: Table; readonly silent: readonly number[] }> {
		const joining = joinings[name];
		const table = (rows: Rows): Table => ({ columns: this.columnsOf(name), rows });
		if (joining.how === 'own') return { table: table(this.#own(name)), silent: [] };
		if (joining.how === 'readiness') {
			const { checks, silent } = await this.#ready.ask();
			return { table: table(checks.map(({ name: of, ok, reason }) => [of, ok ? 1 : 0, reason])), silent };
		}
		const { answers, silent } = await askOthers<Rows>(this.#bus, question, name, answerTimes.showMs);
		const own = { worker: this.#bus.worker, answer: this.#own(name) };
		const inOrder = [own, ...answers].toSorted((one, other) => one.worker - other.worker);
		switch (joining.how) {
			case 'each':
				return { table: table(inOrder.flatMap(({ worker, answer }) => answer.map((row) => [...row, worker]))), silent };
			case 'all':
				return { table: table([...inOrder.flatMap(({ answer }) => answer), ...this.#away(inOrder, silent)]), silent };
			case 'join': {
				// What only one can say, this one says.
				const rows = [own, ...answers].flatMap(({ answer }) => answer);
				return { table: table(joined(shows[name].columns, rows, joining)), silent };
			}
		}
	}

	#own(name: ShowName): Rows {
		return shows[name].rows(this.#inputs);
	}

	/** SHOW WORKERS tells of those too that say nothing. */
	#away(known: readonly { readonly worker: number }[], silent: readonly number[]): Rows {
		const numbers = Array.from({ length: this.#workers }, (_, at) => at + 1);
		const empty = shows.workers.columns.slice(3).map(() => null);
		return numbers
			.filter((worker) => !known.some((one) => one.worker === worker))
			.map((worker) => [worker, null, silent.includes(worker) ? 'silent' : 'away', ...empty]);
	}
}

function joined(of: readonly Column[], rows: Rows, joining: Extract<Joining, { how: 'join' }>): Rows {
	const at = (names: readonly string[]): number[] =>
		names.map((name) => of.findIndex((column) => column.name === name));
	const [key, sum, max] = [at(joining.key), at(joining.sum), at(joining.max)];
	const [seconds = -1, micros = -1] = at(['maxwait', 'maxwait_us']);
	const found = new Map<string, Value[]>();
	for (const row of rows) {
		const id = JSON.stringify(key.map((index) => row[index]));
		const into = found.get(id);
		if (into === undefined) {
			found.set(id, [...row]);
			continue;
		}
		for (const index of sum) into[index] = added(into[index] ?? null, row[index] ?? null);
		for (const index of max) into[index] = Math.max(Number(into[index]), Number(row[index]));
		if (seconds >= 0 && waited(row, seconds, micros) > waited(into, seconds, micros))
			for (const index of [seconds, micros]) into[index] = row[index] ?? null;
	}
	return [...found.values()];
}

function waited(row: readonly Value[], seconds: number, micros: number): number {
	return Number(row[seconds]) * 1_000_000 + Number(row[micros]);
}

function added(one: Value, other: Value): Value {
	if (typeof one === 'number' && typeof other === 'number') return one + other;
	return addedWords(String(one ?? ''), String(other ?? ''));
}

/** `temporary 1, listen 2`: how many of each. */
function addedWords(one: string, other: string): string {
	const counts = new Map<string, number>();
	for (const part of [...one.split(', '), ...other.split(', ')]) {
		const [, reason, count] = /^(.*) (\d+)$/.exec(part) ?? [];
		if (reason !== undefined) counts.set(reason, (counts.get(reason) ?? 0) + Number(count));
	}
	return [...counts].map((entry) => entry.join(' ')).join(', ');
}
