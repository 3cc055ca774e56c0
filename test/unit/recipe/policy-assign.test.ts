import { describe, expect, it } from 'vitest';
import type { DtypeName } from '../../../src/base/dtype.ts';
import { classifier } from '../../../src/model/roles/classify.ts';
import { assignTreatments } from '../../../src/recipe/policy/assign.ts';
import { DEFAULTS } from '../../../src/recipe/policy/defaults.ts';
import { parsePolicy } from '../../../src/recipe/policy/parse.ts';
import { rowName, treatmentTable } from '../../../src/recipe/policy/table.ts';
import type { Policy, PolicyRequest, PolicyTensor, Treatment, Unknown } from '../../../src/recipe/policy/types.ts';
import { resolveWeights } from '../../../src/recipe/schedule/resolve.ts';

const UNKNOWN: Readonly<Record<string, Unknown>> = {
  table: { doubt: 'its values are whole numbers in every member' },
};

/**
 * Tensors by `name`, `name dtype` or `name dtype what-its-values-say`, classified as those of a model of 4
 * layers with 4 experts.
 */
function tensorsOf(...specs: string[]): PolicyTensor[] {
  const classify = classifier({ layers: 4, experts: 4, family: null });
  return specs.map((spec) => {
    const [name, dtype = 'BF16', said] = spec.split(' ') as [string, DtypeName?, string?];
    return { name, dtype, bytes: 10, role: classify(name, dtype, [4, 8]), ...(said !== undefined && { unknown: UNKNOWN[said] }) };
  });
}

const MEMBERS = [{ step: 1000 }, { step: 2000 }, { step: 3000 }];
const EXPERT = (layer: number, expert: number) => `model.layers.${layer}.mlp.experts.${expert}.up_proj.weight`;
const MOE = tensorsOf(
  'model.embed_tokens.weight',
  ...[0, 1, 2, 3].flatMap((layer) => [
    `model.layers.${layer}.input_layernorm.weight`,
    `model.layers.${layer}.self_attn.q_proj.weight`,
    `model.layers.${layer}.mlp.gate.weight`,
    `model.layers.${layer}.mlp.gate.e_score_correction_bias F32`,
    ...[0, 1, 2, 3].map((expert) => EXPERT(layer, expert)),
    `model.layers.${layer}.mlp.shared_experts.up_proj.weight`,
  ]),
  'model.layers.4.eh_proj.weight',
  'model.layers.4.mlp.gate.weight',
  'lm_head.weight',
);

function assign(
  tensors: readonly PolicyTensor[],
  request: PolicyRequest = {},
  options: Partial<Parameters<typeof assignTreatments>[2]> = {},
) {
  const assigned = assignTreatments(tensors, request, { members: MEMBERS, allowUnknown: false, ...options });
  const at = (name: string): Treatment => assigned.treatments[assigned.of[tensors.findIndex((tensor) => tensor.name === name)]!]!;
  return { ...assigned, at };
}
const policies = (...texts: string[]): PolicyRequest => ({ policies: texts.map((text) => parsePolicy(text)) });
/** Names of the tensors that one policy takes. */
const taken = (text: string, tensors: readonly PolicyTensor[] = MOE) => {
  const { treatments, of } = assign(tensors, policies(text));
  return tensors.flatMap(({ name }, i) => (treatments[of[i]!]!.policy === 0 ? [name] : []));
};

