/** Pieces that sections of the schema share: text, numbers, ports, secrets. */
import { z } from 'zod';

export const port = (least: number) => z.int().min(least).max(65_535);
export const text = z.string().min(1);
export const count = (least: number) => z.int().min(least);

/** Milliseconds that a timer waits: one of more than 2^31 would fire at once, so less is taken, with room for what is added. */
export const wait = (least: number) => z.int().min(least).max(waitMax, `must be at most ${waitMax} (23 days)`);
const waitMax = 2_000_000_000;

export const secretFile = z.strictObject({
	file: text.describe('Path of a file that holds it; a line feed at its end is dropped.'),
});
export const secretEnv = z.strictObject({ env: text.describe('Name of an environment variable that holds it.') });
export const secret = z.union([secretEnv, secretFile], { error: 'must be { env: NAME } or { file: PATH }' });

/** TLS to a server of the gateway's. */
export const serverTls = z.strictObject({
	mode: z.enum(['disable', 'require', 'verify-ca', 'verify-full']).default('verify-full').describe("libpq's words."),
	ca: text.optional().describe("PEM file of the authorities to trust. Default: the system's."),
	cert: text.optional().describe('PEM file of a client certificate.'),
	key: text.optional().describe('PEM file of its private key.'),
});
