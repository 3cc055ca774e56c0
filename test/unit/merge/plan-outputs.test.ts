import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MergeError } from '../../../src/base/errors.ts';
import { localStore } from '../../../src/base/store/local.ts';
import { buildPlan } from '../../../src/merge/plan/build.ts';
import { planDocument } from '../../../src/merge/plan/document.ts';
import type { OutputRequest, PlanRequest, SelectionReport } from '../../../src/merge/plan/types.ts';
import { type FixtureTensor, temporaryFolder, writeCheckpoint } from '../../support/checkpoints.ts';

const TENSORS: FixtureTensor[] = [
  { name: 'embed', dtype: 'BF16', shape: [40, 8] },
  { name: 'norm', dtype: 'F32', shape: [7] },
];

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

const at = (...parts: string[]) => join(folder.path, ...parts);
const make = (name: string, tensors: readonly FixtureTensor[] = TENSORS, sides = {}) => writeCheckpoint(at(name), [tensors], 1, sides);
const checkpoints = (...steps: number[]) => steps.map((step) => make(`checkpoint-${step}`));
const outputs = (...all: readonly Omit<OutputRequest, 'path'>[]): OutputRequest[] => all.map((o, k) => ({ path: at(`out-${k}`), ...o }));
const codeOf = (request: PlanRequest) =>
  buildPlan(request).then(
    () => 'planned',
    (error: { code: string }) => error.code,
  );
const conflictsOf = async (request: PlanRequest): Promise<{ code: string; message: string }[]> => {
  const error = await buildPlan(request).catch((e: unknown) => e);
  return (error as { details: { conflicts: { code: string; message: string }[] } }).details.conflicts;
};

describe('the members of an output', () => {
  it('alone have its weights; the row over all members has 0 elsewhere', async () => {
    const plan = await buildPlan({
      inputs: checkpoints(1, 2, 3, 4),
      outputs: outputs({ members: [0, 1] }, { members: [1, 2, 3], method: 'wma' }, { members: [0, 3], weights: [2, -1] }),
    });
    expect([...plan.weights]).toEqual([0.5, 0.5, 0, 0, 0, 1 / 6, 2 / 6, 3 / 6, 2, 0, 0, -1]);
    expect(plan.outputs.map((o) => o.members)).toEqual([
      [0, 1],
      [1, 2, 3],
      [0, 3],
    ]);
    expect(planDocument(plan).outputs.map((o) => o.members.map((m) => [m.step, m.weight]))).toEqual([
      [
        [1, 0.5],
        [2, 0.5],
      ],
      [
        [2, 1 / 6],
        [3, 2 / 6],
        [4, 3 / 6],
      ],
      [
        [1, 2],
        [4, -1],
      ],
    ]);
  });

  it('that no output names are not even opened', async () => {
    const [a, b] = checkpoints(1, 2);
    const plan = await buildPlan({ inputs: [a!, at('gone'), b!], outputs: outputs({ members: [0, 2] }, { members: [2] }) });
    expect(plan.members.map((m) => m.path)).toEqual([a, b]);
    expect(plan.outputs.map((o) => o.members)).toEqual([[0, 1], [1]]);
  });

  it('with a weight of 0 are named but not read', async () => {
    const plan = await buildPlan({ inputs: checkpoints(1, 2, 3), outputs: outputs({ members: [0, 1, 2], weights: [0, 0.5, 0.5] }) });
    expect(plan.members.map((m) => m.participates)).toEqual([false, true, true]);
    expect(planDocument(plan).outputs[0]!.members.map((m) => m.weight)).toEqual([0, 0.5, 0.5]);
  });

  it.each([[[]], [[1, 0]], [[0, 0]], [[2]], [[-1]], [[0.5]]])('%j of two inputs are refused', async (members) => {
    expect(await codeOf({ inputs: checkpoints(1, 2), outputs: outputs({ members }) })).toBe('E_OPTION');
  });
});

