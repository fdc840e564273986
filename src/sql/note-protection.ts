/** Notes on a statement that a relation's masks, hidden columns and filters shape what it does. */
import { BUILT_IN, type Protection } from './protection.ts';
import { addRules, type UseNote, type Walk } from './walk.ts';

export function noteProtection(walk: Walk, note: UseNote, protection: Protection): void {
	if (keepsValues(note, protection)) walk.touchesProtected = true;
	walk.masks = true;
	for (const column of protection.columns) {
		if (column.state === 'masked') {
			note.masks.set(column.column.name, column.mask);
			addRules(note, column.rules);
		} else if (column.state === 'hidden') {
			note.hidden.add(column.column.name);
			addRules(note, column.rules);
		}
	}
	for (const filter of protection.filters) {
		note.filters.add(filter.name);
		addRules(note, filter.rules);
	}
	if (protection.via.length > 0) note.via = protection.via.join(', ');
}

/** It keeps back more than names: where the relation is a catalogue, in a column that is read. */
function keepsValues(note: UseNote, { ofNames, columns }: Protection): boolean {
	if (ofNames === undefined) return true;
	return columns.some(
		(one) =>
			one.state === 'masked' && one.mask === BUILT_IN && (note.columns.has(one.column.name) || note.columns.has('*')),
	);
}
