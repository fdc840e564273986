/** The service accounts of the configuration: stored verifiers, and made-up ones for names that nobody has. */
import type { Identity, LoginMethod } from '../stages.ts';
import { AUTH_LIMITS } from './limits.ts';
import { mockVerifier } from './scram-server.ts';
import type { AccountSettings } from './settings.ts';
import { parseVerifier, type ScramVerifier } from './verifier.ts';

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
	readonly #mockLike: { readonly iterations: number; readonly saltBytes: number };

	/** `secret`: random, made once per process. The settings have passed `authProblems`; what has not is left out. */
	constructor(settings: readonly AccountSettings[], secret: Buffer) {
		this.#secret = secret;
		for (const { name, password, certificate = false, roles = [], claims = {} } of settings) {
			const verifier = password === undefined ? null : parseVerifier(password.scram);
			if (verifier === null && !certificate) continue;
			const identity = (method: LoginMethod): Identity => ({ name, roles, groups: [], claims, method });
			this.#accounts.set(name, { verifier, certificate, identity });
		}
		const verifiers = [...this.#accounts.values()].map(({ verifier }) => verifier);
		const first = verifiers.find((verifier) => verifier !== null);
		this.#mockLike = {
			iterations: first?.iterations ?? AUTH_LIMITS.scramIterationsDefault,
			saltBytes: first?.salt.length ?? AUTH_LIMITS.scramSaltBytes,
		};
	}

	get(name: string): Account | undefined {
		return this.#accounts.get(name);
	}

	/** What a login with an unknown name, or without a password, is checked against in vain: it looks like the first one. */
	mock(name: string): ScramVerifier {
		return mockVerifier(this.#secret, name, this.#mockLike);
	}
}
