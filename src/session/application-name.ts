/** The name that a client gives itself, as the server would have it: for records, logs and the console, in one short line. */

/** NAMEDATALEN without the NUL: the server cuts what is longer. */
const bytesMax = 63;

/** As PostgreSQL 16 and later (pg_clean_ascii): each byte that is not printable ASCII as `\xff`. Older servers have a `?` for it. */
export function applicationName(sent: string): string {
	const bytes = Buffer.from(sent);
	let end = Math.min(bytes.length, bytesMax);
	// Not within a character.
	while (end > 0 && end < bytes.length && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
	return bytes
		.toString('latin1', 0, end)
		.replaceAll(/[^\x20-\x7e]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
