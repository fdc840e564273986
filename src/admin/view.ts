/** What the operators' side sees of a running gateway. Types only; the command line puts it together. */
import type { AuditStats } from '../audit/log.ts';
import type { Cluster } from '../backend/cluster.ts';
import type { SharedListener } from '../backend/shared-listener.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { PipelineStats } from '../pipeline.ts';
import type { LiveSession } from '../session/live.ts';
import type { Gate } from './gate.ts';
import type { Meters } from './meters.ts';

/** One database as the configuration has it, and what stands before and behind it. */
export interface DatabaseView {
	readonly name: string;
	/** Of a sharded database there is one view for each shard; null: it is not sharded. */
	readonly shard: string | null;
	/** The first of the configuration; empty where only Patroni knows. */
	readonly host: string;
	readonly port: number;
	/** Null: one host, whatever it is. */
	readonly cluster: Pick<Cluster, 'hosts' | 'available' | 'failovers'> | null;
	/** Name on the server. */
	readonly dbname: string;
	/** Role that the gateway signs in with. */
	readonly role: string;
	readonly poolMode: string;
	/** Server connections at a time, over all workers, as configured. */
	readonly poolSize: number;
	/** 0: as many as there is room for. */
	readonly sessionsMax: number;
	readonly gate: Gate;
	/** Who hears notifications for sessions in transaction mode, one for each role; none in session mode. */
	readonly listeners: readonly Pick<SharedListener, 'stats'>[];
	readonly catalog: Pick<Catalog, 'stats'>;
}

export interface PolicyView {
	readonly revision: string;
	readonly rules: number;
	/** Milliseconds since the epoch. */
	readonly loadedMs: number;
}

/** The watcher of the policy. */
export interface WatcherView {
	/** It hears other gateways. */
	readonly up: boolean;
	/** Gateways that are heard of, by whether their policy is the one in force here. */
	readonly same: number;
	readonly other: number;
	/** Notices, by what became of them. */
	readonly notices: Readonly<Record<string, number>>;
}

export interface GatewayView {
	/** Of this program. */
	readonly version: string;
	/** Milliseconds since the epoch. */
	readonly startedMs: number;
	readonly sessionsMax: number;
	/** In the order of the configuration. */
	readonly databases: readonly DatabaseView[];
	readonly meters: Meters;
	/** Spans sent and dropped; null where nothing is traced. */
	readonly spans: { readonly sent: number; readonly dropped: number } | null;
	/** Sessions that are signed in, the console's included. */
	sessions(): Iterable<LiveSession>;
	/** Connections that have not signed in (yet). */
	connecting(): number;
	pipeline(): PipelineStats;
	policy(): PolicyView;
	/** What is heard of other gateways; null where nobody listens for them. */
	policyWatcher(): WatcherView | null;
	audit(): AuditStats;
	/** It is about to stop. */
	draining(): boolean;
}
