import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { evaluation, isAlive, writtenNumber } from '../support/evaluating.ts';
import { systemTool } from '../support/system-tool.ts';

// These mostly wait, so they do it together.
const place = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(place, { recursive: true, force: true }));
const temporaryFolder = () => mkdtempSync(join(place, 'test-'));

/** It is gone once whoever adopted it has looked. */
async function gone(pid: number): Promise<boolean> {
  for (let i = 0; i < 100 && isAlive(pid); i++) await setTimeout(20);
  return !isAlive(pid);
}

describe.concurrent('an evaluator that does not end', () => {
  it('is ended after its time, with all that it started', async () => {
    const folder = temporaryFolder();
    const command = `sleep 60 & echo $! > ${folder}/pid; echo 5; wait; :`;
    const { outcome } = await evaluation({ command, timeout: 2 }, { folder });
    expect(outcome).toMatchObject({ status: 'failed', reason: 'it took longer than 2 s', attempts: 1 });
    expect(await gone(await writtenNumber(join(folder, 'pid')))).toBe(true);
    expect(readdirSync(join(folder, 'out'))).toEqual([]);
  });

  it('is killed when it does not listen', async () => {
    const folder = temporaryFolder();
    const command = `trap '' TERM; echo $$ > ${folder}/pid; while :; do sleep 0.2; done; :`;
    const { outcome } = await evaluation({ command, timeout: 2 }, { folder });
    expect(outcome).toMatchObject({ status: 'failed', reason: 'it took longer than 2 s' });
    expect(await gone(await writtenNumber(join(folder, 'pid')))).toBe(true);
  });

  it('is ended by an abort, which passes through, and called off where it runs', async () => {
    const folder = temporaryFolder();
    const aborting = new AbortController();
    const reason = new Error('enough');
    const command = `echo $$ > ${folder}/pid; sleep 60; :`;
    const cancel = `echo "$MERGE_TRIAL {trial} $MERGE_OUT" > ${folder}/cancelled`;
    const running = evaluation({ command, cancel }, { folder, signal: aborting.signal });
    const pid = await writtenNumber(join(folder, 'pid'));
    aborting.abort(reason);
    await expect(running).rejects.toBe(reason);
    expect(isAlive(pid)).toBe(false);
    expect(existsSync(join(folder, 'cancelled'))).toBe(true);
    expect(readdirSync(join(folder, 'out'))).toEqual([]);
  });

  it('says when it could not be called off', async () => {
    const { outcome, warnings, log } = await evaluation(
      { command: 'sleep 60; :', cancel: 'echo no such job; exit 2', timeout: 0.2 },
      { folder: temporaryFolder() },
    );
    expect(outcome.status).toBe('failed');
    expect(warnings).toMatchObject([
      { code: 'W_EVAL_CANCEL', message: expect.stringMatching(/trial 7 failed: it ended with exit code 2/) },
    ]);
    expect(log).toContain('$ echo no such job; exit 2\nno such job\n');
  });

  it('is not called off when it ended by itself', async () => {
    const folder = temporaryFolder();
    await evaluation({ command: 'echo 1; :', cancel: `touch ${folder}/cancelled`, timeout: 30 }, { folder });
    expect(existsSync(join(folder, 'cancelled'))).toBe(false);
  });

  it('is not begun after an abort', async () => {
    const folder = temporaryFolder();
    await expect(evaluation({ command: `touch ${folder}/begun; :` }, { folder, signal: AbortSignal.abort('enough') })).rejects.toBe(
      'enough',
    );
    expect(existsSync(join(folder, 'begun'))).toBe(false);
  });
});

describe.concurrent('an evaluator that leaves something running', () => {
  it('is over when it ends itself, and what it left is ended', async () => {
    const folder = temporaryFolder();
    const { outcome } = await evaluation({ command: `sleep 60 & echo $! > ${folder}/pid; echo 8; :` }, { folder });
    expect(outcome).toMatchObject({ status: 'complete', score: { score: 8 } });
    expect(await gone(await writtenNumber(join(folder, 'pid')))).toBe(true);
  });

  it('cannot give a result later', async () => {
    const command = `(trap '' TERM; sleep 1.5; echo '{"score": 1}' > "$MERGE_RESULT"; echo 1) & echo started; :`;
    const { outcome } = await evaluation({ command }, { folder: temporaryFolder() });
    expect(outcome).toMatchObject({ status: 'failed', reason: expect.stringMatching(/no score/) });
  });

  it('does not hang the search with a session of its own that keeps its output open', async () => {
    const folder = temporaryFolder();
    const command = `${systemTool('setsid')} sh -c 'echo $$ > ${folder}/pid; exec sleep 60' & while [ ! -s ${folder}/pid ]; do sleep 0.02; done; echo 8; :`;
    const { outcome } = await evaluation({ command }, { folder });
    expect(outcome).toMatchObject({ status: 'complete', score: { score: 8 } });
    // A session of its own is out of reach, which the documentation says.
    const pid = await writtenNumber(join(folder, 'pid'));
    expect(isAlive(pid)).toBe(true);
    process.kill(pid, 'SIGKILL');
  });

  it('does not hang the search with a child that prints for ever', async () => {
    const { outcome } = await evaluation({ command: 'echo 8 > "$MERGE_RESULT"; yes & sleep 0.1; :' }, { folder: temporaryFolder() });
    expect(outcome).toMatchObject({ status: 'complete', score: { score: 8 } });
  });
});

describe.concurrent('an evaluator that prints rubbish', () => {
  it('gives the score of its last line, whatever came before', async () => {
    const { outcome, log } = await evaluation(
      { command: 'head -c 100000 /dev/urandom; echo; echo 0.25; :' },
      { folder: temporaryFolder() },
    );
    expect(outcome).toMatchObject({ status: 'complete', score: { score: 0.25 } });
    expect(log.length).toBeGreaterThan(100_000);
  });

  it('fills neither memory nor disk with 400 MB', async () => {
    const folder = temporaryFolder();
    const before = process.memoryUsage().rss;
    const { outcome } = await evaluation({ command: 'yes 123456789 | head -c 400000000; echo; echo 0.25; :' }, { folder });
    expect(outcome).toMatchObject({ status: 'complete', score: { score: 0.25 } });
    expect(statSync(join(folder, 'log')).size).toBeLessThan(34 * 2 ** 20);
    expect(process.memoryUsage().rss - before).toBeLessThan(390e6);
  });

  it('prints all of its score before it is read', async () => {
    const scores = Array.from({ length: 100_000 }, (_, i) => (i % 7) / 8);
    const script = `process.stdout.write(JSON.stringify({ scores: Array.from({ length: 100000 }, (_, i) => (i % 7) / 8) }) + '\\n')`;
    const { outcome } = await evaluation({ command: [process.execPath, '-e', script] }, { folder: temporaryFolder() });
    expect(outcome).toMatchObject({ status: 'complete', score: { items: [{ scores }] } });
  });
});
