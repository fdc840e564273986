/** What can be wrong with a policy: problems with file and line, and the error that carries all of them. */

/** One thing that is wrong. An `error` keeps the policy from being used; a `warning` is a rule that can never widen anything. */
export interface PolicyProblem {
	readonly severity: 'error' | 'warning';
	/** Name within the policies folder, e.g. `policy.csv`. */
	readonly file: string;
	/** 1-based; 0 when the problem is the file as a whole. */
	readonly line: number;
	readonly reason: string;
}

/** `policy.csv:12: unknown effect "alow"`: how a problem is shown everywhere. */
export function formatProblem(problem: PolicyProblem): string {
	const place = problem.line > 0 ? `${problem.file}:${problem.line}` : problem.file;
	return problem.severity === 'warning' ? `${place}: warning: ${problem.reason}` : `${place}: ${problem.reason}`;
}

/** The policy cannot be used. `problems` holds every error that was found, not only the first; the message has a line for each. */
export class PolicyError extends Error {
	readonly problems: readonly PolicyProblem[];

	constructor(problems: readonly PolicyProblem[]) {
		super(problems.map(formatProblem).join('\n'));
		this.name = 'PolicyError';
		this.problems = problems;
	}
}

/** Collects problems while one file is read. */
export class ProblemList {
	readonly problems: PolicyProblem[] = [];
	readonly #file: string;

	constructor(file: string) {
		this.#file = file;
	}

	error(line: number, reason: string): void {
		this.problems.push({ severity: 'error', file: this.#file, line, reason });
	}

	warning(line: number, reason: string): void {
		this.problems.push({ severity: 'warning', file: this.#file, line, reason });
	}
}
