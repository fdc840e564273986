/** The metrics: each documented, each in a format that Prometheus reads, with the numbers that it should have. */
import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { labelsOf, metricsReference } from '../../scripts/metrics-reference.ts';
import { exposition } from '../../src/admin/exposition.ts';
import { families } from '../../src/admin/families.ts';
import type { GatewayView } from '../../src/admin/view.ts';
import { readExposition } from './exposition.ts';
import { testSession } from './session.ts';
import { testView, type ViewOptions, twoHosts, twoListeners } from './view.ts';

/** A gateway of which every metric has a sample. */
function busyView(options: ViewOptions = {}): GatewayView {
	const sinks = [{ sink: 'siem', delivered: 10, retries: 2, lagRecords: 3, lagBytes: 900, lastError: null }];
	const sessions = [testSession(), testSession({ state: 'active' }), testSession({ ended: true })];
	const view = testView({ audit: { sinks }, sessions, cluster: twoHosts, listeners: twoListeners, ...options });
	view.meters.event({ type: 'login', session: testSession().info });
	return view;
}

describe('docs/metrics.md', () => {
	// `npx vitest run test/admin -u` writes it anew.
	test('describes every metric', async () => {
		await expect(metricsReference(families(busyView()))).toMatchFileSnapshot('../../docs/metrics.md');
	});

	test('says something of each, in a sentence', () => {
		const bad = families(busyView()).filter(({ help }) => !/^[1A-Z0].*\.$/.test(help));
		expect(bad.map(({ name }) => name)).toEqual([]);
	});
});

describe('the page', () => {
	test('is what Prometheus reads', () => {
		const page = readExposition(exposition(families(busyView())));
		expect(page.size).toBeGreaterThan(50);
		expect([...page.values()].filter(({ samples }) => samples.length === 0)).toEqual([]);
	});

	test('is what Prometheus reads before anything has happened, and while a catalogue is unknown', () => {
		const databases = { shop: { state: 'unknown', ageMs: null } } as const;
		const page = readExposition(exposition(families(testView({ databases }))));
		expect(page.get('portcullis_catalog_age_seconds')?.samples[0]?.value).toBeNaN();
		expect(page.get('portcullis_ready')?.samples[0]?.value).toBe(0);
	});

	const rows: readonly { readonly series: string; readonly want: number }[] = [
		{ series: 'portcullis_sessions{database="shop",state="idle"}', want: 1 },
		{ series: 'portcullis_sessions{database="shop",state="active"}', want: 1 },
		{ series: 'portcullis_sessions{database="portcullis",state="idle"}', want: 0 },
		{ series: 'portcullis_client_bytes_total{database="shop",direction="received"}', want: 2 },
		{ series: 'portcullis_backend_bytes_total{database="shop",direction="sent"}', want: 8_000 },
		{ series: 'portcullis_logins_total{method="token",result="success"}', want: 1 },
		{ series: 'portcullis_decisions_total{result="hit"}', want: 90 },
		{ series: 'portcullis_pool_size{database="shop"}', want: 2 },
		{ series: 'portcullis_catalog_age_seconds{database="shop"}', want: 0.25 },
		{ series: 'portcullis_audit_sink_lag_records{sink="siem"}', want: 3 },
		{ series: 'portcullis_policy_info{revision="0123456789abcdef"}', want: 1 },
		{ series: 'portcullis_connecting', want: 4 },
		{ series: 'portcullis_host_state{database="shop",host="db1:5432",state="primary"}', want: 1 },
		{ series: 'portcullis_host_state{database="shop",host="db2:5433",state="down"}', want: 0 },
		{ series: 'portcullis_host_used{database="shop",host="db2:5433"}', want: 0 },
		{ series: 'portcullis_host_connections{database="shop",host="db1:5432"}', want: 7 },
		{ series: 'portcullis_host_lag_seconds{database="shop",host="db2:5433"}', want: 1.5 },
		{ series: 'portcullis_host_lag_bytes{database="shop",host="db2:5433"}', want: 4096 },
		{ series: 'portcullis_failovers_total{database="shop"}', want: 2 },
		{ series: 'portcullis_host_available{database="shop"}', want: 1 },
		{ series: 'portcullis_listener_connections{database="shop"}', want: 1 },
		{ series: 'portcullis_listener_channels{database="shop"}', want: 3 },
		{ series: 'portcullis_listener_sessions{database="shop"}', want: 5 },
		{ series: 'portcullis_notifications_received_total{database="shop"}', want: 42 },
		{ series: 'portcullis_notifications_told_total{database="shop"}', want: 122 },
		{ series: 'portcullis_listener_losses_total{database="shop"}', want: 1 },
		{ series: 'portcullis_notification_overflows_total{database="shop"}', want: 2 },
		{ series: 'portcullis_ready', want: 1 },
		{ series: 'portcullis_policy_watcher_up', want: 1 },
		{ series: 'portcullis_policy_peers{state="other"}', want: 1 },
		{ series: 'portcullis_policy_notices_total{result="heard"}', want: 9 },
		{ series: 'portcullis_peer_cancels_total{result="dropped"}', want: 0 },
	];
	test.each(rows)('$series is $want', ({ series, want }) => {
		expect(exposition(families(busyView())).split('\n')).toContain(`${series} ${want}`);
	});
});

