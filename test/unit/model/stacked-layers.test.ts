import { afterAll, describe, expect, test } from 'vitest';
import { inspect } from '../../../src/analysis/inspect/inspect.ts';
import { openCheckpoint } from '../../../src/checkpoints/open.ts';
import { routerConflicts } from '../../../src/model/places/swapped-experts.ts';
import { swappedLayers } from '../../../src/model/places/swapped-layers.ts';
import { checkpointRoles } from '../../../src/model/roles/checkpoint-roles.ts';
import { stackedLayers } from '../../../src/model/roles/stacked-layers.ts';
import { routersOf } from '../../../src/model/routing/routers.ts';
import { type FixtureTensor, temporaryFolder, writeCheckpoint } from '../../support/checkpoints.ts';
import { unpackGolden } from '../../support/containers.ts';
import { f32, normals } from '../../support/moe-run.ts';

const folder = temporaryFolder();
afterAll(() => folder.remove());

const LAYERS = 3;
const EXPERTS = 4;
const HIDDEN = 32;
const INNER = 16;
/** A layer's tensors, by their names in it: Megatron's, of which experts have an axis of their own. */
const PARTS: Readonly<Record<string, readonly number[]>> = {
  'self_attention.linear_proj.weight': [HIDDEN, HIDDEN],
  'mlp.linear_fc1.layer_norm_weight': [HIDDEN],
  'mlp.router.weight': [EXPERTS, HIDDEN],
  'mlp.router.expert_bias': [EXPERTS],
  'mlp.experts.experts.linear_fc1.weight': [EXPERTS, 2 * INNER, HIDDEN],
  'mlp.experts.experts.linear_fc2.weight': [EXPERTS, HIDDEN, INNER],
};
const BY_EXPERT = /router|experts/;
const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** Which layer and which expert of the training lies where; `moved` since the beginning. */
interface Order {
  readonly layers?: readonly number[];
  readonly experts?: readonly number[];
  readonly only?: RegExp;
  readonly moved?: number;
}

const drawn = new Map<string, Float32Array>();
function valuesOf(name: string, layer: number, expert: number, length: number, moved: number): Float32Array {
  const key = `${name} ${layer} ${expert}`;
  const seed = [...key].reduce((hash, c) => (hash * 31 + c.charCodeAt(0)) >>> 0, 7);
  if (!drawn.has(key)) drawn.set(key, Float32Array.from({ length }, normals(seed)));
  const normal = normals(seed + 1);
  return drawn.get(key)!.map((x) => x + moved * normal());
}

function layerOf(name: string, layer: number, { layers, experts, only = BY_EXPERT, moved = 0 }: Order): Float32Array {
  const shape = PARTS[name]!;
  const from = layers?.[layer] ?? layer;
  if (!BY_EXPERT.test(name)) return valuesOf(name, from, -1, size(shape), moved);
  const own = shape.slice(1);
  const out = new Float32Array(size(shape));
  for (let e = 0; e < EXPERTS; e++) {
    const expert = only.test(name) ? (experts?.[e] ?? e) : e;
    out.set(valuesOf(name, from, expert, size(own), moved), e * size(own));
  }
  return out;
}

const all = Array.from({ length: LAYERS }, (_, l) => l);
/** Layers as the first axis, as Megatron-core saves them. */
const stacked = (order: Order): FixtureTensor[] =>
  Object.entries(PARTS).map(([name, shape]) =>
    f32(`decoder.layers.${name}`, [LAYERS, ...shape], Float32Array.from(all.flatMap((l) => [...layerOf(name, l, order)]))),
  );
/** The same weights, a tensor a layer and expert. */
const split = (order: Order): FixtureTensor[] =>
  all.flatMap((l) =>
    Object.entries(PARTS).flatMap(([name, shape]) => {
      const values = layerOf(name, l, order);
      if (!name.includes('experts.experts')) return [f32(`decoder.layers.${l}.${name}`, shape, values)];
      const each = values.length / EXPERTS;
      return Array.from({ length: EXPERTS }, (_, e) =>
        f32(
          `decoder.layers.${l}.${name.replace('experts.experts', `experts.local_experts.${e}`)}`,
          shape.slice(1),
          values.slice(e * each, (e + 1) * each),
        ),
      );
    }),
  );

let count = 0;
const pathOf = (tensors: readonly FixtureTensor[]) => writeCheckpoint(`${folder.path}/checkpoint-${++count}`, [tensors], 0);
const pair = async (layout: (order: Order) => FixtureTensor[], order: Order) =>
  Promise.all([layout({}), layout({ moved: 0.1, ...order })].map(async (tensors) => openCheckpoint(pathOf(tensors))));

