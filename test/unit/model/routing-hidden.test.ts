import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DtypeName } from '../../../src/base/dtype.ts';
import type { MergeError } from '../../../src/base/errors.ts';
import { ByteReader } from '../../../src/base/store/byte-reader.ts';
import { writeSafetensors } from '../../../src/checkpoints/containers/safetensors/write-file.ts';
import { openCheckpoint } from '../../../src/checkpoints/open.ts';
import { demoHiddenStates } from '../../../src/cli/demo/hidden-states.ts';
import { checkpointRoles } from '../../../src/model/roles/checkpoint-roles.ts';
import { layerChoice, routerLogits } from '../../../src/model/routing/choice.ts';
import { routingFunction } from '../../../src/model/routing/functions.ts';
import { openHiddenStates } from '../../../src/model/routing/hidden.ts';
import { readFloats, readRouter } from '../../../src/model/routing/read.ts';
import { routersOf } from '../../../src/model/routing/routers.ts';
import type { RouterLayer } from '../../../src/model/routing/types.ts';

let folder: string;
let file: string;
const reader = new ByteReader();
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hidden-'));
  file = join(folder, 'hidden.safetensors');
});
afterEach(async () => {
  await reader.close();
  await rm(folder, { recursive: true });
});

const BYTES: Partial<Record<DtypeName, number>> = { F32: 4, BF16: 2, F16: 2, I32: 4 };

async function write(tensors: Readonly<Record<string, readonly [DtypeName, ...number[]]>>, fill = 0): Promise<void> {
  const list = Object.entries(tensors).map(([name, [dtype, ...shape]]) => ({
    ...{ name, dtype, shape },
    data: new Uint8Array(shape.reduce((a, b) => a * b, 1) * BYTES[dtype]!).fill(fill),
  }));
  await writeSafetensors(file, list);
}

function router(layer: number, width = 4, mtp = false): RouterLayer {
  const place = {
    name: `${mtp ? 'mtp' : 'model'}.layers.${layer}.mlp.gate.weight`,
    shard: 0,
    row: 0,
    dtype: 'F32',
    shape: [2, width],
    from: 0,
  } as const;
  const none = { logitBias: null, correctionBias: null, norm: null, tokenTable: null, expertTensors: [] };
  return { layer, mtp, place: place.name, router: place, transposed: false, experts: 2, width, ...none };
}

async function problems(routers: readonly RouterLayer[]): Promise<string[]> {
  const error = (await openHiddenStates(file, routers).then(
    () => {
      throw new Error('it was accepted');
    },
    (reason: unknown) => reason,
  )) as MergeError;
  expect(error.code).toBe('E_HIDDEN_STATES');
  expect(error.exitCode).toBe(3);
  expect(error.details.file).toBe(file);
  return error.details.conflicts!.map(({ message }) => message.replace(file, 'FILE'));
}

