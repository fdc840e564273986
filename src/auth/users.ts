/** The service accounts of the configuration: stored verifiers, and made-up ones for names that nobody has. */
import type { Identity, LoginMethod } from '../stages.ts';
import { AUTH_LIMITS } from './limits.ts';
import { mockVerifier } from './scram-server.ts';
import type { AccountSettings } from './settings.ts';
import { formatVerifier, hmac, parseVerifier, type ScramVerifier, sha256 } from './verifier.ts';

export interface Account {
	/** Null: no password will do. */
	readonly verifier: ScramVerifier | null;
	/** A client certificate with its name will do. */
	readonly certificate: boolean;
	identity(method: LoginMethod): Identity;
}

export class Accounts {
	readonly #accounts = new Map<string, Account>();
	readonly #secret: Buffer;
	/** One for each verifier: a made-up one looks like some of them. */
	readonly #likes: readonly VerifierShape[];

	/** `secret`: random, for when there are no verifiers. The settings have passed `authProblems`; what has not is left out. */
	constructor(settings: readonly AccountSettings[], secret: Buffer) {
		for (const { name, password, certificate = false, roles = [], claims = {} } of settings) {
			const verifier = password === undefined ? null : parseVerifier(password.scram);
			if (verifier === null && !certificate) continue;
			const identity = (method: LoginMethod): Identity => ({ name, roles, groups: [], claims, method });
			this.#accounts.set(name, { verifier, certificate, identity });
		}
		const verifiers = [...this.#accounts.values()].map(({ verifier }) => verifier).filter((one) => one !== null);
		this.#secret = mockSecret(verifiers) ?? secret;
		const shapes = verifiers.map(({ iterations, salt }) => ({ iterations, saltBytes: salt.length }));
		this.#likes = shapes.length === 0 ? [defaultShape] : shapes;
	}

	get(name: string): Account | undefined {
		return this.#accounts.get(name);
	}

	/** What a login with an unknown name, or without a password, is checked against in vain. */
	mock(name: string): ScramVerifier {
		const at = hmac(this.#secret, `like:${name}`).readUInt32BE() % this.#likes.length;
		return mockVerifier(this.#secret, name, this.#likes[at] ?? defaultShape);
	}
}

interface VerifierShape {
	readonly iterations: number;
	readonly saltBytes: number;
}

const defaultShape: VerifierShape = {
	iterations: AUTH_LIMITS.scramIterationsDefault,
	saltBytes: AUTH_LIMITS.scramSaltBytes,
};

/**
 * The same in every worker, in every gateway with these accounts, and after a restart: a salt that is another one there would tell
 * that the name is nobody's. Whoever does not know all of the verifiers cannot work it out. Null: there are none.
 */
function mockSecret(verifiers: readonly ScramVerifier[]): Buffer | null {
	if (verifiers.length === 0) return null;
	return sha256(Buffer.from(['portcullis mock', ...verifiers.map(formatVerifier).sort()].join('\n')));
}