describe.each([
  ['layers as the first axis', stacked],
  ['a tensor a layer and expert', split],
] as const)('%s', (_, layout) => {
  const messages = async (order: Order) => {
    const { conflicts, warnings } = await routerConflicts(await pair(layout, order));
    return { conflicts: conflicts.map(({ code, message }) => `${code} ${message.split(' between ')[0]}`), warnings };
  };

  test('experts that kept their places are fine', async () => {
    expect(await messages({})).toEqual({ conflicts: [], warnings: [] });
  });

  test('experts that changed places with their router rows are found in every layer', async () => {
    expect(await messages({ experts: [1, 0, 2, 3] })).toEqual({
      conflicts: all.map((l) => `E_PERMUTED layer ${l}: experts 0 and 1 changed places`),
      warnings: [],
    });
  });

  test('experts that changed places without their router rows are found', async () => {
    expect((await messages({ experts: [0, 1, 3, 2], only: /experts/ })).conflicts).toEqual(
      all.map((l) => `E_PERMUTED layer ${l}: experts 2 and 3 changed places`),
    );
  });

  test('layers that changed places are found', async () => {
    const found = async (order: Order) => {
      const members = await pair(layout, order);
      return (await swappedLayers(members[0]!, await checkpointRoles(members[0]!), members)).map(({ code, message }) => [code, message]);
    };
    expect(await found({})).toEqual([]);
    expect(await found({ layers: [0, 2, 1] })).toEqual([
      ['E_LAYERS_SWAPPED', expect.stringContaining('layer 1 is where layer 2 was, layer 2 is where layer 1 was')],
    ]);
  });

  test('inspect counts layers and experts', async () => {
    const { summary } = await inspect(pathOf(layout({})));
    expect(summary).toMatchObject({ layers: LAYERS, experts: { count: EXPERTS, perToken: null }, problems: [] });
    expect(summary.expertLayers).toEqual(all.map((layer) => ({ stack: 'decoder.layers', layer, mtp: false, experts: EXPERTS })));
  });

  test('every layer has its router, with its bias, norm and experts', async () => {
    const checkpoint = await openCheckpoint(pathOf(layout({})));
    const { layers, skipped } = routersOf(checkpoint, await checkpointRoles(checkpoint));
    expect(skipped).toEqual([]);
    expect(layers.map(({ layer, place, experts, width }) => ({ layer, place, experts, width }))).toEqual(
      all.map((layer) => ({ layer, place: expect.stringMatching(new RegExp(` ${layer}$`)), experts: EXPERTS, width: HIDDEN })),
    );
    expect(layers.every(({ correctionBias, norm, expertTensors }) => correctionBias && norm && expertTensors.length > 0)).toBe(true);
  });
});

test('of Megatron-core itself: a layer of four experts, whose places are looked at', async () => {
  const root = unpackGolden('megatron-homogeneous-moe', `${folder.path}/golden`);
  const paths = ['iter_0000100', 'iter_0000200'].map((name) => `${root}/${name}`);
  const { summary } = await inspect(paths[0]!);
  expect(summary).toMatchObject({ layers: 1, experts: { count: 4, perToken: null } });
  expect(summary.expertLayers).toEqual([{ stack: 'decoder.layers', layer: 0, mtp: false, experts: 4 }]);
  const members = await Promise.all(paths.map(async (path) => openCheckpoint(path)));
  const { layers } = routersOf(members[0]!, await checkpointRoles(members[0]!));
  expect(layers.map(({ layer, experts, expertTensors }) => [layer, experts, expertTensors.length])).toEqual([[0, 4, 2]]);
  expect(await routerConflicts(members)).toEqual({ conflicts: [], warnings: [] });
});

describe('no layers on the first axis', () => {
  const stacksOf = async (tensors: readonly FixtureTensor[]) => {
    const checkpoint = await openCheckpoint(pathOf(tensors));
    return [...stackedLayers(checkpoint, await checkpointRoles(checkpoint)).stacks];
  };
  const zeros = (name: string, ...shape: number[]) => f32(name, shape, new Float32Array(size(shape)));

  test('layers on the second axis, as MaxText has them', async () => {
    expect(
      await stacksOf([
        zeros('params.decoder.layers.pre_self_attention_layer_norm.scale', 8, 3),
        zeros('params.decoder.layers.mlp.wi_0.kernel', 8, 3, 24),
        zeros('params.decoder.layers.mlp.wo.kernel', 24, 3, 8),
      ]),
    ).toEqual([]);
  });

  test('a norm that all layers share', async () => {
    expect(await stacksOf([...stacked({}), zeros('decoder.layers.norm.weight', LAYERS)])).toEqual([]);
  });

  test('one layer on the first axis is a stack', async () => {
    expect(await stacksOf([zeros('decoder.layers.self_attention.linear_proj.weight', 1, 8, 8)])).toEqual([['decoder.layers', 1]]);
  });
});
