/** The table of options: complete, each with a key that there is or a reason, and documented. */
import { describe, expect, test } from 'vitest';
import { configKeys } from '../../../scripts/config-reference.ts';
import { pgbouncerPage } from '../../../scripts/pgbouncer-page.ts';
import { databaseOptions, options, userOptions } from '../../../src/cli/migrate/options.ts';

/** What SHOW CONFIG of PgBouncer 1.18 shows. */
const shown =
	`admin_users application_name_add_host auth_file auth_hba_file auth_query auth_type auth_user autodb_idle_timeout
client_idle_timeout client_login_timeout client_tls_ca_file client_tls_cert_file client_tls_ciphers client_tls_dheparams
client_tls_ecdhcurve client_tls_key_file client_tls_protocols client_tls_sslmode conffile default_pool_size disable_pqexec
dns_max_ttl dns_nxdomain_ttl dns_zone_check_period idle_transaction_timeout ignore_startup_parameters job_name listen_addr
listen_backlog listen_port log_connections log_disconnections log_pooler_errors log_stats logfile max_client_conn
max_db_connections max_packet_size max_user_connections min_pool_size pidfile pkt_buf pool_mode query_timeout query_wait_timeout
reserve_pool_size reserve_pool_timeout resolv_conf sbuf_loopcnt server_check_delay server_check_query server_connect_timeout
server_fast_close server_idle_timeout server_lifetime server_login_retry server_reset_query server_reset_query_always
server_round_robin server_tls_ca_file server_tls_cert_file server_tls_ciphers server_tls_key_file server_tls_protocols
server_tls_sslmode so_reuseport stats_period stats_users suspend_timeout syslog syslog_facility syslog_ident tcp_defer_accept
tcp_keepalive tcp_keepcnt tcp_keepidle tcp_keepintvl tcp_socket_buffer tcp_user_timeout unix_socket_dir unix_socket_group
unix_socket_mode user verbose`.split(/\s+/);

test('every option that PgBouncer shows has a fate', () => {
	expect(shown.filter((name) => options[name] === undefined)).toEqual([]);
});

describe('what is taken over goes where there is a key', () => {
	const keys = new Set(configKeys().map(({ path }) => path));
	const targets = [
		...Object.entries(options).map(([name, fate]) => [name, 'to' in fate ? fate.to : null]),
		...Object.entries(databaseOptions).map(([name, fate]) => [
			name,
			'to' in fate ? `databases.<name>.${fate.to}` : null,
		]),
		...Object.entries(userOptions).map(([name, fate]) => [name, 'to' in fate ? `identity.users[].${fate.to}` : null]),
	].filter(([, key]) => key !== null && key !== 'rules of the policy') as [string, string][];
	test.each(targets)('%s to %s', (_name, key) => {
		expect(keys).toContain(key);
	});
});

// `npx vitest run test/cli/migrate -u` writes it anew.
test('the page in docs has all of them', async () => {
	await expect(pgbouncerPage()).toMatchFileSnapshot('../../../docs/from-pgbouncer.md');
});