describe('a file of hidden states', () => {
  it.each(['F32', 'BF16', 'F16'] as const)('is read in %s, layer by layer', async (dtype) => {
    await write({ 'layers.3.hidden': [dtype, 5, 4], 'layers.10.hidden': [dtype, 2, 4] }, 0x3c);
    const hidden = await openHiddenStates(file, [router(3), router(10)]);
    expect(hidden.tokens).toBe(2);
    const inputs = (await hidden.read(reader, router(3)))!;
    expect(inputs).toMatchObject({ tokens: 5, width: 4, synthetic: false });
    // Codes 3c3c3c3c, 3c3c, 3c3c by their definitions.
    const value = {
      F32: (1 + 0x3c3c3c / 2 ** 23) * 2 ** (120 - 127),
      BF16: (1 + 60 / 128) * 2 ** (120 - 127),
      F16: (1 + 60 / 1024) * 2 ** (15 - 15),
    };
    expect([...inputs.data]).toEqual(Array(20).fill(value[dtype]));
  });

  it('is read in part, evenly, where fewer tokens are asked for', async () => {
    const values = Float32Array.from({ length: 14 }, (_, i) => i);
    await writeSafetensors(file, [
      { name: 'layers.1.hidden', dtype: 'F32', shape: [1, 2], data: new Uint8Array(8) },
      { name: 'layers.0.hidden', dtype: 'F32', shape: [7, 2], data: new Uint8Array(values.buffer) },
    ]);
    const hidden = await openHiddenStates(file, [router(0, 2), router(1, 2)]);
    const some = (await hidden.read(reader, router(0, 2), 3))!;
    expect(some.tokens).toBe(3);
    expect([...some.data]).toEqual([0, 1, 4, 5, 8, 9]);
    expect([...(await hidden.read(reader, router(0, 2), 99))!.data]).toEqual([...values]);
  });

  it('need not tell of multi-token prediction, and never takes the main layer of the same number for it', async () => {
    await write({ 'layers.0.hidden': ['F32', 3, 4], 'layers.2.hidden': ['F32', 3, 4] });
    const [main, own, after, absent] = [router(0), router(0, 4, true), router(2, 4, true), router(3, 4, true)];
    const hidden = await openHiddenStates(file, [main, own, after, absent]);
    expect(await hidden.read(reader, main)).not.toBeNull();
    expect(await hidden.read(reader, own)).toBeNull();
    expect(await hidden.read(reader, after)).not.toBeNull();
    expect(await hidden.read(reader, absent)).toBeNull();
  });

  it('is told all that is wrong with it at once', async () => {
    await write({
      'layers.0.hidden': ['F32', 3, 5],
      'layers.1.hidden': ['I32', 3, 4],
      'layers.2.hidden': ['F32', 3, 2, 2],
      'layers.3.hidden': ['F32', 0, 4],
      'layers.9.hidden': ['F32', 3, 4],
      'model.layers.0': ['F32', 3, 4],
    });
    expect((await problems([0, 1, 2, 3, 4].map((layer) => router(layer)))).toSorted()).toEqual(
      [
        'FILE, tensor "layers.0.hidden": it is 5 wide, and the router of layer 0 (model.layers.0.mlp.gate.weight) takes 4',
        'FILE, tensor "layers.1.hidden": its dtype is I32; F32, BF16 or F16 is needed',
        'FILE, tensor "layers.2.hidden": its shape is [3,2,2]; tokens by hidden size is needed, of one token or more',
        'FILE, tensor "layers.3.hidden": its shape is [0,4]; tokens by hidden size is needed, of one token or more',
        'FILE, tensor "layers.9.hidden": layer 9 of the model has no router',
        'FILE, tensor "model.layers.0": its name is not layers.{l}.hidden',
        'FILE: it has no layers.4.hidden, and layer 4 of the model has a router',
      ].toSorted(),
    );
  });

  it('cannot tell an encoder from a decoder', async () => {
    await write({ 'layers.0.hidden': ['F32', 3, 4] });
    expect(await problems([router(0), router(0)])).toEqual([expect.stringContaining('encoder and decoder')]);
  });

  it('is refused where a number is not finite, by token', async () => {
    const data = new Uint8Array(new Float32Array([1, 2, 3, 4, 5, Number.NaN, 7, 8]).buffer);
    await writeSafetensors(file, [{ name: 'layers.0.hidden', dtype: 'F32', shape: [2, 4], data }]);
    const hidden = await openHiddenStates(file, [router(0)]);
    await expect(hidden.read(reader, router(0))).rejects.toMatchObject({
      code: 'E_HIDDEN_STATES',
      message: `${file}, tensor "layers.0.hidden": token 1 holds NaN`,
    });
  });

  it('is refused where it is no safetensors', async () => {
    await expect(openHiddenStates(join(folder, 'absent.safetensors'), [router(0)])).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
  });
});

describe('the demo run', () => {
  const run = join(import.meta.dirname, '../../../demo/runs/moe');
  const steps = [5600, 5800, 6000];

  it('gives hidden states without Python, behind the norm, on which routers of the run choose much the same', async () => {
    const text = (await readFile(join(import.meta.dirname, '../../../demo/held-out/validation.txt'))).subarray(0, 1100);
    await writeSafetensors(file, await demoHiddenStates(join(run, 'checkpoint-6000'), text));
    const checkpoints = await Promise.all(steps.map((step) => openCheckpoint(join(run, `checkpoint-${step}`))));
    const newest = checkpoints.at(-1)!;
    const roles = await checkpointRoles(newest);
    const { layers } = routersOf(newest, roles);
    expect(layers).toHaveLength(2);
    const hidden = await openHiddenStates(file, layers);
    expect(hidden.tokens).toBe(1024);
    for (const layer of layers) {
      const inputs = (await hidden.read(reader, layer))!;
      const norm = await readFloats(reader, newest, layer.norm!);
      for (let t = 0; t < inputs.tokens; t++) {
        const row = inputs.data.subarray(t * inputs.width, (t + 1) * inputs.width);
        const rms = Math.sqrt(row.reduce((sum, x, i) => sum + (x / norm[i]!) ** 2, 0) / inputs.width);
        expect(Math.abs(rms - 1)).toBeLessThan(1e-3);
      }
      const logits = [];
      for (const checkpoint of checkpoints) logits.push(routerLogits(inputs, await readRouter(reader, checkpoint, layer)));
      const choice = layerChoice(routingFunction(roles.config)!, layer.layer, layer.experts, inputs, logits, [1 / 3, 1 / 3, 1 / 3]);
      for (const member of choice.members) {
        expect(member.overlap.mean).toBeGreaterThan(0.85);
        expect(member.overlap.mean).toBeLessThan(1);
        expect(member.load!.dead).toBe(0);
      }
      expect(choice.load!.entropy).toBeGreaterThan(0.85);
    }
  });

  it('needs a window of text', async () => {
    await expect(demoHiddenStates(join(run, 'checkpoint-6000'), new Uint8Array(100))).rejects.toThrow(RangeError);
  });
});
