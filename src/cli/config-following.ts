/** Reads portcullis.yaml again when somebody asks, takes up what can change at once, and says what has to wait for the next start. */
import type { RecordSink } from '../admin/meters.ts';
import type { Config } from '../config/config.ts';
import { ConfigError } from '../config/document.ts';
import { GatewayError } from '../errors.ts';
import type { SessionLog } from '../session/services.ts';
import { type ConfigChanges, configChanges, inForce } from './config-changes.ts';

export interface ConfigFollowerParts {
	/** As the gateway was started. */
	readonly config: Config;
	/** Reads it anew; throws ConfigError. Null: it came from no file. */
	readonly load: (() => Promise<Config>) | null;
	/** Takes up what takes effect at once; `config` is in force afterwards. */
	readonly apply: (changes: ConfigChanges, config: Config) => Promise<void>;
	readonly audit: Pick<RecordSink, 'event'>;
	readonly log: SessionLog;
}

/** What came of it. `later`: keys that take effect at the next start, in words. */
export type ConfigResult =
	| { readonly type: 'unchanged'; readonly later: readonly string[] }
	| { readonly type: 'changed'; readonly words: readonly string[]; readonly later: readonly string[] }
	| { readonly type: 'refused'; readonly problems: readonly string[] };

export class ConfigFollower {
	readonly #parts: ConfigFollowerParts;
	#config: Config;
	#latest: Promise<unknown> = Promise.resolve();

	constructor(parts: ConfigFollowerParts) {
		this.#parts = parts;
		this.#config = parts.config;
	}

	/** What is in force. */
	get config(): Config {
		return this.#config;
	}

	/** One after the other. `trigger` is for the records: who or what asked. */
	reload(trigger: 'signal' | 'admin'): Promise<ConfigResult> {
		const mine = this.#latest.then(() => this.#reload(trigger));
		this.#latest = mine.catch(() => undefined);
		return mine;
	}

	async #reload(trigger: string): Promise<ConfigResult> {
		const { load, apply, audit, log } = this.#parts;
		if (load === null) return { type: 'unchanged', later: [] };
		let read: Config;
		try {
			read = await load();
		} catch (error) {
			if (!(error instanceof ConfigError)) throw error;
			const problems = error.message.split('\n');
			audit.event({ type: 'config', ok: false, trigger, changes: problems });
			log.error({ problems, trigger }, 'configuration cannot be used: the former stays in force');
			return { type: 'refused', problems };
		}
		const changes = configChanges(this.#config, read);
		const { words, later } = changes;
		if (later.length > 0) log.warn({ keys: later, trigger }, 'changes of the configuration that need a restart');
		if (words.length === 0) return { type: 'unchanged', later };
		audit.event({ type: 'config', ok: true, trigger, changes: words });
		for (const warning of read.warnings.filter((one) => !this.#config.warnings.includes(one))) log.warn({}, warning);
		const config = inForce(this.#config, read);
		await apply(changes, config);
		this.#config = config;
		log.info({ changes: words, trigger }, 'configuration was reloaded');
		return { type: 'changed', words, later };
	}
}

/** The result in words for whoever asked; empty when there is nothing to say. Throws GatewayError F0000 when it was refused. */
export function configWords(result: ConfigResult): string {
	switch (result.type) {
		case 'refused': {
			const detail = result.problems.join('\n');
			throw new GatewayError('F0000', 'the configuration cannot be used: the former stays in force', { detail });
		}
		case 'unchanged':
			return laterWords(result.later);
		case 'changed':
			return [...result.words, laterWords(result.later)].filter((text) => text !== '').join('; ');
	}
}

function laterWords(later: readonly string[]): string {
	return later.length === 0 ? '' : `after a restart: ${later.join('; ')}`;
}
