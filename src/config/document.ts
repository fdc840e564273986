/** The YAML text of the configuration: its value, and where each key stands, so that a problem can be named by key and line. */
import { isNode, LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';

export interface ConfigProblem {
	/** Path of the key, e.g. `identity.users[0].password`; empty for the file as a whole. */
	readonly key: string;
	/** 1-based; 0 when unknown. */
	readonly line: number;
	readonly reason: string;
}

/** The configuration cannot be used. One line of the message for each problem. */
export class ConfigError extends Error {
	readonly problems: readonly ConfigProblem[];

	/** `file` is the file as the operator knows it. */
	constructor(file: string, problems: readonly ConfigProblem[]) {
		const inOrder = problems.toSorted((a, b) => a.line - b.line);
		super(inOrder.map((problem) => formatProblem(file, problem)).join('\n'));
		this.name = 'ConfigError';
		this.problems = inOrder;
	}
}

function formatProblem(file: string, { key, line, reason }: ConfigProblem): string {
	const place = line > 0 ? `${file}:${line}` : file;
	return key === '' ? `${place}: ${reason}` : `${place}: ${key}: ${reason}`;
}

type Path = readonly PropertyKey[];

export class ConfigDocument {
	/** What the YAML says; unchecked. */
	readonly value: unknown;
	/** What is wrong with it as YAML. */
	readonly problems: readonly ConfigProblem[];
	readonly #document: ReturnType<typeof parseDocument>;
	readonly #lines = new LineCounter();

	constructor(text: string) {
		this.#document = parseDocument(text, { lineCounter: this.#lines, uniqueKeys: true, prettyErrors: false });
		this.problems = [...this.#document.errors, ...this.#document.warnings].map((error) => ({
			key: '',
			line: this.#lines.linePos(error.pos[0]).line,
			reason: error.message,
		}));
		let value: unknown = {};
		try {
			value = this.problems.length > 0 ? {} : (this.#document.toJS({ maxAliasCount: 100 }) ?? {});
		} catch (error) {
			this.problems = [{ key: '', line: 0, reason: error instanceof Error ? error.message : String(error) }];
		}
		this.value = value;
	}

	problem(path: Path, reason: string): ConfigProblem {
		return { key: formatPath(path), line: this.#lineOf(path), reason };
	}

	/** What the schema found, one problem for each key. */
	explain(error: z.ZodError): ConfigProblem[] {
		return error.issues.flatMap((issue) => this.#explainIssue(issue));
	}

	#explainIssue(issue: z.core.$ZodIssue): ConfigProblem[] {
		switch (issue.code) {
			case 'unrecognized_keys':
				return issue.keys.map((key) => this.problem([...issue.path, key], 'unknown key'));
			case 'invalid_type':
				return [
					this.problem(
						issue.path,
						issue.input === undefined && this.#isMissing(issue.path) ? 'missing' : lowerFirst(issue.message),
					),
				];
			case 'invalid_union':
				return this.#explainUnion(issue);
			default:
				return [this.problem(issue.path, lowerFirst(issue.message))];
		}
	}

	/** Of the alternatives that fail, the one that fails inside says more than that none fits. */
	#explainUnion(issue: z.core.$ZodIssueInvalidUnion): ConfigProblem[] {
		if (this.#isMissing(issue.path)) return [this.problem(issue.path, 'missing')];
		const inner = issue.errors.find((issues) =>
			issues.every((one) => one.path.length > 0 && one.code !== 'invalid_type'),
		);
		if (!inner) return [this.problem(issue.path, lowerFirst(issue.message))];
		return inner.flatMap((one) => this.#explainIssue({ ...one, path: [...issue.path, ...one.path] }));
	}

	#isMissing(path: Path): boolean {
		return this.#document.getIn(path) === undefined;
	}

	/** Line of the key, or of the nearest key above it that is there. */
	#lineOf(path: Path): number {
		for (let length = path.length; length > 0; length--) {
			const node: unknown = this.#document.getIn(path.slice(0, length), true);
			if (isNode(node) && node.range) return this.#lines.linePos(node.range[0]).line;
		}
		return 0;
	}
}

/** `identity.users[0].password` */
function formatPath(path: Path): string {
	let text = '';
	for (const key of path) {
		if (typeof key === 'number') text += `[${key}]`;
		else text += text === '' ? String(key) : `.${String(key)}`;
	}
	return text;
}

function lowerFirst(text: string): string {
	return text.charAt(0).toLowerCase() + text.slice(1);
}
