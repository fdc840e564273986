/** The people, accounts and papers of the fixture's database, with a fresh secret in every protected cell. */
import { randomUUID } from 'node:crypto';
import { randomDate, randomHex, randomNumber, randomWord, type Secret } from './secrets.ts';

export interface Person {
	readonly id: number;
	readonly tenant: string;
	readonly name: string;
	/** Local part is secret, the domain is not. */
	readonly email: string;
	readonly ssn: string;
	readonly salary: bigint;
	readonly bonus: string;
	readonly born: string;
	/** Hex. */
	readonly photo: string;
	readonly notes: string;
	readonly pin: bigint;
	readonly token: string;
	readonly pref: string;
	readonly tag: string;
	readonly street: string;
	readonly account: { readonly id: number; readonly iban: string; readonly balance: string; readonly memo: string };
	readonly event: { readonly id: number; readonly payload: string; readonly kind: string };
}

/** Everything that is planted. */
export interface World {
	readonly people: readonly Person[];
	/** Of the attackers' own tenant: what is masked or hidden is secret. */
	readonly own: Person;
	/** Of another tenant: nearly everything is secret. */
	readonly other: Person;
	readonly denied: string;
	readonly vault: string;
	readonly ownPaper: string;
	readonly otherPaper: string;
	readonly otherTitle: string;
	readonly file: string;
	readonly fileName: string;
	readonly largeObject: string;
	readonly sequence: bigint;
	readonly serverPassword: string;
	readonly subscriptionPassword: string;
	readonly statement: string;
	readonly missing: string;
	/** What must not reach an analyst or a writer of tenant acme. */
	readonly secrets: readonly Secret[];
}

const OWN = 'acme';

export function makeWorld(): World {
	const people = [...makePeople(OWN, 1, 6), ...makePeople('globex', 101, 6), ...makePeople('initech', 201, 2)];
	const [own] = people;
	const other = people.find((person) => person.tenant === 'globex');
	if (own === undefined || other === undefined) throw new Error('nobody was made');
	const single = {
		denied: randomWord(20),
		vault: randomWord(20),
		ownPaper: randomWord(20),
		otherPaper: randomWord(20),
		otherTitle: randomWord(20),
		file: randomWord(24),
		largeObject: randomWord(24),
		serverPassword: randomWord(20),
		subscriptionPassword: randomWord(20),
		statement: randomWord(24),
		missing: randomWord(20),
	};
	const sequence = randomNumber(15);
	const secrets: Secret[] = people.flatMap(secretsOf);
	for (const [place, text] of Object.entries(single)) secrets.push({ place, kind: 'text', text });
	secrets.push({ place: 'sequence', kind: 'number', text: String(sequence) });
	return { people, own, other, ...single, fileName: `adversary-${randomHex(6)}.txt`, sequence, secrets };
}

function makePeople(tenant: string, first: number, count: number): Person[] {
	return Array.from({ length: count }, (_, at) => makePerson(tenant, first + at));
}

/** First letters of names, by id: the planner's histogram leaves out the first and the last value, which a person in the middle never has. */
const INITIALS = 'abcdefghjkmnpqr';

function makePerson(tenant: string, id: number): Person {
	const order = (id % 100) + 6 * Math.floor(id / 100);
	return {
		id,
		tenant,
		name: `${INITIALS[order] ?? 'z'}${randomWord(15)}`,
		email: `${randomWord(16)}@mail.test`,
		ssn: randomWord(20),
		salary: randomNumber(15),
		bonus: `${randomNumber(11)}.${randomNumber(4)}`,
		born: randomDate(),
		photo: randomHex(24),
		notes: randomWord(24),
		pin: 1_000_000_000n + (randomNumber(9) % 1_000_000_000n),
		token: randomUUID(),
		pref: randomWord(16),
		tag: randomWord(16),
		street: randomWord(20),
		account: { id: id * 10, iban: randomWord(24), balance: `${randomNumber(12)}.25`, memo: randomWord(16) },
		event: { id: id * 100, payload: randomWord(20), kind: randomWord(16) },
	};
}

function secretsOf(person: Person): Secret[] {
	const place = (column: string): string => `${column} of ${person.id}`;
	const secret = (column: string, text: string, kind: Secret['kind'] = 'text'): Secret => ({
		place: place(column),
		kind,
		text,
	});
	const masked = [
		secret('people.email', person.email.split('@')[0] ?? ''),
		secret('people.ssn', person.ssn),
		secret('people.salary', String(person.salary), 'number'),
		secret('people.bonus', person.bonus, 'decimal'),
		secret('people.born', person.born, 'date'),
		secret('people.photo', person.photo, 'bytes'),
		secret('people.notes', person.notes),
		secret('people.pin', String(person.pin), 'number'),
		secret('people.token', person.token, 'uuid'),
		secret('people.prefs', person.pref),
		secret('people.tags', person.tag),
		secret('people.home', person.street),
		secret('accounts.iban', person.account.iban),
		secret('events.payload', person.event.payload),
	];
	if (person.tenant === OWN) return masked;
	return [
		...masked,
		secret('people.name', person.name),
		secret('accounts.memo', person.account.memo),
		secret('accounts.balance', person.account.balance, 'decimal'),
		secret('events.kind', person.event.kind),
	];
}
