/** The settings that tell the server whose session it is, added to what the client asked for. */
import { expect, test } from 'vitest';
import { parseOptions } from '../../src/session/startup-options.ts';
import { type TellUser, tellUser } from '../../src/session/told-user.ts';

const told = { user: 'ana', session: 's-1' };
const own = [
	['portcullis.user', 'ana'],
	['portcullis.session', 's-1'],
];

const rows: {
	name: string;
	startup?: Record<string, string>;
	ways: TellUser[];
	user?: string;
	options: string[][];
	application: string | undefined;
}[] = [
	{ name: 'nothing', startup: { application_name: 'psql' }, ways: [], options: [], application: 'psql' },
	{ name: 'settings', ways: ['setting'], options: own, application: undefined },
	{ name: 'the user alone', ways: ['user'], options: own.slice(0, 1), application: undefined },
	{ name: 'both where both are asked for', ways: ['user', 'setting'], options: own, application: undefined },
	{
		name: "settings behind the client's own, whose application_name stays",
		startup: { application_name: 'psql', options: '-c work_mem=1MB' },
		ways: ['setting'],
		options: [['work_mem', '1MB'], ...own],
		application: 'psql',
	},
	{
		name: 'application_name',
		startup: { application_name: 'psql' },
		ways: ['application_name'],
		options: [],
		application: 'ana: psql',
	},
	{ name: 'application_name of a client without one', ways: ['application_name'], options: [], application: 'ana' },
	{
		name: 'a name that looks like options',
		ways: ['setting', 'application_name'],
		user: 'a\\ -c role=x\tb\\',
		options: [['portcullis.user', 'a\\ -c role=x\tb\\'], own[1] as string[]],
		application: 'a\\ -c role=x\tb\\',
	},
];

test.each(rows)('$name', ({ startup = {}, ways, user = 'ana', options, application }) => {
	const got = tellUser(startup, ways, { ...told, user });
	expect(parseOptions(got['options'] ?? '').map(({ name, value }) => [name, value])).toEqual(options);
	expect(got['application_name']).toBe(application);
});
