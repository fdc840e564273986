/** The tour: the same statements as three people, side by side, each through a real connection to the gateway. */
import pg from 'pg';
import type { CommandIo, Paint } from '../io.ts';
import { type Answer, type Panel, sideBySide, wrap } from './panels.ts';
import { SERVICE } from './people.ts';

/** Where to connect, and the passwords (or tokens) of those who do. */
export interface TourTarget {
	readonly host: string;
	readonly port: number;
	readonly database: string;
	readonly passwords: ReadonlyMap<string, string>;
}

interface Guest {
	readonly name: string;
	readonly title: string;
}

const ANALYST: Guest = { name: 'ben', title: 'ben, analyst of acme (SSO)' };
const AUDITOR: Guest = { name: 'ana', title: 'ana, auditor (SSO)' };
const WRITER: Guest = { name: SERVICE.name, title: `${SERVICE.name}, writer (SCRAM)` };
const GUESTS = [ANALYST, AUDITOR, WRITER] as const;

interface Stop {
	readonly title: string;
	readonly sql: string;
	/** What to look at. */
	readonly remark: string;
	/** Who is asked; default: all three. */
	readonly guests?: readonly Guest[];
}

const STOPS: readonly Stop[] = [
	{
		title: 'Masks and a row filter',
		sql: 'select id, name, ssn from hr.employees order by id limit 4',
		remark:
			'The analyst sees the people of acme only, and the last digits of a number. The auditor has an unmask and an unfilter ' +
			'rule. Nothing lets the writer read hr.employees, and what no rule allows is denied.',
	},
	{
		title: 'What is masked cannot be asked for either',
		sql: "select name, salary from hr.employees where ssn like '937-54%' or salary > 160000 order by id",
		remark: 'The WHERE of the analyst works on the masked values, so it finds nothing out.',
	},
	{
		title: 'Views over protected tables',
		sql: "select department, average_salary as average from department_sizes where tenant = 'acme' limit 3",
		remark: 'The view averages a column that is masked for the analyst, so there is nothing to average.',
	},
	{
		title: 'A hidden column',
		sql: 'select name, photo from hr.employees limit 1',
		remark: 'A deny on a column hides it: the table looks as if it had none of that name. SELECT * leaves it out.',
	},
	{
		title: 'A denied table',
		sql: 'select * from hr.secrets',
		remark: 'The answer says which rule it was, or that there was none.',
	},
	{
		title: 'Writing for the own tenant',
		sql: "insert into sales.orders (tenant, customer_id) values ('acme', 3) returning id, tenant, status",
		remark: 'Only the writer has an insert rule.',
	},
	{
		title: 'Writing for somebody else',
		sql: "insert into sales.orders (tenant, customer_id) values ('globex', 8) returning id, tenant, status",
		remark:
			"A filter holds for the rows that a write leaves behind: SQLSTATE 42501, as with PostgreSQL's row-level security.",
		guests: [WRITER],
	},
	{
		title: 'A write that aims at rows of both tenants',
		sql: "update sales.orders set status = 'shipped' where id between 1 and 10 and status = 'new'",
		remark: 'Rows of the other tenant are not there for the writer: they are neither updated nor counted.',
		guests: [WRITER],
	},
	{
		title: 'The way around',
		sql: "select pg_read_file('/etc/passwd')",
		remark: 'Built-in functions that read files, run SQL text or look at other sessions need a rule that names them.',
	},
];

/** What the tour's connections call themselves. */
export const APPLICATION = 'tour';

/** Prints the tour. Throws when the gateway cannot be reached or somebody cannot sign in. */
export async function runTour(target: TourTarget, io: CommandIo, paint: Paint): Promise<void> {
	const columns = Math.max(80, Math.min(io.columns, 120));
	const clients = new Map<string, pg.Client>();
	try {
		for (const { name } of GUESTS) clients.set(name, await signIn(target, name));
		for (const [index, stop] of STOPS.entries()) {
			const guests = stop.guests ?? GUESTS;
			const panels: Panel[] = [];
			for (const { name, title } of guests) {
				const client = clients.get(name);
				if (client !== undefined) panels.push({ title, answer: await ask(client, stop.sql) });
			}
			const lines = [
				`${paint.bold(` ${index + 1}. ${stop.title}`)}`,
				...wrap(stop.sql, columns - 6).map((line) => paint.cyan(`   ${line}`)),
				'',
				...sideBySide(panels, guests.indexOf(AUDITOR), columns, paint),
				'',
				...wrap(stop.remark, columns - 6).map((line) => paint.dim(`   ${line}`)),
				'',
			];
			io.out(`${lines.join('\n')}\n`);
		}
	} finally {
		await Promise.all([...clients.values()].map((client) => client.end()));
	}
}

async function signIn(target: TourTarget, name: string): Promise<pg.Client> {
	const { host, port, database, passwords } = target;
	const client = new pg.Client({
		host,
		port,
		database,
		user: name,
		password: passwords.get(name),
		application_name: APPLICATION,
		// Every value as the text that the server sent.
		types: { getTypeParser: () => (value: string) => value },
	});
	client.on('error', () => undefined);
	await client.connect();
	return client;
}

async function ask(client: pg.Client, sql: string): Promise<Answer> {
	try {
		const result = await client.query<(string | null)[]>({ text: sql, rowMode: 'array' });
		if (result.fields.length === 0) return { kind: 'done', tag: `${result.command} ${result.rowCount ?? 0}` };
		return { kind: 'rows', columns: result.fields.map((field) => field.name), rows: result.rows };
	} catch (error) {
		if (!(error instanceof pg.DatabaseError)) throw error;
		const words = [error.message, error.detail, error.hint].filter((part) => part !== undefined);
		return { kind: 'refused', sqlstate: error.code ?? '', words };
	}
}
