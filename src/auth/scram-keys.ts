/** Remembers the keys that the rounds of SCRAM make of a password, so that they are run once and not for every connection. */
import { type ScramKeys, scramKeys, sha256 } from './verifier.ts';

/** As `scramKeys`. */
export type DeriveKeys = (password: string, salt: Buffer, iterations: number) => Promise<ScramKeys>;

/** For one account of one server: its salt is the same each time. Keeps the keys, not the password. */
export class ScramKeyCache {
	readonly #derive: DeriveKeys;
	#of = '';
	#keys: Promise<ScramKeys> | null = null;

	constructor(derive: DeriveKeys = scramKeys) {
		this.#derive = derive;
	}

	/** Only the latest answer is kept: another password, salt or count is worked out anew. */
	keys(password: string, salt: Buffer, iterations: number): Promise<ScramKeys> {
		const of = `${sha256(Buffer.from(password)).toString('base64')},${salt.toString('base64')},${iterations}`;
		if (this.#keys === null || of !== this.#of) {
			const keys = this.#derive(password, salt, iterations);
			this.#of = of;
			this.#keys = keys;
			keys.catch(() => {
				if (this.#keys === keys) this.#keys = null;
			});
		}
		return this.#keys;
	}
}
