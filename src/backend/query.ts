/** Runs the gateway's own statements (catalogue, pool) on a backend connection that no client is using. */
import type { BackendConnection } from './connection.ts';

/**
 * Rows of the last result in text, null for SQL NULL. One statement at a time, between `detach` and `attach` of others.
 * Throws GatewayError with the server's SQLSTATE, or 08006 when the connection is gone.
 */
export declare function query(connection: BackendConnection, sql: string): Promise<(string | null)[][]>;
