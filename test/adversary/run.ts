/** Plays one attack against a gateway or a bare database and tells what came of it. */
import type { Backend } from '../../src/wire/backend.ts';
import type { AttackCase, ProbeCase, RawCase, StatementCase, Step } from './case.ts';
import { errorTexts, type Protocol, RawClient, ServerError, sqlstates, type Target } from './client.ts';
import type { SecretFinder } from './secrets.ts';
import type { World } from './world.ts';

/** Where the attacks are played. */
export interface Scene {
	readonly kind: 'gateway' | 'bare';
	readonly world: World;
	readonly finder: SecretFinder;
	readonly target: (user: AttackCase['as']) => Target;
	/** Sessions that attacks of one harmless-looking statement share. */
	readonly sessions: Map<AttackCase['as'], RawClient>;
	/** Changes with any cell that neither ana nor wes may write. Runs outside of the attack unless a client is given. */
	readonly fingerprint: (client?: RawClient) => Promise<string>;
}

/** What came of an attack by one protocol. */
export interface Result {
	/** Secrets that were seen, or in what the answers to two guesses differ, or what was written. */
	readonly leaks: readonly string[];
	/** SQLSTATE and text of every error. */
	readonly errors: readonly string[];
	readonly sqlstates: readonly string[];
	/** For reports: what came back, shortened. */
	readonly said: string;
}

/** Every way in which a case is to be played. */
export function waysOf(attack: AttackCase): readonly Protocol[] {
	return attack.type === 'raw' ? ['simple'] : attack.protocols;
}

export async function play(scene: Scene, attack: AttackCase, protocol: Protocol): Promise<Result> {
	switch (attack.type) {
		case 'statements':
			return playStatements(scene, attack, protocol);
		case 'probe':
			return playProbe(scene, attack, protocol);
		case 'raw':
			return playConversation(scene, attack);
	}
}

async function playStatements(scene: Scene, attack: StatementCase, protocol: Protocol): Promise<Result> {
	const writes = attack.want === 'unwritten';
	const bareWrite = writes && scene.kind === 'bare';
	const before = writes ? await scene.fingerprint() : '';
	const steps = inTransaction(attack.steps(scene.world), attack.transaction || bareWrite);
	const opened = await open(scene, attack.as, steps, attack.startup);
	if ('refused' in opened) {
		const { refused } = opened;
		return { leaks: [], errors: [refused.message], sqlstates: [refused.sqlstate], said: refused.message };
	}
	const { client } = opened;
	const leaks: string[] = [];
	try {
		const [last, ...rest] = [...steps].reverse();
		await runSteps(client, rest.reverse(), protocol);
		if (bareWrite && (await scene.fingerprint(client)) !== before) leaks.push('written');
		await runSteps(client, last === undefined ? [] : [last], protocol);
	} finally {
		await opened.leave();
	}
	if (writes && !bareWrite && (await scene.fingerprint()) !== before) leaks.push('written');
	leaks.push(...scene.finder.find(client.bytes(), client.messages));
	return resultOf(leaks, client.messages);
}

function inTransaction(steps: readonly Step[], wanted: boolean): readonly Step[] {
	const plain = { protocol: 'simple' } as const;
	return wanted ? [{ sql: 'begin', ...plain }, ...steps, { sql: 'rollback', ...plain }] : steps;
}

/** The transcript of a guess, without what differs between any two sessions and without the guess itself. */
async function transcript(
	scene: Scene,
	attack: ProbeCase,
	protocol: Protocol,
	guess: string,
): Promise<{ text: string; messages: readonly Backend[]; elapsedMs: number }> {
	const steps = inTransaction(attack.steps(guess, scene.world), attack.transaction);
	const opened = await open(scene, attack.as, steps, {});
	if ('refused' in opened) return { text: opened.refused.message, messages: [], elapsedMs: 0 };
	const { client } = opened;
	try {
		const from = client.messages.length;
		const start = performance.now();
		await runSteps(client, steps, protocol);
		const elapsedMs = performance.now() - start;
		const messages = client.messages.slice(from);
		return { text: comparable(messages, guess), messages, elapsedMs };
	} finally {
		await opened.leave();
	}
}

/** How often the two guesses of a probe for delays are played, after the first time. */
const DELAY_PLAYS = 3;

async function playProbe(scene: Scene, attack: ProbeCase, protocol: Protocol): Promise<Result> {
	const guesses = attack.guesses(scene.world);
	if (guesses.right.length !== guesses.wrong.length) throw new Error(`guesses of unequal length: ${attack.name}`);
	const wrong = await transcript(scene, attack, protocol, guesses.wrong);
	const right = await transcript(scene, attack, protocol, guesses.right);
	const leaks: string[] = [];
	if (right.text !== wrong.text)
		leaks.push(`the right guess answers ${summary(right.messages)}, a wrong one ${summary(wrong.messages)}`);
	if (attack.delayMs !== null) {
		// The fastest of several, since a busy machine delays either.
		let [rightMs, wrongMs] = [right.elapsedMs, wrong.elapsedMs];
		for (let again = 0; again < DELAY_PLAYS; again += 1) {
			rightMs = Math.min(rightMs, (await transcript(scene, attack, protocol, guesses.right)).elapsedMs);
			wrongMs = Math.min(wrongMs, (await transcript(scene, attack, protocol, guesses.wrong)).elapsedMs);
		}
		if (rightMs - wrongMs > attack.delayMs)
			leaks.push(`the right guess takes ${rightMs} ms, a wrong one ${wrongMs} ms`);
	}
	const result = resultOf(leaks, [...right.messages, ...wrong.messages]);
	return result;
}

