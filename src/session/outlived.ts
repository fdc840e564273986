/** What goes on by itself, and how long: rows, the data of a COPY and notifications, when a sign-in has ended or the policy has changed. */
import { GatewayError } from '../errors.ts';
import type { Conversation } from './conversation.ts';

/** True: its grace is over, and so is the session. Cheap: asked for each chunk. */
export function cutOff(conversation: Conversation): boolean {
	const { services, standing } = conversation;
	if (standing === undefined) return false;
	const nowMs = services.now();
	const lapse = standing.lapse(nowMs);
	if (lapse === null || nowMs < lapse.sinceMs + standing.graceMs) return false;
	conversation.fail(lapse.error, lapse.reason);
	return true;
}

/** Why the session may hear nothing more; null: it may. LISTEN was allowed once, and lasts as long as the session. */
export function unheard(conversation: Conversation): GatewayError | null {
	if (conversation.context().access.onDatabase('listen').allowed) return null;
	return new GatewayError('42501', 'permission denied for LISTEN: no rule allows it any more', { severity: 'FATAL' });
}
