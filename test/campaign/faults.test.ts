import { existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { average } from '../../src/index.ts';
import { checkpoints, contentOf, hiddenBeside, removeCheckpoints, run, start } from '../support/faults-merge.ts';
import { runShell } from '../support/faults-shell.ts';
import { runCli } from '../support/run-cli.ts';

afterAll(removeCheckpoints);

describe.concurrent('an input that changes while it is merged', () => {
  it.each([
    ['map', 'truncated', (path: string) => truncateSync(path, 4096)],
    ['read', 'truncated', (path: string) => truncateSync(path, 4096)],
    ['map', 'truncated to nothing', (path: string) => truncateSync(path, 0)],
    ['auto', 'rewritten in the same size', (path: string) => writeFileSync(path, readFileSync(path).fill(7, 20_000))],
  ] as const)('--io %s, %s: fails with the file named, nothing published, no death by signal', async (io, _, change) => {
    const { folder, inputs, out } = checkpoints();
    const victim = join(inputs[1]!, 'model-00003-of-00006.safetensors');
    const until = join(folder, 'go on');
    const merge = start(['average', ...inputs, '-o', out, '--io', io], { hold: { call: 3, until } });
    // The third shard is open (and mapped), and its call is about to be made.
    await merge.says('[call 3]');
    change(victim);
    writeFileSync(until, '');
    const { code, signal, stderr } = await merge.ended;
    expect({ code, signal }).toEqual({ code: 3, signal: null });
    expect(stderr).toContain('error[E_INPUT_CHANGED]');
    expect(stderr).toContain(victim);
    expect(stderr).toContain('help: ');
    expect(stderr).not.toMatch(/\n\s+at /);
    expect([existsSync(out), hiddenBeside(out)]).toEqual([false, []]);
  });
});

it('an input that is removed while it is merged is not found, and nothing is published', async () => {
  const { folder, inputs, out } = checkpoints();
  const until = join(folder, 'go on');
  const merge = start(['average', ...inputs, '-o', out], { hold: { call: 3, until } });
  await merge.says('[call 3]');
  // As a trainer does that keeps the last few checkpoints only.
  rmSync(inputs[0]!, { recursive: true });
  writeFileSync(until, '');
  const { code, stderr } = await merge.ended;
  expect(code).toBe(3);
  expect(stderr).toContain('error[E_NOT_FOUND]');
  expect(stderr).toContain(join(inputs[0]!, 'model-00004-of-00006.safetensors'));
  expect([existsSync(out), hiddenBeside(out)]).toEqual([false, []]);
});

describe.concurrent('signals to the CLI', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('%s keeps what is finished, exits %i and prints the command that goes on', async (signal, exit) => {
    const { folder, inputs, out } = checkpoints();
    const plain = join(folder, 'plain');
    expect((await run('average', ...inputs, '-o', plain)).code).toBe(0);
    const merge = start(['average', ...inputs, '-o', out], { hold: { call: 4 } });
    await merge.says('[call 4]');
    merge.child.kill(signal);
    const { code, signal: death, stderr } = await merge.ended;
    expect({ code, death }).toEqual({ code: exit, death: null });
    expect(stderr).toContain('error[E_INTERRUPTED]');
    expect(existsSync(out)).toBe(false);
    expect(hiddenBeside(out)).toHaveLength(1);

    const command = /help: Go on with: merge (.*)$/m.exec(stderr)?.[1];
    expect(command).toContain('--resume');
    const again = await runShell(`"$@" ${command} --json`, []);
    expect(again.code).toBe(0);
    expect(JSON.parse(again.stdout).resumedBytes).toBeGreaterThan(0);
    expect(contentOf(out)).toEqual(contentOf(plain));
    expect(hiddenBeside(out)).toEqual([]);
  });

  it.each([
    ['before the first unit is finished', 1, []],
    ['under --no-keep', 5, ['--no-keep']],
  ] as const)('leaves nothing %s', async (_, call, words) => {
    const { inputs, folder } = checkpoints();
    const out = join(folder, 'new/deep/out');
    const merge = start(['average', ...inputs, '-o', out, ...words], { hold: { call } });
    await merge.says(`[call ${call}]`);
    merge.child.kill('SIGINT');
    const { code, stderr } = await merge.ended;
    expect(code).toBe(130);
    expect(stderr).toContain('nothing was left behind');
    expect(existsSync(join(folder, 'new'))).toBe(false);
  });

  it('Ctrl-C twice ends at once, even where a read is stuck, and the next run clears what was left', async () => {
    const { inputs, out } = checkpoints();
    const merge = start(['average', ...inputs, '-o', out], { hold: { call: 1, stuck: true } });
    await merge.says('[call 1]');
    merge.child.kill('SIGINT');
    await merge.says('once more to leave at once');
    merge.child.kill('SIGINT');
    const { code, signal } = await merge.ended;
    expect({ code, signal }).toEqual({ code: 130, signal: 'SIGINT' });
    expect(existsSync(out)).toBe(false);
    const again = await run('average', ...inputs, '-o', out);
    expect(again.code).toBe(0);
    expect(hiddenBeside(out)).toEqual([]);
  });
});

