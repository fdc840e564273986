/** What is under way when a sign-in has ended may go on for its grace, and is cut off then: rows, the data of a COPY, notifications. */
import type { Conversation } from './conversation.ts';

/** True: it is, and the session is over. Cheap: asked for each chunk. */
export function cutOff(conversation: Conversation): boolean {
	const { services, standing } = conversation;
	if (standing === undefined) return false;
	const nowMs = services.now();
	const lapse = standing.lapse(nowMs);
	if (lapse === null || nowMs < lapse.sinceMs + standing.graceMs) return false;
	conversation.fail(lapse.error, lapse.reason);
	return true;
}
