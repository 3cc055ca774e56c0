import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { describe, expect, test } from 'vitest';
import { crc32cReference as crc32c } from '../../src/analysis/verify/twin/crc32c.ts';
import type { NativeEngineOptions } from '../../src/merge/native/binding.ts';
import type { CombineJob } from '../../src/merge/native/combine.ts';
import { loadBinding } from '../../src/merge/native/load.ts';
import { expectAsTwin, randomElements, randomSource, runJob, type SegmentData, tempDir } from '../support/native-job.ts';

const binding = loadBinding();
const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** A job of large, small and empty segments, mixed dtypes and copies. */
function variedSegments(members: number, outputs: number): SegmentData[] {
  const random = randomSource(11);
  const of = (count: number, dtype: 'BF16' | 'F32') => ({
    count,
    members: Array.from({ length: members }, () => ({ dtype, bytes: randomElements(dtype, count, random) })),
    out: Array.from({ length: outputs }, (_, k) => (k % 2 === 0 ? dtype : 'F16')) as SegmentData['out'],
  });
  const small = Array.from({ length: 60 }, (_, i) => of(1 + ((i * 37) % 300), i % 2 === 0 ? 'BF16' : 'F32'));
  return [of(100_003, 'BF16'), ...small, of(0, 'F32'), { ...of(777, 'F32'), copy: 1 }, of(30_001, 'F32')];
}

describe('the bytes depend on nothing but the recipe', () => {
  const rows = [
    [0.1, 0.7, 0.2],
    [1 / 3, 1 / 3, 1 / 3],
    [2, -1, 0],
  ];
  const segments = variedSegments(3, 1);
  const shapes: [string, { mode?: 'map' | 'read'; engine?: Partial<NativeEngineOptions> }][] = [
    ...binding.cpuInfo().available.map((isa) => [`isa ${isa}`, { engine: { isa } }] as [string, { engine: Partial<NativeEngineOptions> }]),
    ...[1, 2, 5, 16].map(
      (threads) => [`${threads} threads`, { engine: { threads } }] as [string, { engine: Partial<NativeEngineOptions> }],
    ),
    ...[8, 40, 1001, 65_536].map(
      (tileBytes) => [`tiles of ${tileBytes}`, { engine: { tileBytes } }] as [string, { engine: Partial<NativeEngineOptions> }],
    ),
    ['positioned reads', { mode: 'read' }],
    ['small requests', { mode: 'read', engine: { requestBytes: 1000, requestsInFlight: 3 } }],
    ['one request', { mode: 'read', engine: { requestBytes: 8, requestsInFlight: 1, threads: 1 } }],
    ['flushed and dropped', { engine: { flushBehind: true, dropCache: true } }],
    ['flushed and dropped, read', { mode: 'read', engine: { flushBehind: true, dropCache: true } }],
  ];

  test.each(rows.map((row, i) => ({ row, i })))('recipe $i alone and beside others', async ({ row, i }) => {
    const alone = await runJob(segments, [[row]], { lead: 3 });
    expectAsTwin(alone, segments, [[row]]);
    const beside = await runJob(variedSegments(3, 3), [rows], { lead: 3 });
    if (i % 2 === 0) expect(hash(beside.outputs[i]!)).toBe(hash(alone.outputs[0]!));
    expect(alone.result.crc[0]).toBe(crc32c(alone.outputs[0]!));
  });

  test.each(shapes)('%s', async (_, settings) => {
    const weights = [[rows[0]!]];
    const run = await runJob(segments, weights, { lead: 3, ...settings });
    expectAsTwin(run, segments, weights);
    expect(run.result.crc[0]).toBe(crc32c(run.outputs[0]!));
    expect(run.result.crcLength[0]).toBe(run.outputs[0]!.length);
    expect(run.result.bytesWritten).toBe(run.outputs[0]!.length);
  });

  test('inputs mapped and read in one call', async () => {
    const weights = [[rows[0]!]];
    const run = await runJob(segments, weights, { mode: ['map', 'read', 'map'] });
    expectAsTwin(run, segments, weights);
  });
});

