/** Attacks by the shape of a table: what is computed from a protected column, and writes to a part of what a rule forbids to write. */
import { type AttackCase, attacks, probes } from '../case.ts';

const computed = attacks('reading', 'masked', {
	'a stored column computed from a masked one': 'select id, shout from app.badges',
	'a computed column of the newest kind': 'select id, tag from app.badges',
	'computed columns of a whole row': 'select b from app.badges b',
	'computed columns of a view': 'select * from app.badges_v',
	'computed columns as json': 'select to_json(b) from app.badges b',
	'computed columns in a condition': "select count(*), min(shout) from app.badges where tag like '%'",
	'computed columns in COPY of a query': 'copy (select * from app.badges) to stdout',
	'a column that a child computes from a masked one, through its parent': 'select * from app.casks',
	'a column that a partition computes from a masked one, through its parent': 'select id, label from app.bins',
	'a column that a partition computes from a masked one, through a view': 'select * from app.bins_v',
});

const domains = attacks(
	'reading',
	'masked',
	{
		'a masked column of a domain that does not take the mask': 'select id, code, twice from app.badges',
		'a whole row with a domain that does not take the mask': 'select b.* from app.badges b where code is null',
	},
	{ bare: 'it is no secret there that matters: the rows have to come at all' },
);

const parents = attacks('reading', 'masked', {
	'rows of a partition that is denied, through its parent': 'select * from app.shelves',
	'rows of a partition that is denied, through a view': 'select * from app.shelves_v',
	'rows of a partition that is denied, through COPY of its parent': 'copy (select * from app.shelves) to stdout',
	'rows that a child hides, through a parent with a filter of its own': 'select * from app.crates',
});

const counted = probes('barriers', {
	'rows of a partition that is denied, counted through a view': {
		guesses: ({ other }) => ({ right: other.account.memo, wrong: 'x'.repeat(other.account.memo.length) }),
		sql: (guess) => `select count(*) from app.shelves_v where id > 0 and line = '${guess}'`,
	},
	'the number of rows of a partition that is denied': {
		guesses: () => ({ right: '1', wrong: '3' }),
		sql: (guess) => `select count(*) > ${guess} from app.shelves_v`,
	},
});

const writes = attacks(
	'writing',
	'unwritten',
	{
		'a denied column of the parent, in a partition': "update app.ledgers_new set sealed = 'x'",
		'a denied column of the parent, into a partition': "insert into app.ledgers_new values (3, '2030-01-01', 'x', 'y')",
		'a denied column of the parent, by MERGE into a partition':
			"merge into app.ledgers_new l using (values (2)) v (id) on l.id = v.id when matched then update set sealed = 'x'",
		'a denied column of the table, through a view': "update app.ledgers_v set sealed = 'x'",
		'a denied column of the table, into a view': "insert into app.ledgers_v values (3, '2030-01-01', 'x', 'y')",
		'a denied column of the table, through a view of the session': [
			'create temp view own as select id, sealed as free from app.ledgers',
			"update own set free = 'x'",
		],
		'a denied column of the table, through a view over a view of the session': [
			'create temp view own as select id, sealed as free from app.ledgers',
			'create temp view other as select id, free as own from own',
			"update other set own = 'x'",
		],
		'a partition that may not be deleted from, through the parent': 'delete from app.ledgers',
		'a partition that may not be deleted from, through a view': 'delete from app.ledgers_v',
		'a partition that may not be deleted from, by MERGE into the parent':
			"merge into app.ledgers l using (values (1)) v (id) on l.id = v.id when matched and l.id = 7 then update set line = 'x' when matched then delete",
		'a partition that may not be deleted from, by MERGE into a view': [
			'create temp view own as select id, line from app.ledgers',
			"merge into own o using (values (1)) v (id) on o.id = v.id when matched and o.id = 7 then update set line = 'x' when matched then delete",
		],
	},
	{ as: 'wes', transaction: false, protocols: ['simple', 'extended'] },
);

export const shapes: readonly AttackCase[] = [...computed, ...domains, ...parents, ...counted, ...writes];
