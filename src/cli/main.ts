/** Entry point of the command line: runs it on this process. What the commands are is in program.ts. */
import { processIo } from './io.ts';
import { runCommandLine } from './program.ts';

// `portcullis ... | head` closes the pipe early: that is not an error.
for (const stream of [process.stdout, process.stderr]) {
	stream.on('error', (error: NodeJS.ErrnoException) => {
		if (error.code === 'EPIPE') process.exit(0);
		throw error;
	});
}

process.exitCode = await runCommandLine(process.argv.slice(2), processIo(process));
