/** The errors of the wire layer, worded as PostgreSQL words them: who broke the protocol and how. */
import { GatewayError } from '../errors.ts';

/** A peer broke the framing or the order of messages: nothing after it can be understood. FATAL, 08P01. */
export function protocolViolation(message: string): GatewayError {
	return new GatewayError('08P01', message, { severity: 'FATAL' });
}

/** A well-framed message whose body is wrong: fails the statement, as in PostgreSQL. ERROR, 08P01. */
export function malformedMessage(message: string): GatewayError {
	return new GatewayError('08P01', message);
}

/** Text that is not UTF-8, or that holds a NUL. ERROR, 22021. */
export function notUtf8(what: string): GatewayError {
	return new GatewayError('22021', `invalid byte sequence for encoding "UTF8" in ${what}`);
}
