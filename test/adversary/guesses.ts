/** Pairs of a right and a wrong guess at a secret, equally long. */
import { randomNumber, randomWord } from './secrets.ts';
import type { World } from './world.ts';

type Pair = (world: World) => { readonly right: string; readonly wrong: string };

/** ssn of a person of the own tenant, which is masked. */
export const ownSsn: Pair = ({ own }) => ({ right: own.ssn, wrong: randomWord(own.ssn.length) });
export const ownSalary: Pair = ({ own }) => ({ right: String(own.salary), wrong: String(randomNumber(15)) });
export const ownPin: Pair = ({ own }) => ({ right: String(own.pin), wrong: String(1_000_000_000n + randomNumber(9)) });
export const ownIban: Pair = ({ own }) => ({ right: own.account.iban, wrong: randomWord(own.account.iban.length) });
export const ownNotes: Pair = ({ own }) => ({ right: own.notes, wrong: randomWord(own.notes.length) });
export const ownPayload: Pair = ({ own }) => ({
	right: own.event.payload,
	wrong: randomWord(own.event.payload.length),
});
export const ownEmail: Pair = ({ own }) => ({ right: own.email, wrong: `${randomWord(16)}@mail.test` });
export const ownTag: Pair = ({ own }) => ({ right: own.tag, wrong: randomWord(own.tag.length) });
export const ownPref: Pair = ({ own }) => ({ right: own.pref, wrong: randomWord(own.pref.length) });
export const ownBorn: Pair = ({ own }) => ({ right: own.born, wrong: own.born.replace(/^\d{4}/, '1949') });
/** First six letters, for LIKE and regular expressions. */
export const ownSsnStart: Pair = ({ own }) => ({ right: own.ssn.slice(0, 6), wrong: randomWord(6) });
/** Of another tenant, whose rows a filter hides. */
export const otherName: Pair = ({ other }) => ({ right: other.name, wrong: randomWord(other.name.length) });
/** Its first twelve letters, for LIKE. */
export const otherNameStart: Pair = ({ other }) => ({ right: other.name.slice(0, 12), wrong: randomWord(12) });
/** Of a paper in a child of the table that is asked. */
export const otherTitle: Pair = (world) => ({ right: world.otherTitle, wrong: randomWord(world.otherTitle.length) });
export const otherSsn: Pair = ({ other }) => ({ right: other.ssn, wrong: randomWord(other.ssn.length) });
export const otherMemo: Pair = ({ other }) => ({
	right: other.account.memo,
	wrong: randomWord(other.account.memo.length),
});
export const otherSalary: Pair = ({ other }) => ({ right: String(other.salary), wrong: String(randomNumber(15)) });
/** Ids: 101 is there and hidden, 991 is not there. */
export const otherId: Pair = ({ other }) => ({ right: String(other.id), wrong: '991' });
export const otherAccount: Pair = ({ other }) => ({ right: String(other.account.id), wrong: '9910' });
export const otherTenant: Pair = () => ({ right: 'globex', wrong: 'nobody' });
/** How many rows there are over all tenants. */
export const peopleCount: Pair = ({ people }) => ({ right: String(people.length), wrong: '17' });
export const paperBody: Pair = ({ ownPaper }) => ({ right: ownPaper, wrong: randomWord(ownPaper.length) });
