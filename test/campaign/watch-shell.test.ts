import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { generator, temporaryFolder } from '../support/checkpoints.ts';
import { BIN, runCli } from '../support/run-cli.ts';
import { historyOf, mergesIn, Trainer, valuesOf } from '../support/watching.ts';

const temporary = temporaryFolder();
const trainer = new Trainer(1);
afterAll(() => {
  trainer.end();
  temporary.remove();
});
let base: string;
let count = 0;
const QUICK = ['--poll', '0.02', '--settle', '0.05', '-o', 'merges'];
const ONCE = ['watch', 'run', '--once', ...QUICK];

beforeEach(() => {
  base = join(temporary.path, String(++count));
  mkdirSync(join(base, 'run'), { recursive: true });
  trainer.run = join(base, 'run');
});
const output = () => join(base, 'merges');
const leftovers = () => readdirSync(output()).filter((name) => name.startsWith('.') && name !== '.merge-watch');

describe('merge watch', () => {
  it('begins a line of its own after a hook that printed none to its end, whatever stderr is', async () => {
    await trainer.does(['shards', 1], ['shards', 2]);
    const piped = await runCli([...ONCE, '--hook', 'printf nonl; false'], { cwd: base });
    expect(piped.stderr).toMatch(/\nnonl\nthe hook failed/);
    for (const [step, hook, line] of [
      [3, 'printf nonl', 'nonl'],
      [4, 'echo whole', 'whole'],
    ] as const) {
      await trainer.does(['shards', step]);
      const log = openSync(join(base, 'log'), 'w');
      const child = spawn(process.execPath, [BIN, ...ONCE, '--hook', hook], { cwd: base, stdio: ['ignore', log, log] });
      await new Promise((resolve) => child.on('close', resolve));
      closeSync(log);
      expect(readFileSync(join(base, 'log'), 'utf8')).toMatch(new RegExp(`\\n${line}\\nmerged \\d+ checkpoints`));
    }
  });

  it('stops on SIGTERM in the middle of a hook, gives the lock back, and says how to go on', async () => {
    await trainer.does(['shards', 1], ['shards', 2]);
    const result = await runCli(['watch', 'run', ...QUICK, '--hook', 'echo hook-runs >&2; sleep 1000'], {
      cwd: base,
      signalAfter: [{ pattern: /hook-runs/, signal: 'SIGTERM' }],
    });
    expect(result).toMatchObject({ code: 143, signal: null });
    expect(result.stderr).toContain('running the hook for merges/merged-checkpoint-2\nhook-runs\n');
    expect(result.stderr).toContain('what was finished is kept');
    expect(result.stderr).toMatch(/help: Go on with: merge watch run .*'echo hook-runs >&2; sleep 1000'\n/);
    expect((await runCli([...ONCE, '-q'], { cwd: base })).stdout).toBe('merges/merged-checkpoint-2\n');
    expect(leftovers()).toEqual([]);
  });

  it('makes every merge once although it is killed again and again', async () => {
    const random = generator(7);
    const steps = Array.from({ length: 12 }, (_, i) => i + 1);
    await trainer.does(['shards', 1], ['shards', 2]);
    // The first one is killed by its own hook: its merge is there, and nothing says so yet.
    const first = await runCli(['watch', 'run', ...QUICK, '--keep', 'all', '--window', '2', '--hook', 'kill -9 $PPID'], { cwd: base });
    expect(first.signal).toBe('SIGKILL');
    expect(mergesIn(output())).toEqual(['merged-checkpoint-2']);
    const training = trainer.does(...steps.slice(2).map((step): [string, number] => ['rename', step]));
    for (let kill = 0; kill < 6; kill++) {
      const watching = spawn(process.execPath, [BIN, 'watch', 'run', ...QUICK, '--keep', 'all', '--window', '2'], { cwd: base });
      await wait(250 + (random() % 250));
      await killed(watching);
    }
    await training;
    const last = await runCli([...ONCE, '--keep', 'all', '--window', '2'], { cwd: base });
    expect(last.code).toBe(0);
    expect(historyOf(output()).map(({ step }) => step)).toEqual(steps.slice(1));
    for (const step of steps.slice(1)) expect(valuesOf(join(output(), `merged-checkpoint-${step}`))).toEqual([step - 0.5]);
    expect(leftovers()).toEqual([]);
    expect(readdirSync(join(output(), '.merge-watch')).filter((name) => /^(removed|state\.json\.)/.test(name))).toEqual([]);
  });
});

function killed(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve();
    child.on('exit', () => resolve());
    child.kill('SIGKILL');
  });
}
