/** Whether a sign-in still holds while its session lasts: the end of its token, questions to the issuer, renewal. */
import { isDeepStrictEqual } from 'node:util';
import { GatewayError } from '../errors.ts';
import type { Identity } from '../stages.ts';
import { AUTH_LIMITS } from './limits.ts';
import type { TokenResult } from './token.ts';

/** What happens to a session whose sign-in has ended. */
export type ExpiryAction =
	/** It ends at once, also in the middle of a transaction. */
	| 'end'
	/** The transaction under way goes on for a while; the next statement ends the session. */
	| 'refuse'
	/** As refuse; but first the token is renewed where the device flow gave a refresh token. */
	| 'refresh';

export interface ExpirySettings {
	readonly action?: ExpiryAction | undefined;
	/** Milliseconds that a transaction under way may go on. */
	readonly graceMs?: number | undefined;
}

/** A sign-in that no longer holds. */
export interface Lapse {
	/** For the client: 28000, FATAL. */
	readonly error: GatewayError;
	/** For log and audit. */
	readonly reason: string;
	/** Milliseconds since the epoch. */
	readonly sinceMs: number;
}

/** One for each signed-in session. */
export interface Standing {
	/** Milliseconds that a transaction under way may go on after the lapse. */
	readonly graceMs: number;
	/** Null while the sign-in holds. Cheap: asked before every statement. */
	lapse(nowMs: number): Lapse | null;
	/** Begins to look after it. `ended` is called, once at most, when the session is to end at once. */
	watch(ended: (lapse: Lapse) => void): void;
	/** The session is over. */
	close(): void;
}

/** How a sign-in can be confirmed or prolonged. */
export interface Evidence {
	/** Asks the issuer again whether the token is good, every so often. */
	readonly recheck?: { readonly everyMs: number; readonly ask: () => Promise<TokenResult> } | undefined;
	/** Gets another token for the same person. */
	readonly renew?: (() => Promise<TokenResult>) | undefined;
}

export interface StandingDeps {
	/** Milliseconds since the epoch. */
	readonly now: () => number;
	/** Resolves early when the signal aborts. */
	readonly delay: (ms: number, signal?: AbortSignal) => Promise<void>;
}

/** Longest wait at a time: the clock may be set meanwhile, and timers hold no more than 24 days. */
const WAIT_MS_MAX = 60 * 60_000;

export class LiveStanding implements Standing {
	readonly graceMs: number;
	readonly #identity: Identity;
	readonly #action: ExpiryAction;
	readonly #deps: StandingDeps;
	readonly #evidence: Evidence;
	readonly #over = new AbortController();
	#validUntilMs: number;
	#recheckAtMs: number;
	#renewAtMs: number;
	#lapse: Lapse | null = null;
	/** Why the token could not be renewed, when it could not. */
	#notRenewed = '';

	constructor(identity: Identity, settings: ExpirySettings, evidence: Evidence, deps: StandingDeps) {
		this.#identity = identity;
		this.#action = settings.action ?? 'refuse';
		this.graceMs = this.#action === 'end' ? 0 : (settings.graceMs ?? AUTH_LIMITS.transactionGraceMs);
		this.#evidence = evidence;
		this.#deps = deps;
		const nowMs = deps.now();
		this.#validUntilMs = identity.expiresAtMs ?? Number.POSITIVE_INFINITY;
		this.#recheckAtMs = nowMs + (evidence.recheck?.everyMs ?? Number.POSITIVE_INFINITY);
		this.#renewAtMs = this.#renewalFrom(nowMs);
	}

