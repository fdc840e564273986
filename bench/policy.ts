/** What the policy costs: loading it, the first statement on a table of 20 columns, every later one, and finding the Access. */
import { readFileSync } from 'node:fs';
import { isHarmlessFunctionName } from '../src/catalog/safety.ts';
import { parsePolicy } from '../src/policy/policy.ts';
import type { Access, Identity } from '../src/stages.ts';

const model = readFileSync(new URL('../policies/model.conf', import.meta.url), 'utf8');
const masks = 'masks:\n  nothing: "null"\nfilters:\n  own_tenant: "tenant = claims.tenant"\n';
const COLUMNS = 20;

interface Case {
	readonly name: string;
	readonly roles: number;
	/** Each has four rules for each of its tables: allow, mask, filter and deny. */
	readonly tables: number;
	/** Rules that reach every table by wildcards, so that no question can leave them out. */
	readonly wild: number;
}

const CASES: readonly Case[] = [
	{ name: 'ten rules', roles: 1, tables: 3, wild: 0 },
	{ name: '1,000 rules of 50 roles', roles: 50, tables: 5, wild: 0 },
	{ name: '1,000 rules of one role', roles: 1, tables: 250, wild: 0 },
	{ name: '1,000 rules, 100 of them with wildcards', roles: 1, tables: 225, wild: 100 },
	{ name: '10,000 rules of one role', roles: 1, tables: 2_500, wild: 0 },
];

function rulesOf({ roles, tables, wild }: Case): string {
	const lines = ['p, *, shop, connect, allow'];
	for (let role = 0; role < roles; role++) {
		for (let table = 0; table < tables; table++) {
			const name = `shop.s${table % 10}.t${table}`;
			lines.push(
				`p, role:r${role}, ${name}, select, allow`,
				`p, role:r${role}, ${name}.c1, select, mask, nothing`,
				`p, role:r${role}, ${name}, select, filter, own_tenant`,
				`p, role:r${role}, ${name}.c2, select, deny`,
			);
		}
	}
	for (let rule = 0; rule < wild; rule++) lines.push(`p, role:r0, shop.*.*.secret_${rule}_*, select, deny`);
	return lines.join('\n');
}

/** What the analysis asks of a table that a statement reads. */
function askAll(access: Access, table: number): void {
	const schema = `s${table % 10}`;
	access.onRelation(schema, `t${table}`, 'select');
	access.filtersOf(schema, `t${table}`);
	for (let column = 0; column < COLUMNS; column++) access.readColumn(schema, `t${table}`, `c${column}`);
}

function milliseconds(work: () => void): number {
	const start = performance.now();
	work();
	return performance.now() - start;
}

for (const one of CASES) {
	const start = performance.now();
	const policy = await parsePolicy(
		{ model, rules: rulesOf(one), masks },
		{ isHarmlessFunction: isHarmlessFunctionName },
	);
	const loadMs = performance.now() - start;
	const identity: Identity = { name: 'u', roles: ['r0'], groups: [], claims: { tenant: 'acme' }, method: 'token' };
	const access = policy.accessFor(identity, 'shop');
	// Other tables first, so that the compiler has seen the code; the tables that are measured are all new.
	for (let table = 10_000; table < 10_100; table++) askAll(access, table);
	const cold = milliseconds(() => {
		for (let table = 0; table < 100; table++) askAll(access, table);
	});
	const hot = milliseconds(() => {
		for (let round = 0; round < 20; round++) for (let table = 0; table < 100; table++) askAll(access, table);
	});
	const find = milliseconds(() => {
		for (let round = 0; round < 100_000; round++) policy.accessFor(identity, 'shop');
	});
	console.log(
		[
			one.name.padEnd(42),
			`load ${loadMs.toFixed(0)} ms`,
			`new table ${((cold / 100) * 1000).toFixed(0)} us`,
			`known table ${((hot / 2_000) * 1000).toFixed(1)} us`,
			`access ${(find * 10).toFixed(0)} ns`,
		].join('   '),
	);
}
