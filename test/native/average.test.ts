import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { combineReference } from '../../src/analysis/verify/twin/combine.ts';
import { verify } from '../../src/analysis/verify/verify.ts';
import { dtypeByCode, type FloatDtypeName } from '../../src/base/dtype.ts';
import { type AverageOptions, average, averageEvents, plan } from '../../src/merge/average.ts';
import { executePlan } from '../../src/merge/engine/execute.ts';
import { loadBinding } from '../../src/merge/native/load.ts';
import { buildPlan } from '../../src/merge/plan/build.ts';
import { openCheckpoint } from '../../src/safetensors.ts';
import { type FixtureTensor, safetensorsBytes, temporaryFolder, writeCheckpoint } from '../support/checkpoints.ts';

const TENSORS: FixtureTensor[] = [
  { name: 'embed', dtype: 'BF16', shape: [97, 33] },
  { name: 'layers.0.up', dtype: 'BF16', shape: [301, 257] },
  { name: 'layers.0.norm', dtype: 'F32', shape: [257] },
  { name: 'layers.0.bias', dtype: 'F16', shape: [1031] },
  { name: 'layers.0.double', dtype: 'F64', shape: [63] },
  { name: 'position_ids', dtype: 'I64', shape: [1, 16], data: new Uint8Array(128).fill(9) },
  { name: 'mask', dtype: 'BOOL', shape: [5], data: Uint8Array.from([1, 0, 1, 1, 0]) },
  { name: 'empty', dtype: 'BF16', shape: [0] },
  { name: 'scalar', dtype: 'F32', shape: [] },
];

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());
const at = (...parts: string[]) => join(folder.path, ...parts);

/**
 * N checkpoints with other data each, sharded in turn as one file, three shards, and two shards the other way
 * round.
 */
function run(count: number, tensors = TENSORS): string[] {
  const layouts = [[tensors], [tensors.slice(0, 2), tensors.slice(2, 5), tensors.slice(5)], [tensors.slice(4), tensors.slice(0, 4)]];
  return Array.from({ length: count }, (_, i) => writeCheckpoint(at(`checkpoint-${(i + 1) * 100}`), layouts[i % 3]!, i + 1));
}

/** Every tensor of a checkpoint as the twin merges it, by name. */
async function expected(inputs: readonly string[], weights: readonly number[], dtype?: FloatDtypeName): Promise<Map<string, Buffer>> {
  const members = await Promise.all(inputs.map((p) => openCheckpoint(p)));
  const bytesOf = (m: number, name: string): { bytes: Buffer; dtype: FloatDtypeName } => {
    const place = members[m]!.locate(name)!;
    const { header, path } = members[m]!.shards[place.shard]!;
    const { begin, end, dtypes } = header.tensors;
    const bytes = readFileSync(path).subarray(header.dataStart + begin[place.row]!, header.dataStart + end[place.row]!);
    return { bytes, dtype: dtypeByCode(dtypes[place.row]!).name as FloatDtypeName };
  };
  const merged = new Map<string, Buffer>();
  for (const name of members.at(-1)!.shards.flatMap((s) => [...s.header.tensors.names])) {
    const pieces = members.map((_, m) => bytesOf(m, name));
    const own = pieces.at(-1)!;
    const size = { BF16: 2, F16: 2, F32: 4, F64: 8 }[own.dtype];
    if (size === undefined) merged.set(name, own.bytes);
    else {
      const request = {
        inputs: pieces.map((p, i) => ({ ...p, weight: weights[i]! })),
        count: own.bytes.length / size,
        outDtype: dtype ?? own.dtype,
      };
      merged.set(name, Buffer.from(combineReference(request).bytes));
    }
  }
  return merged;
}

async function contents(path: string): Promise<Map<string, Buffer>> {
  const { shards } = await openCheckpoint(path);
  return new Map(
    shards.flatMap(({ path, header: { tensors, dataStart } }) => {
      const bytes = readFileSync(path);
      return tensors.names.map((n, i): [string, Buffer] => [n, bytes.subarray(dataStart + tensors.begin[i]!, dataStart + tensors.end[i]!)]);
    }),
  );
}

const hash = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');

