/** Runs the cases of a policy: compares each decision with what the case expects, and reports the differences. */
import type { Decision, ObjectUse, RuleRef } from '../stages.ts';
import type { Expected, PolicyCase } from './cases.ts';
import { type CommandIo, paint } from './io.ts';

/** How a statement is decided for a case. */
export type Decide = (testCase: PolicyCase) => Promise<Decision>;

export interface CaseResult {
	readonly testCase: PolicyCase;
	/** What is not as expected; empty when all is. */
	readonly differences: readonly string[];
	readonly rules: readonly RuleRef[];
}

/** One after the other, in the order of the files. */
export async function runCases(cases: readonly PolicyCase[], decide: Decide): Promise<CaseResult[]> {
	const results: CaseResult[] = [];
	for (const testCase of cases) {
		const decision = await decide(testCase);
		results.push({ testCase, differences: differences(testCase, decision), rules: rulesOf(decision) });
	}
	return results;
}

/** What is not as the case expects it, in words; empty when all is. */
export function differences(testCase: PolicyCase, decision: Decision): string[] {
	const got = outcomeOf(decision);
	const found: string[] = [];
	const words = [...got.words];
	const held = testCase.expect.every((word) => words.includes(word));
	const error = decision.error === undefined ? '' : ` (${decision.error.sqlstate} ${decision.error.message})`;
	if (!held) found.push(`expected ${testCase.expect.join(' and ')}, got ${words.join(' and ')}${error}`);
	if (testCase.message !== undefined && got.words.has('deny') && !decision.error?.message.includes(testCase.message)) {
		found.push(`expected an error with ${JSON.stringify(testCase.message)}, got${error}`);
	}
	if (got.words.has('deny')) return found;
	if (testCase.masks)
		found.push(
			...compare(
				'masked',
				[...testCase.masks].map(([column, mask]) => ({ place: column, name: mask })),
				got.masks,
			),
		);
	if (testCase.filters) {
		found.push(
			...compare(
				'filtered',
				testCase.filters.map(({ relation, name }) => ({ place: relation, name })),
				got.filters,
			),
		);
	}
	if (testCase.hidden)
		found.push(
			...compare(
				'hidden',
				testCase.hidden.map((column) => ({ place: column, name: null })),
				got.hidden,
			),
		);
	return found;
}

interface Found {
	/** `schema.relation` or `schema.relation.column`. */
	readonly place: string;
	/** Of the mask or filter. */
	readonly name: string;
}

interface Outcome {
	readonly words: ReadonlySet<Expected>;
	readonly masks: readonly Found[];
	readonly filters: readonly Found[];
	readonly hidden: readonly Found[];
}

/** A mask counts where the statement reads its column: the other columns of a protected relation are nobody's concern. */
function outcomeOf(decision: Decision): Outcome {
	const objects = decision.statements.flatMap((statement) => statement.objects);
	const place = ({ schema, name }: ObjectUse): string => `${schema}.${name}`;
	const masks = objects.flatMap((object) =>
		Object.entries(object.masks)
			.filter(([column]) => object.columns.includes('*') || object.columns.includes(column))
			.map(([column, mask]) => ({ place: `${place(object)}.${column}`, name: mask })),
	);
	const filters = objects.flatMap((object) => object.filters.map((filter) => ({ place: place(object), name: filter })));
	const hidden = objects.flatMap((object) =>
		object.hidden.map((column) => ({ place: `${place(object)}.${column}`, name: '' })),
	);
	const words = new Set<Expected>();
	if (decision.effect === 'deny') words.add('deny');
	else {
		if (masks.length > 0) words.add('mask');
		if (filters.length > 0) words.add('filter');
		if (words.size === 0) words.add('allow');
	}
	return { words, masks, filters, hidden };
}

/** A place is given as `ssn`, `employees.ssn` or `hr.employees.ssn`; null stands for any place, and for any name. */
function compare(
	word: string,
	expected: readonly { place: string | null; name: string | null }[],
	got: readonly Found[],
): string[] {
	const fits = (want: { place: string | null; name: string | null }, is: Found): boolean =>
		(want.place === null || is.place === want.place || is.place.endsWith(`.${want.place}`)) &&
		(want.name === null || is.name === want.name);
	const show = (place: string | null, name: string | null): string => [place, name].filter((part) => part).join(' by ');
	const missing = expected.filter((want) => !got.some((is) => fits(want, is)));
	const extra = got.filter((is) => !expected.some((want) => fits(want, is)));
	return [
		...missing.map((want) => `expected ${show(want.place, want.name)} to be ${word}, which it is not`),
		...[...new Set(extra.map((is) => show(is.place, is.name)))].map(
			(shown) => `${shown} is ${word}, which is not expected`,
		),
	];
}

function rulesOf(decision: Decision): readonly RuleRef[] {
	const rules = decision.statements.flatMap((statement) => statement.rules);
	return rules.filter(
		(rule, index) => rules.findIndex((other) => other.file === rule.file && other.line === rule.line) === index,
	);
}

/** Prints each case and a summary. Exit status 0 when every case is as expected, else 1. */
export function report(io: CommandIo, results: readonly CaseResult[]): number {
	const colors = paint(io.color);
	const failed = results.filter((result) => result.differences.length > 0);
	for (const { testCase, differences: found, rules } of results) {
		const title = testCase.name.replace(/\s+/g, ' ');
		if (found.length === 0) {
			io.out(`${colors.green('ok')}    ${title}\n`);
			continue;
		}
		io.out(`${colors.red('FAIL')}  ${title} ${colors.dim(`${testCase.file}:${testCase.line}`)}\n`);
		for (const difference of found) io.out(`      ${difference}\n`);
		for (const rule of rules)
			io.out(`      ${colors.dim(`${rule.file}:${rule.line}  ${rule.text.replace(/\s+/g, ' ')}`)}\n`);
	}
	const count = `${results.length} ${results.length === 1 ? 'case' : 'cases'}`;
	io.out(failed.length === 0 ? `${count}, all as expected\n` : `${count}, ${failed.length} not as expected\n`);
	return failed.length === 0 ? 0 : 1;
}
