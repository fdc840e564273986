/** Time of a lease: how long clients of a gateway waited for a server connection, as its own metrics tell. */

/** Since its start. */
export interface Leases {
	readonly count: number;
	readonly seconds: number;
}

/** Throws Error when the gateway does not answer or does not tell. */
export async function readLeases(adminPort: number): Promise<Leases> {
	const response = await fetch(`http://127.0.0.1:${adminPort}/metrics`);
	return parseLeases(await response.text());
}

/** The sum over all databases. Throws Error where there is none. */
function parseLeases(exposition: string): Leases {
	const total = (name: string): number => {
		const pattern = new RegExp(`^portcullis_lease_duration_seconds_${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm');
		const values = [...exposition.matchAll(pattern)].map(([, value]) => Number(value));
		if (values.length === 0) throw new Error(`the metrics have no portcullis_lease_duration_seconds_${name}`);
		return values.reduce((sum, value) => sum + value, 0);
	};
	return { count: total('count'), seconds: total('sum') };
}

/** Microseconds of a lease between two readings; null where none was asked for. */
export function leaseMicros(before: Leases, after: Leases): number | null {
	const count = after.count - before.count;
	return count === 0 ? null : ((after.seconds - before.seconds) * 1e6) / count;
}