describe('order', () => {
  it('is sorted by step, and members follow their inputs', async () => {
    const plan = await buildPlan({
      inputs: checkpoints(30, 10, 20),
      outputs: outputs({ members: [0, 1], method: 'wma' }, { members: [2] }),
    });
    expect(plan.members.map((m) => m.step)).toEqual([10, 20, 30]);
    expect(plan.outputs.map((o) => o.members)).toEqual([[0, 2], [1]]);
    expect([...plan.weights]).toEqual([1 / 3, 0, 2 / 3, 0, 1, 0]);
    expect(plan.outputs.map((o) => o.warnings.map((w) => w.message))).toEqual([[expect.stringContaining('oldest first: 10, 30')], []]);
  });

  it('that is known already stands', async () => {
    const plan = await buildPlan({ inputs: checkpoints(30, 10), ordered: true, outputs: outputs({}) });
    expect(plan.members.map((m) => m.step)).toEqual([30, 10]);
    expect(plan.warnings).toEqual([]);
  });

  it('has the stage before the step', async () => {
    const [a, b] = checkpoints(5, 9);
    const inputs = [
      { path: a!, stage: 2 },
      { path: b!, stage: 1 },
    ];
    const plan = await buildPlan({ inputs, allowStages: true, outputs: outputs({ method: 'wma' }) });
    expect(plan.members.map((m) => [m.stage, m.step])).toEqual([
      [1, 9],
      [2, 5],
    ]);
  });

  it('of explicit weights is the given one, and one that suits no order of the others is refused', async () => {
    const inputs = checkpoints(3, 1, 2);
    const weighted = { members: [0, 1], weights: [0.7, 0.3] };
    const plan = await buildPlan({ inputs, outputs: outputs(weighted, { members: [1, 2], method: 'wma' }) });
    expect(plan.members.map((m) => m.step)).toEqual([3, 1, 2]);
    expect(await codeOf({ inputs, outputs: outputs(weighted, { members: [0, 2], method: 'wma' }) })).toBe('E_ORDER');
  });
});

it('what is said of an input is believed, what is not said is read', async () => {
  const [a, b] = checkpoints(1, 2);
  const plan = await buildPlan({
    inputs: [
      { path: a!, step: 100, tokens: 7, stage: 3 },
      { path: b!, tokens: null },
    ],
    ordered: true,
    outputs: outputs({}),
  });
  expect(plan.members.map(({ step, tokens, stage }) => ({ step, tokens, stage }))).toEqual([
    { step: 100, tokens: 7, stage: 3 },
    { step: 2, tokens: null, stage: null },
  ]);
});

describe('layouts', () => {
  const reversed = TENSORS.toReversed();

  it('of two outputs must have the same tensors; like gives one to all', async () => {
    const inputs = [make('checkpoint-1'), make('checkpoint-2', reversed)];
    const two = outputs({ members: [0] }, { members: [1] });
    const [conflict] = await conflictsOf({ inputs, outputs: two });
    expect(conflict).toMatchObject({ code: 'E_LAYOUTS_DIFFER', message: expect.stringMatching(/tensor 1 is embed and norm.*like/) });
    const plan = await buildPlan({ inputs, outputs: two, like: inputs[1]! });
    expect(
      plan.outputs.map((o) => Buffer.from(o.files[0]!.header()).indexOf('norm') < Buffer.from(o.files[0]!.header()).indexOf('embed')),
    ).toEqual([true, true]);
  });

  it.each([
    ['dtypes', TENSORS.map((t) => ({ ...t, dtype: 'F16' as const })), /embed is BF16 \[40, 8\] and F16 \[40, 8\]/],
    ['a tensor less', TENSORS.slice(1), /2 and 1 tensors/],
    ['shapes', [{ ...TENSORS[0]!, shape: [8, 40] }, TENSORS[1]!], /embed is BF16 \[40, 8\] and BF16 \[8, 40\]/],
  ])('that differ in %s are named', async (_, tensors, message) => {
    const inputs = [make('checkpoint-1'), make('checkpoint-2', tensors)];
    const found = await conflictsOf({ inputs, outputs: outputs({ members: [0] }, { members: [1] }) });
    expect(found.find((c) => c.code === 'E_LAYOUTS_DIFFER')?.message).toMatch(message);
  });

  it('may differ in how many tensors there are where they serve one output', async () => {
    const inputs = [make('checkpoint-1'), make('checkpoint-2', reversed)];
    expect(await codeOf({ inputs, outputs: outputs({}, { method: 'wma' }) })).toBe('planned');
  });
});

