import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { runHook } from '../../../src/upkeep/watch/hook.ts';

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-hook-'));
afterAll(() => rmSync(folder, { recursive: true }));
const merge = { output: join(folder, 'merged 1'), step: 12000, tokens: null };
const never = new AbortController().signal;

/** The content of a file once it is there. */
async function eventually(file: string): Promise<string> {
  for (;;) {
    try {
      const text = readFileSync(file, 'utf8');
      if (text.endsWith('\n')) return text.trim();
    } catch {
      // not yet
    }
    await wait(10);
  }
}
const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    // A zombie counts as ended.
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
};

describe('a hook', () => {
  it('knows the merge from its environment', async () => {
    const file = join(folder, 'environment');
    const command = `printf '%s\\n' "$MERGE_OUTPUT" "$MERGE_STEP" "[$MERGE_TOKENS]" "$MERGE_PROVENANCE" > '${file}'`;
    expect(await runHook(command, merge, never)).toBe(0);
    const output = resolve(merge.output);
    expect(readFileSync(file, 'utf8')).toBe(`${output}\n12000\n[]\n${output}/merge_provenance.json\n`);
  });

  it.each([
    ['exit 7', 7],
    ['kill -TERM $$', 143],
    ['there-is-no-such-command-here 2>/dev/null', 127],
  ])('%s gives %d', async (command, code) => {
    expect(await runHook(command, merge, never)).toBe(code);
  });

  it('that takes longer than it may is ended, with everything that it started, and has failed', async () => {
    const file = join(folder, 'late');
    expect(await runHook(`sleep 1000 & echo $! > '${file}'; wait`, merge, never, { timeout: 0.3 })).toBe(124);
    const pid = Number(await eventually(file));
    while (alive(pid)) await wait(10);
    expect(await runHook('exit 5', merge, never, { timeout: 1000 })).toBe(5);
  });

  it('that hangs is ended by an abort, with everything that it started, also when it does not listen', async () => {
    const file = join(folder, 'pids');
    const controller = new AbortController();
    const ended = runHook(`trap '' TERM; sleep 1000 & echo $$ $! > '${file}'; wait; wait`, merge, controller.signal);
    const pids = (await eventually(file)).split(' ').map(Number);
    expect(pids.every(alive)).toBe(true);
    controller.abort('SIGTERM');
    await expect(ended).rejects.toBe('SIGTERM');
    // The group is ended; its members vanish in the next moments.
    while (pids.some(alive)) await wait(10);
  });
});
