/** Literals of masks and filters that are read as dates, times and the like: only where every session reads them alike. */
import type { PolicyTree } from '../stages.ts';
import { TYPE } from './names.ts';
import { absolute, castTo, textTree, unsettled } from './policy-tree.ts';
import { isRegion, pinnedZone } from './zone.ts';

const DATE = String.raw`\d{4,6}-\d{1,2}-\d{1,2}`;
const TIME = String.raw`\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?`;
const OFFSET = String.raw`(?:[zZ]|[+-]\d{1,2}(?::?\d{2}){0,2})`;
const ENDLESS = String.raw`[+-]?infinity|epoch`;
const BC = String.raw`(?: BC)?`;

function whole(pattern: string): RegExp {
	return new RegExp(`^\\s*(?:${pattern})\\s*$`, 'i');
}

const IS_DATE = whole(`${DATE}(?:[ T]${TIME}(?: ?${OFFSET})?)?${BC}|${ENDLESS}`);
const IS_MOMENT = whole(`${DATE}[ T]${TIME} ?${OFFSET}${BC}|${ENDLESS}`);
const IS_TIME = whole(TIME);
const IS_TIME_WITH_OFFSET = whole(`${TIME} ?${OFFSET}`);
/** Under IntervalStyle sql_standard a sign in front counts for all that follows. */
const IS_INTERVAL = whole(String.raw`(?![-\s]).*|-\d+(?:\.\d+)? *[a-z]+|-\d+:\d+(?::\d+(?:\.\d+)?)?`);
/** A moment with the name of a zone behind it. */
const WITH_ZONE = /^\s*(.+?) +([A-Za-z]+(?:\/[A-Za-z_/+-]+)?)\s*$/;

/** SQL patterns for what is only known when it runs; `date` and `local` without an offset that matters, `moment` with one. */
export const TEXT_PATTERNS = {
	date: sqlPattern(`${DATE}(?:[ T]${TIME}(?: ?${OFFSET})?)?${BC}|${ENDLESS}`),
	moment: sqlPattern(`${DATE}[ T]${TIME} ?${OFFSET}${BC}|${ENDLESS}`),
	local: sqlPattern(`${DATE}(?:[ T]${TIME})?${BC}`),
	time: sqlPattern(TIME),
	timetz: sqlPattern(`${TIME} ?${OFFSET}`),
	interval: sqlPattern(String.raw`[^ -].*|-\d+(?:\.\d+)? *[a-z]+|-\d+:\d+(?::\d+(?:\.\d+)?)?`),
} as const;

/** As PostgreSQL's regular expressions have it, for ~*: the same but for groups. */
function sqlPattern(pattern: string): string {
	return `^ *(?:${pattern}) *$`;
}

/** The literal as one of the type, or null where it is read alike as it stands. Throws Unsettled for what sessions read differently. */
export function literalOf(text: string, type: number, zone: () => string): PolicyTree | null {
	switch (type) {
		case TYPE.date:
		case TYPE.timestamp:
			if (IS_DATE.test(text)) return null;
			throw unsettled(`the literal ${shown(text)}`, "write dates as '2024-12-31', and today as current_date");
		case TYPE.timestamptz:
			return moment(text, zone);
		case TYPE.time:
			if (IS_TIME.test(text)) return null;
			throw unsettled(`the literal ${shown(text)}`, "write times as '23:59:59'");
		case TYPE.timetz:
			if (IS_TIME_WITH_OFFSET.test(text)) return null;
			throw unsettled(`the literal ${shown(text)}`, "write times with a zone as '23:59:59+00'");
		case TYPE.interval:
			if (IS_INTERVAL.test(text)) return null;
			throw unsettled(`the literal ${shown(text)}`, 'write - before an interval without a sign');
		default:
			return null;
	}
}

function moment(text: string, zone: () => string): PolicyTree | null {
	if (IS_MOMENT.test(text)) return null;
	const local = (of: string): PolicyTree => castTo('timestamp', textTree(of.trim()));
	if (IS_DATE.test(text)) return absolute(local(text), zone());
	const [, before = '', name = ''] = WITH_ZONE.exec(text) ?? [];
	const named = pinnedZone(name);
	const isSafe = named !== null && (isRegion(name) || named === '<+00>+00');
	if (isSafe && IS_DATE.test(before) && !IS_MOMENT.test(before)) return absolute(local(before), named);
	throw unsettled(
		`the literal ${shown(text)}`,
		"write moments as '2024-12-31 23:59:59+00', the current one as now() and today as current_date",
	);
}

function shown(text: string): string {
	return text.length > 40 ? `${JSON.stringify(text.slice(0, 40))}...` : JSON.stringify(text);
}
