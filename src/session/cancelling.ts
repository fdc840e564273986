/** What becomes of a cancel request: the session here that it is for, or whoever else may know its key (other workers, other gateways). */
import { readForwardedCancel } from '../wire/peer-cancel.ts';
import type { CancelRequest } from '../wire/startup.ts';
import type { LiveSession } from './live.ts';
import type { SessionServices } from './services.ts';

/** A cancel request, and where it came from. */
export interface CancelQuestion {
	readonly pid: number;
	/** As the client has it. */
	readonly key: Buffer;
	readonly clientAddress: string;
	readonly clientPort: number;
	/** Another gateway has handed it on, or somebody who says to be one: other gateways are not asked again. */
	readonly forwarded: boolean;
	/** Address of the gateway of `listen.peers` that has handed it on, and that says where it came from; null: none has. */
	readonly forwardedBy: string | null;
}

/** `known`: a session there has the key; it is dealt with and on record. `passed`: nobody says whether they know it. */
export type CancelFate = 'known' | 'passed' | 'unknown';

/** Others who may have the session of a key that no session of this process has. Asked one after the other until one knows. */
export interface KeysElsewhere {
	/** Resolves when the request is dealt with as far as that can be known; never rejects. */
	cancel(question: CancelQuestion): Promise<CancelFate>;
}

/** What of a gateway a cancel request is for. */
export interface CancelHouse {
	readonly services: Pick<SessionServices, 'audit' | 'cancels' | 'elsewhere' | 'isPeer'>;
	readonly sessions: Iterable<LiveSession>;
	/** Whether a request that nobody here knows may be put on record, which strangers must not fill. */
	readonly mayRecord: () => boolean;
	/** Whether whoever has sent it has left. */
	readonly hasLeft: () => Promise<boolean>;
}

/** Resolves when whoever asked may be told that it is done, which is all they are ever told. */
export async function cancel(
	request: CancelRequest,
	from: Pick<CancelQuestion, 'clientAddress' | 'clientPort'>,
	house: CancelHouse,
): Promise<void> {
	const { services } = house;
	const question = await questionOf(request, from, services);
	// A gateway that has not waited has told its client that it is done: by now it may hit another statement.
	if (question.forwarded && (await house.hasLeft())) return;
	if (await cancelHere(question, house)) return;
	let fate: CancelFate = 'unknown';
	for (const others of services.elsewhere ?? []) {
		fate = await others.cancel(question);
		if (fate === 'known') return;
	}
	// The gateway that has handed it on has it on record.
	if (question.forwardedBy !== null || !house.mayRecord()) return;
	const { clientAddress, clientPort } = question;
	const passed = fate === 'passed';
	services.audit.event({ type: 'cancel', session: null, clientAddress, clientPort, passed });
}

/** Of the sessions of this process alone. True: one of them has the key, and the request is dealt with and on record. */
export async function cancelHere(
	{ pid, key, clientAddress, clientPort, forwardedBy }: CancelQuestion,
	{
		services,
		sessions,
	}: Pick<CancelHouse, 'sessions'> & { readonly services: Pick<SessionServices, 'audit' | 'cancels'> },
): Promise<boolean> {
	const target = [...sessions].find((session) => session.hasKey(pid, key));
	if (target === undefined) return false;
	const forwarded = forwardedBy === null ? {} : { forwardedBy };
	services.audit.event({ type: 'cancel', session: target.info, clientAddress, clientPort, ...forwarded });
	if (target.interrupt?.() !== true) await services.cancels.cancel(pid, key);
	return true;
}

/** What a forwarded request says of its origin counts only from an address at which there is a gateway of `listen.peers`. */
async function questionOf(
	{ pid, key }: CancelRequest,
	from: Pick<CancelQuestion, 'clientAddress' | 'clientPort'>,
	{ isPeer }: Pick<SessionServices, 'isPeer'>,
): Promise<CancelQuestion> {
	const told = readForwardedCancel(pid, key);
	if (told === null) return { pid, key, ...from, forwarded: false, forwardedBy: null };
	const known = (await isPeer?.(from.clientAddress)) === true;
	if (!known) return { pid, key: told.key, ...from, forwarded: true, forwardedBy: null };
	return { ...told, forwarded: true, forwardedBy: from.clientAddress };
}
