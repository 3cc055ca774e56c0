import { cpSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AverageOptions, average, plan } from '../../src/merge/average.ts';
import { planRecipe } from '../../src/merge/run.ts';
import type { RecipeOutput } from '../../src/recipe/types.ts';
import { unpackGolden } from '../support/containers.ts';
import { type DcpTensor, writeDcp } from '../support/dcp-files.ts';
import { expectRefused } from '../support/refused-plan.ts';
import { dictOf, pickle, torchFiles, tensor as torchTensor, zipOf } from '../support/torch-files.ts';

/** What is wrong with a merge that training is to go on from: a code, the place, and a word of what to do. */

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);
const out = (): string => at('out');

const tensor = (shape: readonly number[], dtype = 'float32'): DcpTensor => ({
  dtype,
  shape,
  parts: [
    {
      start: shape.map(() => 0),
      size: shape,
      ...(dtype === 'int64' && { stored: { class: 'LongStorage', bytes: Buffer.alloc(8 * shape.reduce((a, b) => a * b, 1)) } }),
    },
  ],
});
const MODEL = { 'model.layers.0.w.weight': tensor([4, 2], 'bfloat16'), 'model.norm.weight': tensor([2], 'bfloat16') };
const KEYS = ['layers.0.w.weight', 'norm.weight'] as const;
const shapeOf = (key: (typeof KEYS)[number]): number[] => (key === 'norm.weight' ? [2] : [4, 2]);
const each = (name: (key: string) => string, dtype?: string): Record<string, DcpTensor> =>
  Object.fromEntries(KEYS.map((key) => [name(key), tensor(shapeOf(key), dtype)]));
const ADAM = {
  ...each((key) => `optim.state.${key}.exp_avg`),
  ...each((key) => `optim.state.${key}.exp_avg_sq`),
  ...Object.fromEntries(KEYS.map((key) => [`optim.state.${key}.step`, tensor([])])),
};
/** As `optimizer.state_dict()` itself has it: by the number of a parameter. */
const NUMBERED = {
  'optim.state.0.exp_avg': tensor([4, 2]),
  'optim.state.1.exp_avg': tensor([2]),
  'optim.state.0.step': tensor([]),
  'optim.state.1.step': tensor([]),
};
const MASTERS = each((key) => `optimizer.state.param.${key}`);
const FLAT = 'optimizer.distributed.dp_group_idx_0.gbuf_idx_0.dtype_(torch.bfloat16, torch.bfloat16).bucket_idx_0';

function checkpoint(name: string, ...parts: Readonly<Record<string, DcpTensor>>[]): string {
  writeDcp(at(name), { tensors: Object.assign({}, ...parts) as Record<string, DcpTensor> });
  return at(name);
}
const without = (tensors: Readonly<Record<string, DcpTensor>>, name: string): Record<string, DcpTensor> =>
  Object.fromEntries(Object.entries(tensors).filter(([key]) => key !== name));

