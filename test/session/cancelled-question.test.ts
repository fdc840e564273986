/** A cancel request that meets the gateway's own question for search_path is told as one that met the client's statement. */
import { afterEach, expect, test } from 'vitest';
import {
	encodeBindComplete,
	encodeCloseComplete,
	encodeErrorResponse,
	encodeParseComplete,
	encodeReadyForQuery,
} from '../../src/wire/encode.ts';
import { startTestGateway, type TestGateway } from './gateway.ts';
import { type ScriptedServer, startScriptedServer } from './scripted-server.ts';
import { Query, WireClient } from './wire-client.ts';

const fields = (code: string, message: string): Map<string, string> =>
	new Map([
		['S', 'ERROR'],
		['V', 'ERROR'],
		['C', code],
		['M', message],
	]);

let server: ScriptedServer;
let gateway: TestGateway;
let client: WireClient;

/** Whose first question is answered with that error. */
async function open(code: string, message: string): Promise<void> {
	server = await startScriptedServer({ tellsPath: false, stays: true });
	server.answer = Buffer.concat([
		encodeCloseComplete(),
		encodeParseComplete(),
		encodeBindComplete(),
		encodeErrorResponse(fields(code, message)),
		encodeReadyForQuery('I'),
	]);
	gateway = await startTestGateway(server.database);
	client = await WireClient.open({ port: gateway.port });
}

async function refusal(): Promise<string | undefined> {
	client.send(Query('select deny_me'));
	const last = (await client.until('ErrorResponse')).at(-1);
	return last?.type === 'ErrorResponse' ? last.fields.get('C') : last?.type;
}

afterEach(async () => {
	client?.destroy();
	await gateway?.close();
	server?.close();
});

const cancelled = { code: '57014', message: 'canceling statement due to user request' };

test('what needs the answer is told that it was cancelled', async () => {
	await open(cancelled.code, cancelled.message);
	expect(await refusal()).toBe(cancelled.code);
	expect(gateway.pipeline.paths).toEqual([null]);
});

test('any other failure leaves the refusal as it is', async () => {
	await open('XX000', 'something else');
	expect(await refusal()).toBe('42501');
});