describe('a merge', () => {
  it.each([
    ['sma', {}, [1 / 3, 1 / 3, 1 / 3]],
    ['wma', { method: 'wma' }, [1 / 6, 2 / 6, 3 / 6]],
    ['ema', { method: 'ema', alpha: 0.3 }, [0.7 * 0.7, 0.3 * 0.7, 0.3]],
    ['weights', { weights: [-0.5, 0.25, 1.25] }, [-0.5, 0.25, 1.25]],
    ['weights of 0', { weights: [0, 0.5, 0.5] }, [0, 0.5, 0.5]],
    ['to float32', { dtype: 'F32' }, [1 / 3, 1 / 3, 1 / 3]],
    ['to float16', { dtype: 'F16', method: 'wma' }, [1 / 6, 2 / 6, 3 / 6]],
  ] as [string, Partial<AverageOptions>, number[]][])('by %s is what the twin computes, tensor by tensor', async (_, options, weights) => {
    const inputs = run(3);
    const result = await average({ inputs, output: at('out'), ...options });
    expect(result.outputs[0]!.members.map((m) => m.weight)).toEqual(weights);
    const wanted = await expected(inputs, weights, options.dtype as FloatDtypeName | undefined);
    const found = await contents(at('out'));
    expect([...found.keys()].sort()).toEqual([...wanted.keys()].sort());
    for (const [name, bytes] of wanted) expect(found.get(name)!.equals(bytes), name).toBe(true);
    await verify(at('out'), { full: true });
  });

  it('of copies of one checkpoint gives back its bytes', async () => {
    const tensors = TENSORS.filter((t) => t.dtype !== 'F64');
    const inputs = ['a', 'b', 'c'].map((name) => writeCheckpoint(at(name), [tensors], 7));
    await average({ inputs, output: at('out') });
    const [own, merged] = [await contents(inputs[0]!), await contents(at('out'))];
    for (const [name, bytes] of own) expect(merged.get(name)!.equals(bytes), name).toBe(true);
  });

  it('has the same bytes for every instruction set, thread count, tile size and way of reading', async () => {
    const inputs = run(4);
    const hashes = new Set<string>();
    let n = 0;
    for (const isa of loadBinding().cpuInfo().available) {
      for (const [threads, io, tileBytes] of [
        [1, 'map', 0],
        [2, 'read', 65_536],
        [3, 'map', 65_536],
        [1, 'read', 262_144],
      ] as const) {
        const output = at(`out-${n++}`);
        await average({ inputs, output, method: 'wma', threads, io, tuning: { isa, tileBytes } });
        hashes.add(hash(join(output, 'model.safetensors')));
      }
    }
    expect(n).toBeGreaterThanOrEqual(4);
    expect(hashes.size).toBe(1);
  });

  it('does not depend on how the inputs are sharded', async () => {
    const layouts = [[TENSORS], [TENSORS.slice(0, 3), TENSORS.slice(3)], [TENSORS.slice(6), TENSORS.slice(0, 6)]];
    const hashes = [];
    for (const [l, layout] of layouts.entries()) {
      const inputs = [1, 2].map((seed) => writeCheckpoint(at(`${l}`, `checkpoint-${seed}`), layout, seed));
      await average({ inputs: [...inputs, writeCheckpoint(at(`${l}`, 'checkpoint-3'), [TENSORS], 3)], output: at(`out-${l}`) });
      hashes.push(hash(at(`out-${l}`, 'model.safetensors')));
    }
    expect(new Set(hashes).size).toBe(1);
  });

  it('of several outputs in one read gives each the bytes it has alone', async () => {
    const inputs = run(5);
    const recipes = [
      [0.2, 0.2, 0.2, 0.2, 0.2],
      [0, 0, 0, 0.5, 0.5],
      [1, 0, 0, 0, 0],
      [-1, 0, 0, 0, 2],
      [0, 0.3, 0.3, 0.4, 0],
      [0, 0, 1, 0, 0],
    ];
    const together = await buildPlan({ inputs, outputs: recipes.map((weights, k) => ({ path: at('many', `${k}`), weights })) });
    for await (const _ of executePlan(together));
    for (const [k, weights] of recipes.entries()) {
      await average({ inputs, weights, output: at('alone', `${k}`) });
      for (const name of readdirSync(at('alone', `${k}`)).filter((n) => n.endsWith('.safetensors'))) {
        expect(hash(at('many', `${k}`, name)), `output ${k}, ${name}`).toBe(hash(at('alone', `${k}`, name)));
      }
    }
  });

  it('keeps non-members out: inf, NaN and -0 in a member of weight 0 leave no trace', async () => {
    const data = (values: number[]) => new Uint8Array(Float32Array.from(values).buffer);
    const file = (name: string, values: number[]) =>
      writeCheckpoint(at(name), [[{ name: 'head.weight', dtype: 'F32', shape: [4], data: data(values) }]], 1);
    const inputs = [file('a', [-0, 1, 2, 3]), file('b', [Number.NaN, Number.POSITIVE_INFINITY, -0, Number.NEGATIVE_INFINITY])];
    const result = await average({ inputs, weights: [1, 0], output: at('out') });
    expect([...(await contents(at('out'))).get('head.weight')!]).toEqual([...data([-0, 1, 2, 3])]);
    expect(result.warnings).toEqual([]);
  });

  it('reports NaN and infinity by tensor and member, and fails with failNonfinite', async () => {
    const data = new Uint8Array(Float32Array.from([1, Number.NaN, Number.POSITIVE_INFINITY, 4]).buffer);
    const inputs = [
      writeCheckpoint(at('a'), [[{ name: 'head.weight', dtype: 'F32', shape: [4] }]], 1),
      writeCheckpoint(at('b'), [[{ name: 'head.weight', dtype: 'F32', shape: [4], data }]], 1),
    ];
    const { warnings } = await average({ inputs, output: at('out') });
    expect(warnings).toEqual([
      { code: 'W_NONFINITE', message: expect.stringMatching(/tensor head.weight of .*b holds 1 NaN and 1 infinite/) },
    ]);
    await expect(average({ inputs, output: at('strict'), failNonfinite: true })).rejects.toMatchObject({
      code: 'E_NONFINITE',
      details: { tensor: 'head.weight' },
    });
    expect(readdirSync(folder.path).filter((n) => n.includes('strict'))).toEqual([]);
  });

  it('of single files is a single file that verifies where it lies', async () => {
    const inputs = [1, 2].map((seed) => {
      writeFileSync(at(`model-step${seed}.safetensors`), safetensorsBytes(TENSORS, seed));
      return at(`model-step${seed}.safetensors`);
    });
    await average({ inputs, output: at('merged.safetensors') });
    const wanted = await expected(inputs, [0.5, 0.5]);
    const found = await contents(at('merged.safetensors'));
    for (const [name, bytes] of wanted) expect(found.get(name)!.equals(bytes), name).toBe(true);
    expect((await verify(at('merged.safetensors'), { full: true })).recomputed.fraction).toBe(1);
  });
});

