import { truncateSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { gramReference } from '../../src/analysis/verify/twin/gram.ts';
import { type AveragedDtypeName, DTYPES } from '../../src/base/dtype.ts';
import { FLOAT_BYTES } from '../../src/base/numbers/float.ts';
import { type GramOptions, gramOf } from '../../src/merge/engine/passes/gram.ts';
import { Gram } from '../../src/merge/engine/passes/gram-matrix.ts';
import type { GramResult } from '../../src/merge/native/gram.ts';
import { gramWidth } from '../../src/merge/native/gram.ts';
import { loadBinding } from '../../src/merge/native/load.ts';
import { codeOf, randomElements, randomSource, tempDir } from '../support/native-job.ts';

const binding = loadBinding();
const { available } = binding.cpuInfo();

interface Made {
  readonly path: string;
  readonly dtype: AveragedDtypeName;
  /** [segments] */
  readonly bytes: readonly Uint8Array[];
}

/** A file for each input, with the elements of all segments one after the other behind `lead` bytes. */
function makeInputs(
  dir: { file(name: string): string },
  dtypes: readonly AveragedDtypeName[],
  counts: readonly number[],
  lead: number,
  wild: boolean,
): Made[] {
  return dtypes.map((dtype, n) => {
    const random = randomSource(100 * n + counts.length);
    const bytes = counts.map((count) =>
      FLOAT_BYTES[dtype] === 1 ? new Uint8Array(count).map(() => Math.floor(random() * 256)) : randomElements(dtype, count, random, wild),
    );
    writeFileSync(dir.file(`in${n}`), Buffer.concat([new Uint8Array(lead), ...bytes]));
    return { path: dir.file(`in${n}`), dtype, bytes };
  });
}

const offsetsOf = (made: Made, lead: number) =>
  made.bytes.map((_, s) => made.bytes.slice(0, s).reduce((sum, bytes) => sum + bytes.length, lead));

function rangesOf(inputs: readonly Made[], counts: readonly number[], lead: number) {
  const offsets = inputs.map((input) => offsetsOf(input, lead));
  return counts.map((elements, s) => ({
    elements,
    sources: inputs.map(({ path, dtype }, n) => ({ path, dtype, offset: offsets[n]![s]! })),
  }));
}

/** What the twin makes of each segment: spans added in order. */
function expected(inputs: readonly Made[], counts: readonly number[], steps: boolean): Float64Array[] {
  return counts.map((count, s) => {
    const sums = gramReference(
      inputs.map(({ bytes, dtype }) => ({ bytes: bytes[s]!, dtype })),
      count,
      steps,
    );
    const gram = new Gram(inputs.length, steps);
    for (let at = 0; at < sums.length; at += gramWidth(inputs.length)) gram.addValues(sums, at);
    return gram.values;
  });
}

/** All bits but those of a NaN, which sums of squares beyond float64's range may become. */
const bits = (values: Float64Array) =>
  Buffer.from(Float64Array.from(values, (x) => (Number.isNaN(x) ? Number.NaN : x)).buffer).toString('hex');

async function check(
  dtypes: readonly AveragedDtypeName[],
  counts: readonly number[],
  options: GramOptions,
  lead = 0,
  wild = false,
): Promise<void> {
  using dir = tempDir();
  const inputs = makeInputs(dir, dtypes, counts, lead, wild);
  const got = await gramOf(rangesOf(inputs, counts, lead), options);
  const want = expected(inputs, counts, options.steps === true);
  for (const [s, gram] of got.entries()) {
    if (bits(gram.values) !== bits(want[s]!)) expect(Array.from(gram.values), `segment ${s} of ${counts[s]}`).toEqual(Array.from(want[s]!));
    expect(bits(gram.values)).toBe(bits(want[s]!));
    expect(gram.elements).toBe(counts[s]);
  }
}

const COUNTS = [1, 7, 8, 9, 511, 512, 513, 0, 8191, 8192, 8193, 20_000];

describe.for(available)('%s: the twin bit for bit', (isa) => {
  test.for(['BF16', 'F16', 'F32', 'F64'] as const)('%s', async (dtype) => {
    for (const steps of [false, true]) {
      await check([dtype, dtype, dtype], COUNTS, { steps, tuning: { isa } });
      await check([dtype, dtype], [9000], { steps, tuning: { isa } }, 3, true);
    }
  });

  test('every number of inputs up to the most', async () => {
    for (let n = 1; n <= 32; n += n < 10 ? 1 : 11) {
      await check(new Array<AveragedDtypeName>(n).fill('BF16'), [700, 33], { steps: n % 2 === 0, tuning: { isa } });
    }
  });
});

test.for([
  { threads: 1 },
  { threads: 5 },
  { tuning: { tileBytes: 8 } },
  { tuning: { tileBytes: 1 << 20 } },
  { io: 'read', tuning: { requestBytes: 65_536 } },
  { io: 'read', tuning: { requestBytes: 100_000 }, threads: 1 },
  { io: 'read', memory: 1 << 20, threads: 3 },
] as const)('the same bits with %j', async (options) => {
  await check(['BF16', 'F32', 'F16', 'F64'], [33_000, 5, 17_000], { steps: true, ...options }, 1, true);
});

test('a range is the same in several calls as in one', async () => {
  using dir = tempDir();
  const count = 300_000;
  const [input] = makeInputs(dir, ['F64'], [count], 0, false);
  // 77 MB of input, and the first call takes 64
  const source = { path: input!.path, offset: 0, dtype: 'F64' as const };
  const [gram] = await gramOf([{ elements: count, sources: new Array(32).fill(source) }], { threads: 2 });
  const [sum] = expected([input!], [count], false)[0]!;
  for (let i = 0; i < 32; i++) for (let j = i; j < 32; j++) expect(gram!.dot(i, j)).toBe(sum);
});

test('NaN and infinity are counted where they are, and left out of everything else', async () => {
  using dir = tempDir();
  const rows = [
    [1, 2, Number.NaN, 4, 5, 6],
    [1, 3, 3, Number.POSITIVE_INFINITY, 5, 6],
    [1, 5, 3, Number.NEGATIVE_INFINITY, 5, Number.NaN],
  ];
  for (const [n, row] of rows.entries()) writeFileSync(dir.file(`in${n}`), new Uint8Array(Float32Array.from(row).buffer));
  const sources = rows.map((_, n) => ({ path: dir.file(`in${n}`), offset: 0, dtype: 'F32' as const }));
  const [gram] = await gramOf([{ elements: 6, sources }], { steps: true });
  expect([0, 1, 2].map((n) => [gram!.nan(n), gram!.inf(n)])).toEqual([
    [1, 0],
    [0, 1],
    [1, 1],
  ]);
  // left: elements 0, 1 and 4: (1,2,5), (1,3,5), (1,5,5)
  expect(gram!.norm(0)).toBe(Math.sqrt(30));
  expect(gram!.norm(2)).toBe(Math.sqrt(51));
  expect([gram!.distance(0, 1), gram!.distance(1, 2), gram!.distance(0, 2)]).toEqual([1, 2, 3]);
  expect([gram!.largestStep(1), gram!.largestStep(2)]).toEqual([1, 2]);
  expect(gram!.dot(0, 2)).toBe(1 + 10 + 25);
  expect(gram!.cosine(0, 1)).toBeCloseTo(32 / Math.sqrt(30 * 35), 14);
});

test('one changed bit among many elements shows, and none gives exactly 0', async () => {
  using dir = tempDir();
  const random = randomSource(5);
  const a = randomElements('BF16', 300_000, random);
  const b = Uint8Array.from(a);
  b[2 * 123_456]! ^= 1;
  for (const [name, bytes] of [
    ['a', a],
    ['b', b],
    ['c', b],
  ] as const)
    writeFileSync(dir.file(name), bytes);
  const sources = ['a', 'b', 'c'].map((name) => ({ path: dir.file(name), offset: 0, dtype: 'BF16' as const }));
  const [gram] = await gramOf([{ elements: 300_000, sources }], { steps: true });
  expect(gram!.distance(1, 2)).toBe(0);
  expect(gram!.distance(0, 1)).toBe(gram!.largestStep(1));
  expect(gram!.distance(0, 1)).toBeGreaterThan(0);
});

test('without steps the products are those of the inputs', async () => {
  using dir = tempDir();
  writeFileSync(dir.file('a'), new Uint8Array(Float64Array.of(1, 2, 3).buffer));
  writeFileSync(dir.file('b'), new Uint8Array(Float64Array.of(-1, 0, 2).buffer));
  const sources = ['a', 'b'].map((name) => ({ path: dir.file(name), offset: 0, dtype: 'F64' as const }));
  const [gram] = await gramOf([{ elements: 3, sources }]);
  expect([gram!.dot(0, 0), gram!.dot(0, 1), gram!.dot(1, 0), gram!.dot(1, 1)]).toEqual([14, 5, 5, 5]);
  expect(gram!.distance(0, 1)).toBe(3);
  expect(gram!.relativeDistance(0, 1)).toBe(3 / Math.sqrt(14));
});

describe('what cannot be read', () => {
  test('a file that is shorter than it should be fails by name', async () => {
    using dir = tempDir();
    const [input] = makeInputs(dir, ['F32'], [50_000], 0, false);
    truncateSync(input!.path, 4 * 49_999);
    const sources = [{ path: input!.path, offset: 0, dtype: 'F32' as const }];
    for (const io of ['map', 'read'] as const) {
      await expect(gramOf([{ elements: 50_000, sources }], { io })).rejects.toMatchObject({ code: 'E_INTERNAL' });
    }
    await expect(gramOf([{ elements: 1, sources: [{ ...sources[0]!, path: dir.file('none') }] }])).rejects.toMatchObject({
      details: { file: dir.file('none') },
    });
  });

  test('an abort ends it with its reason; before it begins, nothing is opened', async () => {
    using dir = tempDir();
    const inputs = makeInputs(dir, ['F32', 'F32'], [1_000_000], 0, false);
    const ranges = Array.from({ length: 20 }, () => rangesOf(inputs, [1_000_000], 0)[0]!);
    const control = new AbortController();
    const reason = new Error('enough');
    const running = gramOf(ranges, {
      signal: control.signal,
      io: 'read',
      tuning: { readDelayMicros: 20_000 },
      onProgress: () => control.abort(reason),
    });
    await expect(running).rejects.toBe(reason);
    await expect(gramOf(ranges, { signal: control.signal })).rejects.toBe(reason);
  });

  test('native code refuses columns that would read beyond a file, and more inputs than fit', async () => {
    using dir = tempDir();
    writeFileSync(dir.file('a'), new Uint8Array(64));
    const input = binding.openInput(dir.file('a'), 'map');
    const engine = binding.createEngine({ threads: 1, memoryBytes: 32 << 20, maxInputs: 40, maxOutputs: 1, reads: false });
    const job = (n: number, count: number, over: { offset?: number; dtype?: number; file?: number } = {}): Promise<GramResult> =>
      engine.gram({
        files: [input],
        count: Float64Array.of(count),
        file: new Int32Array(n).fill(over.file ?? 0),
        offset: new Float64Array(n).fill(over.offset ?? 0),
        dtype: new Uint8Array(n).fill(over.dtype ?? codeOf('F32')),
        steps: false,
        cancel: new Int32Array(1),
      });
    try {
      expect((await job(32, 16)).sums).toHaveLength(gramWidth(32));
      const refused: [n: number, count: number, over?: { offset?: number; dtype?: number; file?: number }][] = [
        [33, 16],
        [1, 17],
        [1, 16, { offset: 1 }],
        [1, 1, { dtype: DTYPES.find(({ name }) => name === 'U8')!.code }],
        [1, 1, { file: 1 }],
        [1, 1, { file: -1 }],
      ];
      // One after the other: a rejection that is not awaited yet would count as unhandled.
      for (const bad of refused) await expect(job(...bad)).rejects.toMatchObject({ code: 'E_INVALID_ARG' });
    } finally {
      engine.close();
      input.close();
    }
  });
});

test.for(['F8_E4M3', 'F8_E5M2', 'F8_E4M3FNUZ', 'F8_E5M2FNUZ'] as const)('%s too, beside other dtypes', async (dtype) => {
  await check([dtype, 'BF16', dtype], [300, 9000], { steps: true }, 1, true);
});

test('rows of F64 bytes are what the twin takes them for', () => {
  // by hand: products of (3, 4) and (3, 5), then the step from one to the other
  const inputs = [Float64Array.of(3, 4), Float64Array.of(3, 5)].map((row) => ({
    bytes: new Uint8Array(row.buffer),
    dtype: 'F64' as const,
  }));
  expect(FLOAT_BYTES.F64).toBe(8);
  expect(Array.from(gramReference(inputs, 2, false))).toEqual([25, 29, 34, 0, 0, 0, 0, 0, 0, 0, 0]);
  expect(Array.from(gramReference(inputs, 2, true))).toEqual([25, 29, 34, 0, 1, 0, 1, 0, 0, 0, 0]);
});
