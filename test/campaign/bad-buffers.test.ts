import { mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AverageOptions, plan } from '../../src/merge/average.ts';
import type { DcpTensor } from '../support/dcp-files.ts';
import { bucketOf, flatTensors, writeFlat } from '../support/flat-buffers.ts';
import { expectRefused } from '../support/refused-plan.ts';

/** Buffers of many weights of which nothing is proven, or whose weights would not be what they are made from. */

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);

const NORM = 'decoder.layers.0.input_layernorm.weight';
const LAST = 'decoder.final_layernorm.weight';
const EMBEDDING = 'embedding.word_embeddings.weight';
const MASTERS = `${bucketOf(0)}.param`;
type Tensors = Record<string, DcpTensor>;
const without =
  (...patterns: readonly RegExp[]) =>
  (tensors: Tensors): void => {
    for (const name of Object.keys(tensors)) if (patterns.some((pattern) => pattern.test(name))) delete tensors[name];
  };
/** A tensor of the same shape and another dtype, in one part. */
const as =
  (pattern: RegExp, dtype: string, stored: string, bytes: number) =>
  (tensors: Tensors): void => {
    for (const [name, { shape }] of Object.entries(tensors)) {
      if (!pattern.test(name)) continue;
      tensors[name] = {
        dtype,
        shape,
        parts: [{ start: [0], size: shape, stored: { class: stored, bytes: Buffer.alloc(shape[0]! * bytes) } }],
      };
    }
  };
/** Two norms of the same values in bfloat16, whose masters are not the same. */
const alike = (name: string, values: Float32Array): void => {
  if (name === NORM) values.fill(1.0001);
  if (name === LAST) values.fill(0.9999);
};

let made: Record<string, string> = {};
beforeAll(() => {
  made = {
    old: writeFlat(at('run/1'), 1),
    new: writeFlat(at('run/2'), 2),
    bare: writeFlat(at('bare/1'), 1, {}, without(/optimizer/)),
    behind: writeFlat(at('behind/1'), 1, { behind: 16 }),
    behindNew: writeFlat(at('behind/2'), 2, { behind: 16 }),
    padded: writeFlat(at('padded/1'), 1, { alignment: 32, behind: 128 }),
    ahead: writeFlat(at('ahead/2'), 2, { weights: (name, values) => name === NORM && values.set([3], 5) }),
    aheadOld: writeFlat(at('ahead/1'), 1, { weights: (name, values) => name === EMBEDDING && values.set([3], 7) }),
    drifted: writeFlat(at('drifted/1'), 1, { copies: (name, values) => name === NORM && values.set([3], 5) }),
    oneBuffer: writeFlat(at('one-buffer/1'), 1, {}, without(/group_idx_1.*param$/)),
    halfOld: writeFlat(at('half/1'), 1, {}, without(/group_idx_1/)),
    half: writeFlat(at('half/2'), 2, {}, without(/group_idx_1/)),
    whole: writeFlat(at('whole/1'), 1, { whole: true }),
    alikeOld: writeFlat(at('alike/1'), 1, { masters: alike }),
    alike: writeFlat(at('alike/2'), 2, { masters: alike }),
    codesOld: writeFlat(at('codes/1'), 1, {}, as(/\.param$/, 'int64', 'LongStorage', 8)),
    codes: writeFlat(at('codes/2'), 2, {}, as(/\.param$/, 'int64', 'LongStorage', 8)),
    narrow: writeFlat(at('narrow/2'), 2, {}, as(/\.param$/, 'bfloat16', 'BFloat16Storage', 2)),
    narrowMasters: writeFlat(at('narrow-masters/1'), 1, {}, as(/\.param$/, 'bfloat16', 'BFloat16Storage', 2)),
    narrowMoments: writeFlat(at('narrow-moments/1'), 1, {}, as(/exp_avg_sq$/, 'bfloat16', 'BFloat16Storage', 2)),
    noMasters: writeFlat(at('no-masters/2'), 2, {}, without(/\.param$/)),
    moreOld: writeFlat(at('more/1'), 1, {}, (tensors) => Object.assign(tensors, { [`${bucketOf(0)}.GG`]: flatTensors(1)[MASTERS] })),
    more: writeFlat(at('more/2'), 2, {}, (tensors) => Object.assign(tensors, { [`${bucketOf(0)}.GG`]: flatTensors(2)[MASTERS] })),
    cut: writeFlat(at('cut/1'), 1),
  };
  truncateSync(at('cut/1/__0_0.distcp'), 20_000);
});

const resume = (optimizer: 'newest' | 'drop' | 'average', more: Partial<AverageOptions> = {}): Partial<AverageOptions> => ({
  for: 'resume',
  optimizer,
  ...more,
});
const OTHER = /--dist-ckpt-optim-fully-reshardable/;

interface Case {
  readonly name: string;
  readonly inputs: readonly string[];
  readonly options: Partial<AverageOptions>;
  readonly code: string;
  /** What the message or its place names. */
  readonly place: string;
  readonly says: RegExp;
}