describe('a folder that was merged', () => {
  it('holds layout, side files and provenance of the newest, and no training state', async () => {
    const sides = {
      'tokenizer.json': '{}',
      'trainer_state.json': '{"global_step": 300}',
      'optimizer.pt': 'x',
      'modeling.py': '#',
      'README.md': 'old',
    };
    const inputs = [
      writeCheckpoint(at('checkpoint-100'), [TENSORS], 1),
      writeCheckpoint(at('checkpoint-300'), [TENSORS.slice(0, 4), TENSORS.slice(4)], 3, sides),
    ];
    await average({ inputs, output: at('out'), dtype: 'F32' });
    expect(readdirSync(at('out')).sort()).toEqual(
      [
        'README.md',
        'config.json',
        'merge_provenance.json',
        'merge_recipe.yaml',
        'model-00001-of-00002.safetensors',
        'model-00002-of-00002.safetensors',
        'model.safetensors.index.json',
        'modeling.py',
        'tokenizer.json',
      ].sort(),
    );
    expect(readFileSync(at('out', 'config.json'), 'utf8')).toContain('"dtype": "float32"');
    expect(readFileSync(at('out', 'merge_provenance.json'), 'utf8')).not.toContain(folder.path);
  });

  it('fails verification when one byte is changed, naming what differs', async () => {
    const inputs = run(2);
    await average({ inputs: inputs.slice(0, 1), output: at('out') });
    const file = at('out', 'model.safetensors');
    const bytes = readFileSync(file);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(file, bytes);
    await expect(verify(at('out'))).rejects.toMatchObject({ code: 'E_VERIFY', exitCode: 5, details: { file } });
  });

  it('says of a file that has another name to give it back', async () => {
    await average({ inputs: run(2).slice(0, 1), output: at('out') });
    renameSync(at('out', 'model.safetensors'), at('out', 'renamed.safetensors'));
    await expect(verify(at('out'))).rejects.toMatchObject({
      code: 'E_VERIFY',
      message: 'model.safetensors is in the provenance but not in the checkpoint',
      help: 'Give the file its name back, or copy the merge again.',
    });
  });
});