describe('the places of outputs', () => {
  it.each([
    ['the same', 'a', 'a'],
    ['the same in other words', 'a', 'x/../a'],
    ['the same through a link', 'real/a', 'link/a'],
    ['one inside the other', 'a', 'a/b'],
    ['one around the other', 'a/b', 'a'],
  ])('must not be %s', async (_, first, second) => {
    mkdirSync(at('real'));
    symlinkSync(at('real'), at('link'));
    const two = [first, second].map((path) => ({ path: `${folder.path}/${path}` }));
    expect(await codeOf({ inputs: checkpoints(1), outputs: two })).toBe('E_OUTPUTS_OVERLAP');
  });

  it('may be neighbours with names that begin alike', async () => {
    expect(await codeOf({ inputs: checkpoints(1), outputs: [{ path: at('out') }, { path: at('out-2') }] })).toBe('planned');
  });

  it('must not lie in an input that only another output reads', async () => {
    const inputs = checkpoints(1, 2);
    const two = [
      { path: at('out'), members: [0] },
      { path: join(inputs[0]!, 'out'), members: [1] },
    ];
    expect(await codeOf({ inputs, outputs: two })).toBe('E_OUTPUT_OVERLAPS_INPUT');
  });
});

describe('stages', () => {
  const staged = (...stages: (number | null)[]) => stages.map((stage, i) => ({ path: make(`checkpoint-${i + 1}`), stage }));

  it('are not mixed in one output without a flag, and are free between outputs', async () => {
    const inputs = staged(1, 1, 2);
    expect((await conflictsOf({ inputs, outputs: outputs({}) }))[0]).toMatchObject({
      code: 'E_STAGES',
      message: expect.stringMatching(/stage 1 \(.*checkpoint-1\) and stage 2 \(.*checkpoint-3\)/),
    });
    expect(await codeOf({ inputs, allowStages: true, outputs: outputs({}) })).toBe('planned');
    expect(await codeOf({ inputs, outputs: outputs({ members: [0, 1] }, { members: [2] }) })).toBe('planned');
    expect(await codeOf({ inputs, outputs: outputs({ weights: [0.5, 0.5, 0] }) })).toBe('planned');
    expect(await codeOf({ inputs: staged(null, 2), outputs: outputs({}) })).toBe('planned');
  });

  it('are read from names', async () => {
    const inputs = ['stage1-step10-tokens1B', 'stage2-step5-tokens2B'].map((name) => make(name));
    expect(await codeOf({ inputs, outputs: outputs({}) })).toBe('E_STAGES');
  });
});

