/** Notes on a statement that a relation's masks, hidden columns and filters shape what it does. */
import type { Protection } from './protection.ts';
import { addRules, type UseNote, type Walk } from './walk.ts';

export function noteProtection(walk: Walk, note: UseNote, protection: Protection): void {
	walk.touchesProtected = true;
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
