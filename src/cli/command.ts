/** What the definitions of commands share. */

/** Runs what a command is, and keeps the exit status that it answers. */
export type Run = (action: () => Promise<number>) => Promise<void>;

/** The part of a command's help that shows it at work. */
export function examples(...lines: readonly string[]): string {
	return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}\n`;
}