/** A ready engine, one input and one output of `count` BF16 elements, and the job over part of them. */
function smallEngine(
  file: (name: string) => string,
  count: number,
  options: Partial<NativeEngineOptions> = {},
  mode: 'map' | 'read' = 'map',
) {
  writeFileSync(file('in'), Buffer.alloc(count * 2, randomElements('BF16', Math.min(count, 49_999), randomSource(2))));
  const input = binding.openInput(file('in'), mode);
  const output = binding.openOutput(file('out'), count * 2, { reopen: false });
  const engine = binding.createEngine({
    threads: 2,
    memoryBytes: 32 << 20,
    maxInputs: 1,
    maxOutputs: 1,
    reads: mode === 'read',
    ...options,
  });
  const job = (first = 0, length = count, cancel: Int32Array = new Int32Array(1)): CombineJob => ({
    files: [input],
    outputs: [output],
    count: Float64Array.of(length),
    file: Int32Array.of(0),
    offset: Float64Array.of(first * 2),
    dtype: Uint8Array.of(0),
    outOffset: Float64Array.of(first * 2),
    outDtype: Uint8Array.of(0),
    table: Int32Array.of(0),
    weights: Float64Array.of(1),
    cell: Int32Array.of(0, 1),
    cellEnd: Float64Array.of(length),
    cancel,
  });
  const close = () => {
    engine.close();
    input.close();
    output.close();
  };
  return { input, output, engine, job, [Symbol.dispose]: close };
}

