import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { plan } from '../../../src/index.ts';
import { generator } from '../../support/checkpoints.ts';
import { along, type CutTensor, writeCut } from '../../support/dcp-cuts.ts';
import { temporaryFolder } from '../../support/safetensors.ts';

const NAMES = ['a', 'b', 'c', 'd'].map((name) => `model.layers.0.mlp.${name}_proj.weight`);
/**
 * Matrices of 256 KiB, which begin and end differently in each member: a tensor of another length stands
 * before them.
 */
function member(step: number, zero: readonly string[] = []): CutTensor[] {
  const next = generator(step);
  const random = (shape: readonly number[]) =>
    Buffer.from(Float32Array.from({ length: shape.reduce((p, n) => p * n, 1) }, () => next() / 2 ** 32 - 0.5).buffer);
  return [
    { name: 'model.norm.weight', dtype: 'F32', shape: [256], data: random([256]) },
    ...NAMES.map((name): CutTensor => {
      const data = random([256, 256]);
      return { name, dtype: 'F32', shape: [256, 256], data: zero.includes(name) ? Buffer.alloc(data.length) : data };
    }),
  ];
}

const warningsOf = async (inputs: readonly string[]) =>
  (await plan({ inputs, output: join(inputs[0]!, '../out'), allowUnknown: true })).warnings.filter(({ code }) =>
    /W_ZEROS|W_SAME/.test(code),
  );

describe('members that lie in boxes', () => {
  const run = (members: Readonly<Record<number, readonly string[]>>, cut = along(1, 4)) => {
    const folder = temporaryFolder();
    return Object.entries(members).map(([step, zero]) => writeCut(join(folder, `step-${step}`), member(Number(step), zero), cut));
  };

  it('and hold zeros where no other does, are told', async () => {
    const [warning, other] = await warningsOf(run({ 9000: [], 9100: [], 9200: NAMES.slice(0, 2) }));
    expect(other).toBeUndefined();
    expect(warning!.message).toMatch(
      /step-9200 holds zeros where no other member does, in 2 tensors \(model\.layers\.0\.mlp\.a_proj\.weight, /,
    );
    expect(await warningsOf(run({ 9000: NAMES, 9100: NAMES, 9200: [] }, along(0, 4)))).toMatchObject([{ code: 'W_ZEROS' }]);
    expect(await warningsOf(run({ 9000: NAMES.slice(0, 1), 9100: [], 9200: [] }))).toEqual([]);
    expect(await warningsOf(run({ 9000: [], 9100: [] }))).toEqual([]);
  });

  it('and are one checkpoint are told, and not those that differ in a file alone', async () => {
    const [first] = run({ 9000: [] });
    const copy = join(first!, '../step-9100');
    cpSync(first!, copy, { recursive: true });
    expect(await warningsOf([first!, copy])).toMatchObject([{ code: 'W_SAME_BYTES' }]);
    // Between the blocks that are sampled of the last file.
    const file = join(copy, '__3_0.distcp');
    const bytes = readFileSync(file);
    bytes[4096 + 1500]! ^= 1;
    writeFileSync(file, bytes);
    expect(await warningsOf([first!, copy])).toEqual([]);
  });
});