describe('defaults', () => {
  const cases = [
    ['model.layers.0.self_attn.q_proj.weight', 'weight', { kind: 'average', dtype: null }],
    ['model.layers.0.mlp.gate.e_score_correction_bias F32', 'correction bias', { kind: 'average', dtype: 'stored-or-wider' }],
    ['model.rotary_emb.inv_freq F32', 'buffer', { kind: 'equal', dtype: 'stored', unequal: 'E_BUFFERS_DIFFER' }],
    ['layers.0.attention.freqs_cis C64', 'buffer', { kind: 'equal', unequal: 'E_BUFFERS_DIFFER' }],
    ['model.embeddings.position_ids I64', 'integer', { kind: 'equal', unequal: 'E_INTEGERS_DIFFER' }],
    ['layers.0.ffn.gate.tid2eid I32', 'integer', { kind: 'equal', unequal: 'E_INTEGERS_DIFFER' }],
    ['backbone.bn1.running_mean F32', 'statistics', { kind: 'member', member: 2, dtype: 'stored' }],
    ['backbone.bn1.num_batches_tracked I64', 'statistics', { kind: 'member', member: 2 }],
    ['decoder.layers.0.mlp.router.local_tokens_per_expert F32', 'statistics', { kind: 'member', member: 2 }],
    ['model.layers.0.self_attn.q_proj.weight_scale_inv F32', 'scale', { kind: 'with-weight' }],
    ['model.layers.0.self_attn.q_proj.qzeros I32', 'scale', { kind: 'with-weight' }],
    ['base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight', 'training state', { kind: 'drop' }],
    ['optimizer.state.exp_avg.model.layers.0.self_attn.q_proj.weight F32', 'training state', { kind: 'drop' }],
    ['model.layers.0.mlp.up_proj.weight F4', 'packed', { kind: 'equal', unequal: 'E_UNSUPPORTED_DTYPE' }],
    ['model.layers.0.surprise F32 table', 'unknown', { kind: 'equal', unequal: 'E_UNKNOWN_TENSOR', dtype: 'stored' }],
    ['model.layers.0.self_attn.q_proj._extra_state U8', 'integer', { kind: 'equal' }],
    ['model.layers.0.self_attn.q_proj._extra_state F32', 'buffer', { kind: 'equal', dtype: 'stored' }],
    ['model.vision_tower.layers.0.mlp.up_proj.input_max', 'buffer', { kind: 'equal', dtype: 'stored' }],
  ] as const;
  it.each(cases)('%s: %s', (spec, row, treatment) => {
    const { at, conflicts } = assign([...tensorsOf(spec), ...MOE]);
    expect(at(spec.split(' ')[0]!)).toMatchObject({ default: row, policy: null, request: null, ...treatment });
    expect(conflicts).toEqual([]);
  });

  it('what only data and the other members tell', () => {
    const [state, high, frequencies] = tensorsOf(
      'model.layers.0.self_attn.q_proj._extra_state U8',
      'a.input_max F32',
      'rotary_emb.inv_freq F32',
    );
    const tensors = [{ ...state!, differs: true }, { ...high!, bounds: true, differs: true }, { ...frequencies!, partial: true }, ...MOE];
    const { at, conflicts, warnings } = assign(tensors);
    expect(at(state!.name)).toMatchObject({ default: 'activation state', kind: 'member', member: 2, dtype: 'stored' });
    expect(at(high!.name)).toMatchObject({ default: 'activation state', kind: 'member', member: 2 });
    expect(at(frequencies!.name)).toMatchObject({ default: 'partial buffer', kind: 'drop' });
    expect(conflicts).toEqual([]);
    expect(warnings).toMatchObject([
      { code: 'W_LEFT_OUT', message: expect.stringContaining('rotary_emb.inv_freq') },
      { code: 'W_ACTIVATION_SCALES', message: expect.stringContaining('2 tensors') },
    ]);
    const cast = assign([{ ...frequencies!, rounded: true }, ...MOE]);
    expect(cast.at(frequencies!.name)).toMatchObject({ default: 'rounded buffer', kind: 'member', member: 2, dtype: 'stored' });
    expect(cast.warnings).toEqual([]);
    // A policy goes before the table.
    expect(assign(tensors, policies('name=*.inv_freq:use=newest')).at(frequencies!.name)).toMatchObject({ kind: 'member' });
  });

  it('every row of the table is reached by one of these', () => {
    const byData = ['activation state', 'partial buffer', 'rounded buffer'] as const;
    expect(new Set([...cases.map(([, row]) => row), ...byData])).toEqual(new Set(DEFAULTS.map(({ name }) => name)));
  });

  it('codes of a quantised weight are averaged by their values, whatever their dtype', () => {
    const [codes] = tensorsOf('model.layers.0.mlp.experts.gate_up_proj_blocks U8');
    expect(assign([{ ...codes!, codes: true }]).treatments).toMatchObject([{ kind: 'average', default: 'weight' }]);
    expect(assign([codes!]).treatments).toMatchObject([{ kind: 'equal', default: 'integer' }]);
  });

  it('names that no rule knows: averaged where none is known or where it is allowed, with one warning', () => {
    const all = ['net.0.alpha F32', 'net.1.alpha F32', 'net.1.beta F16'];
    const doubtful = ['net.1.table I64', 'net.1.codes F32 table', 'net.1.mystery F8_E4M3'];
    for (const others of [[], MOE]) {
      const tensors = [...others, ...tensorsOf(...all, ...doubtful)];
      const { at, warnings } = assign(tensors);
      for (const name of ['net.0.alpha', 'net.1.alpha', 'net.1.beta']) expect(at(name)).toMatchObject({ kind: 'average', dtype: null });
      expect(at('net.1.table')).toMatchObject({ kind: 'equal', unequal: 'E_INTEGERS_DIFFER' });
      expect(at('net.1.codes')).toMatchObject({ kind: 'equal', unequal: 'E_UNKNOWN_TENSOR' });
      expect(at('net.1.mystery')).toMatchObject({ kind: 'equal', unequal: 'E_UNKNOWN_TENSOR' });
      expect(warnings).toMatchObject([{ code: 'W_UNKNOWN_NAMES', message: expect.stringContaining('3 float tensors are averaged') }]);
      expect(warnings[0]!.message).toContain(': net.*.alpha (2), net.1.beta. ');

      const allowed = assign(tensors, {}, { allowUnknown: true });
      expect(allowed.at('net.1.codes').kind).toBe('average');
      expect(allowed.warnings).toMatchObject([{ code: 'W_UNKNOWN_NAMES', message: expect.stringContaining('5 float tensors') }]);
    }
    const family = [...MOE, ...tensorsOf(...all)];
    // A policy says what they are: nothing to warn of.
    const named = assign(family, policies('name=net.*:use=average'));
    expect(named.at('net.1.beta')).toMatchObject({ kind: 'average', policy: 0 });
    expect(named.warnings).toEqual([]);
  });

  it('what is left out is said, and a checkpoint of nothing else is refused', () => {
    const lora = tensorsOf('base_model.model.x.q_proj.lora_A.weight', 'base_model.model.x.q_proj.lora_B.weight');
    expect(assign([...MOE, ...lora]).warnings).toMatchObject([{ code: 'W_LEFT_OUT', message: expect.stringContaining('2 tensors') }]);
    // A trainer's own container holds the optimizer in every step: no warning.
    const [moment] = tensorsOf('optimizer.state.x.exp_avg');
    expect(assign([...MOE, moment!]).warnings).toMatchObject([{ code: 'W_LEFT_OUT' }]);
    expect(assign([...MOE, { ...moment!, apart: true }]).warnings).toEqual([]);
    expect(assign(lora).conflicts).toMatchObject([{ code: 'E_NO_WEIGHTS' }]);
    expect(assign(lora, policies('role=lora:use=average')).conflicts).toEqual([]);
  });
});

