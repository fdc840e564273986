/** Signs in at a backend (protocol, "Start-up"): SCRAM-SHA-256 and -PLUS, weaker methods only where switched on. */
import { createHash, randomBytes } from 'node:crypto';
import { serverEndPointHash } from '../auth/channel-binding.ts';
import {
	continueScram,
	finishScram,
	ScramClientError,
	type ScramClientFinal,
	type ScramClientStart,
	startScram,
} from '../auth/scram-client.ts';
import { ScramKeyCache } from '../auth/scram-keys.ts';
import { GatewayError } from '../errors.ts';
import type { AuthenticationMD5Password, Backend } from '../wire/backend.ts';
import { protocolVersions } from '../wire/codes.ts';
import { encodeFrontend, encodeStartupMessage } from '../wire/encode.ts';
import { converse } from './converse.ts';
import type { Dialled } from './dial.ts';
import { backendFailure, loginRejected } from './errors.ts';
import type { BackendTarget } from './target.ts';

/** What a server tells at the end of a login. */
export interface LoginResult {
	readonly pid: number;
	readonly cancelKey: Buffer;
	readonly parameters: ReadonlyMap<string, string>;
}

/** `Authentication*` messages that ask for something, as they come out of `converse` (slices copied). */
type Challenge =
	| { readonly type: 'ok' }
	| { readonly type: 'cleartext' }
	| { readonly type: 'md5'; readonly salt: Buffer }
	| { readonly type: 'sasl'; readonly mechanisms: readonly string[] }
	| { readonly type: 'sasl-continue'; readonly data: string }
	| { readonly type: 'sasl-final'; readonly data: string };

/** Throws GatewayError as `connectBackend` says. */
export async function login(
	dialled: Dialled,
	target: BackendTarget,
	startup: Readonly<Record<string, string>>,
	keys: ScramKeyCache | undefined,
): Promise<LoginResult> {
	const { channel } = dialled;
	const own = { user: target.user, database: target.dbname };
	channel.socket.write(encodeStartupMessage(protocolVersions.v3_0, Object.entries({ ...startup, ...own })));
	try {
		await authenticate(dialled, target, keys);
		return await readWelcome(dialled);
	} catch (error) {
		if (error instanceof GatewayError && error.sqlstate === '08004') target.passwordRefused?.();
		if (!(error instanceof ScramClientError)) throw error;
		throw backendFailure('08004', `signing in at the database server failed: ${error.message}`, error);
	}
}

async function authenticate(dialled: Dialled, target: BackendTarget, keys: ScramKeyCache | undefined): Promise<void> {
	const first = await challenge(dialled);
	switch (first.type) {
		case 'ok':
			return;
		case 'sasl':
			await scram(dialled, first.mechanisms, await passwordOf(target), keys);
			break;
		case 'cleartext': {
			requireAllowed(target, 'cleartext');
			sendPassword(dialled, Buffer.from(`${await passwordOf(target)}\0`));
			break;
		}
		case 'md5': {
			requireAllowed(target, 'md5');
			sendPassword(dialled, Buffer.from(`${md5Password(target.user, await passwordOf(target), first.salt)}\0`));
			break;
		}
		case 'sasl-continue':
		case 'sasl-final':
			throw outOfOrder();
	}
	if ((await challenge(dialled)).type !== 'ok') throw outOfOrder();
}

/** The server must prove that it knows the password too: AuthenticationOk before its proof is refused. */
async function scram(
	dialled: Dialled,
	offered: readonly string[],
	password: string,
	keys: ScramKeyCache = new ScramKeyCache(),
): Promise<void> {
	const { encrypted, serverCertificate } = dialled;
	const start: ScramClientStart = startScram({
		offered,
		tls: encrypted,
		serverCertHash: serverCertificate === null ? null : serverEndPointHash(serverCertificate),
		nonce: randomBytes(18).toString('base64'),
	});
	const message = Buffer.from(start.message);
	const length = Buffer.alloc(4);
	length.writeInt32BE(message.length);
	sendPassword(dialled, Buffer.concat([Buffer.from(`${start.mechanism}\0`), length, message]));
	const next = await challenge(dialled);
	if (next.type !== 'sasl-continue') throw outOfOrder();
	const final: ScramClientFinal = await continueScram(start, password, next.data, (...of) => keys.keys(...of));
	sendPassword(dialled, Buffer.from(final.message));
	const last = await challenge(dialled);
	if (last.type !== 'sasl-final') throw outOfOrder();
	finishScram(final, last.data);
}

