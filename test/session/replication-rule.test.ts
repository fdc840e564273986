/** Who may replicate: whom a rule names it for, or from whom the policy keeps nothing. */
import { describe, expect, it } from 'vitest';
import { mayReplicate, requireReplicate } from '../../src/session/replication.ts';
import { identityOf, policyOf } from '../policy/support.ts';

const everything = 'p, role:dba, *, *, allow\np, role:dba, *.*.*, *, allow\np, role:dba, *.*.*(*), *, allow';

describe('mayReplicate', () => {
	const rows: readonly [string, string, boolean][] = [
		['no rule', 'p, role:dba, shop, connect, allow', false],
		['a rule that names it', 'p, role:dba, shop, replicate, allow', true],
		[
			'a rule that names it, beside masks',
			'p, role:dba, shop, replicate, allow\np, *, shop.a.b.c, select, mask, nothing',
			true,
		],
		['a rule for another database', 'p, role:dba, shops, replicate, allow', false],
		['a rule for all databases', 'p, role:dba, *, replicate, allow', true],
		['rules for everything', everything, true],
		['rules for everything but a mask', `${everything}\np, *, shop.a.b.c, select, mask, nothing`, false],
		['rules for everything but a column', `${everything}\np, role:dba, shop.a.b.c, select, deny`, false],
		['any action on the database alone', 'p, role:dba, shop, *, allow', false],
		['a rule that denies it', `${everything}\np, role:dba, shop, replicate, allow\np, *, shop, replicate, deny`, false],
	];
	it.each(rows)('%s', async (_name, rules, want) => {
		const access = (await policyOf(rules)).accessFor(identityOf(['user:ana', 'role:dba']), 'shop');
		expect(mayReplicate(access).allowed).toBe(want);
		const enter = (): void => requireReplicate('database', { access, name: 'shop', physical: false });
		if (want) expect(enter).not.toThrow();
		else expect(enter).toThrow('permission denied to replicate database "shop"');
	});

	it('says why not', async () => {
		const access = (await policyOf('p, role:dba, shop, *, allow')).accessFor(identityOf(['role:dba']), 'shop');
		const enter = (): void => requireReplicate('database', { access, name: 'shop', physical: false });
		expect(enter).toThrow(expect.objectContaining({ detail: expect.stringMatching(/:1 does not name replicate/) }));
	});
});
