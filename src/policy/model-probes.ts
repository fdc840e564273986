/** Known questions with known answers, put to a model when it is loaded: whoever edits model.conf cannot break the format. */
import type { Action } from '../stages.ts';
import { parseRules, type Rule } from './csv.ts';
import type { Engine } from './engine.ts';
import type { Target } from './object.ts';
import { formatProblem, ProblemList } from './problem.ts';
import { sliceOf } from './slice.ts';

interface Probe {
	/** What the format promises. */
	readonly promise: string;
	readonly rules: string;
	readonly who?: readonly string[];
	readonly target?: Target;
	readonly action?: Action;
	readonly allowed: boolean;
	/** Lines of `rules` that must take part among the protections, 1-based. */
	readonly protections?: readonly number[];
}

const COLUMN: Target = { kind: 'column', database: 'd', schema: 's', relation: 't', column: 'c' };
const RELATION: Target = { kind: 'relation', database: 'd', schema: 's', relation: 't' };

const PROBES: readonly Probe[] = [
	{ promise: 'an allow rule allows', rules: 'p, role:r, d.s.t, select, allow', allowed: true },
	{ promise: '* stands for everybody and every action', rules: 'p, *, d.s.t, *, allow', allowed: true },
	{ promise: 'a rule is for its subject only', rules: 'p, role:other, d.s.t, select, allow', allowed: false },
	{ promise: 'a rule is for its action only', rules: 'p, role:r, d.s.t, insert, allow', allowed: false },
	{ promise: 'a rule is for its object only', rules: 'p, role:r, d.s.u, select, allow', allowed: false },
	{
		promise: 'deny beats allow before it',
		rules: 'p, *, d.s.t, *, allow\np, role:r, d.s.t.c, select, deny',
		allowed: false,
	},
	{
		promise: 'deny beats allow after it',
		rules: 'p, role:r, d.*.*, select, deny\np, *, d.s.t, *, allow',
		allowed: false,
	},
	{ promise: 'a deny alone allows nothing', rules: 'p, role:other, d.s.t, select, deny', allowed: false },
	{
		promise: 'masks and filters allow nothing',
		rules: 'p, role:r, d.s.t, select, unmask',
		allowed: false,
		protections: [1],
	},
	{
		promise: 'protections apply to their subject, object and action, in the order of the file',
		rules: [
			'p, role:r, d.s.t.c, select, mask, a',
			'p, role:other, d.s.t.c, select, mask, a',
			'p, role:r, d.s.t.x, select, mask, a',
			'p, *, d.s.*, *, mask, b',
			'p, role:r, d.s.t, select, allow',
		].join('\n'),
		allowed: true,
		protections: [1, 4],
	},
	{
		promise: 'a filter holds whichever row action its line has',
		rules:
			'p, role:r, d.s.t, update, filter, f\np, role:r, d.s.u, select, filter, f\np, role:other, d.s.t, select, filter, f',
		target: RELATION,
		allowed: false,
		protections: [1],
	},
];

/** The promises that the model does not keep; empty for a sound one. */
export async function brokenPromises(build: (rules: readonly Rule[]) => Promise<Engine>): Promise<string[]> {
	const broken: string[] = [];
	for (const probe of PROBES) {
		const problems = new ProblemList('probe');
		const { rules } = parseRules(probe.rules, 'probe', problems);
		if (problems.problems.length > 0) throw new Error(problems.problems.map(formatProblem).join('; '));
		const engine = await build(rules);
		if (!keeps(engine, rules, probe)) broken.push(probe.promise);
	}
	return broken;
}

function keeps(engine: Engine, rules: readonly Rule[], probe: Probe): boolean {
	const who = engine.principals(probe.who ?? ['user:u', 'role:r']);
	const target = probe.target ?? COLUMN;
	const action = probe.action ?? 'select';
	const decision = engine.ask(sliceOf('decision', rules), who, target, action);
	const protection = engine.ask(sliceOf('protection', rules), who, target, action);
	const lines = protection.matched.map((rule) => rule.ref.line);
	return decision.allowed === probe.allowed && lines.join() === (probe.protections ?? []).join();
}
