/** The other gateways of the configuration (`listen.peers`), which cancel requests are handed on to: counted, and told of in the log. */
import type { Meters } from '../admin/meters.ts';
import type { Config } from '../config/config.ts';
import { CancelPeers } from '../session/peers.ts';
import type { SessionLog } from '../session/services.ts';

/** Null: there are none. */
export function cancelPeers({ listen }: Pick<Config, 'listen'>, meters: Meters, log: SessionLog): CancelPeers | null {
	if (listen.peers.length === 0) return null;
	const peers = listen.peers.map(({ host, port, tls: { mode, ca, cert, key } }) => ({
		host,
		port,
		tls: { mode, ca: ca ?? undefined, cert: cert ?? undefined, key: key?.reveal() },
	}));
	return new CancelPeers({
		peers,
		count: (result) => {
			meters.peerCancels[result] += 1;
		},
		onState: (peer, problem) => {
			if (problem === null) log.info({ peer }, 'a peer takes cancel requests again');
			else log.warn({ peer, problem }, 'a peer does not take cancel requests');
		},
	});
}
