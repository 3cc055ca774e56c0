import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { inspect } from '../../src/analysis/inspect/inspect.ts';
import { MergeError } from '../../src/base/errors.ts';
import { average } from '../../src/merge/average.ts';
import { type FixtureTensor, temporaryFolder, writeCheckpoint } from '../support/checkpoints.ts';

const folder = temporaryFolder();
afterAll(folder.remove);
let count = 0;

const LAYERS = [0, 1].flatMap((l) =>
  ['q_proj', 'k_proj', 'v_proj', 'o_proj'].map((p) => ({ name: `model.layers.${l}.self_attn.${p}.weight`, shape: [4, 4] })),
);
const MODEL = [
  { name: 'model.embed_tokens.weight', shape: [8, 4] },
  ...LAYERS,
  { name: 'model.layers.1.mlp.experts.gate_up_proj', shape: [2, 8, 4] },
  { name: 'model.norm.weight', shape: [4] },
  { name: 'lm_head.weight', shape: [8, 4] },
];

/** Two members, of which `has` says in which `name` is empty. */
function members(name: string, shape: readonly number[], has: (i: number) => boolean): string[] {
  count++;
  return [0, 1].map((i) => {
    const tensors = MODEL.map((t): FixtureTensor => ({ dtype: 'BF16', ...t, ...(t.name === name && has(i) && { shape: [...shape] }) }));
    return writeCheckpoint(join(folder.path, String(count), `step-${1001 + i}`), [tensors], i + 1, {
      'config.json': JSON.stringify({ architectures: ['LlamaForCausalLM'], model_type: 'llama', tie_word_embeddings: false }),
    });
  });
}

async function refusal(inputs: readonly string[], allowUnknown = false): Promise<MergeError> {
  const error = await average({ inputs, output: join(folder.path, String(count), 'out'), allowUnknown }).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(MergeError);
  return error as MergeError;
}

const NAMES = [
  'lm_head.weight',
  'model.embed_tokens.weight',
  'model.layers.0.self_attn.q_proj.weight',
  'model.layers.1.mlp.experts.gate_up_proj',
];

describe('a weight without an element', () => {
  it.each(
    NAMES.flatMap((name) =>
      [[0], [0, 4], [4, 0]].flatMap((shape) =>
        [
          ['the oldest', (i: number) => i === 0],
          ['the newest', (i: number) => i === 1],
          ['both', () => true],
        ].map(([who, has]) => [name, shape, who as string, has as (i: number) => boolean] as const),
      ),
    ),
  )('%s of shape %j in %s: refused as what ZeRO-3 leaves', async (name, shape, who, has) => {
    const inputs = members(name, shape, has);
    const error = await refusal(inputs);
    expect(error).toMatchObject({ code: 'E_NO_TENSORS', help: expect.stringContaining('zero_to_fp32.py') });
    expect(error.help).toContain('stage3_gather_16bit_weights_on_model_save');
    expect(error.message).toContain(`1 of 12 tensors is empty (${name} has shape [${shape.join(', ')}])`);
    const { summary } = await inspect(inputs[who === 'the newest' ? 1 : 0]!);
    expect(summary.problems).toContainEqual(expect.objectContaining({ code: 'E_NO_TENSORS' }));
  });

  it('that all members are built with: merged where it is allowed', async () => {
    const inputs = members('model.layers.0.self_attn.q_proj.weight', [0, 4], () => true);
    const { warnings } = await average({ inputs, output: join(folder.path, String(count), 'out'), allowUnknown: true });
    expect(warnings.map(({ code }) => code)).toContain('W_DOUBTS');
  });
});
