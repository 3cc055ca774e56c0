import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import type { DtypeName } from '../../../src/base/dtype.ts';
import { classifier, classify } from '../../../src/model/roles/classify.ts';
import { namingContext } from '../../../src/model/roles/context.ts';

/**
 * [name, role, layer, expert, projection, what else the label says]. Labels call a tensor of multi-token
 * prediction `mtp`, with its role as `inner_role`.
 */
type Label = readonly [
  string,
  string,
  number | 'all' | null,
  number | 'all' | null,
  string | null,
  { of?: string; inner_role?: string; rank?: number; dtype?: DtypeName; layers?: number }?,
];
interface Family {
  readonly family: string;
  readonly modelType: string;
  readonly layers: number | null;
  readonly names: readonly Label[];
}

const golden = join(import.meta.dirname, '../../golden/tensor-names.json');
const families = JSON.parse(readFileSync(golden, 'utf8')) as readonly Family[];

/** Some labels are paths (`compressor.wkv.weight`), and one is a sentence. */
function projectionOf(role: string, label: string | null): string | null {
  if (role === 'other') return null;
  return ['ssm', 'attn'].includes(role)
    ? (label
        ?.replace(/\.(weight|bias)$/, '')
        .split('.')
        .at(-1) ?? null)
    : label;
}

test('all labelled names of all families', () => {
  const wrong: unknown[] = [];
  const table = families.map(({ family, modelType, layers, names }) => {
    let right = 0;
    for (const [name, role, layer, expert, projection, also = {}] of names) {
      const context = { layers: also.layers ?? layers, experts: null, family: modelType };
      const got = classify(name, also.dtype ?? null, also.rank === undefined ? null : Array(also.rank).fill(8), context);
      const mtp = role === 'mtp';
      const want = { role: mtp ? also.inner_role : role, layer, expert, mtp, projection: projectionOf(role, projection) };
      const of = role === 'lora' ? also.inner_role : also.of;
      const same = Object.entries({ ...want, ...(of === undefined ? {} : { of }) }).every(([key, value]) => got[key as 'role'] === value);
      if (same) right++;
      else wrong.push({ family, name, want: { ...want, of }, got });
    }
    return `${family.padEnd(72)} ${right} of ${names.length}`;
  });
  console.log(table.join('\n'));
  expect(wrong).toEqual([]);
  expect(families).toHaveLength(102);
  expect(families.reduce((sum, { names }) => sum + names.length, 0)).toBe(1893);
});

// Names of no family in the file: other prefixes, other containers, other words.
test.each<[string, string | null, number | null, number | 'all' | null, string | null]>([
  ['transformer.h.3.attn.q_proj.weight', 'attn', 3, null, 'q'],
  ['backbone.layers.7.ffn.router.weight', 'router', 7, null, 'weight'],
  ['decoder.layers.4.moe.experts.12.up_proj.weight', 'expert', 4, 12, 'up'],
  ['decoder.layers.4.moe.gate.weight', 'router', 4, null, 'weight'],
  ['model.layers.2.moe.gating.weight', 'router', 2, null, 'weight'],
  ['model.layers.2.sparse_mlp.gate.weight', 'router', 2, null, 'weight'],
  ['model.layers.2.moe_layer.router.correction_bias', 'router_correction_bias', 2, null, null],
  ['model.layers.2.moe.routed_experts.5.down_proj.weight', 'expert', 2, 5, 'down'],
  ['model.layers.2.mlp.expert_5.fc1.weight', 'expert', 2, 5, 'up'],
  ['model.layers.2.share_expert.gate_proj.weight', 'shared_expert', 2, null, 'gate'],
  ['model.layers.2.moe.shared_expert.up_proj.weight', 'shared_expert', 2, null, 'up'],
  ['model.layers.3.mlp.experts.gate_and_up_proj.weight', 'expert', 3, 'all', 'gate_up'],
  ['model.layers.2.self_attn.gate_proj.weight', 'attn', 2, null, 'gate'],
  ['model.layers.2.self_attn.gate.weight', 'attn', 2, null, 'gate'],
  ['blocks.9.ffn.w_gate.weight', 'mlp', 9, null, 'gate'],
  ['blocks.9.norm1.weight', 'norm', 9, null, null],
  ['model.layers.2.operator_norm.weight', 'norm', 2, null, null],
  ['model.layers.2.self_attn.qk_norm.weight', 'attn_norm', 2, null, 'qk_norm'],
  ['model.layers.3.token_mixer.q_proj.weight', 'attn', 3, null, 'q'],
  ['bert.encoder.layer.3.attention.self.query.weight', 'attn', 3, null, 'q'],
  ['bert.encoder.layer.3.attention.output.dense.weight', 'attn', 3, null, 'o'],
  ['bert.encoder.layer.3.intermediate.dense.weight', 'mlp', 3, null, 'up'],
  ['bert.encoder.layer.3.output.dense.weight', 'mlp', 3, null, 'down'],
  ['bert.embeddings.LayerNorm.weight', 'norm', null, null, null],
  ['model.layers.2.temporal_block.linear_x.weight', 'ssm', 2, null, 'linear_x'],
  ['foo.bar.weight', null, null, null, null],
  ['0.weight', null, null, null, null],
  [`model.layers.0.${'x'.repeat(600)}.mlp.up_proj.weight`, null, null, null, null],
])('%s', (name, role, layer, expert, projection) => {
  expect(classify(name)).toMatchObject({ role, layer, expert, projection, mtp: false, tower: null });
});

