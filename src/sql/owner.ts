/** OWNER TO and AUTHORIZATION: only the role that the gateway works as anyway, since nobody may act as another. */
import type { NodeOf } from './nodes.ts';
import { displayIdentifier } from './quote.ts';
import { refuse, type Walk } from './walk.ts';

const SELF: ReadonlySet<string> = new Set(['ROLESPEC_CURRENT_ROLE', 'ROLESPEC_CURRENT_USER', 'ROLESPEC_SESSION_USER']);

/** Name of the role that everything runs as: nobody can become another. */
export function selfName(walk: Walk): string {
	return walk.context.catalog.user;
}

export function isSelf(walk: Walk, role: NodeOf<'RoleSpec'> | undefined): boolean {
	const type = role?.roletype ?? '';
	return SELF.has(type) || (type === 'ROLESPEC_CSTRING' && role?.rolename === selfName(walk));
}

/** Throws 42501 for another role. */
export function requireSelf(walk: Walk, role: NodeOf<'RoleSpec'> | undefined, what: string): void {
	if (isSelf(walk, role)) return;
	const self = displayIdentifier(selfName(walk));
	const hint = `What is made through the gateway belongs to ${self}, and may be given to no other role.`;
	const other = role?.rolename === undefined ? 'another role' : displayIdentifier(role.rolename);
	throw refuse(walk, `${what} ${other}`, role?.location, hint);
}