function challenge({ channel }: Dialled): Promise<Challenge> {
	return converse(channel, toChallenge);
}

function toChallenge(message: Backend): Challenge | undefined {
	switch (message.type) {
		case 'AuthenticationOk':
			return { type: 'ok' };
		case 'AuthenticationCleartextPassword':
			return { type: 'cleartext' };
		case 'AuthenticationMD5Password':
			return { type: 'md5', salt: saltOf(message) };
		case 'AuthenticationSASL':
			return { type: 'sasl', mechanisms: message.mechanisms };
		case 'AuthenticationSASLContinue':
			return { type: 'sasl-continue', data: message.data.toString('utf8') };
		case 'AuthenticationSASLFinal':
			return { type: 'sasl-final', data: message.data.toString('utf8') };
		case 'AuthenticationGSS':
		case 'AuthenticationGSSContinue':
		case 'AuthenticationSSPI':
		case 'AuthenticationKerberosV5':
			throw backendFailure('0A000', 'the database server asks for Kerberos, which the gateway does not speak');
		case 'ErrorResponse':
			throw loginRejected(message.fields);
		case 'NoticeResponse':
			return undefined;
		default:
			throw outOfOrder();
	}
}

function saltOf(message: AuthenticationMD5Password): Buffer {
	return Buffer.from(message.salt);
}

/** From AuthenticationOk to ReadyForQuery. */
async function readWelcome({ channel }: Dialled): Promise<LoginResult> {
	const parameters = new Map<string, string>();
	let pid = 0;
	let cancelKey: Buffer = Buffer.alloc(0);
	await converse(channel, (message) => {
		switch (message.type) {
			case 'ParameterStatus':
				parameters.set(message.name, message.value);
				return undefined;
			case 'BackendKeyData':
				pid = message.pid;
				cancelKey = Buffer.from(message.key);
				return undefined;
			case 'NoticeResponse':
			case 'NotificationResponse':
				return undefined;
			case 'ErrorResponse':
				throw loginRejected(message.fields);
			case 'ReadyForQuery':
				if (message.status !== 'I') throw outOfOrder();
				return true;
			default:
				throw outOfOrder();
		}
	});
	return { pid, cancelKey, parameters };
}

function sendPassword({ channel }: Dialled, body: Buffer): void {
	channel.socket.write(encodeFrontend({ type: 'Password', body }));
}

/** The configured password; its absence is an error only now that the server asks for one. */
async function passwordOf(target: BackendTarget): Promise<string> {
	let password: string | null;
	try {
		password = await target.password();
	} catch (error) {
		throw backendFailure('08004', 'the password for the database server cannot be read', error);
	}
	if (password === null || password === '') {
		throw backendFailure('08004', 'the database server asks for a password, and none is configured');
	}
	if (password.includes('\0')) throw backendFailure('08004', 'the configured password holds a zero byte');
	return password;
}

function requireAllowed(target: BackendTarget, method: 'cleartext' | 'md5'): void {
	if (target.allowPassword?.includes(method) === true) return;
	const words = `the database server asks for a${method === 'md5' ? 'n md5' : ' cleartext'} password, which is not allowed`;
	throw backendFailure('0A000', words);
}

/** Protocol, "AuthenticationMD5Password": concat('md5', md5(concat(md5(concat(password, username)), salt))). */
function md5Password(user: string, password: string, salt: Buffer): string {
	const inner = createHash('md5').update(password).update(user).digest('hex');
	return `md5${createHash('md5').update(inner).update(salt).digest('hex')}`;
}

function outOfOrder(): GatewayError {
	return backendFailure('08P01', 'the database server sent an unexpected message during the login');
}