	lapse(nowMs: number): Lapse | null {
		if (this.#lapse === null && nowMs >= this.#validUntilMs) {
			this.#lapse = lapsed(
				'the sign-in has expired: sign in again',
				`token expired${this.#notRenewed}`,
				this.#validUntilMs,
			);
		}
		return this.#lapse;
	}

	watch(ended: (lapse: Lapse) => void): void {
		void this.#look(ended);
	}

	close(): void {
		this.#over.abort();
	}

	/** Never rejects: what fails is tried again or leads to the token's own end. */
	async #look(ended: (lapse: Lapse) => void): Promise<void> {
		const { now, delay } = this.#deps;
		const { signal } = this.#over;
		for (;;) {
			const nowMs = now();
			const lapse = this.lapse(nowMs);
			if (lapse !== null) {
				if (this.#action === 'end') ended(lapse);
				return;
			}
			const endMs = this.#action === 'end' ? this.#validUntilMs : Number.POSITIVE_INFINITY;
			const dueMs = Math.min(this.#recheckAtMs, this.#renewAtMs, endMs);
			if (dueMs === Number.POSITIVE_INFINITY) return;
			await delay(Math.min(Math.max(dueMs - nowMs, 0), WAIT_MS_MAX), signal);
			if (signal.aborted) return;
			if (now() >= this.#recheckAtMs) await this.#recheck();
			if (this.#lapse === null && now() >= this.#renewAtMs) await this.#renew();
			if (signal.aborted) return;
		}
	}

	async #recheck(): Promise<void> {
		const { recheck } = this.#evidence;
		if (recheck === undefined) return;
		const result = await recheck.ask();
		this.#recheckAtMs = this.#deps.now() + recheck.everyMs;
		// An issuer that cannot be asked takes nothing back: the token holds until its own end.
		if (result.ok) this.#accept(result.identity);
		else if (result.fault !== 'provider') this.#revoke(result.reason);
	}

	async #renew(): Promise<void> {
		const result = await this.#evidence.renew?.();
		if (result === undefined) return;
		if (result.ok) {
			this.#accept(result.identity);
			this.#renewAtMs = this.#renewalFrom(this.#deps.now());
			return;
		}
		this.#notRenewed = `, and was not renewed: ${result.reason}`;
		const again = result.fault === 'provider';
		this.#renewAtMs = again ? this.#deps.now() + AUTH_LIMITS.renewRetryMs : Number.POSITIVE_INFINITY;
	}

	/** Decisions were made, and are remembered, for what the person was at sign-in: who is another now has to sign in anew. */
	#accept(identity: Identity): void {
		if (!sameRights(this.#identity, identity)) {
			this.#revoke('the person has other groups or claims now');
			return;
		}
		this.#validUntilMs = identity.expiresAtMs ?? this.#validUntilMs;
		this.#notRenewed = '';
	}

	#revoke(reason: string): void {
		const nowMs = this.#deps.now();
		this.#lapse ??= lapsed('the sign-in no longer holds: sign in again', `sign-in revoked: ${reason}`, nowMs);
	}

	/** A while before the token's end, which the tolerance of clocks has already put off. */
	#renewalFrom(nowMs: number): number {
		if (this.#evidence.renew === undefined || this.#validUntilMs === Number.POSITIVE_INFINITY) {
			return Number.POSITIVE_INFINITY;
		}
		const endMs = this.#validUntilMs - AUTH_LIMITS.clockToleranceSeconds * 1000;
		const beforeMs = Math.min(Math.max(endMs - nowMs, 0) / 5, AUTH_LIMITS.renewBeforeMsMax);
		return endMs - beforeMs;
	}
}

/** The same question for a session whose login made no Standing. */
export function lapseOf(standing: Standing | undefined, identity: Identity, nowMs: number): Lapse | null {
	if (standing !== undefined) return standing.lapse(nowMs);
	const { expiresAtMs } = identity;
	if (expiresAtMs === undefined || nowMs < expiresAtMs) return null;
	return lapsed('the sign-in has expired: sign in again', 'token expired', expiresAtMs);
}

function lapsed(words: string, reason: string, sinceMs: number): Lapse {
	return { error: new GatewayError('28000', words, { severity: 'FATAL' }), reason, sinceMs };
}

function sameRights(a: Identity, b: Identity): boolean {
	return (
		a.name === b.name &&
		a.issuer === b.issuer &&
		a.subject === b.subject &&
		isDeepStrictEqual([...a.groups].sort(), [...b.groups].sort()) &&
		isDeepStrictEqual(a.claims, b.claims)
	);
}