describe('an abort', () => {
  it('rejects with the signal’s reason and leaves nothing', async () => {
    const big: FixtureTensor[] = [{ name: 'head.weight', dtype: 'BF16', shape: [4 << 20], data: new Uint8Array(8 << 20) }];
    const inputs = [1, 2].map((seed) => writeCheckpoint(at(`checkpoint-${seed}`), [big], seed));
    const abort = new AbortController();
    const tuning = { readDelayMicros: 200_000, requestBytes: 65_536, requestsInFlight: 1 };
    const merge = average({ inputs, output: at('new', 'out'), io: 'read', tuning }, { signal: abort.signal });
    const ended = expect(merge).rejects.toThrow('enough');
    await vi.waitFor(() => expect(existsSync(at('new'))).toBe(true), { timeout: 60_000 });
    abort.abort(new Error('enough'));
    await ended;
    expect(existsSync(at('new'))).toBe(false);
  });

  it('keeps finished shards, and the resumed merge has the same bytes and still knows of the NaN in them', async () => {
    const data = new Uint8Array(Float32Array.from([1, Number.NaN]).buffer);
    const shards: FixtureTensor[][] = [
      [{ name: 'a', dtype: 'F32', shape: [2], data }],
      [{ name: 'b', dtype: 'BF16', shape: [2000] }],
      [{ name: 'c', dtype: 'BF16', shape: [2000] }],
    ];
    const inputs = [1, 2].map((seed) => writeCheckpoint(at(`checkpoint-${seed}`), shards, seed));
    await average({ inputs, output: at('whole') });
    const abort = new AbortController();
    const kept: string[] = [];
    const interrupted = async () => {
      for await (const event of averageEvents({ inputs, output: at('out') }, { signal: abort.signal })) {
        // All shards but the last are journaled by then.
        if (event.type === 'progress' && event.phase === 'sync') abort.abort(new Error('enough'));
        if (event.type === 'kept') kept.push(event.output);
      }
    };
    await expect(interrupted()).rejects.toThrow('enough');
    expect(kept).toEqual([at('out')]);
    expect(existsSync(at('out'))).toBe(false);
    const result = await average({ inputs, output: at('out'), resume: true });
    expect(result.resumedBytes).toBeGreaterThan(0);
    expect(result.warnings.filter((w) => !['W_UNKNOWN_NAMES', 'W_WINDOW_WIDE'].includes(w.code)).map((w) => w.code)).toEqual([
      'W_NONFINITE',
      'W_NONFINITE',
    ]);
    for (const name of readdirSync(at('whole')).filter((n) => n.endsWith('.safetensors')))
      expect(hash(at('out', name))).toBe(hash(at('whole', name)));
  });

  it('by ending the iteration early leaves nothing either', async () => {
    for await (const event of averageEvents({ inputs: run(2), output: at('out') })) if (event.type === 'plan') break;
    expect(readdirSync(folder.path).filter((n) => n.includes('out'))).toEqual([]);
  });
});

it('an existing output stays until the new one is complete, and only with force', async () => {
  const inputs = run(2);
  mkdirSync(at('out'));
  writeFileSync(at('out', 'precious.safetensors'), 'x');
  await expect(average({ inputs, output: at('out') })).rejects.toMatchObject({ code: 'E_OUTPUT_EXISTS' });
  expect(readFileSync(at('out', 'precious.safetensors'), 'utf8')).toBe('x');
  await average({ inputs, output: at('out'), force: true });
  expect(existsSync(at('out', 'precious.safetensors'))).toBe(false);
  await verify(at('out'));
});

it('the plan bounds memory before anything runs', async () => {
  const { peakMemoryBytes } = await plan({ inputs: run(2), output: at('out'), memory: 64 << 20 });
  expect(peakMemoryBytes).toBe(Math.round((64 << 20) + 150e6 + 1500 * TENSORS.length));
});
