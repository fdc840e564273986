/** The server's half of SCRAM (RFC 5802) for the mock broker's front: any of node's hashes, one user. */
import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from 'node:crypto';

const iterations = 4096;

export interface ScramUser {
	readonly user: string;
	readonly password: string;
}

/** Takes the client's messages in turn; the second answer is null when the password is wrong. */
export class ScramServer {
	readonly #hash: string;
	readonly #user: ScramUser;
	#begun: { readonly clientFirst: string; readonly serverFirst: string; readonly salt: Buffer } | null = null;

	constructor(hash: 'sha256' | 'sha512', user: ScramUser) {
		this.#hash = hash;
		this.#user = user;
	}

	answer(message: string): string | null {
		if (this.#begun === null) {
			const clientFirst = message.replace(/^[^,]*,[^,]*,/, '');
			const [, user, nonce] = /^n=([^,]*),r=(.*)$/.exec(clientFirst) ?? [];
			if (user !== this.#user.user) return null;
			const salt = randomBytes(16);
			const serverFirst = `r=${nonce}${randomBytes(12).toString('hex')},s=${salt.toString('base64')},i=${iterations}`;
			this.#begun = { clientFirst, serverFirst, salt };
			return serverFirst;
		}
		const { clientFirst, serverFirst, salt } = this.#begun;
		const [, withoutProof, proof = ''] = /^(.*),p=(.*)$/.exec(message) ?? [];
		const length = this.#hash === 'sha256' ? 32 : 64;
		const salted = pbkdf2Sync(this.#user.password, salt, iterations, length, this.#hash);
		const clientKey = this.#hmac(salted, 'Client Key');
		const storedKey = createHash(this.#hash).update(clientKey).digest();
		const signed = `${clientFirst},${serverFirst},${withoutProof}`;
		const signature = this.#hmac(storedKey, signed);
		const want = clientKey.map((byte, index) => byte ^ (signature[index] ?? 0));
		const given = Buffer.from(proof, 'base64');
		if (given.length !== want.length || !timingSafeEqual(given, want)) return null;
		return `v=${this.#hmac(this.#hmac(salted, 'Server Key'), signed).toString('base64')}`;
	}

	#hmac(key: Buffer, text: string): Buffer {
		return createHmac(this.#hash, key).update(text).digest();
	}
}
