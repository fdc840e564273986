/** What those are told who get no lease. */
import type { GatewayError } from '../errors.ts';
import { backendFailure } from './errors.ts';

export function poolClosed(): GatewayError {
	return backendFailure('57P01', 'the gateway is shutting down');
}

export function givenUp(): GatewayError {
	return backendFailure('08006', 'the client left while it waited for a connection');
}

export function allInUse(size: number, waitedMs: number): GatewayError {
	return backendFailure('53300', `too many clients: all ${size} connections were in use for ${waitedMs} ms`);
}

export function queueFull(size: number, waiting: number): GatewayError {
	return backendFailure('53300', `too many clients: all ${size} connections are in use, and ${waiting} clients wait`);
}