describe('calls', () => {
  test('overlapping calls each write their part', async () => {
    using dir = tempDir();
    using small = smallEngine(dir.file, 400_000);
    const results = await Promise.all([0, 1, 2, 3].map((i) => small.engine.combine(small.job(i * 100_000, 100_000))));
    expect(readFileSync(dir.file('out')).equals(readFileSync(dir.file('in')))).toBe(true);
    const joined = results.reduce((crc, result) => binding.crc32cCombine(crc, result.crc[0]!, result.crcLength[0]!), 0);
    expect(joined).toBe(crc32c(readFileSync(dir.file('in'))));
  });

  test('closing handles and engine while calls run lets the calls finish', async () => {
    using dir = tempDir();
    const small = smallEngine(dir.file, 3_000_000, {}, 'read');
    const calls = [small.engine.combine(small.job()), small.output.sync()];
    small[Symbol.dispose]();
    await Promise.all(calls);
    expect(readFileSync(dir.file('out')).equals(readFileSync(dir.file('in')))).toBe(true);
    await expect(async () => small.engine.combine(small.job())).rejects.toMatchObject({ code: 'E_INVALID_ARG' });
    small[Symbol.dispose]();
  });

  test.each(['map', 'read'] as const)('a call whose flag is already set does nothing (%s)', async (mode) => {
    using dir = tempDir();
    using small = smallEngine(dir.file, 100_000, {}, mode);
    await expect(small.engine.combine(small.job(0, 100_000, Int32Array.of(1)))).rejects.toMatchObject({ code: 'E_CANCELLED' });
    await small.engine.combine(small.job());
    expect(readFileSync(dir.file('out')).equals(readFileSync(dir.file('in')))).toBe(true);
  });

  test('a flag set during slow reads ends the call at the next request', async () => {
    using dir = tempDir();
    // 4000 requests of 20 ms each, two at a time: the call would take 40 s
    using small = smallEngine(dir.file, 4_000_000, { requestBytes: 2000, requestsInFlight: 2, readDelayMicros: 20_000 }, 'read');
    const flag = new Int32Array(new SharedArrayBuffer(4));
    const call = small.engine.combine(small.job(0, 4_000_000, flag));
    setTimeout(() => Atomics.store(flag, 0, 1), 50);
    await expect(call).rejects.toMatchObject({ code: 'E_CANCELLED' });
  });

  test('an empty job', async () => {
    using dir = tempDir();
    using small = smallEngine(dir.file, 10);
    const result = await small.engine.combine(small.job(0, 0));
    expect(result).toMatchObject({ bytesRead: 0, bytesWritten: 0, nonfinite: [] });
    expect([...result.crc, ...result.crcOffset, ...result.crcLength]).toEqual([]);
  });

  test.each([
    ['map', {}],
    ['map', { threads: 5, tileBytes: 1001 }],
    ['map', { flushBehind: true, dropCache: true }],
    ['read', { requestBytes: 4000, requestsInFlight: 3 }],
  ] as const)('what lies between segments stays, and each range has its checksum (%s, %j)', async (mode, options) => {
    using dir = tempDir();
    using small = smallEngine(dir.file, 400_000, options, mode);
    // In elements; the first two follow one another.
    const parts: [from: number, to: number][] = [[10, 1010], [1010, 61_010], [61_042, 61_043], [70_000, 70_000], [80_000, 399_990]]; // biome-ignore format: a line
    const gaps: [from: number, to: number][] = [[0, 10], [61_010, 61_042], [61_043, 80_000], [399_990, 400_000]]; // biome-ignore format: a line
    const want = Buffer.from(readFileSync(dir.file('in')));
    for (const [from, to] of gaps) {
      const bytes = Buffer.alloc(2 * (to - from), 'gap');
      small.output.write(2 * from, bytes);
      want.set(bytes, 2 * from);
    }
    const S = parts.length;
    const result = await small.engine.combine({
      ...small.job(),
      count: Float64Array.from(parts, ([from, to]) => to - from),
      file: new Int32Array(S),
      offset: Float64Array.from(parts, ([from]) => 2 * from),
      dtype: new Uint8Array(S),
      outOffset: Float64Array.from(parts, ([from]) => 2 * from),
      outDtype: new Uint8Array(S),
      table: new Int32Array(S),
      cell: Int32Array.from({ length: S + 1 }, (_, s) => s),
      cellEnd: Float64Array.from(parts, ([from, to]) => to - from),
    });
    expect(readFileSync(dir.file('out')).equals(want)).toBe(true);
    const ranges: [from: number, to: number][] = [[10, 61_010], [61_042, 61_043], [80_000, 399_990]]; // biome-ignore format: a line
    expect([...result.crcOffset]).toEqual(ranges.map(([from]) => 2 * from));
    expect([...result.crcLength]).toEqual(ranges.map(([from, to]) => 2 * (to - from)));
    expect([...result.crc]).toEqual(ranges.map(([from, to]) => crc32c(want.subarray(2 * from, 2 * to))));
  });

  test.each(['map', 'read'] as const)('zeros are written where no member is named, and none is read (%s)', async (mode) => {
    using dir = tempDir();
    using small = smallEngine(dir.file, 50_000, {}, mode);
    await small.engine.combine(small.job());
    const zeros = { table: Int32Array.of(-2), file: Int32Array.of(-1), count: Float64Array.of(70_000), cellEnd: Float64Array.of(70_000) };
    const result = await small.engine.combine({ ...small.job(), ...zeros });
    expect(result).toMatchObject({ bytesRead: 0, bytesWritten: 70_000 });
    const written = readFileSync(dir.file('out'));
    expect(written.subarray(0, 70_000).equals(Buffer.alloc(70_000))).toBe(true);
    expect(written.subarray(70_000).equals(readFileSync(dir.file('in')).subarray(70_000))).toBe(true);
  });

  const wrong: [string, (job: CombineJob) => Partial<Record<keyof CombineJob, unknown>>][] = [
    ['a segment beyond its input', () => ({ count: Float64Array.of(1001), cellEnd: Float64Array.of(1001) })],
    ['an offset beyond its input', () => ({ offset: Float64Array.of(2 ** 52) })],
    ['a segment beyond its output', () => ({ outOffset: Float64Array.of(1) })],
    ['a fractional count', () => ({ count: Float64Array.of(1.5) })],
    ['a negative offset', () => ({ offset: Float64Array.of(-2) })],
    ['an offset of 2^53', () => ({ offset: Float64Array.of(2 ** 53) })],
    ['a NaN offset', () => ({ outOffset: Float64Array.of(Number.NaN) })],
    ['an integer dtype', () => ({ dtype: Uint8Array.of(4) })],
    ['an integer output dtype', () => ({ outDtype: Uint8Array.of(200) })],
    ['a file that is not there', () => ({ file: Int32Array.of(1) })],
    ['a weight without a file', () => ({ file: Int32Array.of(-1) })],
    ['a table that is not there', () => ({ table: Int32Array.of(1) })],
    // -2 is behind the one member: zeros.
    ['a copied member that is not there', () => ({ table: Int32Array.of(-3) })],
    ['the least table number', () => ({ table: Int32Array.of(-(2 ** 31)) })],
    ['all weights zero', () => ({ weights: Float64Array.of(0) })],
    ['a NaN weight', () => ({ weights: Float64Array.of(Number.NaN) })],
    ['half a weight table', () => ({ weights: new Float64Array(0) })],
    ['cells that do not reach the end', () => ({ cellEnd: Float64Array.of(999) })],
    ['cells without an end', () => ({ cell: Int32Array.of(0, 2) })],
    ['arrays of different lengths', () => ({ dtype: new Uint8Array(2) })],
    ['an array of another type', () => ({ offset: new Float32Array(1) })],
    ['an input that is none', () => ({ files: [{}] })],
    ['an output as input', (job) => ({ files: job.outputs })],
    ['no outputs', () => ({ outputs: [] })],
    ['no cancel flag', () => ({ cancel: new Int32Array(0) })],
  ];
  test.each(wrong)('refuses %s', async (_, change) => {
    using dir = tempDir();
    using small = smallEngine(dir.file, 1000);
    const job = { ...small.job(), ...change(small.job()) } as CombineJob;
    await expect(async () => small.engine.combine(job)).rejects.toMatchObject({ code: 'E_INVALID_ARG' });
  });

  test('refuses segments that run backwards in the output', async () => {
    using dir = tempDir();
    using small = smallEngine(dir.file, 100);
    const twice = { count: [50, 50], file: [0, 0], offset: [0, 100], dtype: [0, 0], outOffset: [100, 0], outDtype: [0, 0], table: [0, 0] };
    const columns = Object.fromEntries(
      Object.entries(twice).map(([name, values]) => [
        name,
        (small.job()[name as keyof typeof twice].constructor as Float64ArrayConstructor).from(values),
      ]),
    );
    const job = { ...small.job(), ...columns, cell: Int32Array.of(0, 1, 2), cellEnd: Float64Array.of(50, 50) };
    await expect(small.engine.combine(job)).rejects.toMatchObject({ code: 'E_INVALID_ARG', segment: 1 });
  });
});

