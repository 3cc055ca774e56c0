import { readFileSync, writeFileSync } from 'node:fs';
import {
  type Encoding,
  encodedBytes,
  type MatrixShape,
  type QuantisedMember,
  requantiseReference,
  SCALE_BYTES,
  type ScaleDtype,
} from '../../src/analysis/verify/twin/requantise.ts';
import { DTYPES, MXFP4 } from '../../src/base/dtype.ts';
import type { NativeEngineOptions } from '../../src/merge/native/binding.ts';
import type { InputMode } from '../../src/merge/native/handles.ts';
import { loadBinding } from '../../src/merge/native/load.ts';
import type { RequantiseJob, RequantiseResult } from '../../src/merge/native/requantise.ts';
import { expectBytes, tempDir } from './native-job.ts';

/** What one output of a strip is to be. A float encoding is dequantised. */
export interface StripOutput {
  readonly encoding: Encoding;
  readonly scaleDtype?: ScaleDtype;
  readonly powerOfTwo?: boolean;
  readonly amax?: number;
  readonly newest?: number;
  /** Elements of a row of the transposed matrix, and the first of the strip's rows in it. */
  readonly transpose?: { readonly length: number; readonly at: number };
  /** Neither codes nor scales are written. */
  readonly unwritten?: boolean;
}

/** A strip of members (all strips of a job have as many) and what it becomes; `weights` is [K][N]. */
export interface Strip extends MatrixShape {
  readonly members: readonly Omit<QuantisedMember, 'weight'>[];
  readonly outputs: readonly StripOutput[];
  readonly weights: readonly (readonly number[])[];
}

export interface StripSettings {
  readonly mode?: InputMode;
  readonly engine?: Partial<NativeEngineOptions>;
  /** A last change before the call; `path` is that of a member's file. */
  readonly change?: (job: RequantiseJob, path: (member: number) => string) => RequantiseJob;
}

export interface StripRun {
  readonly result: RequantiseResult;
  /** [S][K] */
  readonly codes: Uint8Array[][];
  readonly scales: Uint8Array[][];
}

const codeOf = (name: string) => (name === 'MXFP4' ? MXFP4 : DTYPES.find((row) => row.name === name)!.code);

/** Blocks of a strip. */
export const blocksOf = ({ rows, cols, blockRows, blockCols }: MatrixShape) => Math.ceil(rows / blockRows) * Math.ceil(cols / blockCols);

/**
 * Runs strips through the addon: members in files of their own behind an odd byte, each output a file of all
 * strips, codes before scales.
 */
