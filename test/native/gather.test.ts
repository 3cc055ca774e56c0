import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { combineReference } from '../../src/analysis/verify/twin/combine.ts';
import { crc32cReference } from '../../src/analysis/verify/twin/crc32c.ts';
import { gramReference } from '../../src/analysis/verify/twin/gram.ts';
import type { AveragedDtypeName } from '../../src/base/dtype.ts';
import { FLOAT_BYTES } from '../../src/base/numbers/float.ts';
import type { NativeEngine, NativeEngineOptions } from '../../src/merge/native/binding.ts';
import type { CombineJob } from '../../src/merge/native/combine.ts';
import type { InputMode, NativeInput, NativeOutput } from '../../src/merge/native/handles.ts';
import type { InputBoxes } from '../../src/merge/native/job.ts';
import { loadBinding } from '../../src/merge/native/load.ts';
import { codeOf, expectBytes, randomElements, randomSource, tempDir } from '../support/native-job.ts';

const binding = loadBinding();

interface Box {
  readonly row: number;
  readonly rows: number;
  readonly column: number;
  readonly width: number;
}

/** One input of one segment: the elements of a matrix, row by row, and the boxes that it was saved in. */
interface Matrix {
  readonly dtype: AveragedDtypeName;
  readonly rows: number;
  readonly columns: number;
  readonly bytes: Uint8Array;
  /** In order; none: saved in one run. */
  readonly boxes: readonly Box[];
}

/** How a writer cuts a matrix: heights of bands, and widths of boxes in each. */
function boxesOf(heights: readonly number[], widths: readonly number[]): Box[] {
  let row = 0;
  return heights.flatMap((rows) => {
    let column = 0;
    const band = widths.map((width) => {
      column += width;
      return { row, rows, column: column - width, width };
    });
    row += rows;
    return band;
  });
}

const matrix = (dtype: AveragedDtypeName, rows: number, columns: number, boxes: readonly Box[], seed: number): Matrix => {
  return { dtype, rows, columns, bytes: randomElements(dtype, rows * columns, randomSource(seed)), boxes };
};

/** [segments][members] matrices of equal size, saved differently. */
const SEGMENTS: readonly (readonly Matrix[])[] = [
  [
    matrix('BF16', 96, 300, boxesOf([96], [75, 75, 75, 75]), 1), // by columns
    matrix('F32', 96, 300, boxesOf([40, 40, 16], [200, 100]), 2), // on a mesh
    matrix('BF16', 96, 300, [], 3),
  ],
  [
    matrix('F64', 50, 7, boxesOf([50], new Array<number>(7).fill(1)), 4), // transposed
    matrix('F16', 50, 7, boxesOf([20, 20, 10], [7]), 5), // by rows
    matrix('BF16', 50, 7, boxesOf(new Array<number>(50).fill(1), [3, 4]), 6),
  ],
];
/** Bytes that are copied from member 1. */
const COPIED: Matrix = { ...matrix('F8_E4M3', 11, 13, boxesOf([4, 7], [6, 7]), 7) };

/** Writes boxes in an order of their own, one file for each pair of them: what a rank saved. */
class Files {
  readonly columns = {
    first: [0],
    columns: [] as number[],
    start: [] as number[],
    row: [] as number[],
    rows: [] as number[],
    column: [] as number[],
    width: [] as number[],
    file: [] as number[],
    offset: [] as number[],
    rowStride: [] as number[],
  };
  readonly file: number[] = [];
  readonly offset: number[] = [];
  readonly #contents: Uint8Array[][] = [];

  add(input: Matrix | undefined): void {
    this.columns.columns.push(input?.columns ?? 0);
    this.columns.start.push(0);
    this.file.push(-1);
    this.offset.push(0);
    if (input?.boxes.length === 0) {
      const { file, offset } = this.#put(new Uint8Array(3), input.bytes);
      this.file[this.file.length - 1] = file;
      this.offset[this.offset.length - 1] = offset + 3;
    }
    const size = input === undefined ? 0 : FLOAT_BYTES[input.dtype];
    for (const { row, rows, column, width } of input?.boxes ?? []) {
      const parts = Array.from({ length: rows }, (_, r) => {
        const from = ((row + r) * input!.columns + column) * size;
        return input!.bytes.subarray(from, from + width * size);
      });
      const { file, offset } = this.#put(...parts);
      for (const [name, value] of Object.entries({ row, rows, column, width, file, offset, rowStride: width * size })) {
        this.columns[name as keyof InputBoxes].push(value);
      }
    }
    this.columns.first.push(this.columns.row.length);
  }

  #put(...parts: Uint8Array[]): { file: number; offset: number } {
    if (this.#contents.length === 0 || this.#contents.at(-1)!.length > 2) this.#contents.push([]);
    const file = this.#contents.at(-1)!;
    const offset = file.reduce((sum, part) => sum + part.length, 0);
    file.push(Buffer.concat(parts));
    return { file: this.#contents.length - 1, offset };
  }

  get boxes(): InputBoxes {
    const { first, file, ...floats } = this.columns;
    const columns = Object.fromEntries(Object.entries(floats).map(([name, values]) => [name, Float64Array.from(values)]));
    return { first: Int32Array.from(first), file: Int32Array.from(file), ...columns } as unknown as InputBoxes;
  }

  open(dir: { file(name: string): string }, mode: (file: number) => InputMode): NativeInput[] {
    return this.#contents.map((parts, f) => {
      writeFileSync(dir.file(`rank${f}`), Buffer.concat(parts));
      return binding.openInput(dir.file(`rank${f}`), mode(f));
    });
  }
}

