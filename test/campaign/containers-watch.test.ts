import { appendFileSync, cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { diff } from '../../src/analysis/diff/diff.ts';
import type { MergeError } from '../../src/base/errors.ts';
import { openCheckpoint } from '../../src/checkpoints/open.ts';
import { discoverRun } from '../../src/checkpoints/run/discover.ts';
import { average } from '../../src/merge/average.ts';
import { signatureOf } from '../../src/upkeep/watch/settle.ts';
import { watch } from '../../src/upkeep/watch/watch.ts';
import { unpackGolden } from '../support/containers.ts';
import { itemsOf } from '../support/dcp-items.ts';

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A run of two checkpoints as a writer leaves it. */
function runOf(golden: string, inside: string, steps: readonly string[]): string {
  const home = unpackGolden(golden, join(folder, `golden-${golden}`));
  const run = join(folder, golden);
  for (const step of steps) cpSync(join(home, inside, step), join(run, step), { recursive: true });
  return run;
}

const RUNS = [
  ['megatron', '.', ['iter_0000100', 'iter_0000200'], '__1_0.distcp'],
  ['olmo-core', '.', ['step100', 'step200'], 'model_and_optim/.metadata'],
  ['torch-bin', '.', ['100', '200'], 'pytorch_model.bin'],
  ['fsdp-rank-pt', '.', ['global_step_100', 'global_step_200'], 'actor/model_world_size_2_rank_1.pt'],
] as const;

describe('a watch of a run of another container', () => {
  it.each(RUNS)('of %s pins what its merges need, and knows it again', async (golden, inside, steps, file) => {
    const run = runOf(golden, inside, steps);
    const [pin, output, wanted] = ['pins', 'merges', 'wanted'].map((name) => join(folder, `${name}-${golden}`)) as [string, string, string];
    await average({ inputs: [run], output: wanted, sync: false });
    await watch({ run, output, pin, once: true, settle: 0 });
    const before = await discoverRun(run);
    // The trainer lets go of both.
    for (const step of steps) rmSync(join(run, step), { recursive: true });
    const pinned = await discoverRun(pin);
    const places = ({ checkpoints }: typeof before) => checkpoints.map(({ step, tokens, bytes, dtypes }) => [step, tokens, bytes, dtypes]);
    expect(places(pinned)).toEqual(places(before));
    const again = join(folder, `again-${golden}`);
    await average({ inputs: [pin], output: again, sync: false });
    const [merge] = readdirSync(output).filter((name) => name.startsWith('merged-'));
    const { kind } = (await openCheckpoint(join(pin, steps[1]))).form;
    for (const made of [join(output, merge!), again]) {
      expect((await diff({ inputs: [wanted, made] })).pairs[0]!.total.max, made).toBe(0);
      expect((await openCheckpoint(made)).form.kind).toBe(golden === 'fsdp-rank-pt' ? 'safetensors' : kind);
    }
    const newest = join(pin, steps[1]);
    const signature = await signatureOf(newest);
    appendFileSync(join(newest, file), 'x');
    expect((await signatureOf(newest))!.tensors).not.toBe(signature!.tensors);
  });

  it.each(['newest', 'drop', 'average'] as const)(
    'makes what a trainer goes on from, with --optimizer %s as average does, and keeps the newest of them',
    async (optimizer) => {
      const run = runOf('dcp-resume', '.', ['60']);
      const output = join(folder, `resumed-${optimizer}`);
      const given = { for: 'resume', optimizer } as const;
      for (const step of ['80', '100']) {
        cpSync(join(folder, 'golden-dcp-resume/dcp-resume', step === '80' ? '80' : '60'), join(run, step), { recursive: true });
        await watch({ run, output, ...given, keep: 1, once: true, settle: 0 });
        const wanted = join(folder, `wanted-${optimizer}-${step}`);
        await average({ inputs: [run], output: wanted, sync: false, ...given });
        expect(readdirSync(output).filter((name) => name.startsWith('merged-'))).toEqual([`merged-${step}`]);
        expect(itemsOf(join(output, `merged-${step}`))).toEqual(itemsOf(wanted));
      }
      rmSync(run, { recursive: true });
    },
  );

  it.each([
    [{ optimizer: 'drop' }, /^`?optimizer`? has a meaning only with/],
    [{ accumulate: 'ema', for: 'resume' }, /^`?for`? is for windows/],
    [{ accumulate: 'ema', weightsFrom: 'master' }, /^`?weightsFrom`? is for windows/],
  ] as const)('refuses %j', async (options, message) => {
    const run = runOf('torch-bin', '.', ['100', '200']);
    const error: MergeError = await watch({ run, output: join(folder, 'none'), once: true, ...options }).catch((caught) => caught);
    expect([error.code, error.message]).toEqual(['E_OPTION', expect.stringMatching(message)]);
  });
});