export async function runStrips(strips: readonly Strip[], settings: StripSettings = {}): Promise<StripRun> {
  using dir = tempDir();
  const binding = loadBinding();
  const [n, k] = [strips[0]!.members.length, strips[0]!.outputs.length];
  const parts = Array.from({ length: n }, (): Uint8Array[] => [new Uint8Array(1)]);
  const inAt = parts.map(() => 1);
  const outAt = new Array<number>(k).fill(3);
  const rows = {
    file: [] as number[],
    offset: [] as number[],
    encoding: [] as number[],
    scaleFile: [] as number[],
    scaleOffset: [] as number[],
    scaleDtype: [] as number[],
    outOffset: [] as number[],
    outScaleOffset: [] as number[],
  };
  const push = (member: number, bytes: Uint8Array) => {
    parts[member]!.push(bytes);
    inAt[member]! += bytes.length;
    return inAt[member]! - bytes.length;
  };
  const sizes = strips.map((strip) =>
    strip.outputs.map(({ encoding, scaleDtype, transpose, unwritten }) => {
      const codes = transpose === undefined ? strip.rows * strip.cols : transpose.length * strip.cols;
      return {
        codes: unwritten ? 0 : encodedBytes(encoding, codes),
        scales: scaleDtype && !unwritten ? blocksOf(strip) * SCALE_BYTES[scaleDtype] : 0,
      };
    }),
  );
  for (const [s, strip] of strips.entries()) {
    for (const [member, { encoding, codes, scales }] of strip.members.entries()) {
      rows.file.push(member);
      rows.offset.push(push(member, codes));
      rows.encoding.push(codeOf(encoding));
      rows.scaleFile.push(scales === null ? -1 : member);
      rows.scaleOffset.push(scales === null ? 0 : push(member, scales.bytes));
      rows.scaleDtype.push(scales === null ? 0 : codeOf(scales.dtype));
    }
    for (const [output, { encoding, transpose }] of strip.outputs.entries()) {
      const { codes, scales } = sizes[s]![output]!;
      rows.outOffset.push(codes === 0 ? -1 : outAt[output]! + (transpose === undefined ? 0 : encodedBytes(encoding, transpose.at)));
      rows.outScaleOffset.push(scales === 0 ? -1 : outAt[output]! + codes);
      outAt[output]! += codes + scales;
    }
  }
  const files = parts.map((chunks, member) => {
    writeFileSync(dir.file(`in${member}`), Buffer.concat(chunks));
    return binding.openInput(dir.file(`in${member}`), settings.mode ?? 'map');
  });
  const outputs = outAt.map((bytes, index) => binding.openOutput(dir.file(`out${index}`), bytes, { reopen: false }));
  const engine = binding.createEngine({
    threads: 2,
    memoryBytes: 256 << 20,
    maxInputs: n,
    maxOutputs: k,
    reads: settings.mode === 'read',
    ...settings.engine,
  });
  const each = <T>(get: (output: StripOutput) => T) => strips.flatMap((strip) => strip.outputs.map(get));
  const job: RequantiseJob = {
    files,
    outputs,
    rows: Float64Array.from(strips, (strip) => strip.rows),
    cols: Float64Array.from(strips, (strip) => strip.cols),
    blockRows: Float64Array.from(strips, (strip) => strip.blockRows),
    blockCols: Float64Array.from(strips, (strip) => strip.blockCols),
    file: Int32Array.from(rows.file),
    offset: Float64Array.from(rows.offset),
    encoding: Uint8Array.from(rows.encoding),
    scaleFile: Int32Array.from(rows.scaleFile),
    scaleOffset: Float64Array.from(rows.scaleOffset),
    scaleDtype: Uint8Array.from(rows.scaleDtype),
    outOffset: Float64Array.from(rows.outOffset),
    outEncoding: Uint8Array.from(each(({ encoding }) => codeOf(encoding))),
    outScaleOffset: Float64Array.from(rows.outScaleOffset),
    outScaleDtype: Uint8Array.from(each(({ scaleDtype }) => codeOf(scaleDtype ?? 'F32'))),
    powerOfTwo: Uint8Array.from(each(({ powerOfTwo }) => Number(powerOfTwo ?? false))),
    transpose: Float64Array.from(each(({ transpose }) => transpose?.length ?? 0)),
    amax: Float64Array.from(each(({ amax }) => amax ?? Number.NaN)),
    table: Int32Array.from(strips, (_, s) => s),
    weights: Float64Array.from(strips.flatMap((strip) => strip.weights.flat())),
    newest: Int32Array.from(each(({ newest }) => newest ?? -1)),
    cancel: new Int32Array(1),
  };
  try {
    const result = await engine.requantise(settings.change?.(job, (member) => dir.file(`in${member}`)) ?? job);
    const written = outputs.map((_, index) => new Uint8Array(readFileSync(dir.file(`out${index}`))));
    const at = new Array<number>(k).fill(3);
    const take = (output: number, length: number) => {
      at[output]! += length;
      return written[output]!.subarray(at[output]! - length, at[output]);
    };
    const both = sizes.map((row) => row.map(({ codes, scales }, output) => [take(output, codes), take(output, scales)] as const));
    return { result, codes: both.map((row) => row.map(([codes]) => codes)), scales: both.map((row) => row.map(([, scales]) => scales)) };
  } finally {
    engine.close();
    for (const handle of [...files, ...outputs]) handle.close();
  }
}

/** Checks all bytes of a run's quantised outputs against the slow twin, and its figures. */
export function checkAgainstTwin(
  run: StripRun,
  strips: readonly Strip[],
  expectClose: (found: number, wanted: number, what: string) => void,
): void {
  const k = strips[0]!.outputs.length;
  for (const [s, strip] of strips.entries()) {
    for (const [output, { encoding, scaleDtype, powerOfTwo, newest, amax }] of strip.outputs.entries()) {
      if (scaleDtype === undefined || !(encoding === 'MXFP4' || encoding.startsWith('F8'))) continue;
      const members = strip.members.map((member, i) => ({ ...member, weight: strip.weights[output]![i]! }));
      const small = encoding as Parameters<typeof requantiseReference>[2]['encoding'];
      const twin = requantiseReference(strip, members, {
        encoding: small,
        scaleDtype,
        powerOfTwo: powerOfTwo ?? false,
        newest: newest ?? -1,
        ...(amax === undefined ? {} : { amax }),
      });
      const what = `strip ${s}, output ${output} (${encoding} under ${scaleDtype})`;
      expectBytes(run.scales[s]![output]!, twin.scales, `${what}: scales`);
      expectBytes(run.codes[s]![output]!, twin.codes, `${what}: codes`);
      const at = s * k + output;
      for (const figure of ['amax', 'error', 'change', 'saturated'] as const)
        expectClose(run.result[figure][at]!, twin[figure], `${what}: ${figure}`);
      expectClose(run.result.identical[at]!, Number(twin.identical), `${what}: identical`);
    }
  }
}
