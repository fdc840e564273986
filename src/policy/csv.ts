/** Reads policy.csv into rules: the CSV that Casbin reads, with file and line kept and every mistake reported. */
import type { Action, RuleRef } from '../stages.ts';
import { type ObjectPattern, parseObject } from './object.ts';
import type { ProblemList } from './problem.ts';

export type Effect = 'allow' | 'deny' | 'mask' | 'unmask' | 'filter' | 'unfilter';

/** A `p` line. */
export interface Rule {
	readonly ref: RuleRef;
	/** `user:NAME`, `role:NAME`, `group:NAME` or `*`. */
	readonly subject: string;
	readonly object: ObjectPattern;
	/** The object as written. */
	readonly objectText: string;
	readonly action: Action | '*';
	readonly effect: Effect;
	/** Name of a mask or filter; empty where the rule has none. */
	readonly argument: string;
}

/** A `g` line: whoever is `member` is also `role`. */
export interface Link {
	readonly ref: RuleRef;
	readonly member: string;
	readonly role: string;
}

export interface RuleFile {
	readonly rules: readonly Rule[];
	readonly links: readonly Link[];
}

/** Longest line of policy.csv, in characters. */
const LINE_LENGTH_MAX = 10_000;

/**
 * A name with one of them is another name that looks the same. Joiners are letters' own in some languages, and variation selectors
 * belong to signs, but not beside ASCII or at the end of a name.
 */
const INVISIBLE = new RegExp(
	[
		String.raw`(?![\t\u200c\u200d\ufe00-\ufe0f])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]`,
		String.raw`(?<=\p{ASCII})[\u200c\u200d\ufe00-\ufe0f]`,
		String.raw`[\u200c\u200d](?=\p{ASCII}|$)`,
	].join('|'),
	'u',
);

/** Every mistake goes to `problems`; what is returned leaves those lines out. `file` is the name shown with each line. */
export function parseRules(text: string, file: string, problems: ProblemList): RuleFile {
	const rules: Rule[] = [];
	const links: Link[] = [];
	const lines = text.replace(/^\ufeff/, '').split('\n');
	for (const [index, raw] of lines.entries()) {
		const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
		const trimmed = line.trim();
		if (trimmed === '' || trimmed.startsWith('#')) continue;
		const ref: RuleRef = { file, line: index + 1, text: line };
		try {
			if (line.length > LINE_LENGTH_MAX) throw new Error(`the line is longer than ${LINE_LENGTH_MAX} characters`);
			const invisible = INVISIBLE.exec(trimmed)?.[0].codePointAt(0);
			if (invisible !== undefined)
				throw new Error(
					`the line has an invisible character, U+${invisible.toString(16).toUpperCase().padStart(4, '0')}`,
				);
			const fields = splitFields(trimmed);
			const type = fields[0]?.text;
			if (type === 'p') rules.push(parseRule(ref, fields, problems));
			else if (type === 'g') links.push(parseLink(ref, fields));
			else throw new Error(`a line starts with p or g, not with ${JSON.stringify(type ?? '')}`);
		} catch (error) {
			problems.error(ref.line, error instanceof Error ? error.message : String(error));
		}
	}
	return { rules, links };
}

interface Field {
	readonly text: string;
	/** It stood in quotes as a whole, which CSV takes away. */
	readonly quoted: boolean;
}

/**
 * Fields of one line. A field in double quotes is unquoted as in CSV; any other keeps what it has, quotes of SQL included,
 * and commas within quotes or parentheses do not end it (Casbin's reader balances parentheses too).
 */
function splitFields(line: string): Field[] {
	const fields: Field[] = [];
	let at = 0;
	for (;;) {
		while (line[at] === ' ' || line[at] === '\t') at++;
		const quoted = /"((?:[^"]|"")*)"[ \t]*(?=,|$)/y;
		quoted.lastIndex = at;
		const match = quoted.exec(line);
		if (match) {
			fields.push({ text: (match[1] ?? '').replaceAll('""', '"').trim(), quoted: true });
			at = quoted.lastIndex;
		} else {
			const end = endOfBareField(line, at);
			fields.push({ text: line.slice(at, end).trim(), quoted: false });
			at = end;
		}
		if (at >= line.length) return fields;
		at++;
	}
}

function endOfBareField(line: string, start: number): number {
	let depth = 0;
	let quoted = false;
	for (let at = start; at < line.length; at++) {
		const char = line[at];
		if (char === '"') quoted = !quoted;
		else if (quoted) continue;
		else if (char === '(') depth++;
		else if (char === ')') depth--;
		else if (char === ',' && depth <= 0) return at;
	}
	if (quoted) throw new Error('a quote is not closed');
	if (depth > 0) throw new Error('a parenthesis is not closed');
	return line.length;
}

const EFFECTS = {
	allow: 'no argument',
	deny: 'no argument',
	mask: 'argument',
	unmask: 'may have argument',
	filter: 'argument',
	unfilter: 'may have argument',
} as const satisfies Record<Effect, string>;

