import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { combineReference } from '../../src/analysis/verify/twin/combine.ts';
import { type AveragedDtypeName, DTYPES } from '../../src/base/dtype.ts';
import { FLOAT_BYTES } from '../../src/base/numbers/float.ts';
import type { NativeEngineOptions } from '../../src/merge/native/binding.ts';
import type { CombineJob, CombineResult } from '../../src/merge/native/combine.ts';
import type { InputMode } from '../../src/merge/native/handles.ts';
import { loadBinding } from '../../src/merge/native/load.ts';

/** Where a member's elements of one segment come from. */
export interface MemberData {
  readonly dtype: AveragedDtypeName;
  readonly bytes: Uint8Array;
}

/** One segment: elements of every member, combined into every output (or copied from member `copy`). */
export interface SegmentData {
  readonly count: number;
  readonly members: readonly MemberData[];
  readonly out: readonly AveragedDtypeName[];
  readonly table?: number;
  readonly copy?: number;
  /** Ends of the cells; one cell when absent. */
  readonly cells?: readonly number[];
}

export interface JobSettings {
  readonly mode?: InputMode | readonly InputMode[];
  readonly engine?: Partial<NativeEngineOptions>;
  /** Bytes before the data in each input (any alignment) and each output. */
  readonly lead?: number;
}

export interface JobRun {
  readonly outputs: Uint8Array[];
  readonly result: CombineResult;
}

