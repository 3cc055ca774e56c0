import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WatchOptions } from '../../src/index.ts';
import { temporaryFolder } from '../support/checkpoints.ts';
import { historyOf, mergesIn, Trainer, valuesOf, Watching } from '../support/watching.ts';

const temporary = temporaryFolder();
const trainer = new Trainer();
afterAll(() => {
  trainer.end();
  temporary.remove();
});
let run: string;
let output: string;
let watches: Watching[];
let count = 0;

beforeEach(() => {
  const base = join(temporary.path, String(++count));
  run = join(base, 'run');
  output = join(base, 'merges');
  mkdirSync(run, { recursive: true });
  trainer.run = run;
  watches = [];
});
afterEach(async () => {
  await Promise.all(watches.map((watching) => watching.stop().catch(() => {})));
});

function start(options: Partial<WatchOptions> = {}, onEvent?: ConstructorParameters<typeof Watching>[1]): Watching {
  const watching = new Watching({ run, output, ...options }, onEvent);
  watches.push(watching);
  return watching;
}
/** After the trainer has done its orders two looks are enough. */
const once = (options: Partial<WatchOptions> = {}) => start({ once: true, settle: 0, ...options }).ended;
const merged = (step: number) => join(output, `merged-checkpoint-${step}`);

describe('pins', () => {
  it('make a window longer than what the trainer keeps, and are let go when they leave it', async () => {
    const pins = join(run, '.pins');
    const watching = start({ pin: pins, select: { last: 3 }, keep: Number.POSITIVE_INFINITY });
    for (const step of [1, 2, 3, 4, 5]) {
      await trainer.does(['shards', step]);
      await watching.until('pinned', step);
      if (step > 1) await trainer.does(['delete', step - 1]);
    }
    await watching.until('merged', 4);
    await watching.until('unpinned', 2);
    await watching.stop();
    expect([2, 3, 4, 5].map((step) => valuesOf(merged(step))[0])).toEqual([1.5, 2, 3, 4]);
    expect(readdirSync(pins).sort()).toEqual(['checkpoint-3', 'checkpoint-4', 'checkpoint-5']);
    expect(readdirSync(run).sort()).toEqual(['.pins', 'checkpoint-5']);
    await trainer.does(['delete', 5], ['shards', 6]);
    await once({ pin: pins, select: { last: 3 }, keep: Number.POSITIVE_INFINITY });
    expect(valuesOf(merged(6))).toEqual([5]);
  });

  it('are never what was in their place before', async () => {
    const pins = join(run, '.pins');
    await trainer.does(['shards', 1], ['shards', 2], ['shards', 3], ['shards', 4]);
    cpSync(join(run, 'checkpoint-2'), join(pins, 'checkpoint-2'), { recursive: true, preserveTimestamps: true });
    const options = { pin: pins, select: { last: 3 } };
    expect((await once(options)).merges[0]!.members.map(({ step }) => step)).toEqual([2, 3, 4]);
    await trainer.does(['shards', 5], ['shards', 6], ['shards', 7]);
    await once(options);
    expect(valuesOf(merged(7))).toEqual([6]);
    expect(readdirSync(pins).sort()).toEqual(['checkpoint-2', 'checkpoint-5', 'checkpoint-6', 'checkpoint-7']);
  });

  it('are taken while a hook takes its time', async () => {
    const [pins, go] = [join(run, '.pins'), join(run, 'go')];
    await trainer.does(['shards', 1], ['shards', 2]);
    const watching = start({ pin: pins, hook: `while ! test -e '${go}'; do sleep 0.02; done` });
    await watching.until('pinned', 2);
    await trainer.does(['shards', 3]);
    await watching.until('pinned', 3);
    await trainer.does(['delete', 3]);
    writeFileSync(go, '');
    const [, second] = await watching.until('merged', 2);
    expect(second!.record.checkpoint).toBe('checkpoint-3');
    expect(valuesOf(merged(3))).toEqual([2]);
  });
});

describe('an accumulator', () => {
  it('is the exponential average in float32, over checkpoints that are gone', async () => {
    const watching = start({ accumulate: 'ema', alpha: 0.25, dtype: 'BF16', keep: 1 });
    await trainer.does(['shards', 4]);
    await watching.until('merged');
    await trainer.does(['shards', 8], ['delete', 4]);
    await watching.until('merged', 2);
    await trainer.does(['shards', 12], ['delete', 8]);
    await watching.until('removed', 4);
    await watching.stop();
    // 4; 0.75·4 + 0.25·8 = 5; 0.75·5 + 0.25·12 = 6.75
    expect(mergesIn(output)).toEqual(['accumulator-checkpoint-12', 'merged-checkpoint-12']);
    expect(valuesOf(join(output, 'accumulator-checkpoint-12'))).toEqual([6.75]);
    expect(historyOf(output)[2]!.members).toEqual([
      { name: 'accumulator-checkpoint-8', step: 8, tokens: 8000, weight: 0.75 },
      { name: 'checkpoint-12', step: 12, tokens: 12000, weight: 0.25 },
    ]);
    const shard = readFileSync(join(merged(12), 'model-00001-of-00002.safetensors'));
    expect(shard.subarray(-2)).toEqual(Buffer.from([0xd8, 0x40]));
  });

  it('follows distances with a half-life', async () => {
    await trainer.does(['shards', 10], ['shards', 20], ['shards', 50]);
    await once({ accumulate: 'ema', halfLife: '10steps' });
    // 15 after one half-life; then 1/8 of it and 7/8 of 50 after three
    expect(valuesOf(merged(50))).toEqual([15 / 8 + (50 * 7) / 8]);
  });

  it('follows the training with a half-life that is a share of it', async () => {
    await trainer.does(['shards', 10], ['shards', 20], ['shards', 40]);
    // κ = ln 2 / f = 1: weights 1/4, 1/4, 1/2 of 10, 20 and 40
    await once({ accumulate: 'ema', halfLifeFraction: Math.LN2 });
    expect(valuesOf(merged(40))).toEqual([27.5]);
  });

  it('does not take in what came before it, or what holds an infinity', async () => {
    await trainer.does(['shards', 10], ['shards', 30]);
    await once({ accumulate: 'ema', alpha: 0.5 });
    await trainer.does(['shards', 20], ['infinite', 40], ['shards', 50]);
    const watching = start({ accumulate: 'ema', alpha: 0.5, once: true });
    const { failed, merges } = await watching.ended;
    expect(merges.map(({ step }) => step)).toEqual([50]);
    expect(failed).toMatchObject([{ checkpoint: 'checkpoint-40', error: { code: 'E_NONFINITE' } }]);
    expect(watching.of('waiting').map(({ path }) => path)).toEqual([join(run, 'checkpoint-20')]);
    expect(valuesOf(merged(50))).toEqual([35]);
  });

  it('that is not the one that the state names ends the watch', async () => {
    await trainer.does(['shards', 10]);
    await once({ accumulate: 'ema' });
    const file = join(output, 'accumulator-checkpoint-10', 'model-00001-of-00002.safetensors');
    const bytes = readFileSync(file);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(file, bytes);
    await trainer.does(['shards', 20]);
    await expect(once({ accumulate: 'ema' })).rejects.toMatchObject({ code: 'E_ACCUMULATOR', exitCode: 3 });
    rmSync(join(output, 'accumulator-checkpoint-10'), { recursive: true });
    await expect(once({ accumulate: 'ema' })).rejects.toMatchObject({ code: 'E_ACCUMULATOR' });
    expect(mergesIn(output)).toEqual(['merged-checkpoint-10']);
  });
});