/** Which kinds of object an action can be asked of; a rule on any other could never apply. */
const ACTION_OBJECTS = {
	connect: ['database'],
	select: ['relation', 'column'],
	insert: ['relation', 'column'],
	update: ['relation', 'column'],
	delete: ['relation'],
	truncate: ['relation'],
	execute: ['function'],
	call: ['function'],
	copy: ['database', 'relation'],
	lock: ['relation'],
	listen: ['database'],
	notify: ['database'],
	set: ['database'],
	create: ['database', 'relation', 'function'],
	alter: ['database', 'relation', 'function'],
	drop: ['database', 'relation', 'function'],
	grant: ['database', 'relation', 'function'],
	maintain: ['database', 'relation'],
	temp: ['database'],
	do: ['database'],
	replicate: ['database'],
} as const satisfies Record<Action, readonly ObjectPattern['kind'][]>;

function parseRule(ref: RuleRef, fields: readonly Field[], problems: ProblemList): Rule {
	const [, subject = '', objectText = '', action = '', effect = '', argument = ''] = fields.map((field) => field.text);
	if (fields.length < 5 || fields.length > 6) {
		throw new Error('a rule is p, subject, object, action, effect and, for masks and filters, an argument');
	}
	checkSubject(subject, ['user', 'role', 'group']);
	const object = parseObject(objectText);
	if (
		fields[2]?.quoted &&
		object.kind === 'database' &&
		objectText !== object.database.text &&
		!objectText.startsWith('"')
	) {
		// CSV takes the quotes away, and then the name would fold to another.
		throw new Error(`"${objectText}" loses its quotes as CSV: write """${objectText}""" for the quoted name`);
	}
	if (!isAction(action)) throw new Error(`unknown action ${JSON.stringify(action)}`);
	if (!isEffect(effect)) throw new Error(`unknown effect ${JSON.stringify(effect)}`);
	const wants = EFFECTS[effect];
	if (wants === 'argument' && argument === '')
		throw new Error(`${effect} needs the name of a ${effect} as its argument`);
	if (wants === 'no argument' && argument !== '') throw new Error(`${effect} takes no argument`);
	const rule: Rule = { ref, subject, object, objectText, action, effect, argument };
	const never = whyNever(rule);
	if (never !== undefined) {
		// One that narrows would give false safety; one that widens merely does nothing.
		if (effect === 'deny' || effect === 'mask' || effect === 'filter') throw new Error(never);
		problems.warning(ref.line, `${never}, so the rule does nothing`);
	}
	return rule;
}

function parseLink(ref: RuleRef, fields: readonly Field[]): Link {
	const [, member = '', role = ''] = fields.map((field) => field.text);
	if (fields.length !== 3) throw new Error('a link is g, member, role');
	checkSubject(member, ['user', 'role', 'group']);
	checkSubject(role, ['role']);
	if (role === '*') throw new Error('the second of a link is role:NAME');
	return { ref, member, role };
}

function checkSubject(subject: string, kinds: readonly string[]): void {
	if (subject === '*') return;
	const colon = subject.indexOf(':');
	const kind = subject.slice(0, Math.max(colon, 0));
	const name = subject.slice(colon + 1);
	if (!kinds.includes(kind)) {
		throw new Error(
			`${JSON.stringify(subject)} is not ${kinds.map((known) => `${known}:NAME`).join(', ')}${kinds.length > 1 ? ' or *' : ''}`,
		);
	}
	if (name === '' || name !== name.trim()) throw new Error(`${JSON.stringify(subject)} lacks a name`);
	if (name.includes('*')) throw new Error(`${subject}: the wildcard of a subject stands alone`);
}

/** Why the rule can never apply to anything, if so. */
function whyNever(rule: Rule): string | undefined {
	const { action, effect, object } = rule;
	if (effect === 'allow' || effect === 'deny') {
		if (action === '*') return undefined;
		const kinds: readonly ObjectPattern['kind'][] = ACTION_OBJECTS[action];
		if (kinds.includes(object.kind)) return undefined;
		const hint =
			kinds.includes('function') && object.kind === 'relation' ? ` (a function is written ${rule.objectText}(*))` : '';
		return `${action} is an action on a ${kinds.join(' or a ')}, and ${rule.objectText} is a ${object.kind}${hint}`;
	}
	if (effect === 'mask' || effect === 'unmask') {
		if (object.kind !== 'column' && object.kind !== 'relation')
			return `${effect} is for columns and relations, and ${rule.objectText} is a ${object.kind}`;
		return action === 'select' || action === '*' ? undefined : `${effect} goes with the action select, not ${action}`;
	}
	if (object.kind !== 'relation') return `${effect} is for relations, and ${rule.objectText} is a ${object.kind}`;
	const rows = ['select', '*', ...(effect === 'filter' ? ['insert', 'update', 'delete'] : [])];
	return rows.includes(action) ? undefined : `${effect} goes with the action select, not ${action}`;
}

function isAction(text: string): text is Action | '*' {
	return text === '*' || Object.hasOwn(ACTION_OBJECTS, text);
}

function isEffect(text: string): text is Effect {
	return Object.hasOwn(EFFECTS, text);
}
