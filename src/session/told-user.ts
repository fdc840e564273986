/** Tells the server whose session it is, by startup settings that no statement of the client can change. */
import { formatOptions, type Setting } from './startup-options.ts';

/**
 * setting: `portcullis.user` and `portcullis.session`. user: the former alone, which all sessions of one user share.
 * application_name: the name in front of what the client sent.
 */
export type TellUser = 'setting' | 'user' | 'application_name';

export interface Told {
	/** Who signed in. */
	readonly user: string;
	/** Id of the session, as in the audit log. */
	readonly session: string;
}

type Startup = Readonly<Record<string, string>>;

/** The client's startup settings with those added; on the server RESET and DISCARD lead back to them. */
export function tellUser(startup: Startup, ways: readonly TellUser[], { user, session }: Told): Startup {
	let told = startup;
	if (ways.includes('setting') || ways.includes('user')) {
		const own: Setting[] = [{ name: 'portcullis.user', value: user }];
		if (ways.includes('setting')) own.push({ name: 'portcullis.session', value: session });
		// Last, so that they hold whatever stands before them.
		told = { ...told, options: [startup['options'], formatOptions(own)].filter(Boolean).join(' ') };
	}
	if (ways.includes('application_name')) {
		const { application_name: application = '' } = startup;
		// In front, because the server cuts the whole at 63 bytes.
		told = { ...told, application_name: application === '' ? user : `${user}: ${application}` };
	}
	return told;
}
