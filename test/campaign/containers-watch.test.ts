import { appendFileSync, cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { diff } from '../../src/analysis/diff/diff.ts';
import { openCheckpoint } from '../../src/checkpoints/open.ts';
import { discoverRun } from '../../src/checkpoints/run/discover.ts';
import { average } from '../../src/merge/average.ts';
import { signatureOf } from '../../src/merge/watch/settle.ts';
import { watch } from '../../src/merge/watch/watch.ts';
import { unpackGolden } from '../support/containers.ts';

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
});
