import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { inspect } from '../../src/analysis/inspect/inspect.ts';
import { verify } from '../../src/analysis/verify/verify.ts';
import type { DtypeName } from '../../src/base/dtype.ts';
import { MergeError } from '../../src/base/errors.ts';
import { type AverageOptions, average } from '../../src/merge/average.ts';
import { openCheckpoint } from '../../src/safetensors.ts';
import { type FixtureTensor, temporaryFolder, writeCheckpoint } from '../support/checkpoints.ts';
import { ONE_LAYER, ONE_LAYER_CONFIG } from '../support/one-layer.ts';

const folder = temporaryFolder();
afterAll(folder.remove);
let count = 0;

const tensor = (name: string, shape: readonly number[], dtype: DtypeName = 'BF16'): FixtureTensor => ({ name, dtype, shape });
const Q = 'model.layers.0.self_attn.q_proj';

function members(tensors: readonly FixtureTensor[], config: object = ONE_LAYER_CONFIG): string[] {
  count++;
  return [1, 2, 3].map((i) =>
    writeCheckpoint(join(folder.path, String(count), `step-${1000 + i}`), [tensors], i, { 'config.json': JSON.stringify(config) }),
  );
}

async function merged(inputs: readonly string[], options: Partial<AverageOptions> = {}) {
  const out = join(folder.path, String(count), 'out');
  const { warnings } = await average({ inputs, output: out, ...options });
  expect((await verify(out, { sample: 1 })).ok).toBe(true);
  const { shards } = await openCheckpoint(out);
  return { codes: warnings.map(({ code }) => code), names: shards.flatMap(({ header }) => header.tensors.names).sort() };
}

async function refusal(inputs: readonly string[], options: Partial<AverageOptions> = {}): Promise<MergeError> {
  const error = await average({ inputs, output: join(folder.path, String(count), 'out'), ...options }).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(MergeError);
  return error as MergeError;
}

/** The model with `module` in PEFT's wrapper: the base weight under `base`, and what is beside it. */
const wrapped = (module: string, base: string, beside: readonly FixtureTensor[], prefix = '') =>
  [...ONE_LAYER.map((t) => (t.name === `${module}.weight` ? { ...t, name: `${module}.${base}weight` } : t)), ...beside].map((t) => ({
    ...t,
    name: `${prefix}${t.name}`,
  }));

const SAVES: readonly (readonly [what: string, tensors: (prefix: string) => readonly FixtureTensor[]])[] = [
  [
    'LoRA',
    (p) => wrapped(Q, 'base_layer.', [tensor(`${Q}.lora_A.default.weight`, [2, 4]), tensor(`${Q}.lora_B.default.weight`, [4, 2])], p),
  ],
  ['LoRA', (p) => wrapped(Q, '', [tensor(`${Q}.lora_A.weight`, [2, 4]), tensor(`${Q}.lora_B.weight`, [4, 2])], p)],
  ['IA3', (p) => wrapped(Q, 'base_layer.', [tensor(`${Q}.ia3_l.default`, [4, 1])], p)],
  ['IA3', (p) => wrapped(Q, '', [tensor(`${Q}.ia3_l.default`, [4, 1])], p)],
  ['OFT', (p) => wrapped(Q, 'base_layer.', [tensor(`${Q}.oft_R.default.weight`, [2, 2])], p)],
  ['BOFT', (p) => wrapped(Q, 'base_layer.', [tensor(`${Q}.boft_R.default`, [2, 2]), tensor(`${Q}.boft_s.default`, [4, 1])], p)],
  ['VeRA', (p) => wrapped(Q, 'base_layer.', [tensor(`${Q}.vera_lambda_b.default`, [4]), tensor(`${Q}.vera_lambda_d.default`, [2])], p)],
  ['LoHa', (p) => wrapped(Q, 'base_layer.', [tensor(`${Q}.hada_w1_a.default`, [4, 2]), tensor(`${Q}.hada_w1_b.default`, [2, 4])], p)],
  ['LoKr', (p) => wrapped(Q, 'base_layer.', [tensor(`${Q}.lokr_w1.default`, [2, 2])], p)],
  ['LN tuning', (p) => wrapped('model.norm', 'base_layer.', [tensor('model.norm.ln_tuning_layers.default.weight', [4])], p)],
  ['modules_to_save', (p) => wrapped('lm_head', 'original_module.', [tensor('lm_head.modules_to_save.default.weight', [8, 4])], p)],
  ['of which it holds none', (p) => wrapped(Q, 'base_layer.', [], p)],
];

describe("a model saved in PEFT's wrapper", () => {
  it.each(SAVES.flatMap(([what, tensors]) => ['', 'base_model.model.'].map((prefix) => [what, prefix, tensors(prefix)] as const)))(
    '%s, prefix "%s": refused as what it is; names of its own are merged whole',
    async (what, _prefix, tensors) => {
      const inputs = members(tensors);
      const error = await refusal(inputs);
      expect(error).toMatchObject({ code: 'E_LAYOUT_FORM', help: expect.stringContaining('merge_and_unload()') });
      expect(error.message).toMatch(/PEFT's wrapper: 1 of its weights .*; and so are 2 more/);
      expect(error.message).toContain(what);
      expect((await inspect(inputs[0]!)).summary.problems).toMatchObject([{ code: 'E_LAYOUT_FORM' }]);

      expect(error.help).toContain('allowUnknown');
      const { codes, names } = await merged(inputs, { allowUnknown: true });
      expect(codes).toContain('W_DOUBTS');
      expect(names).toEqual(tensors.map(({ name }) => name).sort());
    },
  );

  it.each([
    ['LoRA', ['lora_A.weight', 'lora_B.weight']],
    ['IA3', ['ia3_l']],
    ['LoHa', ['hada_w1_a', 'hada_w1_b']],
  ])('adapters alone (%s) are adapters, whatever is allowed', async (_what, names) => {
    const adapters = names.map((name) => tensor(`base_model.model.${Q}.${name}`, [4, 4]));
    const inputs = members([...adapters, tensor('base_model.model.lm_head.weight', [8, 4])]);
    for (const allowUnknown of [false, true]) {
      const error = await refusal(inputs, { allowUnknown });
      expect(error).toMatchObject({ code: 'E_NO_WEIGHTS', message: expect.stringContaining('are adapters') });
    }
  });
});
