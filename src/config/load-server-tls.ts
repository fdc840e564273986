/** TLS to a server of the gateway's: what is left out depends on where the server is. */
import type { ServerTlsConfig } from './config.ts';
import { isLoopback, type Path, type Reader } from './reader.ts';
import type { RawConfig } from './schema.ts';

export type RawServerTls = RawConfig['databases'][string]['tls'];

export interface ServerPlace {
	/** Names or addresses; empty where they come from somewhere else, as `elsewhere` says. */
	readonly hosts: readonly string[];
	readonly elsewhere?: string;
	/** What can be read on the network without TLS. */
	readonly risk: string;
}

/** `at`: where the key `tls` stands. */
export async function loadServerTls(
	reader: Reader,
	at: Path,
	tls: RawServerTls,
	{ hosts, elsewhere, risk }: ServerPlace,
): Promise<ServerTlsConfig> {
	const remote = hosts.filter((host) => !isLoopback(host));
	if (hosts.length === 0 && elsewhere !== undefined) remote.push(elsewhere);
	const mode = tls?.mode ?? (remote.length === 0 ? 'disable' : 'verify-full');
	if ((tls?.cert === undefined) !== (tls?.key === undefined)) reader.problem(at, 'cert and key go together');
	if (mode === 'verify-ca' && tls?.ca === undefined) reader.problem([...at, 'ca'], 'missing: mode verify-ca needs it');
	if (mode === 'disable' && remote.length > 0)
		reader.warn(`${nameOf(at)}.mode: disable to ${remote.join(', ')}: ${risk} can be read on the network`);
	return {
		mode,
		ca: await reader.optionalPem([...at, 'ca'], tls?.ca),
		cert: await reader.optionalPem([...at, 'cert'], tls?.cert),
		key: await reader.optionalSecret([...at, 'key'], tls?.key === undefined ? undefined : { file: tls.key }),
	};
}

/** As the operator writes it: `listen.peers[0].tls`. */
function nameOf(at: Path): string {
	return at
		.map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`))
		.join('')
		.replace(/^\./, '');
}