type Made = Record<string, string>;
let made: Made = {};
beforeAll(async () => {
  const moment = 'optim.state.layers.0.w.weight.exp_avg';
  const master = 'optimizer.state.param.layers.0.w.weight';
  made = {
    old: checkpoint('run/1', MODEL, ADAM),
    new: checkpoint('run/2', MODEL, ADAM),
    bare: checkpoint('bare/1', MODEL),
    bareNew: checkpoint('bare/2', MODEL),
    oneMissing: checkpoint('one-missing/1', MODEL, without(ADAM, moment)),
    otherShape: checkpoint('other-shape/1', MODEL, ADAM, { [moment]: tensor([2, 4]) }),
    otherDtype: checkpoint('other-dtype/1', MODEL, ADAM, { [moment]: tensor([4, 2], 'bfloat16') }),
    codes: checkpoint('codes/1', MODEL, ADAM, { [moment]: tensor([4, 2], 'int64') }),
    sgd: checkpoint(
      'sgd/1',
      MODEL,
      each((key) => `optim.state.${key}.momentum_buffer`),
    ),
    noSteps: checkpoint('no-steps/2', MODEL, Object.fromEntries(Object.entries(ADAM).filter(([name]) => !name.endsWith('.step')))),
    soap: checkpoint('soap/2', MODEL, ADAM, { 'optim.state.norm.weight.GG': tensor([2]) }),
    soapOld: checkpoint('soap/1', MODEL, ADAM, { 'optim.state.norm.weight.GG': tensor([2]) }),
    quantised: checkpoint('quantised/2', MODEL, ADAM, { [moment]: tensor([4, 2], 'int64') }),
    numbered: checkpoint('numbered/2', MODEL, NUMBERED),
    numberedOld: checkpoint('numbered/1', MODEL, NUMBERED),
    numberedOther: checkpoint('numbered-other/1', MODEL, NUMBERED, {
      'optim.state.0.exp_avg': tensor([2]),
      'optim.state.1.exp_avg': tensor([4, 2]),
    }),
    cutMetadata: checkpoint('cut-metadata/2', MODEL, ADAM),
    noFile: checkpoint('no-file/2', MODEL, ADAM),
    unfinished: checkpoint('unfinished/2', MODEL, ADAM),
    alone: checkpoint('alone/2', MODEL, ADAM),
    mastersOld: checkpoint('masters/1', MODEL, MASTERS),
    masters: checkpoint('masters/2', MODEL, MASTERS),
    mastersMissing: checkpoint('masters-missing/1', MODEL, without(MASTERS, master)),
    mastersShape: checkpoint('masters-shape/1', MODEL, MASTERS, { [master]: tensor([8]) }),
    mastersDtype: checkpoint('masters-dtype/1', MODEL, MASTERS, { [master]: tensor([4, 2], 'bfloat16') }),
    remainders: checkpoint(
      'remainders/2',
      MODEL,
      each((key) => `optimizer.state.master_param.${key}`, 'int64'),
    ),
    remaindersOld: checkpoint(
      'remainders/1',
      MODEL,
      each((key) => `optimizer.state.master_param.${key}`, 'int64'),
    ),
    flatOld: checkpoint('flat/1', MODEL, { [`${FLAT}.param`]: tensor([12]), [`${FLAT}.exp_avg`]: tensor([12]) }),
    flat: checkpoint('flat/2', MODEL, { [`${FLAT}.param`]: tensor([10]), [`${FLAT}.exp_avg`]: tensor([10]) }),
    gathered: join(unpackGolden('megatron-0.15', at('gathered')), 'iter_0000200'),
    megatron: unpackGolden('megatron', at('megatron')),
    fsdp: unpackGolden('dcp-fsdp', at('fsdp')),
  };
  truncateSync(join(made.cutMetadata!, '.metadata'), 300);
  rmSync(join(made.noFile!, '__0_0.distcp'));
  rmSync(join(made.unfinished!, '.metadata'));
  made.safetensors = at('model.safetensors');
  await average({ inputs: [made.bare!], output: made.safetensors, format: 'safetensors' });
  made.torch = at('model.pt');
  writeFileSync(made.torch, zipOf(torchFiles(pickle(dictOf({ 'model.norm.weight': torchTensor({}) })))));
  for (const step of ['100', '200']) made[`fsdp${step}`] = join(made.fsdp!, step);
  for (const step of ['100', '200']) made[`megatron${step}`] = join(made.megatron!, `iter_0000${step}`);
  cpSync(made.megatron200!, at('cut/iter_0000200'), { recursive: true });
  made.cut = at('cut/iter_0000200');
  truncateSync(join(made.cut, '__0_0.distcp'), 10_000);
});

interface Case {
  readonly name: string;
  readonly inputs: readonly string[];
  readonly options?: Partial<AverageOptions>;
  readonly outputs?: readonly Omit<RecipeOutput, 'path'>[];
  readonly code: string;
  /** What the message or its place names. */
  readonly place: string;
  /** A word of what to do, or of what it means. */
  readonly says: RegExp;
}
const resume = (optimizer: 'newest' | 'drop' | 'average', more: Partial<AverageOptions> = {}): Partial<AverageOptions> => ({
  format: 'dcp',
  for: 'resume',
  optimizer,
  ...more,
});

const kept = (optimizer: 'newest' | 'drop'): Omit<RecipeOutput, 'path'> => ({ for: 'resume', optimizer });

