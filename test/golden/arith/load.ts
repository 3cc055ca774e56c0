import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { FloatDtypeName } from '../../../src/base/dtype.ts';
import { FLOAT_BYTES } from '../../../src/base/numbers/float.ts';

export interface GoldenInput {
  /** Byte offset in golden.bin. */
  readonly offset: number;
  readonly dtype: FloatDtypeName;
  readonly weight: number;
  readonly nan: number;
  readonly inf: number;
}

export interface GoldenCase {
  readonly name: string;
  readonly count: number;
  readonly inputs: readonly GoldenInput[];
  readonly outDtype: FloatDtypeName;
  readonly overflow: number;
  readonly expected: Uint8Array;
}

interface Manifest {
  readonly cases: readonly {
    readonly name: string;
    readonly count: number;
    readonly inputs: readonly (readonly [number, FloatDtypeName, number, number, number])[];
    readonly outDtype: FloatDtypeName;
    readonly overflow: number;
    readonly expected: number;
  }[];
}

export const GOLDEN_BIN = fileURLToPath(new URL('golden.bin', import.meta.url));

/** All cases that make.py wrote, and the bytes of golden.bin that their inputs lie in. */
export function loadGolden(): { readonly bytes: Uint8Array; readonly cases: readonly GoldenCase[] } {
  const bytes = readFileSync(GOLDEN_BIN);
  const manifest: Manifest = JSON.parse(readFileSync(new URL('manifest.json', import.meta.url), 'utf8'));
  const cases = manifest.cases.map((row) => ({
    ...row,
    inputs: row.inputs.map(([offset, dtype, weight, nan, inf]) => ({ offset, dtype, weight, nan, inf })),
    expected: bytes.subarray(row.expected, row.expected + row.count * FLOAT_BYTES[row.outDtype]),
  }));
  return { bytes, cases };
}

/** The elements that differ, as `index: expected found` in hexadecimal, at most five: what a failing test shows. */
export function differences(expected: Uint8Array, found: Uint8Array, dtype: FloatDtypeName): string[] {
  if (expected.length !== found.length) return [`${expected.length} bytes expected, ${found.length} found`];
  if (Buffer.compare(expected, found) === 0) return [];
  const size = FLOAT_BYTES[dtype];
  const hex = (bytes: Uint8Array, i: number) => Buffer.from(bytes.subarray(i * size, (i + 1) * size)).reverse().toString('hex');
  const lines: string[] = [];
  for (let i = 0; i * size < expected.length && lines.length < 5; i++) {
    if (hex(expected, i) !== hex(found, i)) lines.push(`${i}: ${hex(expected, i)} ${hex(found, i)}`);
  }
  return lines;
}