describe('what is built on the metrics', () => {
	const known = new Map(
		families(busyView()).flatMap((family) => {
			const labels = new Set([...labelsOf(family), 'job', 'instance']);
			if (family.type !== 'histogram') return [[family.name, labels] as const];
			const withBound = new Set([...labels, 'le']);
			return ['_bucket', '_sum', '_count'].map((suffix) => [family.name + suffix, withBound] as const);
		}),
	);

	/** Metrics and labels in a query that there are not. */
	function unknownIn(query: string): string[] {
		const names = [...query.matchAll(/\b(?:portcullis|process|nodejs)_[a-z_]+/g)].map(([name]) => name);
		const labels = names.flatMap((name) => [...(known.get(name) ?? [])]);
		const used = [...query.matchAll(/(?:by|without) ?\(([^)]*)\)|([a-z_]+) ?(?:=~|!=|!~|=)"/g)].flatMap(
			([, list, label]) => list?.split(',').map((one) => one.trim()) ?? [label ?? ''],
		);
		return [
			...(names.length === 0 ? [`no metric: ${query}`] : []),
			...names.filter((name) => !known.has(name)),
			...used.filter((label) => !labels.includes(label)).map((label) => `${label} in ${query}`),
		];
	}

	test('finds what there is not', () => {
		expect(unknownIn('sum by (flavour) (rate(portcullis_cakes_total{taste="good"}[5m]))')).toEqual([
			'portcullis_cakes_total',
			'flavour in sum by (flavour) (rate(portcullis_cakes_total{taste="good"}[5m]))',
			'taste in sum by (flavour) (rate(portcullis_cakes_total{taste="good"}[5m]))',
		]);
	});

	test('the dashboard asks for what there is', async () => {
		const text = await readFile(new URL('../../docs/grafana/portcullis.json', import.meta.url), 'utf8');
		const { panels } = JSON.parse(text) as { panels: { targets?: { expr: string }[] }[] };
		const queries = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
		expect(queries.length).toBeGreaterThan(20);
		expect(queries.flatMap((query) => unknownIn(query.replaceAll(/\$__rate_interval|\$[a-z]+/g, '5m')))).toEqual([]);
	});

	test('the alerts ask for what there is, and say what to do', async () => {
		const text = await readFile(new URL('../../docs/prometheus/alerts.yaml', import.meta.url), 'utf8');
		const { groups } = parse(text) as {
			groups: { rules: { alert: string; expr: string; annotations: { summary: string; description: string } }[] }[];
		};
		const rules = groups.flatMap((group) => group.rules);
		expect(rules.length).toBeGreaterThan(8);
		expect(rules.flatMap(({ expr }) => unknownIn(expr))).toEqual([]);
		for (const { alert, annotations } of rules) {
			expect([alert, annotations.summary, annotations.description]).toEqual([
				expect.stringMatching(/^Portcullis[A-Z]/),
				expect.stringMatching(/\S/),
				expect.stringMatching(/\.$/),
			]);
		}
	});
});
