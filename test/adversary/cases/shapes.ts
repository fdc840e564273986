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

const inTransaction = (...steps: readonly string[]): readonly string[] => ['begin', ...steps, 'rollback'];

/** One may alter app.hulls, and read some of its columns. */
const altered = attacks(
	'views',
	'no-secret',
	{
		'an index on what a column does not hold': 'create index on app.hulls ((line::int))',
		'an index on some rows of what may not be read': 'create index on app.hulls (id) where line::int > 0',
		'a check that fails': 'alter table app.hulls add check (line::int > 0)',
		'a check that takes a value for the name of a relation':
			'alter table app.hulls add check (quote_ident(line)::regclass is null)',
		'a check that takes a value for a part of one':
			"alter table app.hulls add check ((quote_ident(line) || '.a.b.c')::regclass is null)",
		'a check that takes a value for the name of a setting':
			'alter table app.hulls add check (current_setting(line) is null)',
		'a value that has quotes in it': `alter table app.hulls add check (('x" ' || line)::int > 0)`,
		'another type that takes a value for a name':
			'alter table app.hulls alter column line type regrole using quote_ident(line)::regrole',
		'another type for what may not be read': 'alter table app.hulls alter column line type int using line::int',
		'a foreign key of what may not be read': inTransaction(
			'create table lab.keys_of (line text primary key)',
			'alter table app.hulls add foreign key (line) references lab.keys_of (line)',
		),
		'an index on what a mask keeps back': 'create index on app.badges ((holder::int))',
		'an index on the rows that a mask tells of': 'create index on app.badges (id) where holder::int > 0',
		'a column computed of what a mask keeps back, to be read': inTransaction(
			'alter table app.badges add column copied text generated always as (holder) stored',
			'select copied from app.badges',
		),
		'a masked column under a new name': inTransaction(
			'alter table app.badges rename column holder to bearer',
			'select bearer from app.badges',
		),
		'an index on what a materialized view does not show': 'create index on lab.report_mv ((ssn::int))',
		'an index on some rows of a materialized view': 'create index on lab.report_mv (id) where ssn::int > 0',
	},
	{ protocols: ['simple', 'extended'] },
);

const joined = attacks(
	'views',
	'denied',
	{
		'a table that may not be read becomes a child': inTransaction(
			'create table lab.over (line text)',
			'alter table app.hulls inherit lab.over',
			'select line from lab.over',
		),
		'a table that may not be read becomes a partition': inTransaction(
			'create table lab.over (id int not null, line text, note text, words tsvector) partition by range (id)',
			'alter table lab.over attach partition app.hulls default',
			'select line from lab.over',
		),
		'a rule that keeps what is changed in a view': inTransaction(
			'create table lab.kept (line text)',
			'create rule keep as on update to lab.report do instead insert into lab.kept values (old.ssn)',
			"update lab.report set name = 'x'",
			'select line from lab.kept',
		),
		'a rule that keeps what may not be read': inTransaction(
			'create table lab.kept (line text)',
			'create rule keep as on update to app.hulls do also insert into lab.kept values (old.line)',
			"update app.hulls set note = 'x'",
			'select line from lab.kept',
		),
		'the same of a value inside a row': inTransaction(
			"alter type lab.wood rename value 'plain' to 'other'",
			"alter type lab.wood rename value 'kept' to 'plain'",
			'select line from app.pallets',
		),
		'a value that a filter asks for becomes the name of another': inTransaction(
			"alter type lab.keg_kind rename value 'plain' to 'other'",
			"alter type lab.keg_kind rename value 'kept' to 'plain'",
			'select line from app.kegs',
		),
		'a table that may not be read becomes a child of what a view shows': inTransaction(
			'alter table app.hulls inherit app.tubs',
			'select line from app.tubs_v',
		),
		'words that may be read, gathered from what may not': inTransaction(
			"create trigger gather before update on app.hulls for each row execute function tsvector_update_trigger(words, 'pg_catalog.simple', line)",
			"update app.hulls set note = 'x'",
			'select words from app.hulls',
		),
		'a column that may be read, computed from one that may not': inTransaction(
			'alter table app.hulls drop column note',
			'alter table app.hulls add column note text generated always as (line) stored',
			'select note from app.hulls',
		),
		'a column that may be read, made of the whole row': inTransaction(
			'alter table app.hulls alter column note type text using hulls::text',
			'select note from app.hulls',
		),
		'a column that may be read, made of one that may not': inTransaction(
			'alter table app.hulls alter column note type text using line',
			'select note from app.hulls',
		),
	},
	{ protocols: ['simple', 'extended'] },
);

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

