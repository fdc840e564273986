/** A PostgreSQL of a test file's own, with TLS and a user for each way of signing in. */
import pg from 'pg';
import { startEmbeddedPostgres } from '../../src/cli/demo/postgres.ts';
import { makeCertificate, type SignatureKind, type TestCertificate } from '../support/certificates.ts';

export interface LoginServer {
	readonly host: string;
	readonly port: number;
	readonly ca: TestCertificate;
	/** Runs SQL text as the superuser. */
	sql(text: string): Promise<Record<string, unknown>[]>;
	stop(): Promise<void>;
}

/** Every user's password. */
export const PASSWORD = 'p\u00e4ss \u2168 word';

const HBA = `
local   all all                scram-sha-256
hostssl all tls_only 127.0.0.1/32 scram-sha-256
host    all tls_only 127.0.0.1/32 reject
host    all md5_user 127.0.0.1/32 md5
host    all clear_user 127.0.0.1/32 password
host    all trusted  127.0.0.1/32 trust
hostssl all cert_user 127.0.0.1/32 cert clientcert=verify-full
host    all all      127.0.0.1/32 scram-sha-256
`;

const quote = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** Writes files into the server's own directory, as the server, so that they are its own. */
const write = (file: string, text: string): string =>
	`copy (select unnest(string_to_array(${quote(text.trimEnd())}, e'\\n'))) to program 'umask 077; cat > ${file}' with (format text)`;

export async function startLoginServer(kind: SignatureKind = 'ecdsa-sha256'): Promise<LoginServer> {
	const server = await startEmbeddedPostgres();
	const { host, port, user, password } = server;
	const ca = makeCertificate({ name: 'Portcullis test authority', authority: true, kind });
	const own = makeCertificate({ name: 'localhost', hosts: ['localhost'], issuer: ca, kind });
	const sql = async (text: string): Promise<Record<string, unknown>[]> => {
		const client = new pg.Client({ host, port, user, password, database: 'postgres' });
		await client.connect();
		try {
			return (await client.query<Record<string, unknown>>(text)).rows;
		} finally {
			await client.end();
		}
	};
	for (const name of ['scram_user', 'tls_only', 'clear_user', 'trusted', 'cert_user']) {
		await sql(`create user ${name} password ${quote(PASSWORD)}`);
	}
	await sql(`set password_encryption = md5; create user md5_user password ${quote(PASSWORD)}`);
	await sql(write('server.crt', own.cert));
	await sql(write('server.key', own.key));
	await sql(write('root.crt', ca.cert));
	await sql(write('pg_hba.conf', HBA));
	for (const setting of ["ssl_ca_file = 'root.crt'", 'ssl = on']) await sql(`alter system set ${setting}`);
	await sql('select pg_reload_conf()');
	return { host, port, ca, sql, stop: () => server.stop() };
}
