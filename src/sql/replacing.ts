/** CREATE OR REPLACE: what takes the place of something changes it for whoever uses that, whoever made it. */
import { type Making, mayInSchema, mayOnFound } from './may.ts';
import type { NewRoutine } from './new-code.ts';
import { protectionOf } from './protection.ts';
import { displayRelation } from './names.ts';
import { guarded } from './read-relation.ts';
import { checkRoutine } from './routines.ts';
import { refuse, type Walk } from './walk.ts';

/** Throws 42501 where another view would be changed that one may not alter, or of which the policy keeps something back. */
export function mayReplaceView(walk: Walk, { schema, name, temporary }: Making): void {
	const { catalog, access } = walk.context;
	if (temporary) return;
	const there = catalog.relation(schema, name);
	if (there === undefined) {
		// It may have been made since the last look.
		walk.doubt = true;
		return;
	}
	// One that this text has made has an oid of 0.
	if (there.oid === 0) return;
	mayOnFound(walk, there, 'alter', false);
	const { filters, columns } = guarded(walk, there, () => protectionOf(catalog, access, there, false));
	const isNarrowed = filters.length > 0 || columns.some(({ state }) => state === 'masked' || state === 'hidden');
	if (isNarrowed) throw refuse(walk, `replacing ${displayRelation(there)}, which the policy protects from you,`);
}

/**
 * Throws 42501 where a routine would be changed that one may not alter or run: triggers, defaults and others' statements call what
 * stands there, without a rule for who replaced it.
 */
export function mayReplaceRoutine(walk: Walk, { schema, name, args, action }: NewRoutine): void {
	const there = walk.context.catalog
		.routines(schema, name)
		.find((routine) => routine.schema === schema && routine.argNames.join('\0') === args.join('\0'));
	if (there === undefined) {
		walk.doubt = true;
		return;
	}
	// What this text has made is no catalogue's.
	if (there.oid < 0) return;
	mayInSchema(walk, schema, 'alter', `replacing ${displayRelation(there)}(${args.join(',')})`);
	checkRoutine(walk, there, action, undefined);
}
