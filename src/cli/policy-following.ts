/** Keeps log and audit told of each change of the policy, and reads it again when somebody asks. */
import type { RecordSink } from '../admin/meters.ts';
import { GatewayError } from '../errors.ts';
import { formatProblem } from '../policy/problem.ts';
import type { PolicyStore, ReloadResult } from '../policy/store.ts';
import type { SessionLog } from '../session/services.ts';

export interface PolicyFollower {
	/** When the policy in force was loaded: milliseconds since the epoch. */
	loadedMs(): number;
	/** Reads the files now. `trigger` is for the records: who or what asked. */
	reload(trigger: 'signal' | 'admin'): Promise<ReloadResult>;
	/** Looks at the files because another gateway has told of a change; a mistake that is known is not told again. Never rejects. */
	look(): Promise<void>;
}

export function followPolicy(
	store: PolicyStore,
	audit: Pick<RecordSink, 'event'>,
	log: SessionLog,
	now: () => number,
): PolicyFollower {
	let trigger = 'start';
	let revision: string | null = null;
	let loadedMs = now();
	const record = (ok: boolean, problems: readonly string[]): void => {
		const { revision: current } = store.current();
		audit.event({ type: 'policy-reload', ok, revision: current, previousRevision: revision, trigger, problems });
		revision = current;
	};
	record(true, []);
	trigger = 'file change';
	store.onChange((policy) => {
		loadedMs = now();
		record(true, []);
		log.info({ revision: policy.revision, rules: policy.rules.length, trigger }, 'policy was reloaded');
		for (const problem of [...policy.warnings, ...store.recheck()]) log.warn({}, formatProblem(problem));
	});
	store.onRefusal((error) => {
		const problems = error.problems.map(formatProblem);
		record(false, problems);
		const fields = { problems, inForce: store.current().revision, trigger };
		log.error(fields, 'policy cannot be used: the former stays in force');
	});
	return {
		loadedMs: () => loadedMs,
		reload: async (asked) => {
			trigger = asked;
			try {
				const result = await store.reload();
				if (result.type === 'unchanged') log.info({ revision: store.current().revision }, 'policy is unchanged');
				return result;
			} finally {
				trigger = 'file change';
			}
		},
		look: async () => {
			trigger = 'another gateway';
			try {
				await store.look();
			} finally {
				trigger = 'file change';
			}
		},
	};
}

/** The result in words for whoever asked. Throws GatewayError F0000 when the policy was refused. */
export function reloadWords(result: ReloadResult): string {
	const { revision, rules } = result.policy;
	switch (result.type) {
		case 'changed':
			return `policy ${revision} with ${rules.length} rules is in force`;
		case 'unchanged':
			return `policy ${revision} is unchanged`;
		case 'refused': {
			const detail = result.error.problems.map(formatProblem).join('\n');
			throw new GatewayError('F0000', `the policy cannot be used: ${revision} stays in force`, { detail });
		}
	}
}
