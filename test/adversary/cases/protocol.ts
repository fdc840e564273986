/** Attacks by the messages themselves: pipelines, portals, names of statements, malformed and unexpected bytes. */
import { encodeFrontend, encodeQuery, encodeSSLRequest, encodeStartupMessage } from '../../../src/wire/encode.ts';
import { type AttackCase, conversations } from '../case.ts';
import { RawClient } from '../client.ts';
import {
	bind,
	bindExecute,
	closePortal,
	closeStatement,
	describePortal,
	describeStatement,
	execute,
	flush,
	functionCall,
	message,
	parse,
	sync,
} from '../messages.ts';

const READ = 'select ssn, salary, name from app.people';
const HARMLESS = 'select id from app.depts';

/** Why an attack comes to nothing on the bare database. */
const neverThere: Readonly<Record<string, string>> = {
	'the name of a statement used again without Close': 'the server keeps the first statement',
};

const extended = conversations('protocol', 'no-secret', {
	'Parse, Describe, Bind, Execute, each with its Sync': async (client) => {
		client.send(parse('s', READ), sync());
		await client.waitFor('ReadyForQuery');
		client.send(describeStatement('s'), sync());
		await client.waitFor('ReadyForQuery');
		client.send(bind('s', [], 'p'), sync(), ...bindExecute('s'), sync());
		await client.waitFor('ReadyForQuery', 2);
	},
	'results in binary': async (client) => {
		client.send(
			parse('', 'select ssn, salary, pin, born, token, bonus, prefs, tags, home from app.people'),
			...bindExecute('', [], 1),
			sync(),
		);
		await client.waitFor('ReadyForQuery');
	},
	'a portal in steps': async (client) => {
		client.send(parse('s', READ), bind('s', [], 'p'), execute('p', 1), execute('p', 2), execute('p'), sync());
		await client.waitFor('ReadyForQuery');
	},
	'a portal in steps over several Syncs': async (client) => {
		await client.run('begin');
		client.send(parse('s', READ), bind('s', [], 'p'), execute('p', 1), sync());
		await client.waitFor('ReadyForQuery');
		client.send(execute('p', 100), sync());
		await client.waitFor('ReadyForQuery');
		await client.run('commit');
	},
	'a portal read by FETCH': async (client) => {
		await client.run('begin');
		client.send(parse('s', READ), bind('s', [], 'p'), sync());
		await client.waitFor('ReadyForQuery');
		await client.run('fetch all from p');
		await client.run('commit');
	},
	'a cursor read by Execute': async (client) => {
		await client.run('begin');
		await client.run(`declare c cursor for ${READ}`);
		client.send(describePortal('c'), execute('c'), sync());
		await client.waitFor('ReadyForQuery');
		await client.run('commit');
	},
	'a statement of PREPARE, bound by the protocol': async (client) => {
		await client.run(`prepare q as ${READ}`);
		client.send(...bindExecute('q'), sync());
		await client.waitFor('ReadyForQuery');
	},
	'a statement of Parse, run by EXECUTE': async (client) => {
		client.send(parse('q', READ), sync());
		await client.waitFor('ReadyForQuery');
		await client.run('execute q');
	},
	'the name of a statement used again': async (client) => {
		client.send(parse('s', HARMLESS), sync());
		await client.waitFor('ReadyForQuery');
		client.send(closeStatement('s'), parse('s', READ), ...bindExecute('s'), sync());
		await client.waitFor('ReadyForQuery');
	},
	'the name of a statement used again without Close': async (client) => {
		client.send(parse('s', HARMLESS), sync(), parse('s', READ), sync(), ...bindExecute('s'), sync());
		await client.waitFor('ReadyForQuery', 3);
	},
	'the unnamed statement used again': async (client) => {
		client.send(parse('', HARMLESS), parse('', READ), ...bindExecute(''), sync());
		await client.waitFor('ReadyForQuery');
	},
	'the unnamed portal used again': async (client) => {
		client.send(parse('a', HARMLESS), parse('b', READ), bind('a'), bind('b'), execute(), sync());
		await client.waitFor('ReadyForQuery');
	},
	'Close of the statement before Execute of its portal': async (client) => {
		client.send(parse('s', READ), bind('s', [], 'p'), closeStatement('s'), execute('p'), sync());
		await client.waitFor('ReadyForQuery');
	},
	'Close of the portal and a new one of the name': async (client) => {
		client.send(
			parse('a', HARMLESS),
			parse('b', READ),
			bind('a', [], 'p'),
			closePortal('p'),
			bind('b', [], 'p'),
			execute('p'),
			sync(),
		);
		await client.waitFor('ReadyForQuery');
	},
	'DEALLOCATE by SQL, Parse again by the protocol': async (client) => {
		client.send(parse('s', HARMLESS), sync());
		await client.waitFor('ReadyForQuery');
		await client.run('deallocate s');
		client.send(parse('s', READ), ...bindExecute('s'), sync());
		await client.waitFor('ReadyForQuery');
	},
	'a Parse in a pipeline that failed is not remembered': async (client) => {
		client.send(parse('s', HARMLESS), sync());
		await client.waitFor('ReadyForQuery');
		client.send(parse('e', 'select 1/0'), ...bindExecute('e'), parse('t', READ), sync());
		await client.waitFor('ReadyForQuery');
		client.send(...bindExecute('t'), sync(), parse('t', READ), ...bindExecute('t'), sync());
		await client.waitFor('ReadyForQuery', 2);
	},
	'Flush instead of Sync': async (client) => {
		client.send(parse('s', READ), bind('s'), describePortal(''), flush(), execute(), flush(), sync());
		await client.waitFor('ReadyForQuery');
	},
	'a denied statement in the middle of a pipeline': async (client) => {
		client.send(
			parse('', HARMLESS),
			...bindExecute(''),
			parse('', 'select key from vault.keys'),
			...bindExecute(''),
			parse('', READ),
			...bindExecute(''),
			sync(),
			parse('', READ),
			...bindExecute(''),
			sync(),
		);
		await client.waitFor('ReadyForQuery', 2);
	},
	'a denied Parse, and its name bound later': async (client) => {
		client.send(parse('k', 'select key from vault.keys'), sync(), ...bindExecute('k'), sync());
		await client.waitFor('ReadyForQuery', 2);
	},
	'a denied Parse over a name that stands for another statement': async (client) => {
		client.send(
			parse('k', READ),
			sync(),
			closeStatement('k'),
			parse('k', 'select key from vault.keys'),
			sync(),
			...bindExecute('k'),
			sync(),
		);
		await client.waitFor('ReadyForQuery', 3);
	},
	'Bind of parameters in binary': async (client) => {
		client.send(
			parse('', 'select ssn, name from app.people where id >= $1 and $2::text is not null', [23, 25]),
			...bindExecute('', [Buffer.from([0, 0, 0, 0]), Buffer.from('x')], 1),
			sync(),
		);
		await client.waitFor('ReadyForQuery');
	},
	'a parameter is a row of the table': async (client) => {
		client.send(
			parse('', "select $1::text, to_jsonb(p) ->> 'ssn' from app.people p"),
			...bindExecute('', ['x']),
			sync(),
		);
		await client.waitFor('ReadyForQuery');
	},
	'a parameter of a type that is the table': async (client) => {
		client.send(parse('', 'select ($1::app.people).id, ssn from app.people'), ...bindExecute('', [null]), sync());
		await client.waitFor('ReadyForQuery');
	},
	'COPY by Execute': async (client) => {
		client.send(parse('', 'copy (select ssn from app.people) to stdout'), ...bindExecute(''), sync());
		await client.waitFor('ReadyForQuery');
	},
	'COPY of a table in a batch': async (client) => {
		await client.run(
			'select 1; copy app.people (ssn) to stdout; copy (select name from app.people) to stdout; select 2',
		);
	},
	'messages in one packet and split at every byte': async (client) => {
		for (const byte of Buffer.concat([parse('', READ), ...bindExecute(''), sync()])) client.send(Buffer.from([byte]));
		await client.waitFor('ReadyForQuery');
	},
	'two Queries at once': async (client) => {
		client.send(encodeQuery('set search_path = app'), encodeQuery('select ssn from people'));
		await client.waitFor('ReadyForQuery', 2);
	},
	'a Query behind a pipeline without Sync': async (client) => {
		client.send(parse('', READ), ...bindExecute(''), encodeQuery(READ), sync());
		await client.waitFor('ReadyForQuery', 2);
	},
	'three hundred pipelined reads': async (client) => {
		const one = Buffer.concat([parse('', READ), ...bindExecute(''), sync()]);
		client.send(...Array.from({ length: 300 }, () => one));
		await client.waitFor('ReadyForQuery', 300);
	},
	'a failed transaction': async (client) => {
		await client.run('begin');
		await client.run('select key from vault.keys');
		await client.run(READ);
		await client.run('rollback');
		await client.run(READ);
	},
	'ROLLBACK TO in a failed transaction': async (client) => {
		await client.run('begin');
		await client.run('savepoint a');
		await client.run('select key from vault.keys');
		await client.run('rollback to a');
		await client.run(READ);
		await client.run('rollback');
	},
	'COMMIT AND CHAIN': async (client) => {
		await client.run('begin; set local search_path = app');
		await client.run('commit and chain');
		await client.run('set local search_path = app');
		await client.run('select ssn from people');
		await client.run('commit');
	},
	'a view is changed between Parse and Bind': async (client) => {
		await client.run('create temp view mine as select id, title as line from app.depts');
		client.send(parse('s', 'select line from mine'), sync());
		await client.waitFor('ReadyForQuery');
		await client.run('create or replace temp view mine as select id, ssn as line from app.people');
		client.send(...bindExecute('s'), sync());
		await client.waitFor('ReadyForQuery');
	},
	'a temporary table goes between Parse and Bind': async (client) => {
		await client.run('set search_path = app');
		await client.run('create temp table people (ssn text)');
		client.send(parse('s', 'select ssn from people'), sync());
		await client.waitFor('ReadyForQuery');
		await client.run('drop table pg_temp.people');
		client.send(...bindExecute('s'), sync());
		await client.waitFor('ReadyForQuery');
	},
	'a temporary table goes in the same pipeline': async (client) => {
		await client.run('set search_path = app');
		await client.run('create temp table people (ssn text)');
		client.send(
			parse('d', 'drop table pg_temp.people'),
			parse('s', 'select ssn from people'),
			...bindExecute('d'),
			...bindExecute('s'),
			sync(),
		);
		await client.waitFor('ReadyForQuery');
	},
	'a rollback brings a table back between Parse and Bind': async (client) => {
		await client.run('set search_path = app');
		await client.run('begin');
		await client.run('create temp table people (ssn text)');
		client.send(parse('s', 'select ssn from people'), sync());
		await client.waitFor('ReadyForQuery');
		await client.run('rollback');
		client.send(...bindExecute('s'), sync());
		await client.waitFor('ReadyForQuery');
	},
	'a cancel request with a wrong key': async (client, _world, target) => {
		const other = await RawClient.open(target.host, target.port);
		const key = client.messages.find((one) => one.type === 'BackendKeyData');
		const packet = Buffer.alloc(16);
		packet.writeInt32BE(16, 0);
		packet.writeInt32BE(80_877_102, 4);
		packet.writeInt32BE(key?.type === 'BackendKeyData' ? key.pid : 0, 8);
		other.send(packet);
		await other.waitForEnd();
		await client.run(READ);
	},
}).map((attack) => ({ ...attack, bare: neverThere[attack.name] ?? null }));

