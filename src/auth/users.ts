/** The service accounts of the configuration: stored verifiers, and made-up ones for names that nobody has. */
import type { Identity, LoginMethod } from '../stages.ts';
import { AUTH_LIMITS } from './limits.ts';
import { mockVerifier } from './scram-server.ts';
import type { AccountSettings } from './settings.ts';
import { parseVerifier, type ScramVerifier } from './verifier.ts';

export interface Account {
	readonly verifier: ScramVerifier;
	identity(method: LoginMethod): Identity;
}

export class Accounts {
	readonly #accounts = new Map<string, Account>();
	readonly #secret: Buffer;
	readonly #mockLike: { readonly iterations: number; readonly saltBytes: number };

	/** `secret`: random, made once per process. The settings have passed `authProblems`; what has not is left out. */
	constructor(settings: readonly AccountSettings[], secret: Buffer) {
		this.#secret = secret;
		for (const { name, password, roles = [], claims = {} } of settings) {
			const verifier = parseVerifier(password.scram);
			if (verifier === null) continue;
			const identity = (method: LoginMethod): Identity => ({ name, roles, groups: [], claims, method });
			this.#accounts.set(name, { verifier, identity });
		}
		const [first] = this.#accounts.values();
		this.#mockLike = {
			iterations: first?.verifier.iterations ?? AUTH_LIMITS.scramIterationsDefault,
			saltBytes: first?.verifier.salt.length ?? AUTH_LIMITS.scramSaltBytes,
		};
	}

	get(name: string): Account | undefined {
		return this.#accounts.get(name);
	}

	/** What a login with an unknown name is checked against, in vain: it looks like the first account's. */
	mock(name: string): ScramVerifier {
		return mockVerifier(this.#secret, name, this.#mockLike);
	}
}
