/** Messages of the extended protocol for conversations that compose their own. */
import {
	encodeBind,
	encodeClose,
	encodeDescribe,
	encodeExecute,
	encodeFlush,
	encodeFrontend,
	encodeParse,
	encodeSync,
} from '../../src/wire/encode.ts';
import type { PortalName, StatementName } from '../../src/wire/frontend.ts';

export function parse(name: string, sql: string, paramTypes: readonly number[] = []): Buffer {
	return encodeParse(name as StatementName, sql, paramTypes);
}

/** `format`: of all results, 0 text or 1 binary. */
export function bind(
	statement: string,
	params: readonly (string | Buffer | null)[] = [],
	portal = '',
	format: 0 | 1 = 0,
): Buffer {
	return encodeBind({
		portal: portal as PortalName,
		statement: statement as StatementName,
		paramFormats: params.map((param) => (Buffer.isBuffer(param) ? 1 : 0)),
		params: params.map((param) => (typeof param === 'string' ? Buffer.from(param) : param)),
		resultFormats: [format],
	});
}

export function execute(portal = '', maxRows = 0): Buffer {
	return encodeExecute(portal as PortalName, maxRows);
}

/** Bind of the unnamed portal, Describe of it, Execute. */
export function bindExecute(
	statement: string,
	params: readonly (string | Buffer | null)[] = [],
	format: 0 | 1 = 0,
): Buffer[] {
	return [bind(statement, params, '', format), describePortal(''), execute()];
}

export function describePortal(name: string): Buffer {
	return encodeDescribe({ kind: 'P', name: name as PortalName });
}

export function describeStatement(name: string): Buffer {
	return encodeDescribe({ kind: 'S', name: name as StatementName });
}

export function closeStatement(name: string): Buffer {
	return encodeClose({ kind: 'S', name: name as StatementName });
}

export function closePortal(name: string): Buffer {
	return encodeClose({ kind: 'P', name: name as PortalName });
}

export function sync(): Buffer {
	return encodeSync();
}

export function flush(): Buffer {
	return encodeFlush();
}

/** FunctionCall of a function by its oid, arguments as text unless they are bytes. */
export function functionCall(oid: number, args: readonly (string | Buffer | null)[], resultFormat: 0 | 1 = 0): Buffer {
	return encodeFrontend({
		type: 'FunctionCall',
		oid,
		argFormats: args.map((arg) => (Buffer.isBuffer(arg) ? 1 : 0)),
		args: args.map((arg) => (typeof arg === 'string' ? Buffer.from(arg) : arg)),
		resultFormat,
	});
}

/** Bytes as a message of any type, however wrong: `length` overrides the declared length. */
export function message(type: string, body: Buffer, length = body.length + 4): Buffer {
	const header = Buffer.alloc(5);
	header.write(type, 'latin1');
	header.writeInt32BE(length, 1);
	return Buffer.concat([header, body]);
}