const malformed = conversations('protocol', 'no-secret', {
	'an unknown message': async (client) => {
		client.send(message('y', Buffer.from(`${READ}\0`)), encodeQuery(READ));
		await client.waitFor('ReadyForQuery', 2);
	},
	'a message for the server only': async (client) => {
		client.send(message('T', Buffer.from([0, 0])), message('D', Buffer.from([0, 0])), sync());
		await client.waitFor('ReadyForQuery');
	},
	'a Query with a second text behind its end': async (client) => {
		client.send(message('Q', Buffer.from(`${HARMLESS}\0${READ}\0`)));
		await client.waitFor('ReadyForQuery');
	},
	'a Query without its end': async (client) => {
		client.send(message('Q', Buffer.from(HARMLESS)));
		await client.waitFor('ReadyForQuery');
	},
	'a Parse with bytes behind its end': async (client) => {
		const good = parse('', HARMLESS);
		client.send(message('P', Buffer.concat([good.subarray(5), Buffer.from(READ)])), ...bindExecute(''), sync());
		await client.waitFor('ReadyForQuery');
	},
	'a Parse that promises more types than it has': async (client) => {
		client.send(message('P', Buffer.from(`\0${READ}\0\x7f\xff`, 'latin1')), sync());
		await client.waitFor('ReadyForQuery');
	},
	'a length that is too small': async (client) => {
		client.send(message('Q', Buffer.from(`${READ}\0`), 3));
		await client.waitFor('ReadyForQuery');
	},
	'a negative length': async (client) => {
		client.send(message('Q', Buffer.from(`${READ}\0`), -1));
		await client.waitFor('ReadyForQuery');
	},
	'a length of two gigabytes': async (client) => {
		client.send(message('Q', Buffer.from(`${READ}\0`), 0x7fff_ffff));
		await client.waitFor('ErrorResponse');
	},
	'invalid UTF-8 in a statement': async (client) => {
		client.send(
			message(
				'Q',
				Buffer.concat([
					Buffer.from("select '"),
					Buffer.from([0xff, 0xc0, 0x27]),
					Buffer.from(` , ssn from app.people --'\0`),
				]),
			),
		);
		await client.waitFor('ReadyForQuery');
	},
	'an overlong UTF-8 quote': async (client) => {
		client.send(
			message(
				'Q',
				Buffer.concat([Buffer.from("select 'a"), Buffer.from([0xc0, 0xa7]), Buffer.from(', ssn from app.people --\0')]),
			),
		);
		await client.waitFor('ReadyForQuery');
	},
	'a lone surrogate in UTF-8': async (client) => {
		client.send(
			message(
				'Q',
				Buffer.concat([Buffer.from('select "'), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('" from app.people\0')]),
			),
		);
		await client.waitFor('ReadyForQuery');
	},
	'CopyData out of place': async (client) => {
		client.send(
			encodeFrontend({ type: 'CopyData', data: Buffer.from('1\tx\n') }),
			encodeFrontend({ type: 'CopyDone' }),
		);
		await client.run(READ);
	},
	'a Query in the middle of COPY FROM': async (client) => {
		await client.run('begin');
		client.send(encodeQuery('copy lab.inbox (id, line) from stdin'));
		await client.waitFor('CopyInResponse');
		client.send(encodeQuery(READ), sync());
		await client.waitFor('ReadyForQuery');
		await client.run(READ);
	},
	'a password message after the login': async (client) => {
		client.send(message('p', Buffer.from('x\0')), encodeQuery(READ));
		await client.waitFor('ReadyForQuery');
	},
	'an empty statement': async (client) => {
		await client.run('');
		await client.run(' ; ; ');
		await client.run(READ);
	},
	'Terminate with a Query behind it': async (client) => {
		client.send(message('X', Buffer.alloc(0)), encodeQuery(READ));
		await client.waitForEnd();
	},
	'Describe of a portal that is not there': async (client) => {
		client.send(describePortal('nobody'), sync(), describeStatement('nobody'), sync(), execute('nobody'), sync());
		await client.waitFor('ReadyForQuery', 3);
		await client.run(READ);
	},
	'a FunctionCall of no function': async (client) => {
		client.send(functionCall(0, []), functionCall(4_294_967_295, []));
		await client.waitFor('ReadyForQuery', 2);
		await client.run(READ);
	},
	'ten thousand parentheses': async (client) => {
		await client.run(`select ${'('.repeat(10_000)}1${')'.repeat(10_000)}, ssn from app.people`);
	},
	'a statement of a megabyte': async (client) => {
		await client.run(`select ssn, '${'x'.repeat(1_000_000)}' = '' from app.people`);
	},
	'a thousand joins': async (client) => {
		const tables = Array.from({ length: 300 }, (_, at) => `(select 1 as a${at}) t${at}`).join(', ');
		await client.run(`set join_collapse_limit = 1; select p.ssn from app.people p, ${tables}`);
	},
	'a thousand columns': async (client) => {
		await client.run(`select ${Array.from({ length: 1_000 }, () => 'ssn').join(', ')} from app.people`);
	},
}).map((attack) => ({ ...attack, bare: 'what is malformed is an error there too' }));