const WEIGHTS = [
  [0.3, -0.5, 1.2],
  [0, 0.5, 0.25],
];
const OUT: readonly AveragedDtypeName[] = ['BF16', 'F32'];

/** [K] */
const WANTED = OUT.map((outDtype, k) => {
  const sums = SEGMENTS.map((members) => {
    const inputs = members.map(({ bytes, dtype }, n) => ({ bytes, dtype, weight: WEIGHTS[k]![n]! }));
    return combineReference({ inputs, count: members[0]!.rows * members[0]!.columns, outDtype }).bytes;
  });
  return Buffer.concat([sums[0]!, COPIED.bytes, sums[1]!]);
});
const PRODUCTS = SEGMENTS.flatMap((members) => [...gramReference(members, members[0]!.rows * members[0]!.columns, true)]);

const engineOf = (options: Partial<NativeEngineOptions>): NativeEngine =>
  binding.createEngine({ threads: 2, memoryBytes: 32 << 20, maxInputs: 3, maxOutputs: 2, reads: true, gathers: true, ...options });

/** The job of all segments, the copied one between them. */
function combineJob(inputs: NativeInput[], outputs: NativeOutput[], files: Files): CombineJob {
  const count = [96 * 300, 11 * 13, 50 * 7];
  const ends = OUT.map((dtype) => [0, count[0]! * FLOAT_BYTES[dtype], count[0]! * FLOAT_BYTES[dtype] + count[1]!]);
  const dtypes = [...SEGMENTS[0]!, COPIED, COPIED, COPIED, ...SEGMENTS[1]!].map(({ dtype }) => codeOf(dtype));
  return {
    files: inputs,
    outputs,
    count: Float64Array.from(count),
    file: Int32Array.from(files.file),
    offset: Float64Array.from(files.offset),
    dtype: Uint8Array.from(dtypes),
    boxes: files.boxes,
    outOffset: Float64Array.from([0, 1, 2].flatMap((s) => ends.map((offsets) => offsets[s]!))),
    outDtype: Uint8Array.from([0, 1, 2].flatMap(() => OUT.map(codeOf))),
    table: Int32Array.of(0, -2, 0),
    weights: Float64Array.from(WEIGHTS.flat()),
    cell: Int32Array.of(0, 1, 2, 3),
    cellEnd: Float64Array.from(count),
    cancel: new Int32Array(1),
  };
}

function allFiles(): Files {
  const files = new Files();
  for (const input of [...SEGMENTS[0]!, undefined, COPIED, undefined, ...SEGMENTS[1]!]) files.add(input);
  return files;
}

const modes: [string, (file: number) => InputMode][] = [
  ['mapped', () => 'map'],
  ['read', () => 'read'],
  ['both', (file) => (file % 2 === 0 ? 'map' : 'read')],
];
const shapes: Partial<NativeEngineOptions>[] = [
  {},
  { tileBytes: 40, threads: 3 },
  { tileBytes: 1001, requestBytes: 1000 },
  { dropCache: true, threads: 1, requestBytes: 65_536 },
];

describe.each(modes)('boxes of files that are %s', (_, mode) => {
  test.each(shapes)('sums and copies as of whole matrices: %j', async (options) => {
    using dir = tempDir();
    const files = allFiles();
    const inputs = files.open(dir, mode);
    const outputs = WANTED.map((bytes, k) => binding.openOutput(dir.file(`out${k}`), bytes.length, { reopen: false }));
    const engine = engineOf(options);
    const result = await engine.combine(combineJob(inputs, outputs, files));
    for (const [k, bytes] of WANTED.entries()) {
      expectBytes(readFileSync(dir.file(`out${k}`)), bytes, `output ${k}`);
      expect(result.crc[k]).toBe(crc32cReference(bytes));
    }
    expect(result.bytesRead).toBe([...SEGMENTS.flat(), COPIED].reduce((sum, { bytes }) => sum + bytes.length, 0));
    engine.close();
    for (const handle of [...inputs, ...outputs]) handle.close();
  });

  test('sums of products as of whole matrices', async () => {
    using dir = tempDir();
    const files = new Files();
    for (const input of SEGMENTS.flat()) files.add(input);
    const inputs = files.open(dir, mode);
    const engine = engineOf({ threads: 3 });
    const { sums } = await engine.gram({
      files: inputs,
      count: Float64Array.of(96 * 300, 50 * 7),
      file: Int32Array.from(files.file),
      offset: Float64Array.from(files.offset),
      dtype: Uint8Array.from(SEGMENTS.flat(), ({ dtype }) => codeOf(dtype)),
      boxes: files.boxes,
      steps: true,
      cancel: new Int32Array(1),
    });
    expect([...sums]).toEqual(PRODUCTS);
    engine.close();
    for (const input of inputs) input.close();
  });

  test('a part of a matrix, from the middle of a row on', async () => {
    using dir = tempDir();
    const [input] = SEGMENTS[0]!;
    const files = new Files();
    files.add(input);
    files.columns.start[0] = 1234;
    const inputs = files.open(dir, mode);
    const output = binding.openOutput(dir.file('out'), 2 * 5000, { reopen: false });
    const engine = engineOf({ tileBytes: 1000 });
    const job = combineJob(inputs, [output], files);
    await engine.combine({
      ...job,
      count: Float64Array.of(5000),
      dtype: Uint8Array.of(codeOf('BF16')),
      outOffset: Float64Array.of(0),
      outDtype: Uint8Array.of(codeOf('BF16')),
      table: Int32Array.of(0),
      weights: Float64Array.of(1),
      cell: Int32Array.of(0, 1),
      cellEnd: Float64Array.of(5000),
    });
    expectBytes(readFileSync(dir.file('out')), input!.bytes.subarray(2 * 1234, 2 * 6234), 'the part');
    engine.close();
    for (const handle of [...inputs, output]) handle.close();
  });
});

