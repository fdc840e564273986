/** Every option of PgBouncer (1.25), with its counterpart in portcullis.yaml or the reason why it has none. */

/** What becomes of an option. */
export type Fate =
	/** It is taken over, into this key; docs/from-pgbouncer.md lists it so. */
	| { readonly to: string }
	/** It is left out. */
	| { readonly why: string };

const os = 'the gateway uses the defaults of the operating system';
const runner =
	'the gateway stays in the foreground and writes its log to standard error: that is for systemd or the container';
const log =
	'the audit log records every login, logout and statement; the log of the gateway is JSON lines on standard error';
const fresh =
	'in session mode each session has a server connection of its own, or with pool.reuse the next client gets it behind DISCARD ALL where that takes all that was left; in transaction mode what stays on one is followed, and reset where it has to be (docs/pooling.md)';
const tls = 'Node chooses protocols and ciphers: TLS 1.2 and 1.3';
const listed = 'who may sign in is in identity.users and identity.issuers';
const idle =
	'server connections are opened when they are needed; in transaction mode pool.idleMs says how long one is kept';

/** Section [pgbouncer]. */
export const options: Readonly<Record<string, Fate>> = {
	listen_addr: { to: 'listen.host' },
	listen_port: { to: 'listen.port' },
	unix_socket_dir: { why: 'clients connect by TCP; as the folder of servers without host it is taken over' },
	unix_socket_mode: { why: 'clients connect by TCP' },
	unix_socket_group: { why: 'clients connect by TCP' },
	logfile: { why: runner },
	pidfile: { why: runner },
	user: { why: runner },
	service_name: { why: runner },
	job_name: { why: runner },
	conffile: { why: 'the file is named on the command line' },
	pool_mode: { to: 'databases.<name>.pool.mode' },
	max_client_conn: { to: 'limits.sessionsMax' },
	default_pool_size: { to: 'databases.<name>.pool.size' },
	min_pool_size: { why: idle },
	reserve_pool_size: { why: 'databases.<name>.pool.reserve is for each database' },
	reserve_pool_timeout: { why: 'databases.<name>.pool.reserveAfterMs is for each database' },
	max_db_connections: { to: 'databases.<name>.pool.size' },
	max_db_client_connections: { to: 'databases.<name>.limits.sessionsMax' },
	max_user_connections: { why: 'a server sees one role for each database, whose connections pool.size limits' },
	max_user_client_connections: { to: 'limits.sessionsPerUserMax' },
	server_round_robin: { why: idle },
	track_extra_parameters: { why: 'every setting of a client goes along with it (docs/pooling.md)' },
	ignore_startup_parameters: {
		why: 'startup parameters are passed on to the server where they are harmless, and refused otherwise',
	},
	peer_id: {
		why: 'a gateway needs no number: a cancel request is handed on to all of listen.peers, which section [peers] becomes',
	},
	disable_pqexec: { why: 'a text of several statements is decided as a whole before any of it runs' },
	application_name_add_host: {
		why: 'the audit log has address and port of each session; databases.<name>.tellUser tells the server who it is',
	},
	stats_period: { why: 'counters are read as they are: /metrics and SHOW STATS; averages are for Prometheus' },
	auth_type: { to: 'identity' },
	auth_hba_file: { why: 'who may connect is for the policy to say; addresses are for a firewall' },
	auth_file: { to: 'identity.users' },
	auth_user: { why: listed },
	auth_query: { why: listed },
	auth_dbname: { why: listed },
	auth_ident_file: { why: listed },
	auth_ldap_options: { why: 'people sign in with tokens of an OpenID provider, which may ask LDAP' },
	auth_ldap_parameter: { why: 'people sign in with tokens of an OpenID provider, which may ask LDAP' },
	syslog: { why: log },
	syslog_ident: { why: log },
	syslog_facility: { why: log },
	log_connections: { why: log },
	log_disconnections: { why: log },
	log_pooler_errors: { why: log },
	log_stats: { why: log },
	verbose: { why: log },
	admin_users: { to: 'rules of the policy' },
	stats_users: { to: 'rules of the policy' },
	server_reset_query: { why: fresh },
	server_reset_query_always: { why: fresh },
	server_check_delay: { why: 'databases.<name>.pool.checkAfterMs is for each database' },
	server_check_query: { why: fresh },
	server_fast_close: { why: fresh },
	server_lifetime: {
		why: `it is about connections that no session uses; ${idle}. limits.backendLifetimeMs ends idle sessions too`,
	},
	server_idle_timeout: { why: idle },
	server_connect_timeout: { to: 'limits.connectTimeoutMs' },
	server_login_retry: { why: 'a login that fails is tried again when the next client comes' },
	client_login_timeout: { to: 'limits.loginTimeoutMs' },
	autodb_idle_timeout: { why: 'databases have to be listed' },
	dns_max_ttl: { why: 'names are looked up for each connection' },
	dns_nxdomain_ttl: { why: 'names are looked up for each connection' },
	dns_zone_check_period: { why: 'names are looked up for each connection' },
	resolv_conf: { why: 'names are looked up by the operating system' },
	client_tls_sslmode: { to: 'listen.tls.mode' },
	client_tls_key_file: { to: 'listen.tls.key' },
	client_tls_cert_file: { to: 'listen.tls.cert' },
	client_tls_ca_file: { to: 'listen.tls.clientCa' },
	client_tls_protocols: { why: tls },
	client_tls_ciphers: { why: tls },
	client_tls13_ciphers: { why: tls },
	client_tls_ecdhcurve: { why: tls },
	client_tls_dheparams: { why: tls },
	server_tls_sslmode: { to: 'databases.<name>.tls.mode' },
	server_tls_ca_file: { to: 'databases.<name>.tls.ca' },
	server_tls_key_file: { to: 'databases.<name>.tls.key' },
	server_tls_cert_file: { to: 'databases.<name>.tls.cert' },
	server_tls_protocols: { why: tls },
	server_tls_ciphers: { why: tls },
	server_tls13_ciphers: { why: tls },
	query_timeout: { to: 'limits.queryTimeoutMs' },
	query_wait_timeout: { to: 'limits.poolWaitMs' },
	query_wait_notify: { why: 'a client that waits for a server connection is not told' },
	cancel_wait_timeout: { why: 'a cancel request is sent on at once, on a connection of its own' },
	client_idle_timeout: { to: 'limits.idleTimeoutMs' },
	idle_transaction_timeout: { to: 'limits.idleTransactionTimeoutMs' },
	transaction_timeout: { to: 'limits.transactionTimeoutMs' },
	suspend_timeout: { why: 'there is no SUSPEND' },
	max_prepared_statements: { why: 'databases.<name>.pool.statementsMax is for each database' },
	scram_iterations: { why: 'verifiers are made by portcullis hash-password, which has --iterations' },
	pkt_buf: { why: 'buffers need no tuning' },
	max_packet_size: { why: 'messages are limited by kind: limits.queryBytesMax, limits.bindBytesMax' },
	listen_backlog: { why: os },
	sbuf_loopcnt: { why: 'buffers need no tuning' },
	so_reuseport: { why: 'several processes on one port are workers, of which one gateway has as many as it is told' },
	tcp_defer_accept: { why: os },
	tcp_socket_buffer: { why: os },
	tcp_keepalive: { why: os },
	tcp_keepcnt: { why: os },
	tcp_keepidle: { to: 'limits.keepAliveMs' },
	tcp_keepintvl: { why: os },
	tcp_user_timeout: { why: os },
};