// biome-ignore format: a table, a case a line.
const CASES: readonly Case[] = [
  { name: 'an older member was saved without its optimizer', inputs: ['bare', 'new'], options: resume('average'), code: 'E_NO_OPTIMIZER', place: 'bare/1', says: /averages those of all members|average/ },
  { name: 'the newest member was saved without its optimizer', inputs: ['old', 'bareNew'], options: resume('newest'), code: 'E_NO_OPTIMIZER', place: 'bare/2', says: /saved of the model alone/ },
  { name: 'no member was saved with its optimizer', inputs: ['bare', 'bareNew'], options: resume('average'), code: 'E_NO_OPTIMIZER', place: 'bare/2', says: /`optimizer` drop/ },
  { name: 'another optimizer', inputs: ['sgd', 'new'], options: resume('average'), code: 'E_NO_OPTIMIZER', place: 'sgd/1', says: /exp_avg/ },
  { name: 'one moment is missing', inputs: ['oneMissing', 'new'], options: resume('average'), code: 'E_TENSOR_MISSING', place: 'optim.state.layers.0.w.weight.exp_avg', says: /one-missing.*`optimizer` newest/ },
  { name: 'a moment of another shape', inputs: ['otherShape', 'new'], options: resume('average'), code: 'E_SHAPE', place: 'optim.state.layers.0.w.weight.exp_avg', says: /\[2, 4\].*`optimizer` newest/ },
  { name: 'a moment of another dtype', inputs: ['otherDtype', 'new'], options: resume('average'), code: 'E_MIXED_DTYPES', place: 'optim.state.layers.0.w.weight.exp_avg', says: /BF16/ },
  { name: 'a moment that is integers', inputs: ['codes', 'new'], options: resume('average'), code: 'E_UNSUPPORTED_DTYPE', place: 'optim.state.layers.0.w.weight.exp_avg', says: /I64.*`optimizer` newest/ },
  { name: 'moments of zero, and no step that is said', inputs: ['old', 'noSteps'], options: resume('drop'), code: 'E_NO_OPTIMIZER', place: 'no-steps/2', says: /steps its optimizer took/ },
  { name: 'negative weights and second moments', inputs: ['old', 'new'], options: resume('average', { weights: [-0.5, 1.5] }), code: 'E_WEIGHTS', place: 'optim.state.layers.0.w.weight.exp_avg_sq', says: /root/ },
  { name: 'negative weights of a policy, and second moments', inputs: ['old', 'new'], options: resume('average', { policies: [{ role: 'norms', weights: [-0.5, 1.5] }] }), code: 'E_WEIGHTS', place: 'optim.state.norm.weight.exp_avg_sq', says: /`optimizer` newest/ },
  { name: 'an older member has no masters', inputs: ['bare', 'masters'], options: resume('newest'), code: 'E_NO_OPTIMIZER', place: 'bare/1', says: /float32 masters/ },
  { name: 'one master is missing', inputs: ['mastersMissing', 'masters'], options: resume('newest'), code: 'E_TENSOR_MISSING', place: 'optimizer.state.param.layers.0.w.weight', says: /masters-missing.*Leave that member out/ },
  { name: 'a master of another shape', inputs: ['mastersShape', 'masters'], options: resume('newest'), code: 'E_SHAPE', place: 'optimizer.state.param.layers.0.w.weight', says: /\[8\]/ },
  { name: 'a master of another dtype', inputs: ['mastersDtype', 'masters'], options: resume('newest'), code: 'E_MIXED_DTYPES', place: 'optimizer.state.param.layers.0.w.weight', says: /BF16/ },
  { name: 'weights from masters that there are none of', inputs: ['old', 'new'], options: { format: 'dcp', weightsFrom: 'master' }, code: 'E_NO_OPTIMIZER', place: 'run/2', says: /`weightsFrom` model/ },
  { name: 'weights from masters that one member lacks', inputs: ['bare', 'masters'], options: { weightsFrom: 'master' }, code: 'E_NO_OPTIMIZER', place: 'bare/1', says: /weightsFrom: master/ },
  { name: 'weights not from masters, which overwrite them', inputs: ['mastersOld', 'masters'], options: resume('newest', { weightsFrom: 'model' }), code: 'E_OPTION', place: 'out', says: /overwrites/ },
  { name: 'buffers of many weights, copied', inputs: ['flat', 'flat'], options: resume('newest'), code: 'E_LAYOUT_FORM', place: `${FLAT}.param`, says: /--dist-ckpt-optim-fully-reshardable/ },
  { name: 'buffers of many weights of another sharding', inputs: ['flatOld', 'flat'], options: resume('average'), code: 'E_SHAPE', place: `${FLAT}.exp_avg`, says: /\[12\]/ },
  { name: 'buffers of many weights in objects', inputs: ['gathered', 'gathered'], options: resume('newest'), code: 'E_LAYOUT_FORM', place: 'optimizer.distributed.dp_group_idx_0.param_state/shard_0_1', says: /--dist-ckpt-optim-fully-reshardable/ },
  { name: 'groups of parameters that others have not', inputs: ['old', 'fsdp200'], options: resume('average'), code: 'E_LAYOUT_FORM', place: 'run/1', says: /groups/ },
  { name: 'an optimizer for no resume', inputs: ['old', 'new'], options: { format: 'dcp', optimizer: 'newest' }, code: 'E_OPTION', place: 'optimizer', says: /for: resume/ },
  { name: 'averaged moments in safetensors', inputs: ['old', 'new'], options: { format: 'safetensors', for: 'resume', optimizer: 'average' }, code: 'E_OPTION', place: 'average', says: /format: dcp/ },
  { name: 'the optimizer of DCP in safetensors', inputs: ['old', 'new'], options: { format: 'safetensors', for: 'resume', optimizer: 'newest' }, code: 'E_NO_OPTIMIZER', place: 'run/2', says: /no place for it/ },
  { name: 'extra state of safetensors', inputs: ['old', 'new'], options: { format: 'safetensors', extraState: 'drop' }, code: 'E_OPTION', place: 'extra', says: /format: dcp/ },
  { name: 'extra state that there is none of', inputs: ['old', 'new'], options: resume('newest', { extraState: 'oldest' }), code: 'E_OPTION', place: 'run/2', says: /_extra_state/ },
  { name: 'extra state that the oldest lacks', inputs: ['gathered', 'megatron200'], options: resume('newest', { extraState: 'oldest' }), code: 'E_TENSOR_MISSING', place: '_extra_state', says: /takes it from there/ },
  { name: 'a policy about the optimizer', inputs: ['old', 'new'], options: resume('newest', { policies: [{ role: 'optimizer', use: 'drop' }] }), code: 'E_POLICY', place: 'role=optimizer', says: /`optimizer`/ },
  { name: 'a policy about moments by name', inputs: ['old', 'new'], options: resume('newest', { policies: [{ name: 'optim.*exp_avg', use: 'average' }] }), code: 'E_POLICY', place: 'name=optim.*exp_avg', says: /`optimizer`/ },
  { name: 'one output with zeros, one with moments', inputs: ['old', 'new'], outputs: [kept('drop'), kept('newest')], code: 'E_LAYOUTS_DIFFER', place: 'optim.state', says: /one by one/ },
  { name: 'one output with state, one without', inputs: ['old', 'new'], outputs: [kept('newest'), {}], code: 'E_LAYOUTS_DIFFER', place: 'optim.state', says: /one by one/ },
  { name: 'one output from masters, one from the model', inputs: ['mastersOld', 'masters'], outputs: [{ weightsFrom: 'master' }, {}], code: 'E_LAYOUTS_DIFFER', place: 'float32 masters', says: /one by one/ },
  { name: 'remainders of masters from two members', inputs: ['remaindersOld', 'remainders'], outputs: [{ ...kept('newest'), select: { last: 1 } }, { ...kept('newest'), select: { steps: [1] } }], code: 'E_LAYOUTS_DIFFER', place: 'master_param', says: /different members/ },
  { name: 'what is not known of an optimizer, reset', inputs: ['soapOld', 'soap'], options: resume('drop'), code: 'E_NO_OPTIMIZER', place: 'norm.weight.GG', says: /begins with.*`optimizer` newest/ },
  { name: 'what is not known of an optimizer, averaged', inputs: ['soapOld', 'soap'], options: resume('average'), code: 'E_NO_OPTIMIZER', place: 'norm.weight.GG (F32)', says: /mean of it.*`optimizer` newest/ },
  { name: 'moments that are codes, reset', inputs: ['old', 'quantised'], options: resume('drop'), code: 'E_NO_OPTIMIZER', place: 'exp_avg (I64)', says: /begins with/ },
  { name: 'a policy, and moments of numbered weights', inputs: ['numberedOld', 'numbered'], options: resume('average', { policies: [{ role: 'norms', use: 'newest' }] }), code: 'E_POLICY', place: 'optim.state.0.exp_avg', says: /leave out the policies/ },
  { name: 'numbered weights in another order', inputs: ['numberedOther', 'numbered'], options: resume('average'), code: 'E_SHAPE', place: 'optim.state.1.exp_avg', says: /`optimizer` newest/ },
  { name: 'names of another library', inputs: ['old', 'new'], options: resume('newest', { names: 'hf' }), code: 'E_OPTION', place: 'names', says: /names/ },
  { name: 'DCP without a pattern', inputs: ['safetensors'], options: resume('newest'), code: 'E_OPTION', place: 'model.safetensors', says: /`like`/ },
  { name: 'DCP without a pattern but a file of torch.save', inputs: ['torch'], options: resume('newest'), code: 'E_OPTION', place: 'model.pt', says: /`like`/ },
  { name: 'a file of torch.save without a pattern', inputs: ['old', 'new'], options: { for: 'resume', format: 'torch' }, code: 'E_OPTION', place: 'run/2', says: /`like`/ },
  { name: 'two numbers of files', inputs: ['old', 'new'], options: resume('newest', { files: 2, shardSize: '1GB' }), code: 'E_OPTION', place: 'shardSize', says: /one of them/ },
  { name: 'no files', inputs: ['old', 'new'], options: resume('newest', { files: 0 }), code: 'E_OPTION', place: 'files', says: /at least 1, not 0/ },
  { name: 'half a file', inputs: ['old', 'new'], options: resume('newest', { files: 1.5 }), code: 'E_OPTION', place: '1.5', says: /whole number/ },
  { name: 'no such extra state', inputs: ['old', 'new'], options: resume('newest', { extraState: 'keep' as 'drop' }), code: 'E_OPTION', place: 'extraState', says: /oldest/ },
  { name: 'no such weights', inputs: ['old', 'new'], options: resume('newest', { weightsFrom: 'optimizer' as 'model' }), code: 'E_OPTION', place: 'weightsFrom', says: /master/ },
  { name: 'into one of its members', inputs: ['old', 'alone'], options: resume('newest', { output: at('alone/2') }), code: 'E_OUTPUT_OVERLAPS_INPUT', place: 'alone/2', says: /beside/ },
  { name: 'below one of its members', inputs: ['old', 'alone'], options: resume('newest', { output: at('alone/2/merged') }), code: 'E_OUTPUT_OVERLAPS_INPUT', place: 'alone/2/merged', says: /beside/ },
  { name: 'over another checkpoint', inputs: ['old', 'new'], options: resume('newest', { output: at('alone/2') }), code: 'E_OUTPUT_EXISTS', place: 'alone/2', says: /force|other/ },
  { name: 'metadata that was cut off', inputs: ['old', 'cutMetadata'], options: resume('newest'), code: 'E_PICKLE', place: 'cut-metadata/2/.metadata', says: /copy|save|bytes/ },
  { name: 'a file of items that is not there', inputs: ['old', 'noFile'], options: resume('newest'), code: 'E_SHARD_MISSING', place: '__0_0.distcp', says: /copy/ },
  { name: 'a save that was broken off', inputs: ['old', 'unfinished'], options: resume('newest'), code: 'E_SHARD_MISSING', place: 'unfinished/2/.metadata', says: /broken off/ },
  { name: 'as many weights as members, and one more', inputs: ['old', 'new'], options: resume('average', { weights: [1, 2, 3] }), code: 'E_WEIGHTS', place: '3', says: /2/ },
  { name: 'weights without a sum', inputs: ['old', 'new'], options: resume('average', { weights: [0, 0] }), code: 'E_WEIGHTS', place: 'zero', says: /at least one/ },
  { name: 'no such choice', inputs: ['old', 'new'], options: resume('keep' as 'newest'), code: 'E_OPTION', place: 'optimizer', says: /newest/ },
  { name: 'items that were cut off', inputs: ['megatron100', 'cut'], options: resume('newest'), code: 'E_FILE_TRUNCATED', place: '__0_0.distcp', says: /bytes/ },
];

const told: string[][] = [];
afterAll(() => console.log(told.map((row) => row.join(' | ')).join('\n')));

describe('what is wrong with a merge that training is to go on from', () => {
  it.each(CASES)('$name', async ({ inputs, options, outputs, ...refused }) => {
    const paths = inputs.map((input) => made[input]!);
    const planned =
      outputs === undefined
        ? plan({ inputs: paths, output: out(), ...options } as AverageOptions)
        : planRecipe({ inputs: paths, format: 'dcp', outputs: outputs.map((output, k) => ({ path: at(`out-${k}`), ...output })) });
    const { codes, message } = await expectRefused(planned, refused);
    told.push([codes.join(', '), refused.name, message.replaceAll(folder, '')]);
  });

  it('knows at least 50 of them', () => {
    expect(new Set(CASES.map(({ code, place }) => `${code} ${place}`)).size).toBeGreaterThanOrEqual(50);
  });
});
