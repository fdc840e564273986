/** Questions of a pool to a backend that nobody has: is it there, DISCARD ALL, and the settings of a login. */
import { GatewayError } from '../errors.ts';
import type { BackendConnection } from './connection.ts';
import { encodeQuery } from '../wire/encode.ts';
import { converse } from './converse.ts';
import { backendFailure, serverError } from './errors.ts';
import type { PooledBackend } from './pooled.ts';
import { query, type Rows } from './query.ts';
import { type Settings, settingsChange } from './settings.ts';

/** Whether it answers. A cancel request that comes late hits this question, and not the next client's. */
export async function check(backend: PooledBackend, timeoutMs: number): Promise<boolean> {
	for (const last of [false, true]) {
		const error = await failureOf(backend, '', timeoutMs);
		if (error === null) {
			backend.suspect = false;
			return true;
		}
		if (last || error.sqlstate !== '57014') return false;
	}
	return false;
}

/** Whether it could be made as if it were new. */
export async function discard(backend: PooledBackend, timeoutMs: number): Promise<boolean> {
	if (backend.suspect && !(await check(backend, timeoutMs))) return false;
	if ((await failureOf(backend, 'discard all', timeoutMs)) !== null) return false;
	backend.discarded();
	return true;
}

/** As `query`, of a server that is cut off when it says nothing. */
export async function ask(connection: BackendConnection, sql: string, timeoutMs: number): Promise<Rows> {
	const timer = setTimeout(() => connection.channel.destroy(lateError()), timeoutMs);
	try {
		return await query(connection, sql);
	} finally {
		clearTimeout(timer);
	}
}

/**
 * Gives a backend that the caller has leased these settings, and notes what the server reports of them. Throws GatewayError
 * with the server's words for one that it refuses; the backend is as it was then.
 */
export async function applySettings(backend: PooledBackend, settings: Settings, timeoutMs: number): Promise<void> {
	const sql = settingsChange(backend.settings, settings);
	if (sql === '') return;
	const { channel, socket } = backend.connection;
	const timer = setTimeout(() => channel.destroy(lateError()), timeoutMs);
	const failures: GatewayError[] = [];
	socket.write(encodeQuery(sql));
	try {
		await converse(channel, (message) => {
			if (message.type === 'ParameterStatus') backend.reported.set(message.name, message.value);
			else if (message.type === 'ErrorResponse') failures.push(serverError(message.fields));
			return message.type === 'ReadyForQuery' ? true : undefined;
		});
	} finally {
		clearTimeout(timer);
	}
	const [failure] = failures;
	if (failure !== undefined) throw failure;
	backend.settings = settings;
}

function lateError(): GatewayError {
	return backendFailure('08006', 'the database server does not answer');
}

async function failureOf({ connection }: PooledBackend, sql: string, timeoutMs: number): Promise<GatewayError | null> {
	try {
		await ask(connection, sql, timeoutMs);
		return null;
	} catch (error) {
		return error instanceof GatewayError ? error : backendFailure('08006', 'the database server failed', error);
	}
}
