/** What the supervisor and the workers say to each other about the places of a pool, so that all of them together keep to its size. */

/** A connection to a server, as `pg_stat_activity` there has it. */
export interface ServerConnection {
	readonly host: string;
	readonly port: number;
	readonly pid: number;
}

/** `pool`: the worker's own word for it. */
export type PlacesFromWorker =
	/** It is there, or something of it is another. */
	| {
			readonly type: 'places-open';
			readonly pool: string;
			/** The same word in all workers for pools that keep to one size together, a former one that is just let go included. */
			readonly book: string;
			/** Places of all workers together. */
			readonly size: number;
			/** It takes nobody any more, and gives its places back as its clients are done. */
			readonly leaving: boolean;
	  }
	| {
			readonly type: 'places-state';
			readonly pool: string;
			/** Of the last `places-allot` that it keeps to. */
			readonly seq: number;
			/** Places that it may be using: what it was allotted, or what it still has beyond that. */
			readonly held: number;
			/** Places that it could use more, at this moment. */
			readonly wanted: number;
			/** Places that it has not needed for a while. */
			readonly spare: number;
	  }
	| {
			readonly type: 'places-server';
			readonly pool: string;
			readonly server: ServerConnection;
			readonly open: boolean;
	  }
	/** It has no connections any more, and will have none. */
	| { readonly type: 'places-closed'; readonly pool: string }
	| { readonly type: 'places-checked'; readonly pool: string; readonly id: number; readonly gone: boolean };

export type PlacesToWorker =
	| {
			readonly type: 'places-allot';
			readonly pool: string;
			readonly seq: number;
			readonly places: number;
			/** Whether its share of the reserve is its own; not as long as a predecessor may use it. */
			readonly reserve: boolean;
	  }
	/** Somebody wants places: say what is spare. */
	| { readonly type: 'places-ask'; readonly pool: string }
	/** Find out whether these are gone from the server: a worker that died had them. */
	| {
			readonly type: 'places-check';
			readonly pool: string;
			readonly id: number;
			readonly servers: readonly ServerConnection[];
	  };

/** A worker's part of `total` that is shared among `workers`: the first get what is left over. */
export function shareOf(total: number, worker: number, workers: number): number {
	return Math.floor(total / workers) + (worker <= total % workers ? 1 : 0);
}