function comparable(messages: readonly Backend[], guess: string): string {
	const text = messages.map((message) => message.raw.toString('latin1')).join('\n');
	// A short guess (an id) is in everything; nothing echoes it but an error that a gateway must not let through.
	return guess.length < 6 ? text : text.replaceAll(guess, '?');
}

async function playConversation(scene: Scene, attack: RawCase): Promise<Result> {
	const target = scene.target(attack.as);
	const client = await RawClient.open(target.host, target.port);
	try {
		if (!attack.unsigned) await client.signIn(target);
		await attack.talk(client, scene.world, target);
		if (!client.closed) await client.end();
	} finally {
		client.destroy();
	}
	return resultOf(scene.finder.find(client.bytes(), client.messages), client.messages);
}

/** Words with which a statement may change the session for those that follow, even when its transaction is rolled back. */
const LASTING = /\b(prepare|discard|listen|with hold|setval|nextval|deallocate|load)\b/i;
/** The same for what a rollback undoes. */
const UNDONE = /\b(set|reset|set_config|create|declare|begin|into|drop|alter)\b/i;

interface Opened {
	readonly client: RawClient;
	/** To be called when the steps are done; what was received stays. */
	leave(): Promise<void>;
}

/**
 * A session for the steps: one that other attacks use too, when these leave it as it was, else a fresh one. The bare
 * database's session is made fresh by DISCARD ALL.
 */
async function open(
	scene: Scene,
	user: AttackCase['as'],
	steps: readonly Step[],
	startup: Readonly<Record<string, string>>,
): Promise<Opened | { readonly refused: ServerError }> {
	const ordinary = Object.keys(startup).length === 0;
	const harmless = leavesNothing(steps);
	if (ordinary && (harmless || scene.kind === 'bare')) {
		const kept = scene.sessions.get(user);
		const client = kept === undefined || kept.closed ? await RawClient.login(scene.target(user)) : kept;
		scene.sessions.set(user, client);
		client.forget();
		return { client, leave: async () => (harmless ? undefined : makeFresh(client)) };
	}
	try {
		const client = await RawClient.login(scene.target(user), startup);
		return {
			client,
			leave: async () => {
				await client.end();
				client.destroy();
			},
		};
	} catch (error) {
		if (error instanceof ServerError) return { refused: error };
		throw error;
	}
}

function leavesNothing(steps: readonly Step[]): boolean {
	const texts = steps.map((step) => (typeof step === 'string' ? step : step.sql));
	if (texts.some((text) => LASTING.test(text))) return false;
	const undone = texts.length > 1 && texts[0] === 'begin' && texts.at(-1) === 'rollback';
	return undone || (texts.length === 1 && !UNDONE.test(texts[0] ?? ''));
}

/** Keeps what the attack received. */
async function makeFresh(client: RawClient): Promise<void> {
	const { messages, received } = client;
	await client.run('rollback');
	await client.run('discard all');
	client.forget();
	client.messages = messages;
	client.received = received;
}

async function runSteps(client: RawClient, steps: readonly Step[], protocol: Protocol): Promise<void> {
	for (const step of steps) {
		if (typeof step === 'string') await client.run(step, { protocol });
		else await client.run(step.sql, { protocol, ...step });
		if (client.closed) return;
	}
}

function resultOf(leaks: readonly string[], messages: readonly Backend[]): Result {
	return { leaks, errors: errorTexts(messages), sqlstates: sqlstates(messages), said: summary(messages) };
}

/** What came back, for people. */
function summary(messages: readonly Backend[]): string {
	const parts = messages.flatMap((message): string[] => {
		switch (message.type) {
			case 'DataRow':
				return [`(${message.values.map((value) => value?.toString('latin1').slice(0, 60) ?? 'null').join('|')})`];
			case 'ErrorResponse':
			case 'NoticeResponse':
				return [
					[...message.fields]
						.filter(([key]) => 'CMDHW'.includes(key))
						.map(([key, text]) => `${key}=${text}`)
						.join(' '),
				];
			case 'CommandComplete':
				return [message.tag];
			case 'CopyData':
				return [message.data.toString('latin1').slice(0, 60)];
			case 'NotificationResponse':
				return [`notification ${message.payload}`];
			default:
				return [];
		}
	});
	return JSON.stringify(parts.join(' ').slice(0, 700));
}
