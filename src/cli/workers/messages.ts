/** What the supervisor and its workers say to each other, beside what goes over the bus. */
import type { BusMessage } from './bus.ts';
import type { PlacesFromWorker, PlacesToWorker } from './place-messages.ts';
import type { SessionsFromWorker, SessionsToWorker } from './session-book.ts';

/** Where a worker takes clients; the same for all of them. */
export interface Listening {
	readonly host: string;
	readonly port: number;
	/** Null: there is no admin port. */
	readonly adminPort: number | null;
}

export type FromWorker =
	/** `drainMs`: how long it may take to drain, as its configuration says. */
	| { readonly type: 'listening'; readonly at: Listening; readonly drainMs: number }
	/** It could not start: what the operator is told, and the exit status. */
	| { readonly type: 'failed'; readonly words: string; readonly status: 1 | 2 }
	/** Answers `ping`. */
	| { readonly type: 'pong' }
	| BusMessage
	| PlacesFromWorker
	| SessionsFromWorker;

export type ToWorker =
	/** As SIGHUP for a gateway without workers. */
	| { readonly type: 'reload' }
	/** As SIGTERM. `notice`: `limits.drainNoticeMs` passes first; not where other workers go on. */
	| { readonly type: 'drain'; readonly notice: boolean }
	/** Asks whether it is there: a worker whose event loop is held up does not answer. */
	| { readonly type: 'ping' }
	| BusMessage
	| PlacesToWorker
	| SessionsToWorker;

export function isOfBus(message: { readonly type?: string }): message is BusMessage {
	return message.type?.startsWith('bus-') === true;
}

export function isOfPlaces<T extends { readonly type: string }>(
	message: T | { readonly type?: string },
): message is Extract<T, { readonly type: `places-${string}` }> {
	return message.type?.startsWith('places-') === true;
}

export function isOfSessions<T extends { readonly type: string }>(
	message: T | { readonly type?: string },
): message is Extract<T, { readonly type: `sessions-${string}` }> {
	return message.type?.startsWith('sessions-') === true;
}
