/** Flags for V8: those of this version are known to it, since an unknown one would be told to whoever starts the gateway. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

it('says nothing and changes nothing but the flag', () => {
	const file = fileURLToPath(new URL('../../src/cli/heap.ts', import.meta.url));
	const script = `import { tuneHeap } from ${JSON.stringify(file)}; tuneHeap(); console.log('on');`;
	const args = ['--import', 'tsx', '--input-type=module', '--eval', script];
	const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
	expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: 'on\n', stderr: '' });
});
