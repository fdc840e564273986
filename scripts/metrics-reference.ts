/** docs/metrics.md, made from the metrics themselves, so that each is documented with the help that it carries. */
import type { Family } from '../src/admin/exposition.ts';

/** The whole page. `families`: with at least one sample each, so that labels show. */
export function metricsReference(families: readonly Family[]): string {
	const rows = families.map(
		(family) => `| \`${family.name}\` | ${family.type} | ${labelsOf(family).join(', ')} | ${family.help} |`,
	);
	return `${HEAD}\n| Metric | Type | Labels | |\n| --- | --- | --- | --- |\n${rows.join('\n')}\n${TAIL}`;
}

/** Names of the labels of a family's samples. */
export function labelsOf(family: Family): string[] {
	const all = family.type === 'histogram' ? family.histograms : family.samples;
	return [...new Set(all.flatMap(({ labels }) => Object.keys(labels)))];
}

const HEAD = `# Health and metrics

With \`admin\` in portcullis.yaml the gateway opens a second port for whoever watches over it:

\`\`\`yaml
admin:
  host: 127.0.0.1
  port: 9432
\`\`\`

It speaks plain HTTP, asks nobody who they are, and changes nothing. It shows names of databases and sinks, and numbers;
no statements, no names of people, no addresses. Keep it on an address that only your monitoring reaches.

| Path | |
| --- | --- |
| \`/healthz\` | 200 as long as the process answers. For liveness probes: restart what does not answer. |
| \`/readyz\` | 200 when clients may be sent here, else 503. \`checks\` says what is wrong. For readiness probes and load balancers. |
| \`/readyz?database=shop\` | The same for clients of one database: the catalogues of others do not count. |
| \`/metrics\` | The metrics below, as Prometheus reads them. |

The gateway is not ready

- while it drains: it has been told to stop (SIGTERM, SIGINT);
- while the catalogue of a database is unknown or stale, because statements are refused then;
- while the audit log cannot be written, or a sink that is required is too far behind, because statements are refused then.

\`\`\`console
$ curl -s localhost:9432/readyz
{"status":"not ready","checks":{"draining":"ok","audit":"ok","catalogue shop":"the catalogue is stale: connect ECONNREFUSED"}}
\`\`\`

[prometheus/alerts.yaml](prometheus/alerts.yaml) has alert rules for these metrics, [grafana/portcullis.json](grafana/portcullis.json)
a dashboard.

## What is measured

Counters begin at 0 with the process. Every label is bounded: \`database\` is a name of the configuration, or \`portcullis\` for
the [console](operating.md#the-console); the others have the values listed below the table.
`;

const TAIL = `
## Values of labels

| Label | Of | Values |
| --- | --- | --- |
| \`state\` | \`portcullis_sessions\` | \`active\`, \`idle\`, \`idle in transaction\`, \`idle in transaction (aborted)\`: as in pg_stat_activity |
| \`state\` | \`portcullis_pool_connections\` | \`leased\`: a session has it; \`connecting\`: it is being opened |
| \`method\` | \`portcullis_logins_total\` | \`scram-sha-256\`, \`scram-sha-256-plus\`, \`token\`, \`oauthbearer\`, \`device\`, \`certificate\`; \`none\`: it ended before one was chosen |
| \`result\` | \`portcullis_logins_total\` | \`success\`; \`refused\`: wrong or missing credentials; \`denied\`: known, but not allowed in here; \`full\`: a limit was reached; \`backend\`: the server could not be reached or refused; \`timeout\`; \`left\`: the client went away; \`error\`: anything else |
| \`reason\` | \`portcullis_sessions_ended_total\` | as in the audit log; \`other\` for any that is not in the list of the program |
| \`reason\` | \`portcullis_pool_pinned\`, \`portcullis_pool_pins_total\` | \`temporary\`, \`cursor\` (WITH HOLD), \`prepared\` (by SQL), \`lock\` (advisory), \`listen\`, \`sequence\`, \`seed\`, \`role\`, \`code\` (a user's, which may have left anything), \`unknown\`: see [pooling.md](pooling.md) |
| \`effect\` | statements | \`allow\`: ran as written; \`mask\`: was rewritten; \`deny\`: was refused |
| \`status\` | \`portcullis_statement_outcomes_total\` | \`success\`, \`failure\` (the server's error), \`cancelled\`, \`denied\`, \`unknown\` (the session ended first) |
| \`direction\` | bytes | \`received\`, \`sent\`: as the gateway sees it |
| \`result\` | \`portcullis_leases_total\` | \`granted\`; \`full\`: no place in time; \`paused\`: an operator's pause lasted too long; \`left\`: the client went away; \`failed\`: the server could not be reached or refused |
| \`result\` | \`portcullis_decisions_total\` | \`hit\`: remembered; \`miss\`: analysed |
| \`result\` | \`portcullis_cancel_requests_total\` | \`matched\`, \`unmatched\`: whether a session has the key; \`passed\`: handed on to peers, which do not say whether they know it |
| \`result\` | \`portcullis_peer_cancels_total\` | \`sent\`; \`failed\`: the peer could not be reached, or did not answer in time; \`dropped\`: there were too many; \`found\`: came from a peer, and a session here has the key |
| \`result\` | \`portcullis_policy_reloads_total\` | \`success\`, \`failure\`: a broken policy keeps the former in force |
| \`state\` | \`portcullis_policy_peers\` | \`same\`, \`other\` |
| \`result\` | \`portcullis_policy_notices_total\` | \`told\`; \`failed\`: could not be sent; \`heard\`: of another gateway; \`ignored\`: not a notice, or of more gateways than are remembered |
| \`result\` | \`portcullis_spans_total\` | \`sent\`, \`dropped\`: the collector did not take them in time |
| \`state\` | \`portcullis_workers\` | \`configured\`, \`alive\` |
| \`worker\` | \`portcullis_worker_up\`; with several workers \`process_*\` and \`nodejs_*\` too | its number, from 1 |
| \`le\` | histograms | 50 µs to 60 s |

## With several workers

With \`workers\` of more than one, whichever of them is asked answers for all:

- Counters and histograms are sums. What a worker had counted stays in them when it ends, and its successor goes on from there, so a
  sum falls only when the whole gateway is started again. (What it counted after it was asked last is lost if it was killed.)
- Gauges are sums where that means something, as of sessions and connections. Of ages and waits it is the longest, of limits and
  revisions the greatest, and of what is 1 when all is well (\`portcullis_audit_healthy\`, \`portcullis_catalog_current\`) the least;
  \`portcullis_draining\` is 1 when all of them drain.
- What is of one process (\`process_*\`, \`nodejs_*\`) has a label \`worker\`, its number from 1.
- \`portcullis_worker_up\` is 0 for a worker that is away, or that did not answer within two seconds: its gauges are missing then.

\`/readyz\` is 200 when all workers are ready; those that drain while others do not, as in a rolling restart, are not asked. What is
wrong with one is told with its number, and \`silent\` names those that did not answer within half a second, which count neither way.
\`/healthz\` is of the one process that answers it.

## What it costs

Counting is an addition to a plain number. Everything else (gauges, bytes, states) is read when somebody asks: a scrape walks
over the sessions once. Of four workers with ten databases it takes about 15 ms of CPU, all of them together.
`;
