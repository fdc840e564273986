/** The sink for containers: each record is a line on standard output. */
import type { Writable } from 'node:stream';
import type { Sink, SinkRecord } from './sink.ts';

/** `stream` is process.stdout but for tests. It is not closed: it is not ours. */
export function stdoutSink(stream: Writable): Sink {
	return {
		name: 'stdout',
		acknowledges: true,
		deliver: (records: readonly SinkRecord[]) =>
			new Promise((resolve, reject) => {
				const text = records.map(({ line }) => `${line}\n`).join('');
				stream.write(text, (error) => {
					if (error === null || error === undefined) resolve();
					else reject(error);
				});
			}),
		close: () => Promise.resolve(),
	};
}
