/** What of a client is on its backend, as far as it is told by what the client has run: doubts to be asked about, and pins. */
import type { LeaseEnd } from '../backend/lease.ts';
import type { PinReason } from '../backend/pooled.ts';
import type { Settings } from '../backend/settings.ts';
import { unreachable } from '../errors.ts';
import type { Decision, Residue, SessionEffect } from '../stages.ts';
import { type Askable, askable } from './state-question.ts';

/** What a database's pool says of code that the gateway does not look into. */
export interface PoolingRules {
	/** pin: who runs it keeps the backend. reset: the backend is reset behind each transaction that ran it. */
	readonly userCode: 'pin' | 'reset';
	/** transaction: currval holds until another client has the backend. pin: who takes a number keeps the backend. */
	readonly sequences: 'transaction' | 'pin';
	/** `schema.name` of functions and relations whose code leaves nothing in the session; `schema.*` for a schema. */
	readonly trusted: readonly string[];
}

/** How much has to be done before another client gets the backend. */
type Taint = 'none' | 'reset' | 'close';

/** What DISCARD ALL may not take away: a backend with it serves nobody else. */
const beyondDiscard: ReadonlySet<PinReason> = new Set(['seed', 'role', 'code', 'unknown']);

const roles: ReadonlySet<string> = new Set(['role', 'session_authorization']);

export class Keepsakes {
	readonly pins = new Set<PinReason>();
	/** Kinds of state to ask the server about at the end of the transaction. */
	doubts: Set<Askable> = new Set();
	/** The transaction may have moved a sequence. */
	sequences = false;
	#rules: PoolingRules;
	readonly #touched = new Set<string>();
	/** A RESET ALL or DISCARD ALL. */
	#touchedAll = false;
	/** A SET LOCAL. */
	#local = false;
	/** The client asks for currval: from now on it keeps what it asks for. */
	#asksSequences: boolean;
	#taint: Taint = 'none';

	constructor(rules: PoolingRules) {
		this.#rules = rules;
		this.#asksSequences = rules.sequences === 'pin';
	}

	/** The server has to be asked before anything can be said. */
	get doubtful(): boolean {
		return this.doubts.size > 0 || this.#touched.size > 0 || this.#touchedAll;
	}

	/** Settings are another in this transaction than between the client's transactions, or may be. */
	get unsettled(): boolean {
		return this.#touched.size > 0 || this.#touchedAll || this.#local;
	}

	/** There may be relations that are the session's own: others may make some of the same names, and they are in the same schema. */
	get temporary(): boolean {
		return this.pins.has('temporary') || this.doubts.has('temporary');
	}

	note({ statements }: Decision): void {
		for (const { effects, node } of statements) {
			if (effects.length === 0) continue;
			for (const effect of effects) this.#effect(effect);
			const isReset = node === 'VariableSetStmt' && effects.some(({ type }) => type === 'names-unknown');
			if (isReset) this.#touchedAll = true;
		}
	}

	pin(reason: PinReason): void {
		this.pins.add(reason);
		if (beyondDiscard.has(reason)) this.#taint = 'close';
	}

	/** Names to ask for: those that statements have set, or all that the client has. */
	touched({ values }: Settings): string[] {
		return this.#touchedAll ? [...new Set([...this.#touched, ...values.keys()])] : [...this.#touched];
	}

	/** The server's answers, in the order of the kinds. */
	learn(kinds: ReadonlySet<Askable>, answers: readonly (string | null)[]): void {
		let at = 0;
		for (const kind of kinds) {
			if (answers[at] === 'f') this.pins.delete(kind);
			else this.pins.add(kind);
			at += 1;
		}
	}

	/** Everything that was asked about is known. */
	settle(): void {
		this.doubts = new Set();
		this.#touched.clear();
		this.#touchedAll = false;
		this.#local = false;
		this.sequences = false;
	}

	/** DISCARD ALL has been done: what it does not reach leaves with the backend. */
	discarded(): void {
		this.pins.clear();
		this.#touchedAll = true;
	}

	/** How a backend goes back on which the client has done what was noted. */
	end(): LeaseEnd {
		if (this.#taint === 'close') return 'broken';
		if (this.#taint === 'reset' || this.pins.size > 0 || this.doubtful) return 'dirty';
		return 'clean';
	}

	/** Other rules hold from now on. Nothing of the client's may be on a backend. */
	govern(rules: PoolingRules): void {
		this.#rules = rules;
		if (rules.sequences === 'pin') this.#asksSequences = true;
	}

	/** On another backend. */
	start(): void {
		this.#taint = 'none';
		this.#local = false;
		this.sequences = false;
	}

	#effect(effect: SessionEffect): void {
		switch (effect.type) {
			case 'set':
				if (effect.name === 'seed') this.pin('seed');
				else if (roles.has(effect.name)) this.pin('role');
				else if (effect.local) this.#local = true;
				else this.#touched.add(effect.name);
				return;
			case 'leaves':
				this.#leaves(effect.what, effect.of);
				return;
			case 'ddl':
				this.doubts.add('temporary');
				return;
			case 'listen':
			case 'unlisten':
				// A listener that is shared hears for it, but something of its own may be there too.
				if (this.pins.has('listen')) this.doubts.add('listen');
				return;
			default:
		}
	}

	#leaves(what: Residue, of: string): void {
		switch (what) {
			case 'temporary':
			case 'cursor':
			case 'prepared':
			case 'lock':
			case 'listen':
				this.doubts.add(what);
				return;
			case 'sequence':
				this.sequences = true;
				if (this.#asksSequences) this.pin('sequence');
				return;
			case 'sequence-read':
				this.#asksSequences = true;
				return;
			case 'all':
				for (const kind of askable) this.doubts.add(kind);
				return;
			case 'seed':
			case 'unknown':
				this.pin(what);
				return;
			case 'code':
				this.#code(of);
				return;
			default:
				unreachable(what);
		}
	}

	#code(of: string): void {
		const { trusted, userCode } = this.#rules;
		if (trusted.some((name) => isNamed(of, name))) return;
		if (userCode === 'pin') this.pin('code');
		else if (this.#taint === 'none') this.#taint = 'reset';
	}
}

/** `of`: `schema.name`, of a function with its argument types behind it. */
function isNamed(of: string, name: string): boolean {
	if (name.endsWith('.*')) return of.startsWith(name.slice(0, -1));
	return of === name || of.startsWith(`${name}(`);
}