const settings = 'clients choose their own settings; ALTER ROLE ... SET on the server gives a default';

/** Connection strings of section [databases]. */
export const databaseOptions: Readonly<Record<string, Fate>> = {
	host: { to: 'host' },
	port: { to: 'port' },
	dbname: { to: 'dbname' },
	user: { to: 'user' },
	password: { to: 'password' },
	pool_size: { to: 'pool.size' },
	pool_mode: { to: 'pool.mode' },
	max_db_connections: { to: 'pool.size' },
	max_db_client_connections: { to: 'limits.sessionsMax' },
	auth_user: { why: listed },
	auth_query: { why: listed },
	auth_dbname: { why: listed },
	min_pool_size: { why: idle },
	reserve_pool: { why: 'pool.reserve has it: set it by hand' },
	reserve_pool_size: { why: 'pool.reserve has it: set it by hand' },
	connect_query: { why: 'ALTER ROLE ... SET on the server does for settings' },
	server_lifetime: { why: `it is about connections that no session uses; ${idle}` },
	load_balance_hosts: { why: 'of several hosts that fit, the one with the fewest connections is next' },
	client_encoding: { why: 'the gateway reads UTF8 only' },
	datestyle: { why: settings },
	timezone: { why: settings },
	application_name: { why: settings },
};

/** Section [peers]. */
export const peerOptions: Readonly<Record<string, Fate>> = {
	host: { to: 'host' },
	port: { to: 'port' },
	pool_size: { why: 'so many cancel requests are handed on at a time as the gateway finds sensible' },
};

const perDatabase = 'limits of time are for all, or for a database: databases.<name>.limits';

/** Section [users]. */
export const userOptions: Readonly<Record<string, Fate>> = {
	max_user_client_connections: { to: 'sessionsMax' },
	max_user_connections: { why: 'a server sees one role for each database, whose connections pool.size limits' },
	pool_mode: { why: 'a pool is of a database' },
	pool_size: { why: 'a pool is of a database' },
	reserve_pool_size: { why: 'a pool is of a database' },
	query_timeout: { why: perDatabase },
	transaction_timeout: { why: perDatabase },
	idle_transaction_timeout: { why: perDatabase },
	client_idle_timeout: { why: perDatabase },
};