describe('configurations', () => {
  const config = (value: object) => ({ 'config.json': JSON.stringify(value) });
  const pair = (a: object, b: object) => [make('checkpoint-1', TENSORS, config(a)), make('checkpoint-2', TENSORS, config(b))];

  it.each([
    ['where it was loaded from and by which version', { _name_or_path: 'a', transformers_version: '4.1' }, { _name_or_path: 'b' }],
    ['how the dtype is spelt', { torch_dtype: 'bfloat16' }, { dtype: 'torch.bfloat16' }],
    ['how a nested dtype is spelt', { text_config: { torch_dtype: 'bfloat16' } }, { text_config: { dtype: 'bfloat16' } }],
    ['the order of keys', { a: 1, b: { c: 2, d: [{ e: 3, f: 4 }] } }, { b: { d: [{ f: 4, e: 3 }], c: 2 }, a: 1 }],
  ])('may differ in %s', async (_, a, b) => {
    expect(await codeOf({ inputs: pair(a, b), outputs: outputs({}) })).toBe('planned');
  });

  it('that differ otherwise are refused without a flag, every key with both values', async () => {
    const inputs = pair(
      { architectures: ['A'], n: { size: 4 }, act: 'gelu', eos_token_id: 2 },
      { architectures: ['B'], n: { size: 8 }, act: 'silu', eos_token_id: 3, x: true },
    );
    const found = await conflictsOf({ inputs, outputs: outputs({}) });
    expect(found).toHaveLength(1);
    expect(found[0]!.code).toBe('E_CONFIG_DIFFERS');
    for (const part of ['architectures is ["B"] and ["A"]', 'n.size is 8 and 4', 'act is "silu" and "gelu"', 'x is true and absent'])
      expect(found[0]!.message).toContain(part);
    expect(await codeOf({ inputs, allowConfigs: true, outputs: outputs({}) })).toBe('planned');
    expect(await codeOf({ inputs, outputs: outputs({ members: [0] }, { members: [1] }) })).toBe('planned');
  });

  it('show ten keys and count the rest', async () => {
    const keys = (value: number) => Object.fromEntries(Array.from({ length: 13 }, (_, i) => [`k${i}`, value]));
    const [found] = await conflictsOf({ inputs: pair(keys(1), keys(2)), outputs: outputs({}) });
    expect(found!.message.match(/ is 2 and 1/g)).toHaveLength(10);
    expect(found!.message).toMatch(/; and 3 more$/);
  });

  it('of many members are compared with the newest, equal ones once', async () => {
    const inputs = [1, 2, 3, 4].map((i) => make(`checkpoint-${i}`, TENSORS, config({ n: i < 4 ? 1 : 2 })));
    expect(await conflictsOf({ inputs, outputs: outputs({}) })).toHaveLength(1);
  });

  it('may be absent', async () => {
    const inputs = [...pair({ n: 1 }, { n: 1 }), make('checkpoint-3', TENSORS, { 'config.json': '' })];
    expect(await codeOf({ inputs: inputs.slice(0, 2), outputs: outputs({}) })).toBe('planned');
    // An empty file is no configuration that could be compared; that of the newest is the one that would be
    // published.
    expect(await codeOf({ inputs, outputs: outputs({}) })).toBe('E_CONFIG_UNREADABLE');
    const older = make('checkpoint-0', TENSORS, { 'config.json': '' });
    expect(await codeOf({ inputs: [older, ...inputs.slice(0, 2)], outputs: outputs({}) })).toBe('E_CONFIG_DIFFERS');
  });

  it('are compared without a word of one that leads outside', async () => {
    const inputs = [1, 2].map((i) => make(`run/checkpoint-${i}`, TENSORS, config({ n: 1 })));
    writeFileSync(at('elsewhere.json'), '{"private_key": "private value"}');
    rmSync(join(inputs[1]!, 'config.json'));
    symlinkSync(at('elsewhere.json'), join(inputs[1]!, 'config.json'));
    const [found] = await conflictsOf({ inputs, outputs: outputs({}) });
    expect(found).toMatchObject({ code: 'E_CONFIG_DIFFERS', message: expect.stringContaining('leads outside') });
    expect(found!.message).not.toContain('private');
  });

  it('of two versions of transformers are of one model, and a key that one alone has is told', async () => {
    const v4 = { transformers_version: '4.57.1', rope_theta: 1e4, rope_scaling: null, torch_dtype: 'bfloat16' };
    const v5 = { transformers_version: '5.24.0', rope_parameters: { rope_theta: 1e4, rope_type: 'default' }, dtype: 'bfloat16' };
    const warned = async (a: object, b: object) => (await buildPlan({ inputs: pair(a, b), outputs: outputs({}) })).warnings;
    expect(await warned(v4, v5)).toEqual([]);
    expect(await warned({ ...v4, eos_token_id: 2 }, { ...v5, eos_token_id: [2, 3] })).toEqual([
      {
        code: 'W_CONFIG_KEYS',
        message: expect.stringMatching(/checkpoint-2 and .* eos_token_id is \[2,3\] and 2; the merge has the newest's/),
      },
    ]);
    expect(await warned(v4, { ...v5, new_scale: 2 })).toEqual([
      { code: 'W_CONFIG_KEYS', message: expect.stringMatching(/checkpoint-2 and .*checkpoint-1 .*: new_scale is 2 and absent; /) },
    ]);
    const [found] = await conflictsOf({ inputs: pair({ ...v4, rope_theta: 2e4 }, v5), outputs: outputs({}) });
    expect(found).toMatchObject({ code: 'E_CONFIG_DIFFERS', message: expect.stringContaining('rope_theta is 10000 and 20000') });
  });

  it('that the newest alone lacks are told, and not taken from an older one', async () => {
    const inputs = [...pair({ n: 1 }, { n: 1 }), make('checkpoint-3')];
    rmSync(join(inputs[2]!, 'config.json'));
    for (const allowConfigs of [false, true]) {
      const { warnings, outputs: made } = await buildPlan({ inputs, allowConfigs, outputs: outputs({}, { members: [0, 1] }) });
      expect(warnings.map(({ code }) => code)).toEqual(['W_NO_CONFIG']);
      expect(warnings[0]!.message).toMatch(/checkpoint-3 has no config\.json.*checkpoint-2\/config\.json is the newest/);
      expect(made.map(({ sideFiles }) => sideFiles.length)).toEqual([0, 1]);
    }
    expect((await buildPlan({ inputs: [inputs[2]!], outputs: outputs({}) })).warnings).toEqual([]);
  });

  it('that are no text Python reads are refused', async () => {
    const inputs = pair({ n: 1 }, { n: 1 });
    writeFileSync(join(inputs[1]!, 'config.json'), Buffer.from('{"_name_or_path": "\xe9"}', 'latin1'));
    expect(await codeOf({ inputs, outputs: outputs({}) })).toBe('E_CONFIG_UNREADABLE');
  });

  it('that cannot be read for now are not at fault', async () => {
    const inputs = pair({ n: 1 }, { n: 1 });
    const { open } = localStore;
    vi.spyOn(localStore, 'open').mockImplementation((path, known) => {
      if (!path.endsWith('config.json')) return open(path, known);
      throw new MergeError('E_TEMPORARY', `${path}: stale file handle (ESTALE from open)`);
    });
    expect(await codeOf({ inputs, outputs: outputs({}) }).finally(() => vi.restoreAllMocks())).toBe('E_TEMPORARY');
  });

  it('may hold the words that Python writes for floats without a number', async () => {
    const inputs = (...texts: string[]) => texts.map((text, i) => make(`checkpoint-${i + 1}`, TENSORS, { 'config.json': text }));
    const same = inputs('{"limit": [0.0, Infinity], "a": NaN}', '{"a": NaN, "limit": [0.0, Infinity]}');
    expect(await codeOf({ inputs: same, outputs: outputs({}) })).toBe('planned');
    for (const other of ['NaN', '-Infinity', '"Infinity"', 'null']) {
      const [found] = await conflictsOf({ inputs: inputs('{"a": Infinity}', `{"a": ${other}}`), outputs: outputs({}) });
      expect(found).toMatchObject({ code: 'E_CONFIG_DIFFERS', message: expect.stringContaining(`a is ${other} and Infinity`) });
    }
  });

  it('of siblings may differ in seeds only', async () => {
    const selection = { ...REPORT, siblings: true };
    const run = (a: object, b: object) => codeOf({ inputs: pair(a, b), outputs: outputs({ selection }) });
    expect(await run({ seed: 1, data_seed: 2 }, { seed: 3, data_seed: 4 })).toBe('planned');
    expect(await run({ seed: 1, n: 1 }, { seed: 2, n: 2 })).toBe('E_CONFIG_DIFFERS');
    expect(await codeOf({ inputs: pair({ seed: 1 }, { seed: 2 }), outputs: outputs({}) })).toBe('E_CONFIG_DIFFERS');
  });
});

const REPORT: SelectionReport = {
  report: { asked: 2, found: 2, leftOut: [] },
  excluded: [{ path: 'run/checkpoint-0', step: 0, reason: 'too old' }],
  siblings: false,
  phase: { kind: 'constant', lowest: 0.1, highest: 0.1, text: 'constant at 0.1' },
  log: [],
  spike: null,
  notes: ['spacing of 10 steps'],
  warnings: [{ code: 'W_TRAINER_STATE', message: 'odd' }],
};

describe('the document', () => {
  it('tells of the selection of each output', async () => {
    const plan = await buildPlan({ inputs: checkpoints(1, 2), outputs: outputs({ selection: REPORT }, { members: [1] }) });
    const { outputs: told, expectedSeconds, finished } = planDocument(plan, 12.5);
    expect(told[0]).toMatchObject({ excluded: REPORT.excluded, phase: REPORT.phase, notes: REPORT.notes });
    expect(told[1]).toMatchObject({ excluded: [], phase: null, notes: [] });
    expect({ expectedSeconds, finished }).toEqual({ expectedSeconds: 12.5, finished: [] });
    expect(planDocument(plan).expectedSeconds).toBeNull();
  });

  it('says of which output a warning is, unless it is about all', async () => {
    const inputs = checkpoints(1, 2);
    const one = await buildPlan({ inputs, outputs: outputs({ weights: [1, 1] }, { weights: [0.5, 0.5] }) });
    expect(one.warnings.map((w) => w.message)).toEqual([expect.stringMatching(/out-0: the weights sum to 2/)]);
    expect(one.outputs.map((o) => o.warnings.map((w) => w.message))).toEqual([[expect.stringMatching(/^the weights sum to 2/)], []]);
    const both = await buildPlan({ inputs, outputs: outputs({ weights: [1, 1] }, { weights: [2, 0] }) });
    expect(both.warnings.map((w) => w.message)).toEqual([expect.stringMatching(/^the weights sum to 2/)]);
  });
});

it('twenty members of a large run are planned as fast as twenty: the others are not looked at', async () => {
  const members = checkpoints(...Array.from({ length: 20 }, (_, i) => i + 1));
  const inputs = Array.from({ length: 2000 }, (_, i) => members[i - 1000] ?? at(`gone/checkpoint-${i}`));
  const chosen = members.map((_, i) => 1000 + i);
  const plan = await buildPlan({ inputs, outputs: outputs({ members: chosen }, { members: chosen.slice(10), method: 'wma' }) });
  expect(plan.members.map((m) => m.path)).toEqual(members);
});
