/** docs/from-pgbouncer.md, made from the table that `portcullis migrate pgbouncer` works with, so that every option is in it. */
import { databaseOptions, type Fate, options, peerOptions, userOptions } from '../src/cli/migrate/options.ts';

/** The whole page. */
export function pgbouncerPage(): string {
	return [
		HEAD,
		'## Section [pgbouncer]\n',
		tableOf(options),
		'## Section [databases]\n',
		tableOf(databaseOptions),
		'## Section [users]\n',
		tableOf(userOptions),
		'## Section [peers]\n',
		tableOf(peerOptions),
	].join('\n');
}

function tableOf(fates: Readonly<Record<string, Fate>>): string {
	const taken = Object.entries(fates).flatMap(([name, fate]) => ('to' in fate ? [[name, fate.to] as const] : []));
	const left = Object.entries(fates).flatMap(([name, fate]) => ('why' in fate ? [[name, fate.why] as const] : []));
	const rows = [
		...taken.map(([name, to]) => `| \`${name}\` | ${to.includes(' ') ? to : `\`${to}\``} | |`),
		...left.map(([name, why]) => `| \`${name}\` | | ${why} |`),
	];
	return `| PgBouncer | portcullis.yaml | left out, because |\n| --- | --- | --- |\n${rows.join('\n')}\n`;
}

const HEAD = `# Coming from PgBouncer

\`\`\`console
$ portcullis migrate pgbouncer /etc/pgbouncer/pgbouncer.ini > portcullis.yaml
$ portcullis check --config portcullis.yaml
\`\`\`

It reads the file with everything that it includes, and the \`auth_file\`. It writes the configuration, and says (in comments at
its top, and on standard error) what is left to do by hand, which rules the policy needs, and what has no counterpart, with the
reason. Passwords never get into it: of a plain one in \`auth_file\` it makes a SCRAM verifier, and for the passwords of servers it
names environment variables.

## What is different

**Who signs in at the server.** PgBouncer signs in as the client's own role unless \`user=\` says otherwise, so that the server
knows who it is. Portcullis signs in with one role for each database, and its policy says who may do what. The server can still be
told: \`databases.<name>.tellUser\` sets \`portcullis.user\`, which policies of the server can read with \`current_setting\`.

**Nothing is allowed that no rule allows.** PgBouncer passes everything on. To begin with, let everybody do what they could do, and
then narrow it:

\`\`\`csv
p, *, shop, connect, allow
p, *, shop.*.*, select, allow
p, *, shop.*.*, insert, allow
p, *, shop.*.*, update, allow
p, *, shop.*.*, delete, allow
p, *, shop.*.*(*), execute, allow
\`\`\`

[policy.md](policy.md) explains rules, masks and filters.

**One pool for a database**, not one for each pair of user and database: \`pool.size\` is what the server sees at most.

**Sessions.** In session mode each session has a server connection of its own, started with its own parameters and closed at its
end. So there is no reset query, no check query, and no state that could be left over; a connection costs a login. With
\`pool.reuse: true\` the next client gets it behind \`DISCARD ALL\`, as from PgBouncer, where the gateway knows that this takes all of it.

**Transactions.** \`pool.mode: transaction\` is what \`pool_mode = transaction\` is, and more: settings and prepared statements go along
with each client, and one that leaves a temporary table, a session lock or the like keeps its connection until that is gone, in
place of losing it or leaving it to others. So there is no \`server_reset_query\` to choose. [pooling.md](pooling.md) has the table.

**The console** is the database \`portcullis\`, with the commands and columns that you know: see
[operating.md](operating.md#the-console). Who may use it is for the policy to say.

**Passwords**: SCRAM-SHA-256 for service accounts, tokens of your OpenID provider for people. MD5 is not spoken.

**Reloading**: SIGHUP and \`RELOAD\` read portcullis.yaml and the policy, and take up databases, pool sizes and their limits; what else
has changed waits for a restart, and is named. \`PAUSE\`, another \`host\`, \`RELOAD\` and \`RESUME\` move a database in transaction mode as
you know it, with no client connecting again ([high-availability.md](high-availability.md#moving-a-database)); one in session mode
ends its idle sessions with a reason, in place of keeping them on the old server. A restart drains first (SIGTERM).

**Scripts around PAUSE** go on working: it is answered when no server connection is in use. What is different: it is given up with an
error after \`limits.drainTimeoutMs\` (20 s), and nothing is paused then; \`PAUSE ... NOWAIT\` does not wait. For \`RECONNECT\` there is
\`PAUSE\` and \`RESUME\`, for \`SUSPEND\` and the online restart a rolling one (SIGUSR2) or two gateways behind a balancer; a database
that is killed is paused until \`RESUME\`, as you know it.
`;