describe('the shape fits the memory', () => {
  const shapeOf = (options: Partial<NativeEngineOptions>) => {
    const engine = binding.createEngine({ threads: 1, memoryBytes: 256 << 20, maxInputs: 4, maxOutputs: 1, reads: false, ...options });
    engine.close();
    return engine.shape;
  };

  test('defaults', () => {
    expect(shapeOf({ threads: 2 })).toMatchObject({ threads: 2, tileBytes: 256 << 10 });
    expect(shapeOf({ threads: 2, reads: true })).toMatchObject({ requestBytes: 1 << 20, requestsInFlight: 32 });
    expect(shapeOf({ threads: 40, reads: true })).toMatchObject({ requestsInFlight: 40 });
  });

  test.each([
    { maxInputs: 1, reads: true },
    { maxInputs: 10, reads: true },
    { maxInputs: 300, reads: true },
    { maxOutputs: 8, threads: 16 },
    { maxOutputs: 8, threads: 16, maxInputs: 10, reads: true },
  ])('$maxInputs inputs, $maxOutputs outputs, $threads threads, reads $reads', (options) => {
    for (const memoryBytes of [256 << 20, 64 << 20, 24 << 20]) {
      const shape = shapeOf({ ...options, memoryBytes });
      expect(shape.bufferBytes).toBeLessThanOrEqual(memoryBytes);
      expect(shape.tileBytes).toBeGreaterThanOrEqual(64 << 10);
      expect(shape.threads).toBeGreaterThanOrEqual(1);
    }
  });

  test('first tiles shrink, then threads are given up, then there is no way', () => {
    const perThread = (64 << 10) + (4 + 4) * 8 * 512;
    expect(shapeOf({ threads: 4, memoryBytes: perThread * 4 })).toMatchObject({ threads: 4, tileBytes: 64 << 10 });
    expect(shapeOf({ threads: 4, memoryBytes: perThread * 2 })).toMatchObject({ threads: 2, tileBytes: 64 << 10 });
    expect(() => shapeOf({ memoryBytes: perThread - 1 })).toThrow(expect.objectContaining({ code: 'E_NO_MEMORY' }));
    expect(() => shapeOf({ threads: 0 })).toThrow(expect.objectContaining({ code: 'E_INVALID_ARG' }));
    expect(() => shapeOf({ isa: 'sse9' as never })).toThrow(expect.objectContaining({ code: 'E_ISA' }));
  });
});

describe('page cache', () => {
  // On tmpfs the cache is the file itself.
  const keepsFilesInMemory = ['tmpfs', 'ramfs'].includes(binding.fileSystemType(tmpdir()));
  const count = 4 << 20;

  test.skipIf(keepsFilesInMemory).each(['map', 'read'] as const)(
    'dropCache leaves of the inputs what was there before, of the output nothing (%s)',
    async (mode) => {
      using dir = tempDir();
      using small = smallEngine(dir.file, count, { dropCache: true }, mode);
      writeFileSync(dir.file('resident'), readFileSync(dir.file('in')));
      binding.evict(dir.file('in'));
      const before = binding.residentBytes(dir.file('in'));
      await small.engine.combine(small.job());
      await small.output.sync();
      // The last of what lies across the edges of two chunks goes with the handle.
      small.input.close();
      expect(binding.residentBytes(dir.file('in')) - before).toBeLessThan(64 << 10);
      expect(binding.residentBytes(dir.file('out'))).toBeLessThan(64 << 10);
      expect(readFileSync(dir.file('out')).equals(readFileSync(dir.file('resident')))).toBe(true);
    },
  );

  test.skipIf(keepsFilesInMemory).each(['map', 'read'] as const)('dropCache keeps an input that was in the cache (%s)', async (mode) => {
    using dir = tempDir();
    using small = smallEngine(dir.file, count, { dropCache: true }, mode);
    await small.engine.combine(small.job());
    expect(binding.residentBytes(dir.file('in'))).toBe(count * 2);
  });
});
