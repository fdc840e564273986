/** Leads a conversation and writes down what was heard, so that two of them can be compared. */
import type { Backend } from '../../src/wire/backend.ts';
import type { FrontendFields } from '../../src/wire/encode.ts';
import type { TestDatabase } from '../support/postgres.ts';
import { WireClient } from './wire-client.ts';

/** Groups of messages: each is sent at once, and then answers are awaited: ReadyForQuery so many times, or a type. */
export interface Turn {
	readonly send: readonly FrontendFields[];
	/** ReadyForQuery's to wait for (default 1), or the type of message, or the end of the stream. */
	readonly until?: number | Backend['type'] | 'end';
}

/** A session with PostgreSQL itself. */
export function openDirect(database: TestDatabase): Promise<WireClient> {
	const { port, user, password } = database;
	return WireClient.open({ port, params: { user, database: database.database }, password });
}

/** All answers, as plain data: without the bytes (they follow from the fields), and without what differs by session. */
export async function converse(client: WireClient, turns: readonly Turn[], without = ''): Promise<unknown[]> {
	const heard: unknown[] = [];
	for (const { send, until = 1 } of turns) {
		client.send(...send);
		const answers =
			typeof until === 'number'
				? await client.ready(until)
				: until === 'end'
					? await client.rest()
					: await client.until(until);
		heard.push(answers.map((answer) => plain(answer, without)));
	}
	client.destroy();
	return heard;
}

export function plain(message: Backend, without: string): unknown {
	if (message.type === 'ErrorResponse' || message.type === 'NoticeResponse') {
		const told = [...message.fields].filter(([code]) => !['F', 'L', 'R', ...without].includes(code));
		return { type: message.type, fields: Object.fromEntries(told) };
	}
	// Temporary tables have an oid of their own in each session.
	if (message.type === 'RowDescription')
		return { ...message, raw: '', fields: message.fields.map((field) => ({ ...field, tableOid: 0 })) };
	if (message.type === 'NotificationResponse') return { ...message, raw: '', pid: 0 };
	return { ...message, raw: message.raw.toString('latin1') };
}