/** Every shift that a filter shows on one day somewhere is asked for in turn. */
const SHIFTS = ['', '_by_day', '_by_text', '_by_zone'].map((name) => `select * from app.shifts${name}`);

const moved = [
	...attacks('session', 'masked', {
		'a filter on days, by SET': ["set timezone = 'Etc/GMT+12'", ...SHIFTS],
		'a filter on days, by SET further on': ["set timezone = 'Pacific/Kiritimati'", ...SHIFTS],
		'a filter on days, by SET TIME ZONE': ['set time zone -12', ...SHIFTS, 'set time zone 14', ...SHIFTS],
		'a filter on days, by SET TIME ZONE INTERVAL': ["set time zone interval '-12:00' hour to minute", ...SHIFTS],
		'a filter on days, by SET LOCAL': ['begin', "set local timezone = 'Etc/GMT+12'", ...SHIFTS, 'rollback'],
		'a filter on days, by set_config': ["select set_config('TimeZone', 'Etc/GMT+12', false)", ...SHIFTS],
		'a filter on days, by set_config of what is computed': [
			"select set_config('TimeZone', concat('Etc/GMT', '+12'), false)",
			...SHIFTS,
		],
		'a filter on days, by a zone that makes up UTC': [
			"set timezone = 'UTC-12'",
			...SHIFTS,
			"set timezone = 'UTC+12'",
			...SHIFTS,
		],
		'a filter on days, by the way that dates are written': [
			"set datestyle = 'German'",
			...SHIFTS,
			"set datestyle = 'SQL, DMY'",
			...SHIFTS,
		],
		'a filter on days, in a prepared statement': [
			'prepare p as select * from app.shifts_by_day',
			"set timezone = 'Etc/GMT+12'",
			'execute p',
			'deallocate p',
		],
		'a filter on days, in a statement that is written': [
			"set timezone = 'Etc/GMT+12'",
			'with s as (select * from app.shifts) select json_agg(s) from s',
		],
	}),
	...attacks(
		'session',
		'masked',
		{ 'a filter on days, by startup options': SHIFTS },
		{ startup: { options: '-c TimeZone=Etc/GMT+12' } },
	),
	...attacks(
		'session',
		'masked',
		{ 'a filter on days, by a startup parameter': SHIFTS },
		{ startup: { TimeZone: 'Etc/GMT+12' } },
	),
	...attacks(
		'session',
		'masked',
		{ 'a filter on days, after RESET to a startup parameter': ["set timezone = 'UTC'", 'reset timezone', ...SHIFTS] },
		{ startup: { TimeZone: 'Etc/GMT+12' } },
	),
	...attacks('session', 'denied', {
		'a zone that makes up a region': ["set timezone = 'EUROPE/BERLIN-12'", ...SHIFTS],
		'a zone that makes up a region in brackets': ["set timezone = '<EUROPE/BERLIN>-12'", ...SHIFTS],
		'a zone that makes up a region in summer': ["set timezone = 'X1EUROPE/BERLIN'", ...SHIFTS],
	}),
	...attacks(
		'session',
		'denied',
		{
			'a zone that makes up a region, computed': [
				"select set_config('TimeZone', 'EUROPE/' || 'BERLIN-12', false)",
				...SHIFTS,
			],
		},
		{ sqlstates: ['22023'] },
	),
];

export const shapes: readonly AttackCase[] = [
	...moved,
	...computed,
	...domains,
	...parents,
	...counted,
	...altered,
	...joined,
	...writes,
];
