/** Fetches a JSON object from an identity provider, with a deadline and a size limit, and follows no redirect. */
import { AUTH_LIMITS } from './limits.ts';
import { endpointProblem } from './settings.ts';

export type Fetch = typeof globalThis.fetch;
export type JsonObject = Readonly<Record<string, unknown>>;

/** The provider could not be asked, or its answer is none. The message names the URL and what happened. */
export class ProviderError extends Error {
	override readonly name = 'ProviderError';
}

export interface JsonAnswer {
	readonly status: number;
	readonly body: JsonObject;
}

export interface JsonRequest {
	/** Form fields: makes it a POST. */
	readonly form?: Readonly<Record<string, string>>;
	readonly headers?: Readonly<Record<string, string>>;
	readonly signal?: AbortSignal | undefined;
	/** The answer need not be JSON (RFC 7009 wants none); it is an empty object then. */
	readonly anyBody?: boolean;
}

/** GET, or POST of a form. Answers of any status that carry a JSON object; throws ProviderError for everything else. */
export async function fetchJson(fetch: Fetch, url: string, request: JsonRequest = {}): Promise<JsonAnswer> {
	const problem = endpointProblem(url);
	if (problem !== null) throw new ProviderError(`${url}: ${problem}`);
	const timeout = AbortSignal.timeout(AUTH_LIMITS.fetchTimeoutMs);
	const signal = request.signal === undefined ? timeout : AbortSignal.any([timeout, request.signal]);
	try {
		const response = await fetch(url, {
			method: request.form === undefined ? 'GET' : 'POST',
			headers: { accept: 'application/json', ...request.headers },
			...(request.form === undefined ? {} : { body: new URLSearchParams(request.form) }),
			redirect: 'manual',
			signal,
		});
		const text = await readBounded(response, url);
		if (request.anyBody === true) return { status: response.status, body: {} };
		return { status: response.status, body: parseObject(text, url, response.status) };
	} catch (error) {
		if (error instanceof ProviderError) throw error;
		throw new ProviderError(`${url}: ${describe(error)}`, { cause: error });
	}
}

async function readBounded(response: Response, url: string): Promise<string> {
	const chunks: Uint8Array[] = [];
	let bytes = 0;
	for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
		bytes += chunk.length;
		// Leaving the loop cancels the body.
		if (bytes > AUTH_LIMITS.fetchBytesMax) {
			throw new ProviderError(`${url}: the answer is longer than ${AUTH_LIMITS.fetchBytesMax} bytes`);
		}
		chunks.push(chunk);
	}
	return Buffer.concat(chunks).toString('utf8');
}

function parseObject(text: string, url: string, status: number): JsonObject {
	let value: unknown;
	try {
		value = JSON.parse(text);
	} catch {
		throw new ProviderError(`${url}: status ${status}, and the answer is no JSON`);
	}
	if (!isObject(value)) throw new ProviderError(`${url}: status ${status}, and the answer is no JSON object`);
	return value;
}

export function isObject(value: unknown): value is JsonObject {
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** fetch() hides what happened in `cause`; several addresses tried make an AggregateError of it. */
function describe(error: unknown): string {
	if (!(error instanceof Error)) return 'cannot be fetched';
	if (error.name === 'TimeoutError') return `no answer within ${AUTH_LIMITS.fetchTimeoutMs} ms`;
	const { cause } = error;
	const first: unknown = cause instanceof AggregateError ? cause.errors[0] : cause;
	return first instanceof Error ? first.message : error.message;
}