const first = conversations(
	'protocol',
	'no-secret',
	{
		'a Query before the login': async (client) => {
			client.send(encodeQuery(READ));
			await client.waitForEnd();
		},
		'a Query behind the startup packet': async (client, _world, target) => {
			client.send(
				encodeStartupMessage(0x0003_0000, [
					['user', target.user],
					['database', target.database],
				]),
				encodeQuery(READ),
			);
			await client.waitForEnd();
		},
		'a Query instead of the password': async (client, _world, target) => {
			client.send(
				encodeStartupMessage(0x0003_0000, [
					['user', target.user],
					['database', target.database],
				]),
			);
			await client.waitFor('AuthenticationSASL');
			client.send(encodeQuery(READ));
			await client.waitForEnd();
		},
		'SSLRequest with a startup packet behind it': async (client, _world, target) => {
			client.send(
				encodeSSLRequest(),
				encodeStartupMessage(0x0003_0000, [
					['user', target.user],
					['database', target.database],
				]),
			);
			await client.waitForEnd().catch(() => undefined);
		},
		'protocol 2': async (client, _world, target) => {
			client.send(encodeStartupMessage(0x0002_0000, [['user', target.user]]));
			await client.waitForEnd().catch(() => undefined);
		},
		HTTP: async (client) => {
			client.send(Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'));
			await client.waitForEnd().catch(() => undefined);
		},
		'a startup packet of a megabyte': async (client) => {
			const packet = Buffer.alloc(8);
			packet.writeInt32BE(1_000_000, 0);
			packet.writeInt32BE(0x0003_0000, 4);
			client.send(packet);
			await client.waitForEnd();
		},
	},
	{ unsigned: true },
).map((attack) => ({ ...attack, bare: 'nobody is signed in yet' }));

export const protocol: readonly AttackCase[] = [...extended, ...malformed, ...first];
