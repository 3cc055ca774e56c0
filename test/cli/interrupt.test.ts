import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeCheckpoint } from '../support/checkpoints.ts';
import { BIN, runCli } from '../support/run-cli.ts';

const DIST = pathToFileURL(new URL('../../dist', import.meta.url).pathname).href;
let folder: string;
let script: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'merge-interrupt-'));
  script = join(folder, 'work.mjs');
  // Work that waits for its abort, cleans up for a while (argv[2] milliseconds), notes the reason, and ends
  // with it.
  await writeFile(
    script,
    `import { writeFileSync } from 'node:fs';
     import { interruptible } from '${DIST}/cli/terminal/interrupt.js';
     import { createTerminal } from '${DIST}/cli/terminal/terminal.js';
     const terminal = createTerminal(process);
     const alive = setInterval(() => {}, 1000);
     try {
       await interruptible(terminal, async (signal) => {
         process.stdout.write('ready\\n');
         await new Promise((resolve) => signal.addEventListener('abort', resolve));
         process.stdout.write('cleaning\\n');
         await new Promise((resolve) => setTimeout(resolve, Number(process.argv[2])));
         writeFileSync(process.argv[3], String(signal.reason));
         throw process.argv[4] === 'fail' ? new Error('the disk failed') : signal.reason;
       });
     } catch (error) {
       process.stdout.write(error.name + ': ' + error.message + '\\n');
       process.exitCode = error.exitCode ?? 1;
     }
     clearInterval(alive);
`,
  );
});
afterAll(() => rm(folder, { recursive: true }));

describe('a signal', () => {
  it.each([
    ['SIGHUP', 129],
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s aborts with its name as the reason, waits for the cleanup and exits %d', async (signal, code) => {
    const note = join(folder, `note-${signal}`);
    const result = await runCli(['50', note], { script, signalAfter: [{ pattern: /ready/, signal }] });
    expect(result).toMatchObject({ code, signal: null, stdout: `ready\ncleaning\nInterrupted: ended by ${signal}\n` });
    expect(result.stderr).toBe(`${signal}: stopping and cleaning up; once more to leave at once\n`);
    expect(await readFile(note, 'utf8')).toBe(signal);
  });

  it('ends the process at once when it comes again', async () => {
    const note = join(folder, 'note-twice');
    const result = await runCli(['3600000', note], {
      script,
      signalAfter: [
        { pattern: /ready/, signal: 'SIGINT' },
        { pattern: /cleaning/, signal: 'SIGTERM' },
      ],
    });
    expect(result).toMatchObject({ code: 143, signal: 'SIGTERM', stdout: 'ready\ncleaning\n' });
    await expect(readFile(note)).rejects.toThrow('ENOENT');
  });

  it('does not hide a failure that comes after it', async () => {
    const result = await runCli(['0', join(folder, 'note-fail'), 'fail'], {
      script,
      signalAfter: [{ pattern: /ready/, signal: 'SIGINT' }],
    });
    expect(result).toMatchObject({ code: 1, stdout: 'ready\ncleaning\nError: the disk failed\n' });
  });
});

it.each([0, 3, 6, 9])('SIGINT and SIGTERM %d ms after the last line change nothing: the merge is there', async (wait) => {
  const inputs = [1000, 2000].map((step) => join(folder, `checkpoint-${step}`));
  for (const [i, input] of inputs.entries()) writeCheckpoint(input, [[{ name: 'lm_head.weight', dtype: 'BF16', shape: [64, 8] }]], i);
  const child = spawn(process.execPath, [BIN, 'average', ...inputs, '-o', join(folder, `out-${wait}`)]);
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
    if (!text.includes('check it with')) return;
    setTimeout(() => ['SIGINT', 'SIGTERM', 'SIGINT'].map((name) => child.kill(name as NodeJS.Signals)), wait);
  });
  const ended = await new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal })));
  expect(ended).toEqual({ code: 0, signal: null });
  expect(printed).toMatch(/check it with.*\n$/);
});