describe('selectors', () => {
  it.each([
    [
      'role=router:use=newest',
      [
        'model.layers.0.mlp.gate.weight',
        'model.layers.1.mlp.gate.weight',
        'model.layers.2.mlp.gate.weight',
        'model.layers.3.mlp.gate.weight',
        'model.layers.4.mlp.gate.weight',
      ],
    ],
    ['role=router,layers=1-2:use=newest', ['model.layers.1.mlp.gate.weight', 'model.layers.2.mlp.gate.weight']],
    ['role=attention,layers=-1|0:use=newest', ['model.layers.0.self_attn.q_proj.weight', 'model.layers.3.self_attn.q_proj.weight']],
    ['role=attn,layers=2--1:use=newest', ['model.layers.2.self_attn.q_proj.weight', 'model.layers.3.self_attn.q_proj.weight']],
    ['role=router_bias,layers=3:use=newest', ['model.layers.3.mlp.gate.e_score_correction_bias']],
    ['layers=0,experts=-2--1:use=newest', [EXPERT(0, 2), EXPERT(0, 3)]],
    ['role=mtp:use=newest', ['model.layers.4.eh_proj.weight', 'model.layers.4.mlp.gate.weight']],
    ['role=mtp|lm_head:use=newest', ['model.layers.4.eh_proj.weight', 'model.layers.4.mlp.gate.weight', 'lm_head.weight']],
    ['name=*.0.*norm?weight:use=newest', ['model.layers.0.input_layernorm.weight']],
    ['name=lm_head.weight:use=newest', ['lm_head.weight']],
    [
      'dtype=F32,layers=0|1:use=newest',
      ['model.layers.0.mlp.gate.e_score_correction_bias', 'model.layers.1.mlp.gate.e_score_correction_bias'],
    ],
    ['role=shared_experts,layers=0:use=newest', ['model.layers.0.mlp.shared_experts.up_proj.weight']],
  ])('%s', (text, names) => {
    expect(taken(text)).toEqual(names);
  });

  it('layers are those of the model, unless multi-token prediction is named', () => {
    expect(taken('layers=-1,role=router:use=newest')).toEqual(['model.layers.3.mlp.gate.weight']);
    expect(taken('layers=4,role=mtp:use=newest')).toEqual(['model.layers.4.eh_proj.weight', 'model.layers.4.mlp.gate.weight']);
  });

  it('a name is taken literally but for its jokers', () => {
    const odd = tensorsOf('a.b[0]+(c)', 'aXb[0]+(c)', 'a.b\n$^{1}|\\d');
    expect(taken('name=a.b[0]+(c):use=newest', odd)).toEqual(['a.b[0]+(c)']);
    expect(taken('name=a?b[*:use=newest', odd)).toEqual(['a.b[0]+(c)', 'aXb[0]+(c)']);
    expect(taken('name=a.b*{1}|\\d:use=newest', odd)).toEqual(['a.b\n$^{1}|\\d']);
  });

  it('scales go with the role of their weights', () => {
    const quantised = tensorsOf(
      'model.layers.0.mlp.experts.0.up_proj.weight F8_E4M3',
      'model.layers.0.mlp.experts.0.up_proj.weight_scale_inv F32',
    );
    const { treatments, of } = assign(quantised, policies('role=experts:use=newest'));
    expect([...of].map((t) => treatments[t])).toMatchObject([
      { kind: 'member', member: 2, policy: 0 },
      { kind: 'with-weight', policy: 0 },
    ]);
    const dropped = assign([...quantised, ...MOE], policies('role=experts,layers=0:use=drop'));
    expect(dropped.at(quantised[1]!.name).kind).toBe('drop');
  });
});

