/** Which hosts may be used: the election of the one primary, and what fits target_session_attrs. Pure: no I/O and no clock. */
import { unreachable } from '../errors.ts';
import type { HostState, TargetSessionAttrs } from './cluster-host.ts';

/** A host as the choice sees it. `name` as nameOfHost makes it. */
export interface Candidate {
	readonly name: string;
	readonly state: HostState;
	/** Of a standby; null: not known. */
	readonly lagMs: number | null;
	/** Patroni's tag `noloadbalance`: not for balanced reading. */
	readonly spared: boolean;
}

/** What Patroni says: the name of the leader, null: there is none now, undefined: it was not asked or does not answer. */
export type LeaderWord = string | null | undefined;

export interface ElectionInputs {
	readonly candidates: readonly Candidate[];
	readonly leader: LeaderWord;
	/** The primary so far; null before the first. */
	readonly incumbent: string | null;
	/** The highest timeline on which a primary was ever elected, by system identifier. */
	readonly timelines: ReadonlyMap<string, number>;
}

export interface Election {
	/** Name of the one primary; null: none, or it cannot be told which. */
	readonly primary: string | null;
	/** Why hosts that say that they are primary are not used, for the operator; null: all is well. */
	readonly conflict: string | null;
}

interface Primary {
	readonly name: string;
	readonly system: string;
	readonly timeline: number;
}

/**
 * One primary or none, never two. The one that Patroni names, if it says the same of itself; without Patroni the one on the
 * newest timeline. One on an older timeline than was seen before has been replaced, even if nobody else answers.
 */
export function electPrimary({ candidates, leader, incumbent, timelines }: ElectionInputs): Election {
	const claiming = candidates.flatMap(primaryOf);
	if (leader !== undefined) {
		const named = claiming.find(({ name }) => name === leader);
		const others = claiming.filter(({ name }) => name !== leader).map(({ name }) => name);
		const whom = leader === null ? 'nobody' : leader;
		const conflict = others.length === 0 ? null : `Patroni names ${whom} as the leader, so ${listed(others)} not used`;
		return { primary: named?.name ?? null, conflict };
	}
	const fresh = claiming.filter(({ system, timeline }) => timeline === 0 || timeline >= (timelines.get(system) ?? 0));
	const old = claiming.filter((one) => !fresh.includes(one)).map(({ name }) => name);
	const replaced = old.length === 0 ? null : `a newer timeline was seen than that of ${listed(old)} not used`;
	const [first, ...rest] = fresh;
	if (first === undefined || rest.length === 0) return { primary: first?.name ?? null, conflict: replaced };
	return amongSeveral(fresh, incumbent);
}

function amongSeveral(claiming: readonly Primary[], incumbent: string | null): Election {
	const names = claiming.map(({ name }) => name);
	const systems = new Set(claiming.map(({ system }) => system));
	const newest = Math.max(...claiming.map(({ timeline }) => timeline));
	const best = claiming.filter(({ timeline }) => timeline === newest);
	const [winner, tied] = best;
	if (systems.size === 1 && winner !== undefined && tied === undefined) {
		const others = names.filter((name) => name !== winner.name);
		return {
			primary: winner.name,
			conflict: `${winner.name} is on the newest timeline, so ${listed(others)} not used`,
		};
	}
	const why = systems.size > 1 ? 'are primaries of different clusters' : 'are primaries on the same timeline';
	const kept = best.find(({ name }) => name === incumbent)?.name ?? null;
	const what = kept === null ? 'none of them is used' : `only ${kept}, which was in use, goes on`;
	return { primary: kept, conflict: `${names.join(', ')} ${why}: ${what}` };
}

function primaryOf({ name, state }: Candidate): Primary[] {
	if (state.type !== 'up' || state.report.role !== 'primary') return [];
	const { system, timeline } = state.report;
	return [{ name, system: system ?? '', timeline: timeline ?? 0 }];
}

function listed(names: readonly string[]): string {
	return `${names.join(', ')} ${names.length === 1 ? 'is' : 'are'}`;
}

export interface ChoiceInputs {
	readonly candidates: readonly Candidate[];
	readonly attrs: TargetSessionAttrs;
	/** Name of the elected primary; others that say that they are one fit nothing. */
	readonly primary: string | null;
	/** Standbys that are further behind are not used; null: however far. */
	readonly lagMaxMs: number | null;
}

/** The hosts that fit, best first: those of one group are equally good, and a later group is only for when those before fail. */
export function fitting({ candidates, attrs, primary, lagMaxMs }: ChoiceInputs): readonly (readonly string[])[] {
	const up = candidates.flatMap(({ name, state, lagMs, spared }) =>
		state.type === 'up' ? [{ name, lagMs, spared, ...state.report }] : [],
	);
	const leading = up.filter(({ name }) => name === primary);
	const standbys = up.filter(
		({ role, lagMs }) => role === 'standby' && (lagMaxMs === null || (lagMs ?? Infinity) <= lagMaxMs),
	);
	const following = [standbys.filter(({ spared }) => !spared), standbys.filter(({ spared }) => spared)];
	const groups = groupsOf(attrs, leading, following);
	return groups.map((group) => group.map(({ name }) => name)).filter((group) => group.length > 0);
}

function groupsOf<One extends { readonly readOnly: boolean }>(
	attrs: TargetSessionAttrs,
	leading: readonly One[],
	following: readonly (readonly One[])[],
): readonly (readonly One[])[] {
	switch (attrs) {
		case 'primary':
			return [leading];
		case 'read-write':
			return [leading.filter(({ readOnly }) => !readOnly)];
		case 'standby':
			return following;
		case 'read-only':
			return [...following, leading.filter(({ readOnly }) => readOnly)];
		case 'prefer-standby':
			return [...following, leading];
		case 'any':
			return [[...leading, ...(following[0] ?? [])], ...following.slice(1)];
		default:
			return unreachable(attrs);
	}
}
