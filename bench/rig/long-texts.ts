/** Texts of about a megabyte of the kinds that hostile people and bulk loaders send. */

export interface LongText {
	readonly name: string;
	readonly sql: string;
}

const BYTES = 1_000_000;

/** `start`, then so many of `piece` with `between` that it is about a megabyte, then `end`. */
function filled(start: string, piece: (i: number) => string, between: string, end = ''): string {
	const pieces: string[] = [];
	for (let i = 0, length = 0; length < BYTES; i += 1) {
		const one = piece(i);
		pieces.push(one);
		length += one.length + between.length;
	}
	return start + pieces.join(between) + end;
}

function times(count: number, piece: (i: number) => string, between: string): string {
	return Array.from({ length: count }, (_, i) => piece(i)).join(between);
}

export function longTexts(): readonly LongText[] {
	const employees = 'select count(*) from hr.employees e where ';
	return [
		{ name: 'IN list', sql: filled(`${employees}e.id in (`, (i) => String(i), ', ', ')') },
		{ name: 'IN list, short', sql: filled(`${employees}e.id in (`, (i) => String(i % 10), ',', ')') },
		{
			name: 'VALUES',
			sql: filled(
				'insert into pgbench_history (tid, bid, aid, delta, filler) values ',
				(i) => `(${i}, 1, 2, 3, 'some text')`,
				', ',
			),
		},
		{ name: 'joins', sql: `select count(*) from ${times(1_000, (i) => `hr.employees e${i}`, ' cross join ')}` },
		{ name: 'parentheses', sql: `select ${'('.repeat(1_990)}1${')'.repeat(1_990)}` },
		{ name: 'AND chain', sql: filled(employees, () => 'e.id <> 1', ' and ') },
		{ name: 'OR chain', sql: filled(employees, () => "e.ssn = 'x'", ' or ') },
		{ name: 'CASE', sql: filled('select case e.id ', (i) => `when ${i} then ${i}`, ' ', ' end from hr.employees e') },
		{ name: 'function calls', sql: filled(`${employees}e.name in (`, () => 'lower(e.name)', ', ', ')') },
		{ name: '10,000 statements', sql: filled('', () => 'select 1', ';').slice(0, 9 * 9_999 - 1) },
		{ name: '10,000 masked statements', sql: times(9_999, () => 'select ssn from hr.employees where id = 1', ';') },
		{ name: '2,000 reads', sql: `select ${times(1_664, () => '(select max(id) from hr.employees)', ', ')}` },
		{ name: 'string', sql: `select '${'x'.repeat(BYTES)}'` },
		{ name: 'comment', sql: `select 1 /* ${'x'.repeat(BYTES)} */` },
		{ name: 'array', sql: `${employees}e.id = any (array[${filled('', (i) => String(i), ', ')}])` },
		{
			name: 'COPY (query)',
			sql: filled(`copy (select ssn from hr.employees where id in (`, (i) => String(i), ',', ')) to stdout'),
		},
		{ name: 'syntax error at the end', sql: `${filled(`${employees}e.id in (`, (i) => String(i), ', ', ')')} )` },
		{ name: 'not ASCII', sql: filled(`${employees}e.name in (`, (i) => `'é${i}'`, ', ', ')') },
	];
}