describe.each(['map', 'read'] as const)('what goes wrong with boxes, mode %s', (mode) => {
  /** A matrix of 2048 rows by columns of two files, merged alone. */
  function large(dir: { file(name: string): string }, options: Partial<NativeEngineOptions>) {
    const input: Matrix = { dtype: 'BF16', rows: 2048, columns: 1024, bytes: new Uint8Array(4 << 20).fill(0x3c), boxes: [] };
    const files = new Files();
    files.add({ ...input, boxes: boxesOf([1024, 1024], [512, 256, 256]) });
    const inputs = files.open(dir, () => mode);
    const output = binding.openOutput(dir.file('out'), input.bytes.length, { reopen: false });
    const engine = engineOf(options);
    const cancel = new Int32Array(1);
    const job: CombineJob = {
      ...combineJob(inputs, [output], files),
      count: Float64Array.of(2 << 20),
      dtype: Uint8Array.of(codeOf('BF16')),
      outOffset: Float64Array.of(0),
      outDtype: Uint8Array.of(codeOf('BF16')),
      table: Int32Array.of(0),
      weights: Float64Array.of(1),
      cell: Int32Array.of(0, 1),
      cellEnd: Float64Array.of(2 << 20),
      cancel,
    };
    const close = () => {
      engine.close();
      for (const handle of [...inputs, output]) handle.close();
    };
    return { engine, job, cancel, [Symbol.dispose]: close };
  }

  test('a file that was truncated is E_INPUT_CHANGED and named', async () => {
    using dir = tempDir();
    using merge = large(dir, {});
    truncateSync(dir.file('rank1'), 100_000);
    await expect(merge.engine.combine(merge.job)).rejects.toMatchObject({ code: 'E_INPUT_CHANGED', fileIndex: 1 });
  });

  test('a cancelled call ends', async () => {
    using dir = tempDir();
    using merge = large(dir, { readDelayMicros: 20_000, requestBytes: 65_536, requestsInFlight: 1, threads: 1 });
    if (mode === 'map') merge.cancel[0] = 1;
    const call = merge.engine.combine(merge.job);
    merge.cancel[0] = 1;
    await expect(call).rejects.toMatchObject({ code: 'E_CANCELLED' });
  });

  test('boxes that leave a hole, reach beyond their file or come to an engine that does not gather are E_INVALID_ARG', async () => {
    using dir = tempDir();
    using merge = large(dir, {});
    const { boxes } = merge.job;
    const spoilt: Partial<InputBoxes>[] = [
      { column: boxes!.column.map((column) => column + 1) },
      { width: boxes!.width.map((width) => width - 1) },
      { rows: boxes!.rows.map((rows) => rows - 1) },
      { offset: boxes!.offset.map((offset) => offset + 1) },
      { rowStride: boxes!.rowStride.map((stride) => stride + 1) },
      { file: boxes!.file.map((file) => file + 7) },
      { start: Float64Array.of(1) },
      { columns: new Float64Array(0) },
      { rows: boxes!.rows.map(() => 0) },
      { offset: boxes!.offset.map(() => -1) },
      { width: boxes!.width.map(() => 0.5) },
      { first: Int32Array.of(0, 2 ** 31 - 1) },
    ];
    for (const bad of spoilt) {
      const run = async () => merge.engine.combine({ ...merge.job, boxes: { ...boxes!, ...bad } });
      await expect(run(), Object.keys(bad)[0]).rejects.toMatchObject({ code: 'E_INVALID_ARG' });
    }
    const engine = engineOf({ gathers: false });
    await expect(engine.combine(merge.job)).rejects.toMatchObject({ code: 'E_INVALID_ARG' });
    await expect(async () => engine.requantise(merge.job as never)).rejects.toMatchObject({ code: 'E_INVALID_ARG', message: /boxes/ });
    engine.close();
  });
});