describe('what names leave open', () => {
  const gate = 'model.layers.1.mlp.gate.weight';

  it('calls a stack of matrices experts, and a matrix an MLP', () => {
    expect(classify('model.layers.2.moe.up_proj.weight', 'BF16', [8, 64, 32])).toMatchObject({ role: 'expert', expert: 'all' });
    expect(classify('model.layers.2.mlp.up_proj.weight', 'BF16', [64, 32])).toMatchObject({ role: 'mlp', expert: null });
    // Layers stacked in one tensor are no experts.
    expect(classify('decoder.layers.mlp.linear_fc1.weight', 'BF16', [4, 64, 32])).toMatchObject({ role: 'mlp', layer: 'all' });
  });

  it('takes a gate for a router unless the model has no experts or the matrix is too large for one', () => {
    expect(classify(gate, 'BF16', [8, 4096]).role).toBe('router');
    expect(classify(gate, 'BF16', [11008, 4096]).role).toBe('mlp');
    expect(classify(gate, 'BF16', [64, 32], namingContext({ model_type: 'x' }))).toMatchObject({ role: 'mlp', projection: 'gate' });
    expect(classify(gate, 'BF16', [64, 32], namingContext({ how_many_experts: 64 })).role).toBe('router');
  });

  it('knows by the family whether a bias of the router only steers the choice', () => {
    const bias = 'layers.3.mlp.gate.bias';
    expect(classify(bias).role).toBe('router_bias');
    expect(classify(bias, 'F32', [8], namingContext({ model_type: 'deepseek_v4', num_experts: 8 })).role).toBe('router_correction_bias');
  });

  it('tells layers of multi-token prediction by the depth, configured or seen in names', () => {
    const name = 'model.layers.61.mlp.experts.17.down_proj.weight';
    expect(classify(name).mtp).toBe(false);
    expect(classify(name, null, null, namingContext({ num_hidden_layers: 62 })).mtp).toBe(false);
    expect(classify(name, null, null, namingContext({ text_config: { num_hidden_layers: 61 } })).mtp).toBe(true);
    expect(classify(name, null, null, namingContext(null, [name, 'model.layers.61.eh_proj.weight'])).mtp).toBe(true);
    expect(classify(name, null, null, namingContext(null, ['mtp.layers.0.eh_proj.weight'])).mtp).toBe(false);
    expect(classify('model.decoder.layers.7.fc1.weight', null, null, namingContext({ num_hidden_layers: 6 })).mtp).toBe(false);
  });

  it('takes integers for tables, and quantised codes for their weight', () => {
    expect(classify('model.layers.0.mlp.lookup', 'I32', [64]).role).toBe('buffer');
    expect(classify('model.layers.0.mlp.up_proj.weight', 'I8', [64, 64]).role).toBe('mlp');
    expect(classify('model.layers.0.mlp.up_proj.qweight', 'I32', [64, 8]).role).toBe('mlp');
  });

  it('takes a scale for one of its matrix, and a norm or a router by itself', () => {
    expect(classify('layers.2.attn.wo_a.scale')).toMatchObject({ role: 'quant_scale', of: 'attn', projection: 'o_a' });
    expect(classify('layers.2.attn_norm.scale')).toMatchObject({ role: 'norm', of: null });
    expect(classify('layers.2.router.scale')).toMatchObject({ role: 'router_other', of: null });
  });

  it('names the tower, and leaves its layers out', () => {
    expect(classify('audio_tower.layers.3.fc1.weight')).toMatchObject({ role: 'audio', tower: 'audio', layer: null });
    expect(classify('model.visual.blocks.3.attn.qkv.weight')).toMatchObject({ role: 'vision', tower: 'vision', layer: null });
    expect(classify('model.visual.merger.mlp.0.weight').role).toBe('projector');
  });
});

test('one classifier for many names says what one for each does', () => {
  const all = [
    ...families.flatMap(({ names }) => names.map(([name]) => name)),
    'a.#.layers.3.mlp.up_proj.weight',
    'a.4.layers.#.mlp.up_proj.weight',
  ];
  const context = { layers: 20, experts: null, family: null };
  const shared = classifier(context);
  // The second time round each kind is guessed from the one before; the odd numbers must not be taken for
  // what they resemble.
  const odd = [
    'a.4.layers.1234567890.mlp.up_proj.weight',
    'a.4.layers.12x.mlp.up_proj.weight',
    'a.4.layers.12.mlp.up_proj.weight.3',
    'a.4.layers.',
  ];
  for (const name of [...all, ...odd, ...all, ...odd.toReversed(), ...all.toReversed()])
    expect(shared(name), name).toEqual(classify(name, null, null, context));
  expect(shared('a.#.layers.3.mlp.up_proj.weight').layer).toBe(3);
  expect(shared('a.4.layers.#.mlp.up_proj.weight').layer).not.toBe(4);
});
