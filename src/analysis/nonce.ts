/** A random word, for telling the gateway's own check failures from other errors. */
import { randomBytes } from 'node:crypto';

export function nonce(): string {
	return `portcullis_check_${randomBytes(12).toString('hex')}`;
}
