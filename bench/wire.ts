/** What framing and decoding cost: nanoseconds for the messages of one prepared pgbench transaction, and bytes a second of rows. */
import { decodeBackend } from '../src/wire/backend.ts';
import { encodeBackend, encodeDataRow, encodeFrontend } from '../src/wire/encode.ts';
import { backendRules, Framer, frontendRules } from '../src/wire/framer.ts';
import { decodeFrontend, portalName, statementName } from '../src/wire/frontend.ts';

const statement = statementName('P0_1');
const portal = portalName('');
const row = encodeDataRow(['-1234567']);
const asked = Buffer.concat([
	encodeFrontend({
		type: 'Bind',
		portal,
		statement,
		paramFormats: [],
		params: [Buffer.from('81234')],
		resultFormats: [0],
	}),
	encodeFrontend({ type: 'Describe', kind: 'P', name: portal }),
	encodeFrontend({ type: 'Execute', portal, maxRows: 0 }),
	encodeFrontend({ type: 'Sync' }),
]);
const answered = Buffer.concat([
	encodeBackend({ type: 'BindComplete' }),
	encodeBackend({
		type: 'RowDescription',
		fields: [{ name: 'abalance', tableOid: 16385, attnum: 3, typeOid: 23, typeSize: 4, typmod: -1, format: 0 }],
	}),
	row,
	encodeBackend({ type: 'CommandComplete', tag: 'SELECT 1' }),
	encodeBackend({ type: 'ReadyForQuery', status: 'I' }),
]);

/** Best of five: nanoseconds of one `run`. */
function nanoseconds(times: number, run: () => void): number {
	let best = Number.POSITIVE_INFINITY;
	for (let round = 0; round < 5; round++) {
		const start = process.hrtime.bigint();
		for (let i = 0; i < times; i++) run();
		best = Math.min(best, Number(process.hrtime.bigint() - start) / times);
	}
	return best;
}

/** Walks one chunk; `onFrame` gets each frame. */
function walk(framer: Framer, chunk: Buffer, onFrame: (framer: Framer) => void): void {
	framer.push(chunk);
	while (framer.next()) onFrame(framer);
}

const client = new Framer(frontendRules());
const server = new Framer(backendRules());
let seen = 0;
const count = (framer: Framer): void => {
	seen += framer.count;
};
const decodeClient = (framer: Framer): void => {
	seen += decodeFrontend(framer.buffer.subarray(framer.start, framer.end)).type.length;
};
const decodeServer = (framer: Framer): void => {
	seen += decodeBackend(framer.buffer.subarray(framer.start, framer.end)).type.length;
};

const transaction = {
	'frame both directions': () => {
		walk(client, asked, count);
		walk(server, answered, count);
	},
	'frame, decode what the client sends': () => {
		walk(client, asked, decodeClient);
		walk(server, answered, count);
	},
	'frame, decode everything': () => {
		walk(client, asked, decodeClient);
		walk(server, answered, decodeServer);
	},
};
for (const [name, run] of Object.entries(transaction)) {
	process.stdout.write(`${name}: ${nanoseconds(200_000, run).toFixed(0)} ns a transaction\n`);
}

const rows = Buffer.concat(Array.from({ length: 4000 }, () => row));
const nsOfRows = nanoseconds(2000, () => {
	walk(server, rows, count);
});
process.stdout.write(`rows of ${row.length} bytes: ${(nsOfRows / 4000).toFixed(1)} ns each (${seen} frames seen)\n`);