/** A folder that goes away when the test ends: `using dir = tempDir()`. */
export function tempDir(): { readonly path: string; file(name: string): string; [Symbol.dispose](): void } {
  const path = mkdtempSync(join(tmpdir(), 'ckpt-native-'));
  return { path, file: (name) => join(path, name), [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

export const codeOf = (dtype: AveragedDtypeName): number => DTYPES.find((row) => row.name === dtype)!.code;

/** Runs segments through the addon: inputs in files of their own, one call. `weights` is [tables][K][N]. */
export async function runJob(segments: readonly SegmentData[], weights: number[][][], settings: JobSettings = {}): Promise<JobRun> {
  using dir = tempDir();
  const binding = loadBinding();
  const lead = settings.lead ?? 0;
  const n = weights[0]?.[0]?.length ?? segments[0]!.members.length;
  const k = segments[0]!.out.length;
  const inputs = Array.from({ length: n }, (_, member) => {
    const parts = segments.map((segment) => segment.members[member]!.bytes);
    writeFileSync(dir.file(`in${member}`), Buffer.concat([new Uint8Array(lead), ...parts]));
    const mode = settings.mode ?? 'map';
    return binding.openInput(dir.file(`in${member}`), typeof mode === 'string' ? mode : mode[member % mode.length]!);
  });
  const columns = columnsOf(segments, n, k, lead);
  const outputs = columns.outBytes.map((bytes, index) => binding.openOutput(dir.file(`out${index}`), bytes, { reopen: false }));
  const engine = binding.createEngine({
    threads: 2,
    memoryBytes: 64 << 20,
    maxInputs: n,
    maxOutputs: k,
    reads: inputs.some((input) => input.mode === 'read'),
    ...settings.engine,
  });
  try {
    const job: CombineJob = {
      ...columns.job,
      files: inputs,
      outputs,
      weights: Float64Array.from(weights.flat(2)),
      cancel: new Int32Array(1),
    };
    const result = await engine.combine(job);
    return { outputs: outputs.map((_, index) => new Uint8Array(readFileSync(dir.file(`out${index}`))).subarray(lead)), result };
  } finally {
    engine.close();
    for (const handle of [...inputs, ...outputs]) handle.close();
  }
}

function columnsOf(segments: readonly SegmentData[], n: number, k: number, lead: number) {
  const inAt = new Array<number>(n).fill(lead);
  const outAt = new Array<number>(k).fill(lead);
  const rows = { file: [] as number[], offset: [] as number[], dtype: [] as number[], outOffset: [] as number[], outDtype: [] as number[] };
  const cell = [0];
  const cellEnd: number[] = [];
  for (const segment of segments) {
    for (let member = 0; member < n; member++) {
      rows.file.push(member);
      rows.offset.push(inAt[member]!);
      rows.dtype.push(codeOf(segment.members[member]!.dtype));
      inAt[member]! += segment.members[member]!.bytes.length;
    }
    for (let output = 0; output < k; output++) {
      rows.outOffset.push(outAt[output]!);
      rows.outDtype.push(codeOf(segment.out[output]!));
      outAt[output]! += segment.count * (segment.copy === undefined ? FLOAT_BYTES[segment.out[output]!] : 1);
    }
    cellEnd.push(...(segment.cells ?? [segment.count]));
    cell.push(cellEnd.length);
  }
  const job = {
    count: Float64Array.from(segments, (segment) => segment.count),
    file: Int32Array.from(rows.file),
    offset: Float64Array.from(rows.offset),
    dtype: Uint8Array.from(rows.dtype),
    outOffset: Float64Array.from(rows.outOffset),
    outDtype: Uint8Array.from(rows.outDtype),
    table: Int32Array.from(segments, (segment) => (segment.copy === undefined ? (segment.table ?? 0) : -1 - segment.copy)),
    cell: Int32Array.from(cell),
    cellEnd: Float64Array.from(cellEnd),
  };
  return { job, outBytes: outAt };
}

/** Checks every byte of a run's outputs against the slow twin. */
export function expectAsTwin(run: JobRun, segments: readonly SegmentData[], weights: number[][][]): void {
  for (const [k, got] of run.outputs.entries()) {
    let at = 0;
    for (const segment of segments) {
      const want = expectedBytes(segment, k, weights);
      expectBytes(got.subarray(at, at + want.length), want, `output ${k}, segment of ${segment.count} at byte ${at}`);
      at += want.length;
    }
    expect(got.length).toBe(at);
  }
}

/** Equality of bytes that is quick on large arrays and names the first difference. */
export function expectBytes(got: Uint8Array, want: Uint8Array, what: string): void {
  if (Buffer.compare(got, want) === 0) return;
  const at = got.findIndex((byte, i) => byte !== want[i]);
  const around = (bytes: Uint8Array) => Buffer.from(bytes.subarray(Math.max(0, at - 8), at + 8)).toString('hex');
  expect.fail(`${what}: byte ${at} of ${want.length} differs: expected ..${around(want)}.., found ..${around(got)}..`);
}

function expectedBytes(segment: SegmentData, k: number, weights: number[][][]): Uint8Array {
  if (segment.copy !== undefined) return segment.members[segment.copy]!.bytes.subarray(0, segment.count);
  const row = weights[segment.table ?? 0]![k]!;
  const inputs = segment.members.map((member, i) => ({ ...member, weight: row[i]! }));
  return combineReference({ inputs, count: segment.count, outDtype: segment.out[k]! }).bytes;
}

/** Seeded numbers in [0, 1): mulberry32. */
export function randomSource(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x = (x + Math.imul(x ^ (x >>> 7), x | 61)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Random elements: mostly of ordinary size, some of any bit pattern when `wild`. */
export function randomElements(dtype: AveragedDtypeName, count: number, random: () => number, wild = false): Uint8Array {
  const size = FLOAT_BYTES[dtype];
  const bytes = new Uint8Array(count * size);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < count; i++) {
    if (size === 1) {
      // Codes of any kind when wild, else from 2^-4 to 2^2, which all 8-bit dtypes have.
      bytes[i] = wild ? random() * 256 : (random() < 0.5 ? 0x80 : 0) + 0x30 + random() * 0x10;
      continue;
    }
    if (wild && random() < 0.25) {
      for (let b = 0; b < size; b++) bytes[i * size + b] = Math.floor(random() * 256);
      continue;
    }
    const value = (random() < 0.5 ? -1 : 1) * (1 + random()) * 2 ** Math.floor(random() * 8 - 8);
    const single = new DataView(new ArrayBuffer(4));
    single.setFloat32(0, value);
    if (dtype === 'F64') view.setFloat64(i * 8, value, true);
    else if (dtype === 'F32') view.setFloat32(i * 4, value, true);
    else if (dtype === 'BF16') view.setUint16(i * 2, single.getUint16(0), true);
    // Half precision by cutting the float32 fraction; exponents here are in range.
    else view.setUint16(i * 2, ((single.getUint32(0) >>> 16) & 0x8000) | (((single.getUint32(0) & 0x7fffffff) - 0x38000000) >>> 13), true);
  }
  return bytes;
}
