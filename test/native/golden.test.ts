import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dtypeByName } from '../../src/base/dtype.ts';
import { FLOAT_BYTES } from '../../src/base/numbers/float.ts';
import type { Isa } from '../../src/merge/native/binding.ts';
import type { CombineJob } from '../../src/merge/native/combine.ts';
import type { InputMode } from '../../src/merge/native/handles.ts';
import { loadBinding } from '../../src/merge/native/load.ts';
import { differences, GOLDEN_BIN, type GoldenCase, loadGolden } from '../golden/arith/load.ts';

const binding = loadBinding();
const { cases } = loadGolden();
const MEMBERS = 10;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'golden-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Cases of the same inputs, in rows of `outputs`: each row becomes one segment. A short row repeats its first case. */
function rowsOf(outputs: number): GoldenCase[][] {
  const byInputs = new Map<string, GoldenCase[]>();
  for (const golden of cases) {
    const key = golden.inputs.map((input) => `${input.offset} ${input.dtype}`).join();
    byInputs.set(key, [...(byInputs.get(key) ?? []), golden]);
  }
  const rows: GoldenCase[][] = [];
  for (const group of byInputs.values()) {
    for (let at = 0; at < group.length; at += outputs) {
      const row = group.slice(at, at + outputs);
      while (row.length < outputs) row.push(group[at]!);
      rows.push(row);
    }
  }
  return rows;
}

/**
 * One call over all rows; golden.bin itself is the input file. With `markAbsent` a member without weight in every output has no file, else it has
 * one and only its weight says so.
 */
async function run(rows: GoldenCase[][], isa: Isa, mode: InputMode, markAbsent: boolean) {
  const segments = rows.length;
  const outputs = rows[0]!.length;
  const perMember = segments * MEMBERS;
  const perOutput = segments * outputs;
  const input = binding.openInput(GOLDEN_BIN, mode);
  const job = {
    count: Float64Array.from(rows, (row) => row[0]!.count),
    file: new Int32Array(perMember).fill(-1),
    offset: new Float64Array(perMember),
    dtype: new Uint8Array(perMember),
    outOffset: new Float64Array(perOutput),
    outDtype: new Uint8Array(perOutput),
    table: Int32Array.from(rows, (_, s) => s),
    weights: new Float64Array(perOutput * MEMBERS),
    cell: Int32Array.from({ length: segments + 1 }, (_, s) => s),
    cellEnd: Float64Array.from(rows, (row) => row[0]!.count),
    cancel: new Int32Array(1),
  };
  const ends = new Array<number>(outputs).fill(0);
  for (const [s, row] of rows.entries()) {
    for (const [k, golden] of row.entries()) {
      job.outOffset[s * outputs + k] = ends[k]!;
      job.outDtype[s * outputs + k] = dtypeByName(golden.outDtype)!.code;
      ends[k]! += golden.expected.length;
      for (const [n, member] of golden.inputs.entries()) {
        job.weights[(s * outputs + k) * MEMBERS + n] = member.weight;
        if (member.weight !== 0 || !markAbsent) job.file[s * MEMBERS + n] = 0;
        job.offset[s * MEMBERS + n] = member.offset;
        job.dtype[s * MEMBERS + n] = dtypeByName(member.dtype)!.code;
      }
    }
  }
  const paths = ends.map((_, k) => join(folder, `${isa}-${mode}-${outputs}-${k}.bin`));
  const files = paths.map((path, k) => binding.openOutput(path, ends[k]!, { reopen: false }));
  const engine = binding.createEngine({
    threads: 2,
    memoryBytes: 64 << 20,
    maxInputs: MEMBERS,
    maxOutputs: outputs,
    reads: mode === 'read',
    isa,
  });
  try {
    const result = await engine.combine({ ...job, files: [input], outputs: files } satisfies CombineJob);
    for (const file of files) file.close();
    return { result, written: paths.map((path) => new Uint8Array(readFileSync(path))), outOffset: job.outOffset };
  } finally {
    engine.close();
    input.close();
  }
}

describe.each(binding.cpuInfo().available)('%s', (isa) => {
  describe.each([1, 4])('K=%i', (outputs) => {
    test.each([
      ['map', false],
      ['read', true],
    ] as const)('%s: the bytes torch wrote, and the counts', async (mode, markAbsent) => {
      const rows = rowsOf(outputs);
      const { result, written, outOffset } = await run(rows, isa, mode, markAbsent);
      const wrong: string[] = [];
      const expectedCounts: string[] = [];
      for (const [s, row] of rows.entries()) {
        for (const [k, golden] of row.entries()) {
          const start = outOffset[s * outputs + k]!;
          const found = written[k]!.subarray(start, start + golden.count * FLOAT_BYTES[golden.outDtype]);
          const lines = differences(golden.expected, found, golden.outDtype);
          if (lines.length > 0) wrong.push(`${golden.name} (output ${k}): ${lines.join(', ')}`);
          if (golden.overflow > 0) expectedCounts.push(`segment ${s} output ${k}: overflow ${golden.overflow}`);
        }
        for (const n of row[0]!.inputs.keys()) {
          // A member counts once when any output uses it; the goldens hold 0 where it has no weight.
          const nan = Math.max(...row.map((golden) => golden.inputs[n]!.nan));
          const inf = Math.max(...row.map((golden) => golden.inputs[n]!.inf));
          if (nan + inf > 0) expectedCounts.push(`segment ${s} member ${n}: nan ${nan} inf ${inf}`);
        }
      }
      const counts = result.nonfinite.map(({ cell, member, nan, inf }) =>
        member < 0
          ? `segment ${cell} output ${-1 - member}: overflow ${nan + inf}`
          : `segment ${cell} member ${member}: nan ${nan} inf ${inf}`,
      );
      expect(wrong).toEqual([]);
      expect(counts.sort()).toEqual(expectedCounts.sort());
    });
  });
});