describe.concurrent('two merges to one output at once', () => {
  it('one wins, the other is told that the output exists, and the output is whole', async () => {
    const { inputs, out } = checkpoints();
    const both = [0, 1].map(() => start(['average', ...inputs, '-o', out], { callMs: 60 }));
    const results = await Promise.all(both.map((merge) => merge.ended));
    expect(results.map((result) => result.code).sort()).toEqual([0, 4]);
    expect(results.find((result) => result.code === 4)!.stderr).toContain('error[E_OUTPUT_EXISTS]');
    expect((await run('verify', out, '--full')).code).toBe(0);
    expect(hiddenBeside(out)).toEqual([]);
  });

  it('with --force both succeed in turn', async () => {
    const { inputs, out } = checkpoints();
    const weights = [['0.5,0.5'], ['1,0']].map(([w]) => ['-w', w!, '--force']);
    const both = weights.map((words) => start(['average', ...inputs, '-o', out, ...words], { callMs: 60 }));
    const results = await Promise.all(both.map((merge) => merge.ended));
    expect(results.map((result) => [result.code, result.stderr.match(/error\[\w+\]/)?.[0]])).toEqual([
      [0, undefined],
      [0, undefined],
    ]);
    expect((await run('verify', out, '--full')).code).toBe(0);
    expect(hiddenBeside(out)).toEqual([]);
  });
});

describe.concurrent('inside another program', () => {
  it('a worker that is terminated while it merges takes nothing with it and publishes nothing', async () => {
    const { inputs, out } = checkpoints();
    const script = new URL('../support/faults-worker.js', import.meta.url).pathname;
    const { code, signal, stdout, stderr } = await runCli([JSON.stringify({ inputs, output: out })], { script });
    expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({ exit: 1, published: false, after: true });
    expect((await run('average', ...inputs, '-o', out)).code).toBe(0);
    expect(hiddenBeside(out)).toEqual([]);
  });

  it.each([true, false])('an abort rejects with its reason while reads are stuck (keep: %s)', async (keep) => {
    const { inputs, out } = checkpoints();
    const controller = new AbortController();
    const reason = new Error('enough');
    // Sixty requests of 4 s each: what waits for them all is a hang to the guard of this test.
    const tuning = { readDelayMicros: 4_000_000, requestBytes: 16_384, requestsInFlight: 1 };
    const merge = average({ inputs, output: out, io: 'read', threads: 1, keep, tuning }, { signal: controller.signal });
    const ended = expect(merge).rejects.toBe(reason);
    // Begun: the files are opened, and read.
    await vi.waitFor(() => expect(hiddenBeside(out)).toHaveLength(1), { timeout: 60_000 });
    controller.abort(reason);
    await ended;
    expect([existsSync(out), hiddenBeside(out)]).toEqual([false, []]);
  });
});
