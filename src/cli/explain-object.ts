/** What `explain` says of one object: how the statement comes to it, what of it is masked, filtered or hidden, and by which rule. */
import type { CatalogSnapshot } from '../catalog/snapshot.ts';
import { type ColumnProtection, type Protection, protectionOf, systemProtection } from '../sql/protection.ts';
import { isSystem } from '../sql/read-relation.ts';
import type { Access, ObjectUse, RuleRef } from '../stages.ts';

/** What the words are made from; without a snapshot no rule is named beside a mask. */
export interface ObjectView {
	readonly access: Access;
	readonly snapshot: CatalogSnapshot | null;
	/** Of the whole statement: views among them lead to others. */
	readonly objects: readonly ObjectUse[];
}

/** One line for each mask on a column that is read, each filter, and what is hidden; masks on columns that are not read in one line. */
export function detailsOf(object: ObjectUse, view: ObjectView): string[] {
	const protection = protectionFor(object, view);
	const isRead = (column: string): boolean => object.columns.includes('*') || object.columns.includes(column);
	const masks = Object.entries(object.masks);
	const unread = masks.filter(([column]) => !isRead(column)).map(([column]) => column);
	return [
		...masks
			.filter(([column]) => isRead(column))
			.map(([column, mask]) => `${column} masked by ${mask}${place(rulesOf(protection?.byName.get(column)))}`),
		...(unread.length === 0 ? [] : [`not read, masked too: ${unread.join(', ')}`]),
		...object.filters.map((name) => {
			const filter = protection?.filters.find((candidate) => candidate.name === name);
			return `rows filtered by ${name}${place(filter?.rules ?? [])}`;
		}),
		...object.hidden.map((column) => `${column} hidden${place(rulesOf(protection?.byName.get(column)))}`),
	];
}

/** ` via app.inner, app.outer`: the view or parent through which the object is reached, and what leads to that. */
export function wayTo(object: ObjectUse, objects: readonly ObjectUse[]): string {
	const way: string[] = [];
	for (let at: ObjectUse | undefined = object; at?.via !== undefined && !way.includes(at.via); ) {
		const via: string = at.via;
		way.push(via);
		at = objects.find(({ kind, schema, name }) => kind === 'relation' && `${schema}.${name}` === via);
	}
	return way.length === 0 ? '' : ` via ${way.join(', ')}`;
}

function protectionFor({ kind, schema, name }: ObjectUse, { access, snapshot }: ObjectView): Protection | undefined {
	const relation = kind === 'relation' ? snapshot?.relation(schema, name) : undefined;
	if (relation === undefined || snapshot === null) return undefined;
	if (!isSystem(schema)) return protectionOf(snapshot, access, relation, false);
	const system = systemProtection(relation);
	return typeof system === 'object' && 'columns' in system ? system : undefined;
}

function rulesOf(column: ColumnProtection | undefined): readonly RuleRef[] {
	return column === undefined || column.state === 'plain' ? [] : column.rules;
}

function place([rule]: readonly RuleRef[]): string {
	if (rule === undefined) return '';
	return rule.line === 0 ? ` (${rule.file}: ${rule.text})` : ` (${rule.file}:${rule.line})`;
}
