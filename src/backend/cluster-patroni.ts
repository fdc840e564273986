/** Asks Patroni's REST interface who leads (Patroni, "REST API", GET /cluster): the members, and which of them holds the lock. */
import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { following } from './abort.ts';
import { type HostAddress, nameOfHost } from './cluster-host.ts';
import type { LeaderWord } from './cluster-choice.ts';
import { BACKEND_LIMITS } from './limits.ts';

export interface PatroniOptions {
	/** Of the REST interface of each node, e.g. `https://10.0.0.5:8008`. */
	readonly urls: readonly string[];
	/** PEM text; missing: the system's roots, and no client certificate. */
	readonly tls?: {
		readonly ca?: string | undefined;
		readonly cert?: string | undefined;
		readonly key?: string | undefined;
	};
	/** Value of the Authorization header. */
	readonly authorization?: string | undefined;
}

export interface PatroniMember extends HostAddress {
	/** Tag `noloadbalance`. */
	readonly spared: boolean;
}

/** What the nodes that answered agree on. */
export interface PatroniView {
	readonly members: readonly PatroniMember[];
	/** Null: nobody holds the lock now. */
	readonly leader: LeaderWord;
}

/** One node's answer. `timeline` of its leader tells which of two answers is the newer. */
export interface PatroniAnswer {
	readonly members: readonly PatroniMember[];
	readonly leader: string | null;
	readonly timeline: number;
}

/**
 * Asks all nodes at the same time, and does not wait long for others once one has answered; null when none gave a usable
 * answer. A node that is cut off from the others may still name an old leader: so the answer on the newest timeline counts,
 * and of those on the same one that which most nodes give.
 */
export async function askPatroni(options: PatroniOptions, signal: AbortSignal): Promise<PatroniView | null> {
	const answers: PatroniAnswer[] = [];
	const cut = following(signal);
	const enough = (): void => cut.abort(new Error('others have answered'));
	const late = setTimeout(enough, BACKEND_LIMITS.patroniTimeoutMs);
	let timer: NodeJS.Timeout | undefined;
	const asked = options.urls.map(async (url) => {
		answers.push(await askNode(`${url.replace(/\/+$/, '')}/cluster`, options, cut.signal));
		timer ??= setTimeout(enough, BACKEND_LIMITS.patroniGraceMs);
	});
	await Promise.allSettled(asked);
	clearTimeout(timer);
	clearTimeout(late);
	cut.release();
	return agree(answers);
}

export function agree(answers: readonly PatroniAnswer[]): PatroniView | null {
	const newest = Math.max(...answers.map(({ timeline }) => timeline));
	const current = answers.filter(({ timeline }) => timeline === newest);
	const votes = (leader: string | null): number => current.filter((one) => one.leader === leader).length;
	const [best] = current.toSorted((a, b) => votes(b.leader) - votes(a.leader));
	return best === undefined ? null : { members: best.members, leader: best.leader };
}

async function askNode(url: string, options: PatroniOptions, signal: AbortSignal): Promise<PatroniAnswer> {
	return parseCluster(await getJson(url, options, signal));
}

/** The body of GET /cluster. Throws Error for what is none; members without an address (starting up) are left out. */
export function parseCluster(body: unknown): PatroniAnswer {
	const list = fieldOf(body, 'members');
	if (!Array.isArray(list) || list.length > BACKEND_LIMITS.hostsMax) throw new Error('not an answer of Patroni');
	const members: PatroniMember[] = [];
	let leader: string | null = null;
	let timeline = 0;
	for (const one of list as readonly unknown[]) {
		const [host, port, role] = [fieldOf(one, 'host'), fieldOf(one, 'port'), fieldOf(one, 'role')];
		const itsTimeline = Number(fieldOf(one, 'timeline')) || 0;
		timeline = Math.max(timeline, itsTimeline);
		if (typeof host !== 'string' || host === '' || !isPort(Number(port))) continue;
		const address = { host, port: Number(port) };
		members.push({ ...address, spared: fieldOf(fieldOf(one, 'tags'), 'noloadbalance') === true });
		// A standby_leader leads the copy of another cluster, and cannot be written to.
		if (role === 'leader' || role === 'master') leader = nameOfHost(address);
	}
	if (members.length === 0) throw new Error('Patroni names no members');
	return { members, leader, timeline };
}

function fieldOf(value: unknown, key: string): unknown {
	return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>)[key] : undefined;
}

function isPort(port: number): boolean {
	return Number.isInteger(port) && port > 0 && port < 65_536;
}

/** node:http, because fetch() takes no certificate authorities. */
function getJson(url: string, { tls, authorization }: PatroniOptions, signal: AbortSignal): Promise<unknown> {
	const request = url.startsWith('https:') ? requestHttps : requestHttp;
	const headers = { accept: 'application/json', ...(authorization === undefined ? {} : { authorization }) };
	const given = Object.fromEntries(Object.entries(tls ?? {}).filter(([, pem]) => pem !== undefined));
	return new Promise((resolve, reject) => {
		const asked = request(url, { ...given, headers, signal, agent: false }, (answer) => {
			readBody(answer)
				.then((text) => resolve(JSON.parse(text)))
				.catch(reject);
		});
		asked.once('error', reject);
		asked.end();
	});
}

async function readBody(answer: IncomingMessage): Promise<string> {
	const chunks: Buffer[] = [];
	let bytes = 0;
	for await (const chunk of answer as AsyncIterable<Buffer>) {
		bytes += chunk.length;
		// Leaving the loop ends the connection.
		if (bytes > BACKEND_LIMITS.patroniBytesMax) throw new Error('the answer of Patroni is too long');
		chunks.push(chunk);
	}
	if (answer.statusCode !== 200) throw new Error(`Patroni answers with status ${answer.statusCode}`);
	return Buffer.concat(chunks).toString('utf8');
}