describe('treatments', () => {
  it('the first policy that fits decides', () => {
    const { at, conflicts } = assign(
      MOE,
      policies('role=router,layers=0:use=oldest', 'role=router:use=2000', 'layers=0:weights=0.2,0.3,0.5'),
    );
    expect(conflicts).toEqual([]);
    expect(at('model.layers.0.mlp.gate.weight')).toMatchObject({ kind: 'member', member: 0, policy: 0 });
    expect(at('model.layers.1.mlp.gate.weight')).toMatchObject({ kind: 'member', member: 1, policy: 1 });
    expect(at('model.layers.0.self_attn.q_proj.weight')).toMatchObject({
      kind: 'average',
      request: { weights: [0.2, 0.3, 0.5] },
      policy: 2,
    });
    expect(at('lm_head.weight')).toMatchObject({ kind: 'average', request: null, policy: null });
  });

  it('router goes before the other policies, for all that decides routing', () => {
    const { at } = assign(MOE, { ...policies('layers=0:use=oldest'), router: 'newest' });
    expect(at('model.layers.0.mlp.gate.weight').member).toBe(2);
    expect(at('model.layers.0.mlp.gate.e_score_correction_bias')).toMatchObject({ kind: 'member', member: 2, dtype: 'stored-or-wider' });
    expect(at('model.layers.0.mlp.shared_experts.up_proj.weight').member).toBe(0);
  });

  it('a dtype goes with any treatment, and alone leaves the default one', () => {
    const buffers = [...MOE, ...tensorsOf('model.rotary_emb.inv_freq F32')];
    const { at } = assign(
      buffers,
      policies('role=router:use=newest,dtype=F32', 'role=norms:dtype=F32', 'stored=F32:dtype=BF16', 'name=lm_head.weight:use=equal'),
    );
    expect(at('model.layers.0.mlp.gate.weight')).toMatchObject({ kind: 'member', dtype: 'F32' });
    expect(at('model.layers.0.input_layernorm.weight')).toMatchObject({ kind: 'average', request: null, dtype: 'F32' });
    expect(at('model.layers.0.mlp.gate.e_score_correction_bias')).toMatchObject({ kind: 'average', dtype: 'BF16' });
    expect(at('model.rotary_emb.inv_freq')).toMatchObject({ kind: 'equal', unequal: 'E_BUFFERS_DIFFER', dtype: 'BF16' });
    expect(at('lm_head.weight')).toMatchObject({ kind: 'equal', unequal: 'E_NOT_EQUAL', dtype: 'stored' });
  });

  it('averaging a correction bias by a policy keeps its dtype', () => {
    expect(assign(MOE, { router: 'average' }).at('model.layers.0.mlp.gate.e_score_correction_bias')).toMatchObject({
      kind: 'average',
      dtype: 'stored-or-wider',
      policy: 0,
    });
  });

  it('of what the layout lacks a policy can say only that it is left out', () => {
    const tensors = [...MOE, ...tensorsOf('model.layers.4.enorm.weight').map((tensor) => ({ ...tensor, extra: true }))];
    expect(assign(tensors, policies('role=mtp:use=drop')).at('model.layers.4.enorm.weight')).toMatchObject({ kind: 'drop', policy: 0 });
    expect(assign(tensors, policies('role=mtp:use=newest')).at('model.layers.4.enorm.weight')).toMatchObject({
      kind: 'average',
      policy: null,
    });
  });

  it('treatments are few, and each tensor has one', () => {
    const { treatments, of } = assign(MOE, policies('role=experts:method=ema', 'role=router:use=newest'));
    expect(treatments.length).toBe(4);
    expect(new Set(of)).toEqual(new Set(treatments.keys()));
  });

  it("what is the trainer's is told apart from the optimizer's, left out or not", async () => {
    const training = { apart: true, state: { kind: 'training', flat: false, uniform: false, weight: null } } as const;
    const moment = { apart: true, state: { kind: 'first moment', flat: false, uniform: false, weight: 0 } } as const;
    const [weight, counter, mean] = tensorsOf('model.norm.weight', 'optimizer.state.0.step I64', 'optimizer.state.0.exp_avg F32');
    const tensors = [weight!, { ...counter!, ...training }, { ...mean!, ...moment }];
    const schedule = await resolveWeights([{ path: 'a', step: 1, tokens: null }], {});
    const rows = (resumed?: 'newest') => {
      const { treatments, of } = assign(tensors, {}, { resumed });
      const table = treatmentTable(tensors, { treatments, of, own: treatments.map(() => null), schedule, policies: [], members: MEMBERS });
      return table.map((row) => [rowName(row), row.state, row.treatment]);
    };
    expect(rows().slice(1)).toEqual([
      ['training state', 'training state', 'left out'],
      ['optimizer', undefined, 'left out'],
    ]);
    expect(rows('newest').slice(1)).toEqual([
      ['training state', 'training state', 'bytes of the newest, step 3000'],
      ['optimizer: first moments', 'first moments', 'bytes of the newest, step 3000'],
    ]);
  });

  it('the table has a row for each role and treatment, and all tensors and bytes', async () => {
    const request = policies('role=experts:method=ema', 'role=router:use=newest', 'role=norms:weights=0.2,0.3,0.5');
    const { treatments, of } = assign(MOE, request);
    const schedule = await resolveWeights([{ path: 'a', step: 1, tokens: null }], {});
    const members = MEMBERS.map(({ step }) => ({ path: `${step}`, step, tokens: null }));
    const own = await Promise.all(treatments.map((treatment) => (treatment.request ? resolveWeights(members, treatment.request) : null)));
    const table = treatmentTable(MOE, { treatments, of, own, schedule, policies: request.policies!, members });
    expect(table.reduce((sum, row) => sum + row.tensors, 0)).toBe(MOE.length);
    expect(table.reduce((sum, row) => sum + row.bytes, 0)).toBe(10 * MOE.length);
    expect(table).toContainEqual({
      role: 'expert',
      mtp: false,
      tensors: 16,
      bytes: 160,
      treatment: 'average, ema, alpha 0.2',
      policy: 'role=experts:method=ema',
    });
    expect(table).toContainEqual({
      role: 'router',
      mtp: true,
      tensors: 1,
      bytes: 10,
      treatment: 'newest, step 3000',
      policy: 'role=router:use=newest',
    });
    expect(table).toContainEqual({
      role: 'norm',
      mtp: false,
      tensors: 4,
      bytes: 40,
      treatment: 'average, weights 0.2, 0.3, 0.5',
      policy: 'role=norms:weights=0.2,0.3,0.5',
    });
    expect(table).toContainEqual({
      role: 'router_correction_bias',
      mtp: false,
      tensors: 4,
      bytes: 40,
      treatment: 'average, sma, dtype never narrowed',
      policy: null,
    });
  });
});

