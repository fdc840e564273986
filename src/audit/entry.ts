/** What waits to be written to the audit log. */
import type { Outcome, SessionEvent, StatementRecord } from './event.ts';
import type { OwnEvent } from './event-lines.ts';
import type { Accepted } from './log.ts';

export type Entry =
	| {
			readonly kind: 'statement';
			readonly record: StatementRecord;
			readonly parameters: string;
			readonly timeMs: number;
			readonly done: Accepted;
	  }
	| {
			readonly kind: 'outcome';
			/** Of the statement's record. */
			readonly sequence: number;
			readonly record: StatementRecord;
			readonly outcome: Outcome;
			readonly timeMs: number;
	  }
	| { readonly kind: 'event'; readonly event: SessionEvent; readonly timeMs: number; readonly done: Accepted | null }
	| {
			readonly kind: 'own';
			readonly code: OwnEvent;
			readonly unmapped: object;
			readonly timeMs: number;
			readonly done: Accepted | null;
	  };
