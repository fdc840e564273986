/** Names of time zones under which a mask or filter is pinned: written so that no setting of a session's changes what they mean. */

/**
 * How the zone is written in SQL, or null where it cannot be written safely. PostgreSQL takes a name for an abbreviation before it takes
 * it for a zone, and abbreviations are the session's to choose: by `timezone_abbreviations`, and from 18 on by those of its own `TimeZone`
 * (DecodeTimezoneAbbrev of datetime.c), which may be made up: under `SET TimeZone = 'UTC-12'` UTC means another zone. A POSIX
 * zone with a sign in angle brackets can be no abbreviation; names of regions are kept from being one by `settingSafety`.
 */
export function pinnedZone(name: string): string | null {
	const key = name.toLowerCase();
	if (UNIVERSAL.has(key)) return '<+00>+00';
	const fixed = /^etc\/gmt([+-])(\d{1,2})$/.exec(key);
	if (fixed !== null) {
		const [, sign = '+', hours = '0'] = fixed;
		return `<${sign === '+' ? '-' : '+'}${hours.padStart(2, '0')}>${sign}${hours.padStart(2, '0')}`;
	}
	if (/^<[+-]\d{2,4}>[+-]?\d{1,2}(:\d\d){0,2}$/.test(name)) return name;
	return isRegion(name) ? name : (LINKS.get(key) ?? null);
}

/** Area/Location, as in the zone database. */
export function isRegion(name: string): boolean {
	return /^[A-Za-z_]+(\/[A-Za-z_-]+)+$/.test(name);
}

const UNIVERSAL: ReadonlySet<string> = new Set(
	['utc', 'gmt', 'uct', 'zulu', 'universal', 'greenwich', 'gmt0', 'gmt+0', 'gmt-0'].flatMap((name) => [
		name,
		`etc/${name}`,
	]),
);

/** Zones of one word, as initdb may find them, and what they are links to (the file `backward` of the zone database). */
const LINKS: ReadonlyMap<string, string> = new Map([
	['cet', 'Europe/Brussels'],
	['cst6cdt', 'America/Chicago'],
	['cuba', 'America/Havana'],
	['eet', 'Europe/Athens'],
	['egypt', 'Africa/Cairo'],
	['eire', 'Europe/Dublin'],
	['est', 'America/Panama'],
	['est5edt', 'America/New_York'],
	['gb', 'Europe/London'],
	['gb-eire', 'Europe/London'],
	['hongkong', 'Asia/Hong_Kong'],
	['hst', 'Pacific/Honolulu'],
	['iceland', 'Africa/Abidjan'],
	['iran', 'Asia/Tehran'],
	['israel', 'Asia/Jerusalem'],
	['jamaica', 'America/Jamaica'],
	['japan', 'Asia/Tokyo'],
	['kwajalein', 'Pacific/Kwajalein'],
	['libya', 'Africa/Tripoli'],
	['met', 'Europe/Brussels'],
	['mst', 'America/Phoenix'],
	['mst7mdt', 'America/Denver'],
	['navajo', 'America/Denver'],
	['nz', 'Pacific/Auckland'],
	['nz-chat', 'Pacific/Chatham'],
	['poland', 'Europe/Warsaw'],
	['portugal', 'Europe/Lisbon'],
	['prc', 'Asia/Shanghai'],
	['pst8pdt', 'America/Los_Angeles'],
	['roc', 'Asia/Taipei'],
	['rok', 'Asia/Seoul'],
	['singapore', 'Asia/Singapore'],
	['turkey', 'Europe/Istanbul'],
	['w-su', 'Europe/Moscow'],
	['wet', 'Europe/Lisbon'],
]);
