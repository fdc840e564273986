/** Statements of a whole gateway as spans at a collector, under the trace that a comment names, and nothing that should not leave. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Collector, startCollector } from '../admin/trace/collector.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';

let collector: Collector;
let gateway: TestGateway;
beforeAll(async () => {
	collector = await startCollector();
	gateway = await startGateway({
		configure: (config) => {
			config['tracing'] = { endpoint: collector.url };
		},
	});
});
afterAll(async () => {
	await gateway?.stop();
	await collector?.stop();
});

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';
const comment = `/*application='report',traceparent='00-${TRACE}-${PARENT}-01'*/`;

test('a comment before or behind the statement, both protocols, masked and refused', async () => {
	const ben = await gateway.connect('ben');
	await ben.query('select 1');
	await ben.query(`select ssn from hr.employees where id = 4 ${comment}`);
	await ben.query({ text: `${comment} select count(*) from sales.products where id > $1`, values: [0] });
	await expect(ben.query(`select * from hr.secrets ${comment}`)).rejects.toMatchObject({ code: '42501' });
	await expect(ben.query(`select 1/0 ${comment}`)).rejects.toMatchObject({ code: '22012' });
	await ben.end();
	// The end of the gateway sends what waits.
	const audit = await gateway.audit();
	await gateway.gateway.close();
	const seen = collector.spans.map(({ name, traceId, parentSpanId, attributes, status }) => [
		name,
		traceId === TRACE && parentSpanId === PARENT,
		attributes['portcullis.effect'],
		attributes['db.response.status_code'] ?? null,
		status?.code ?? null,
	]);
	expect(seen).toEqual([
		['SELECT hr.employees', true, 'mask', null, null],
		['SELECT sales.products', true, 'allow', null, null],
		['SELECT hr.secrets', true, 'deny', '42501', 2],
		['SELECT', true, 'allow', '22012', 2],
	]);
	const uids = audit.map((record) => (record['metadata'] as { uid?: string }).uid);
	for (const { attributes } of collector.spans) expect(uids).toContain(attributes['portcullis.audit.record']);
	expect(JSON.stringify(collector.spans)).not.toContain('where id');
});
