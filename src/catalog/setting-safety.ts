/** Which settings a session may change, to which values; what is not on the list needs a rule or is refused for good. */
import {
	grantableSettings,
	harmlessSettings,
	harmlessValues,
	refusedPrefixes,
	refusedSettings,
	secretSettings,
} from './data/settings.ts';
import type { SettingSafety } from './safety.ts';

const SAFE: SettingSafety = Object.freeze({ safe: true });

const harmless: ReadonlySet<string> = new Set(harmlessSettings.split(/\s+/).filter((name) => name !== ''));

/**
 * Whether anyone may set the setting, by SET, RESET, set_config, startup parameter or a SET clause. `value` is the text of
 * the new value; null for DEFAULT and RESET, which lead back to what the gateway checked when the session began; undefined
 * when it is not known (a bound parameter). Names are compared as the server does: ASCII case does not matter.
 */
export function settingSafety(name: string, value?: string | null): SettingSafety {
	const key = lowerAscii(name);
	if (harmless.has(key)) return SAFE;
	if (key === 'client_encoding') return encodingSafety(value);
	if (key === 'timezone') return zoneSafety(value);
	const limited = own(harmlessValues, key);
	if (limited !== undefined) {
		return valueSafety(limited, value);
	}
	const refused = own(refusedSettings, key);
	if (refused !== undefined) return { safe: false, grantable: false, reason: refused };
	const dot = key.indexOf('.');
	if (dot >= 0) return extensionSafety(key.slice(0, dot));
	return { safe: false, grantable: true, reason: own(grantableSettings, key) ?? UNKNOWN };
}

const secret: ReadonlySet<string> = new Set(secretSettings.split(/\s+/).filter((name) => name !== ''));

/** Whether the value may hold a password of the operator's: it is not for people. */
export function isSecretSetting(name: string): boolean {
	return secret.has(lowerAscii(name));
}

/** Their names, in lower case. */
export function secretSettingNames(): readonly string[] {
	return [...secret];
}

const UNKNOWN = 'it is not among the settings known to be harmless';

function valueSafety(
	{ values, reason, grantable, unrestricted }: NonNullable<(typeof harmlessValues)[string]>,
	value: string | null | undefined,
): SettingSafety {
	if (value === null) return SAFE;
	if (value !== undefined && values.includes(lowerAscii(value))) return SAFE;
	return {
		safe: false,
		grantable: grantable === true,
		reason,
		...(unrestricted === undefined ? {} : { unrestricted }),
	};
}

/** pg_encname_tbl of the server: names are compared by their letters and digits alone. */
const ENCODINGS: ReadonlySet<string> = new Set(['utf8', 'unicode', 'sqlascii']);

function encodingSafety(value: string | null | undefined): SettingSafety {
	if (value === null) return SAFE;
	if (value !== undefined && ENCODINGS.has(lowerAscii(value).replaceAll(/[^a-z0-9]/g, ''))) return SAFE;
	return { safe: false, grantable: false, reason: 'the gateway reads text as UTF8 only' };
}

/**
 * Zones that make up abbreviations: from PostgreSQL 18 on one of the session's own zone comes before the zone of that name, so that under
 * `Europe/Berlin-12` Europe/Berlin would be another zone, in masks and filters too. Numbers and names are harmless, and so are abbreviations of letters alone,
 * under which no mask or filter is pinned, and of digits, as SHOW prints them.
 */
export const HARMLESS_ZONES: readonly string[] = [
	String.raw` *[+-]?[0-9]+(\.[0-9]*)? *`,
	String.raw` *[+-]?[0-9]+(:[0-9]+)+ *`,
	String.raw`[A-Za-z_]+([/-][A-Za-z_]+)*`,
	String.raw`(etc/)?(gmt|utc|uct)[+-]?[0-9]{1,2}(:?[0-9]{2}){0,2}`,
	String.raw`[A-Za-z]{3,6}[+-]?[0-9]{1,2}(:[0-9]{2}){0,2}([A-Za-z]{3,6}([+-]?[0-9]{1,2}(:[0-9]{2}){0,2})?(,[MJ0-9./:,+-]*)?)?`,
	String.raw`<[+-]?[0-9]{2,6}>[+-]?[0-9]{1,2}(:[0-9]{2}){0,2}`,
];

const HARMLESS_ZONE = new RegExp(`^(${HARMLESS_ZONES.join('|')})$`, 'i');

function zoneSafety(value: string | null | undefined): SettingSafety {
	if (value === null) return SAFE;
	if (value !== undefined && HARMLESS_ZONE.test(value)) return SAFE;
	return {
		safe: false,
		grantable: false,
		reason: 'it could make the name of a zone mean another, in masks and filters too',
	};
}

function extensionSafety(prefix: string): SettingSafety {
	const refused = own(refusedPrefixes, prefix);
	if (refused !== undefined) return { safe: false, grantable: false, reason: refused };
	return { safe: false, grantable: true, reason: 'what the database does with a setting of its own is not known' };
}

function own<T>(table: Readonly<Record<string, T>>, key: string): T | undefined {
	return Object.hasOwn(table, key) ? table[key] : undefined;
}

function lowerAscii(text: string): string {
	return text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
}
