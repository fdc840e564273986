/** The benchmarks that need no proxy: each is a program of its own that prints its tables, run one after the other. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

interface Part {
	readonly id: string;
	readonly title: string;
	/** In bench/. */
	readonly file: string;
	/** What it prints is no Markdown. */
	readonly plain?: boolean;
	readonly args: (quick: boolean) => readonly string[];
	readonly env?: Readonly<Record<string, string>>;
}

const quickly = (quick: boolean): readonly string[] => (quick ? ['--quick'] : []);

const parts: readonly Part[] = [
	{ id: 'analysis', title: 'Deciding a statement, CPU microseconds', file: 'analysis.ts', args: quickly },
	{ id: 'filters', title: 'Filters and masks, time in the server', file: 'filters.ts', args: quickly },
	{
		id: 'gateway-inside',
		title: 'A transaction inside of the gateway, without sockets',
		file: 'session.ts',
		plain: true,
		args: () => [],
	},
	{ id: 'audit', title: 'The audit log', file: 'audit.ts', plain: true, args: () => [] },
	{ id: 'policy', title: 'The policy', file: 'policy.ts', plain: true, args: () => [] },
	{
		id: 'catalog',
		title: 'The catalogue of a database with many tables',
		file: 'catalog.ts',
		plain: true,
		args: (quick) => ['', quick ? '2000' : '10000'],
		env: { NODE_OPTIONS: '--expose-gc' },
	},
	{ id: 'wire', title: 'Framing and decoding', file: 'wire.ts', plain: true, args: () => [] },
];

/** Sections for the report, of the parts whose ids match. A part that fails says so in its section. */
export function runParts(only: RegExp, quick: boolean, say: (words: string) => void): string[] {
	return parts
		.filter(({ id }) => only.test(id))
		.map((part) => {
			say(part.title);
			const printed = run(part, quick);
			return `## ${part.title}\n\n${part.plain === true ? `\`\`\`text\n${printed}\n\`\`\`` : printed}`;
		});
}

function run({ file, args, env }: Part, quick: boolean): string {
	const path = fileURLToPath(new URL(`../${file}`, import.meta.url));
	const { stdout, stderr, status } = spawnSync(process.execPath, ['--import', 'tsx', path, ...args(quick)], {
		encoding: 'utf8',
		env: { ...process.env, ...env },
		maxBuffer: 64 * 1024 * 1024,
	});
	const said = stdout.trim();
	// Some end with a status of their own when a figure is not what it should be; the figures are there all the same.
	return said === '' ? `failed (${status}): ${stderr.trim().slice(-500)}` : said;
}
