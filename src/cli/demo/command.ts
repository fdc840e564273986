/** `portcullis demo`: starts the scene, shows the tour, prints lines to try, and waits until somebody ends it. */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { type CommandIo, type Paint, paint } from '../io.ts';
import { auditLines } from './audit-lines.ts';
import { Cleanup } from './cleanup.ts';
import { PEOPLE, SERVICE } from './people.ts';
import { type Progress, type Scene, startScene } from './scene.ts';
import { APPLICATION, runTour } from './tour.ts';
import { goWays } from './ways.ts';

export interface DemoOptions {
	/** End after the tour instead of waiting for Ctrl-C. */
	readonly once: boolean;
	/** Aborted by Ctrl-C and the like. */
	readonly signal: AbortSignal;
}

/** Exit status: 0 after the tour or after Ctrl-C, 130 when it was interrupted before. Throws what the parts throw. */
export async function runDemo(out: CommandIo, options: DemoOptions): Promise<number> {
	// Tables side by side need an end of line, also where there is no terminal.
	const io = out.columns > 0 ? out : { ...out, columns: 100 };
	const cleanup = new Cleanup();
	const colors = paint(io.color);
	const beganMs = performance.now();
	let starting: Promise<Scene> | undefined;
	try {
		io.out(
			`\n ${colors.bold('Portcullis')}${colors.dim(': a policy gateway in front of PostgreSQL, with everything it needs, on this machine')}\n\n`,
		);
		starting = startScene(cleanup, progress(io, colors));
		const scene = await orAborted(starting, options.signal);
		if (scene === undefined) return 130;
		const seconds = ((performance.now() - beganMs) / 1000).toFixed(1);
		io.out(colors.dim(`   ready after ${seconds} s\n\n`));
		if ((await orAborted(tour(scene, options.once, io, colors), options.signal)) === undefined) return 130;
		if (options.once) return 0;
		io.out(`\n ${colors.bold('Running until Ctrl-C.')}\n`);
		await abortedHolding(options.signal);
		return 0;
	} finally {
		if (!options.once) io.out(colors.dim('\n stopping ...\n'));
		// What is still on its way up has to arrive before it can be taken down.
		await starting?.catch(() => undefined);
		await cleanup.run();
		if (!options.once) io.out(colors.dim(' gateway, provider and database are gone, and so are their files.\n'));
	}
}

async function tour(scene: Scene, once: boolean, io: CommandIo, colors: Paint): Promise<true> {
	const passwords = new Map<string, string>();
	for (const [name, file] of scene.secretFiles) passwords.set(name, await readFile(file, 'utf8'));
	const { host, port } = scene.gateway;
	// They take as long as a provider lets nobody ask again, so the tour is shown meanwhile.
	const ways = goWays(scene, io, colors);
	ways.catch(() => undefined);
	await runTour({ host, port, database: 'shop', passwords }, io, colors);
	io.out(`${(await ways).join('\n')}\n`);
	io.out(`${(await auditLines(scene.auditFolder, APPLICATION, io.columns, colors)).join('\n')}\n`);
	io.out(`${tryIt(scene, once, colors).join('\n')}\n`);
	return true;
}

/** Lines to copy, each of which works while the demo runs. */
export function tryIt(scene: Scene, once: boolean, colors: Paint): string[] {
	const { host, port } = scene.gateway;
	const secret = (name: string): string => `PGPASSWORD=$(cat ${scene.secretFiles.get(name) ?? ''})`;
	const psql = (name: string): string => `   ${secret(name)} \\\n     psql -h ${host} -p ${port} -U ${name} shop`;
	const people = PEOPLE.map(({ name, groups, claims }) => `${name} (${[...groups, claims.tenant].join(', ')})`);
	return [
		` ${colors.bold('Try it')}${once ? ' (npm run demo, without --once, keeps all of it running)' : ''}`,
		colors.dim(`   who is there: ${people.join(', ')}`),
		'',
		colors.dim('   psql, as the analyst (a token is the password) and as the writer (SCRAM):'),
		`${psql('ben')} -c "select name, ssn, salary from hr.employees limit 3"`,
		psql(SERVICE.name),
		'',
		colors.dim('   a driver (pg here; any other likewise), from the folder of the repository:'),
		`   ${secret('ben')} \\`,
		`     node -e "const db = new (require('pg').Client)('postgres://ben@${host}:${port}/shop');`,
		"       db.connect().then(() => db.query('select name, ssn, salary from hr.employees limit 3'))",
		'       .then(({ rows }) => console.table(rows)).finally(() => db.end())"',
		'',
		colors.dim('   why a statement is answered as it is:'),
		`   npx portcullis explain --config ${scene.configFile} \\`,
		'     --user ben --group data-team --claim tenant=acme --database shop "select * from hr.employees"',
		'',
		colors.dim('   change a rule and ask again (the gateway reads the file as you save it):'),
		`   ${scene.policyFile}`,
	];
}

/** A line for each part: on a terminal it says at once that it begins. */
function progress(io: CommandIo, colors: Paint): Progress {
	const pending = new Set<string>();
	const wait = (): void => {
		if (io.color && pending.size > 0) io.out(colors.dim(`   starting ${[...pending].join(' and ')} ...`));
	};
	return (what) => {
		if (io.color) io.out('\r\u001b[2K');
		pending.add(what);
		wait();
		return (result) => {
			pending.delete(what);
			if (io.color) io.out('\r\u001b[2K');
			io.out(` ${colors.green('✔')} ${what.padEnd(16)} ${result}\n`);
			wait();
		};
	};
}

/** What the work gives, or undefined when the signal comes first. */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
	return Promise.race([work, aborted(signal)]);
}

async function aborted(signal: AbortSignal): Promise<undefined> {
	if (!signal.aborted) await once(signal, 'abort');
	return undefined;
}

/** The same, and keeps Node from ending meanwhile: what else runs may have let go of it. */
async function abortedHolding(signal: AbortSignal): Promise<void> {
	const hold = setInterval(() => undefined, 60_000);
	await aborted(signal);
	clearInterval(hold);
}