// biome-ignore format: a table, a case a line.
const CASES: readonly Case[] = [
  { name: 'buffers of another size', inputs: ['behind', 'new'], options: resume('newest'), code: 'E_SHAPE', place: MASTERS, says: OTHER },
  { name: 'elements behind the last weight that are of none', inputs: ['behind', 'behindNew'], options: resume('newest'), code: 'E_LAYOUT_FORM', place: 'elements 262 to 278', says: OTHER },
  { name: 'the same size with other padding', inputs: ['padded', 'behindNew'], options: resume('newest'), code: 'E_SHAPE', place: MASTERS, says: OTHER },
  { name: 'a policy with other weights for one tensor', inputs: ['old', 'new'], options: resume('newest', { policies: [{ name: NORM, weights: [0.2, 0.8] }] }), code: 'E_POLICY', place: NORM, says: /leave out the policies/i },
  { name: 'a policy that takes one tensor from the newest', inputs: ['old', 'new'], options: resume('average', { policies: [{ role: 'embedding', use: 'newest' }] }), code: 'E_POLICY', place: EMBEDDING, says: OTHER },
  { name: 'a policy that leaves one tensor out', inputs: ['old', 'new'], options: resume('newest', { policies: [{ name: LAST, use: 'drop' }], allowUnknown: true }), code: 'E_POLICY', place: LAST, says: OTHER },
  { name: 'negative weights and second moments', inputs: ['old', 'new'], options: resume('average', { weights: [-0.5, 1.5] }), code: 'E_WEIGHTS', place: `${bucketOf(0)}.exp_avg_sq`, says: /root/ },
  { name: 'weights of the newest that are not made from its masters', inputs: ['old', 'ahead'], options: resume('newest'), code: 'E_LAYOUT_FORM', place: 'ahead/2: elements 192 to 256', says: OTHER },
  { name: 'weights of an older member that are not made from its masters', inputs: ['aheadOld', 'new'], options: resume('newest'), code: 'E_LAYOUT_FORM', place: 'ahead/1: embedding.word_embeddings.weight', says: /first at element 7/ },
  { name: 'a copy of a weight that another rank has otherwise', inputs: ['drifted', 'new'], options: resume('newest'), code: 'E_LAYOUT_FORM', place: 'elements 192 to 256', says: /members before it/ },
  { name: 'a member without an optimizer', inputs: ['bare', 'new'], options: resume('newest'), code: 'E_NO_OPTIMIZER', place: 'bare/1', says: /float32 masters/ },
  { name: 'a member without one of the buffers', inputs: ['oneBuffer', 'new'], options: resume('newest'), code: 'E_TENSOR_MISSING', place: `${bucketOf(1)}.param`, says: /Leave that member out/ },
  { name: 'masters of a part of the weights alone', inputs: ['halfOld', 'half'], options: resume('newest'), code: 'E_LAYOUT_FORM', place: 'only a part of embedding.word_embeddings.weight', says: OTHER },
  { name: 'weights that another number of ranks saved', inputs: ['whole', 'new'], options: resume('newest'), code: 'E_LAYOUT_FORM', place: 'in other parts', says: OTHER },
  { name: 'two weights of the same values, and masters that are not the same', inputs: ['alikeOld', 'alike'], options: resume('newest'), code: 'E_LAYOUT_FORM', place: `${NORM} and ${LAST}`, says: /which is of which/ },
  { name: 'integer remainders for masters', inputs: ['codesOld', 'codes'], options: resume('newest'), code: 'E_LAYOUT_FORM', place: MASTERS, says: OTHER },
  { name: 'masters of the newest in bfloat16', inputs: ['narrowMasters', 'narrow'], options: resume('newest'), code: 'E_LAYOUT_FORM', place: 'narrow/2', says: OTHER },
  { name: 'masters of an older member in bfloat16', inputs: ['narrowMasters', 'new'], options: resume('newest'), code: 'E_MIXED_DTYPES', place: 'narrow-masters/1', says: /BF16/ },
  { name: 'moments of an older member in bfloat16', inputs: ['narrowMoments', 'new'], options: resume('average'), code: 'E_MIXED_DTYPES', place: `${bucketOf(0)}.exp_avg_sq`, says: /BF16/ },
  { name: 'buffers without masters', inputs: ['old', 'noMasters'], options: resume('newest'), code: 'E_LAYOUT_FORM', place: 'no-masters/2', says: OTHER },
  { name: 'what is not known of an optimizer, averaged', inputs: ['moreOld', 'more'], options: resume('average'), code: 'E_NO_OPTIMIZER', place: `${bucketOf(0)}.GG`, says: /mean of it/ },
  { name: 'a file of a buffer that was cut off', inputs: ['cut', 'new'], options: resume('newest'), code: 'E_FILE_TRUNCATED', place: '__0_0.distcp', says: /bytes/ },
  { name: 'weights from masters that a member lacks', inputs: ['bare', 'new'], options: { format: 'safetensors', weightsFrom: 'master' }, code: 'E_TENSOR_MISSING', place: MASTERS, says: /`weightsFrom` model/ },
  { name: 'weights from masters that they are not made from', inputs: ['aheadOld', 'new'], options: { format: 'safetensors', weightsFrom: 'master' }, code: 'E_LAYOUT_FORM', place: 'ahead/1', says: /rounded/ },
  { name: 'one output from the model, one with its state', inputs: ['old', 'new'], options: resume('newest', { weightsFrom: 'model' }), code: 'E_OPTION', place: 'out', says: /^[^;]*overwrites/ },
];

describe('buffers of many weights that training cannot go on from', () => {
  it.each(CASES)('$name', async ({ inputs, options, ...refused }) => {
    const { codes } = await expectRefused(
      plan({ inputs: inputs.map((input) => made[input]!), output: at('out'), ...options } as AverageOptions),
      refused,
    );
    // Told once, and not again for each weight.
    expect(codes.length, codes.join(', ')).toBeLessThanOrEqual(4);
  });

  it('knows at least 20 of them', () => {
    expect(new Set(CASES.map(({ code, place }) => `${code} ${place}`)).size).toBeGreaterThanOrEqual(20);
  });
});
