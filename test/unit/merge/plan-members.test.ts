import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { inspect } from '../../../src/analysis/inspect/inspect.ts';
import { plan } from '../../../src/merge/average.ts';
import { planConversion } from '../../../src/merge/convert.ts';
import { writeCheckpoint } from '../../support/checkpoints.ts';
import { goldensIn } from '../../support/containers.ts';
import { mergeError } from '../../support/safetensors.ts';

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));
const golden = goldensIn(folder);
const output = join(folder, 'merged');

describe('members of a plan', () => {
  it('have the bytes of the model alone, as a listing and inspect have them, and nothing of what was sampled', async () => {
    const inputs = ['step100', 'step200'].map((step) => join(golden('olmo-core'), step));
    const { members } = await plan({ inputs, output });
    const { summary } = await inspect(inputs[0]!);
    expect(summary.sections.length).toBeGreaterThan(1);
    expect(members[0]!.bytes).toBe(summary.bytes);
    expect(Object.keys(members[0]!).sort()).toEqual([
      'bytes',
      'checkpoint',
      'fingerprint',
      'participates',
      'path',
      'stage',
      'step',
      'tokens',
    ]);
  });
});

describe('a merge across two libraries', () => {
  it('is told as that, and not tensor by tensor', async () => {
    const [olmo, megatron] = [join(golden('olmo-core'), 'step100'), join(golden('megatron'), 'iter_0000100')];
    const { code, message } = await mergeError(() => plan({ inputs: [olmo, megatron], output }));
    expect(code).toBe('E_LAYOUT_FORM');
    expect(message).toContain(`${megatron} is written by Megatron-core (torch_dist), and ${olmo} is written by OLMo-core`);
    expect(message).toContain('their names for tensors differ');
  });

  it('pairs no bias with a weight, and says plainly where a tensor has no place', async () => {
    const of = (name: string, ...tensors: readonly string[]) => {
      const path = join(folder, name);
      writeCheckpoint(path, [tensors.map((tensor) => ({ name: tensor, dtype: 'BF16' as const, shape: [8] }))], 1);
      return path;
    };
    const inputs = [of('a', 'lm_head.weight', 'model.final.bias'), of('b', 'lm_head.weight', 'model.last.weight')];
    const { details } = await mergeError(() => plan({ inputs, output, allowUnknown: true }));
    const messages = details.conflicts!.map(({ message }) => message).join('\n');
    expect(messages).not.toContain('of the same shape');
    expect(messages).toContain('has no place in the output, whose tensors are those of');
  });
});

it("the folder of an optimizer is said to be that, and not to be somebody's adapters", async () => {
  const step = join(golden('accelerate'), 'sharded/checkpoint-100');
  const { code, message, help } = await mergeError(() => planConversion({ input: join(step, 'optimizer_0'), output }));
  expect([code, message]).toEqual(['E_NO_WEIGHTS', expect.stringContaining("are the optimizer's and the trainer's state")]);
  expect(help).toMatch(/^Name the checkpoint that holds the weights: of the folder of an optimizer/);
  expect((await inspect(step)).summary.beside).toContain('optimizer_0');
});
