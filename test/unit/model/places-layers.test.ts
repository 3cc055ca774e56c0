import { afterAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../../src/checkpoints/open.ts';
import { swappedLayers } from '../../../src/model/places/swapped-layers.ts';
import { checkpointRoles } from '../../../src/model/roles/checkpoint-roles.ts';
import { type FixtureTensor, temporaryFolder, writeCheckpoint } from '../../support/checkpoints.ts';
import { f32, normals } from '../../support/moe-run.ts';

const folder = temporaryFolder();
afterAll(() => folder.remove());

interface Model {
  readonly config: object;
  /** Matrices of a layer, by their names in it. */
  readonly layers: readonly Readonly<Record<string, readonly [rows: number, cols: number]>>[];
}

/** Two sizes in turn, as in Gemma 4 (local and global attention). */
const GEMMA: Model = {
  config: { model_type: 'gemma4_text', num_hidden_layers: 4 },
  layers: [0, 1, 2, 3].map((l) => ({
    'self_attn.q_proj.weight': l % 2 === 0 ? [16, 32] : [8, 32],
    'self_attn.o_proj.weight': l % 2 === 0 ? [32, 16] : [32, 8],
  })),
};
/** Wider from layer to layer, as in OpenELM. */
const OPENELM: Model = {
  config: { model_type: 'openelm', num_transformer_layers: 4 },
  layers: [2, 3, 4, 5].map((heads) => ({
    'attn.qkv_proj.weight': [heads * 8, 32],
    'attn.out_proj.weight': [32, heads * 4],
  })),
};
/** More elements than are looked at, in two shapes. */
const LARGE: Model = {
  config: { model_type: 'llama', num_hidden_layers: 2 },
  layers: [{ 'self_attn.q_proj.weight': [128, 64] }, { 'self_attn.q_proj.weight': [64, 128] }],
};

let count = 0;
async function checkpoint(
  { config, layers }: Model,
  values: (layer: number, name: string, length: number) => Float32Array,
  change: (tensors: FixtureTensor[]) => FixtureTensor[] = (tensors) => tensors,
) {
  const tensors = layers.flatMap((matrices, l) =>
    Object.entries(matrices).map(([name, [rows, cols]]) => f32(`model.layers.${l}.${name}`, [rows, cols], values(l, name, rows * cols))),
  );
  const path = `${folder.path}/checkpoint-${++count}`;
  return openCheckpoint(writeCheckpoint(path, [change(tensors)], 0, { 'config.json': JSON.stringify(config) }));
}

/** What a layer begins with: of one seed the same, whichever place it is written to. */
const noise = (layer: number, name: string, length: number) => {
  const normal = normals(1 + layer * 100 + name.length);
  return Float32Array.from({ length }, normal);
};
const moved = (by: number, order?: readonly number[]) => (layer: number, name: string, length: number) => {
  const normal = normals(5000 + layer * 100 + name.length);
  return noise(order?.[layer] ?? layer, name, length).map((x) => x + by * normal());
};

async function found(model: Model, older: Awaited<ReturnType<typeof checkpoint>>, newer: Awaited<ReturnType<typeof checkpoint>>) {
  expect(model.layers.length).toBeGreaterThan(1);
  return (await swappedLayers(newer, await checkpointRoles(newer), [older, newer])).map(({ code, message }) => `${code} ${message}`);
}

describe('layers of different sizes', () => {
  it.each([
    ['Gemma 4', GEMMA],
    ['OpenELM', OPENELM],
    ['large ones', LARGE],
  ])('%s: early training is no exchange, however far it goes', async (_, model) => {
    for (const by of [0.1, 0.6, 1, 3])
      expect(await found(model, await checkpoint(model, noise), await checkpoint(model, moved(by)))).toEqual([]);
  });

  it('those of one size in each other’s places are found, and no others', async () => {
    const older = await checkpoint(GEMMA, noise);
    const [only, ...more] = await found(GEMMA, older, await checkpoint(GEMMA, moved(0.2, [2, 1, 0, 3])));
    expect(only).toMatch(/^E_LAYERS_SWAPPED .*layer 0 is where layer 2 was, layer 2 is where layer 0 was/);
    expect(more).toEqual([]);
    const all = await found(GEMMA, older, await checkpoint(GEMMA, moved(0.2, [2, 3, 0, 1])));
    for (const l of [0, 1, 2, 3]) expect(all[0]).toContain(`layer ${l} is where layer ${(l + 2) % 4} was`);
  });

  it('a layer that began at zero, or holds NaN, is compared with none', async () => {
    const zero = (layer: number, name: string, length: number) => (layer === 0 ? new Float32Array(length) : noise(layer, name, length));
    const broken = (layer: number, name: string, length: number) =>
      layer === 2 ? noise(2, name, length).fill(Number.NaN, 3, 4) : moved(0.6)(layer, name, length);
    expect(await found(GEMMA, await checkpoint(GEMMA, zero), await checkpoint(GEMMA, broken))).toEqual([]);
  });

  it('are found under other names, and as codes of FP8', async () => {
    const older = await checkpoint(GEMMA, noise, (tensors) => tensors.map((t) => ({ ...t, name: `language_model.${t.name}` })));
    expect((await found(GEMMA, older, await checkpoint(GEMMA, moved(0.2, [2, 1, 0, 3])))).length).toBe(1);
    const e4m3 = (tensors: FixtureTensor[]) =>
      tensors.map(({ name, shape, data }) => ({ name, shape, dtype: 'F8_E4M3' as const, data: halves(data!) }));
    const codes = await checkpoint(GEMMA, noise, e4m3);
    expect(await found(GEMMA, codes, await checkpoint(GEMMA, moved(0.2), e4m3))).toEqual([]);
    expect((await found(GEMMA, codes, await checkpoint(GEMMA, moved(0.2, [2, 1, 0, 3]), e4m3))).length).toBe(1);
    // A step stored as codes beside one of floats: only the directions count.
    expect(await found(GEMMA, codes, await checkpoint(GEMMA, moved(0.2)))).toEqual([]);
  });
});

/** E4M3 codes of about the value of each number. */
function halves(bytes: Uint8Array): Uint8Array {
  const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  return Uint8Array.from(values, (x) => {
    const size = Math.min(448, Math.max(2 ** -6, Math.abs(x)));
    const exponent = Math.floor(Math.log2(size));
    return (x < 0 ? 128 : 0) | ((exponent + 7) << 3) | Math.floor((size / 2 ** exponent - 1) * 8);
  });
}
