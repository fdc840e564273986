/** A login by the client certificate that the TLS handshake has already proved: nothing more is asked for. */
import { encodeAuthenticationOk } from '../wire/encode.ts';
import type { ClientCertificate } from './client-certificate.ts';
import type { BaseContext } from './context.ts';
import type { Exchange, Step } from './exchange.ts';
import type { Account } from './users.ts';

export class CertificateExchange implements Exchange {
	readonly #context: BaseContext;
	readonly #account: Account;
	readonly #certificate: ClientCertificate;

	/** The certificate gives the account's name. */
	constructor(context: BaseContext, account: Account, certificate: ClientCertificate) {
		this.#context = context;
		this.#account = account;
		this.#certificate = certificate;
	}

	/** Not held up by failures of others: a certificate is nothing that anybody guesses. */
	step(): Step {
		const { subject, issuer, fingerprint, expiresAtMs } = this.#certificate;
		const identity = { ...this.#account.identity('certificate'), subject, issuer, tokenId: fingerprint, expiresAtMs };
		this.#context.succeeded();
		const standing = this.#context.standing(identity);
		return { type: 'done', messages: [encodeAuthenticationOk()], identity, standing };
	}
}