describe('what cannot be', () => {
  const dense = tensorsOf('model.embed_tokens.weight', 'model.layers.0.mlp.up_proj.weight', 'model.layers.1.mlp.up_proj.weight');
  const fused = [...dense, ...tensorsOf('model.layers.0.mlp.experts.gate_up_proj')];
  const buffers = [...dense, ...tensorsOf('model.embeddings.position_ids I64', 'model.rotary_emb.inv_freq F32')];
  it.each<[string, readonly PolicyTensor[], PolicyRequest, string, readonly string[]]>([
    [
      'routers in a dense model',
      dense,
      { router: 'newest' },
      'E_POLICY_UNUSED',
      ['router newest fits no tensor: the roles here are embedding, mlp'],
    ],
    ['a layer beyond the last', MOE, policies('layers=9:use=newest'), 'E_POLICY_UNUSED', ['the layers are 0 to 3', 'role=mtp']],
    [
      'layers of a model without MTP',
      dense,
      policies('role=mtp,layers=0:use=newest'),
      'E_POLICY_UNUSED',
      ['no layer of multi-token prediction'],
    ],
    ['an expert beyond the last', MOE, policies('experts=4-7:use=newest'), 'E_POLICY_UNUSED', ['the experts are 0 to 3']],
    ['experts of a dense model', dense, policies('experts=0:use=newest'), 'E_POLICY_UNUSED', ['there are no experts']],
    ['one of fused experts', fused, policies('experts=0:use=newest'), 'E_POLICY_UNUSED', ['each tensor holds all experts of a layer']],
    [
      'one of fused experts, which another member holds one by one',
      [...fused, ...tensorsOf(EXPERT(0, 0), EXPERT(0, 1)).map((tensor) => ({ ...tensor, extra: true }))],
      policies('experts=0:use=newest'),
      'E_POLICY_UNUSED',
      ['each tensor holds all experts of a layer'],
    ],
    [
      'a name nobody has',
      dense,
      policies('name=model.layers.1.mlp.gate_proj.weight:use=newest'),
      'E_POLICY_UNUSED',
      ['nearest is model.layers.1.mlp.up_proj.weight'],
    ],
    ['a dtype nobody has', dense, policies('stored=F64:use=newest'), 'E_POLICY_UNUSED', ['the dtypes are BF16']],
    [
      'a role and a name that exclude each other',
      MOE,
      policies('role=router,name=lm_head.weight:use=newest'),
      'E_POLICY_UNUSED',
      ['none together', 'without role it would fit lm_head.weight'],
    ],
    [
      'a policy behind a wider one',
      MOE,
      policies('role=routers:use=newest', 'role=router,layers=0:use=oldest'),
      'E_POLICY_SHADOWED',
      ['policy role=routers:use=newest before it takes all of its 1 tensor'],
    ],
    [
      'a policy behind two that are as wide together',
      MOE,
      policies('layers=0:use=newest', 'layers=1-3:use=oldest', 'role=attn:use=drop'),
      'E_POLICY_SHADOWED',
      ['policy layers=0:use=newest and policy layers=1-3:use=oldest before it take all of its 4 tensors'],
    ],
    [
      'a policy behind router',
      MOE,
      { ...policies('role=router:use=oldest'), router: 'newest' },
      'E_POLICY_SHADOWED',
      ['router newest before it takes all of its 5 tensors'],
    ],
    [
      'a step that no member has',
      MOE,
      policies('role=router:use=1500'),
      'E_POLICY',
      ['no member is at step 1500: they are at 1000, 2000, 3000'],
    ],
    ['weights for other members', MOE, policies('role=router:weights=0.5,0.5'), 'E_WEIGHTS', ['has 2 weights for 3 members']],
    [
      'averaged integers',
      buffers,
      policies('name=model.embeddings.*:use=average'),
      'E_POLICY',
      ['position_ids, I64', 'integers are never averaged', "'name=model.embeddings.position_ids:use=equal'"],
    ],
    [
      'averaged buffers, by an ending of their names',
      tensorsOf('model.layers.0.attn.freqs F32'),
      policies('name=*freqs:use=average'),
      'E_POLICY',
      ["'name=model.layers.0.attn.freqs:use=equal'", 'where they are weights all the same', "'name=model.layers.*.attn.freqs:use=average'"],
    ],
    ['averaged buffers', buffers, policies('role=buffers:method=ema'), 'E_POLICY', ['constant buffers keep their bytes']],
    ['a dtype for integers', buffers, policies('stored=I64:dtype=F32'), 'E_POLICY', ['gives a dtype to tensors that are no floats']],
    [
      'scales alone',
      [...MOE, ...tensorsOf('lm_head.weight_scale F32')],
      policies('name=*_scale:use=newest'),
      'E_POLICY',
      ['is about scales alone'],
    ],
    ['nothing left', dense, policies('name=*:use=drop'), 'E_POLICY', ['nothing is left']],
    [
      'a policy that is wrong in itself',
      MOE,
      { policies: [{ role: 'ruter', layers: 'x', use: 'newest' }] },
      'E_OPTION',
      ['there is no role "ruter"'],
    ],
    [
      'two policies with one selector',
      MOE,
      policies('role=router:use=newest', 'role=router:use=oldest'),
      'E_OPTION',
      ['two policies select role=router'],
    ],
  ])('%s', (_, tensors, request, code, texts) => {
    const { conflicts } = assign(tensors, request);
    expect(conflicts.map((conflict) => conflict.code)).toContain(code);
    const messages = conflicts.map(({ message }) => message).join('\n');
    for (const text of texts) expect(messages).toContain(text);
  });

  it('one conflict a policy, not one a tensor', () => {
    const { conflicts } = assign(buffers, policies('name=model.*:use=average', 'role=router:use=newest'));
    expect(conflicts.map(({ code }) => code)).toEqual(['E_POLICY', 'E_POLICY', 'E_POLICY_UNUSED']);
  });

  it('two members at one step cannot be told apart by it', () => {
    const { conflicts } = assign(MOE, policies('role=router:use=1000'), { members: [{ step: 1000 }, { step: 1000 }, { step: 3000 }] });
    expect(conflicts).toMatchObject([{ code: 'E_POLICY', message: expect.stringContaining('2 members are at step 1000') }]);
  });

  it('dropping what the model needs is warned of, dropping what it does not is not', () => {
    const codes = (text: string) =>
      assign([...MOE, ...tensorsOf('model.rotary_emb.inv_freq F32')], policies(text)).warnings.map(({ code, message }) => [code, message]);
    expect(codes('role=norms:use=drop')).toEqual([['W_DROPPED', expect.stringContaining('4 tensors')]]);
    expect(codes('role=mtp:use=drop')).toEqual([['W_DROPPED', expect.stringContaining('num_nextn_predict_layers')]]);
    expect(codes('role=buffers:use=drop')).toEqual([]);
  });
});

it('policies of any shape leave every tensor with a treatment', () => {
  const odd = [{}, { role: 3 }, { layers: {} }, { name: '' }, { use: null }] as unknown as Policy[];
  const { of, treatments, conflicts } = assign(MOE, { policies: odd });
  expect(conflicts.length).toBeGreaterThan(4);
  expect([...of].every((t) => treatments[t]!.policy === null)).toBe(true);
});

it('of one checkpoint that is converted nothing is said to be averaged', () => {
  const tensors = tensorsOf('model.layers.0.alpha.zeta');
  expect(assign(tensors).warnings).toMatchObject([{ code: 'W_UNKNOWN_NAMES' }]);
  expect(assign(tensors, {}, { convert: { dtype: 'BF16' } }).warnings).toEqual([]);
});
