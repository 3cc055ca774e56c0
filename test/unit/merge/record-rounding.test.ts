import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SYSTEM } from '../../../src/base/disk/system.ts';
import { dtypeByName } from '../../../src/base/dtype.ts';
import { RoundingTally } from '../../../src/merge/engine/rounding.ts';
import { roundingTable } from '../../../src/merge/engine/rounding-table.ts';
import { JournalWriter, journalFile, readJournals } from '../../../src/merge/output/journal.ts';
import type { RoundingSums } from '../../../src/merge/record/rounding.ts';
import { firstNonfinite, scaleFacts } from '../../../src/model/quantised/stored-values.ts';
import { MXFP4 } from '../../../src/model/quantised/types.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';

const sums = (role: RoundingSums['role'], error: number, change: number, saturated = 0): RoundingSums => ({
  role,
  tensors: 1,
  elements: 100,
  error,
  change,
  saturated,
});

describe('how far rounding moved a merge', () => {
  it('is the ratio of norms by role, over all strips', () => {
    const tally = new RoundingTally(2);
    tally.add(0, sums('expert', 1, 4));
    tally.add(0, { ...sums('expert', 3, 12), tensors: 0 });
    tally.add(0, sums('attn', 0, 5));
    tally.add(1, sums(null, 0, 0));
    tally.restore(tally.endUnit());
    expect(tally.figures(0)).toEqual([
      { role: 'expert', tensors: 1, elements: 200, ratio: 0.5, saturated: 0 },
      { role: 'attn', tensors: 1, elements: 100, ratio: 0, saturated: 0 },
    ]);
    // Where merging moved nothing there is nothing to compare with.
    expect(tally.figures(1)).toEqual([{ role: null, tensors: 1, elements: 100, ratio: null, saturated: 0 }]);
  });

  it('goes on where an interrupted run ended', () => {
    const [whole, first, second] = [new RoundingTally(1), new RoundingTally(1), new RoundingTally(1)];
    for (const [i, s] of [sums('mlp', 1, 2), sums('mlp', 2, 9)].entries()) {
      whole.add(0, s);
      (i === 0 ? first : second).add(0, s);
    }
    whole.restore(whole.endUnit());
    second.restore(first.endUnit());
    second.restore(second.endUnit());
    expect(second.figures(0)).toEqual(whole.figures(0));
  });

  it('warns above a half, and of values that were too large, and not at a half', () => {
    const tally = new RoundingTally(1);
    tally.add(0, sums('mlp', 1, 4));
    tally.add(0, sums('expert', 1.1, 4, 7));
    tally.restore(tally.endUnit());
    const warnings = tally.warnings(0, 'out');
    expect(warnings.map((w) => w.code)).toEqual(['W_MOSTLY_ROUNDING', 'W_SATURATED']);
    expect(warnings[0]!.message).toContain('role expert in out: quantising anew moved the merged values 0.52 times as far');
    expect(warnings[1]!.message).toContain('7 finite values');
  });

  it('is printed as a table, or not at all', () => {
    expect(roundingTable([])).toEqual([]);
    const figures = [
      { role: 'expert' as const, tensors: 1234, elements: 5_000_000, ratio: 0.0312, saturated: 0 },
      { role: null, tensors: 1, elements: 10, ratio: null, saturated: 0 },
    ];
    expect(roundingTable(figures)).toEqual([
      '  quantised anew  tensors     values  rounding / merging',
      '  experts           1,234  5,000,000               0.031',
      '  unknown               1         10       nothing moved',
    ]);
  });
});

describe('the values of scales', () => {
  const f32 = (...values: number[]) => new Uint8Array(new Float32Array(values).buffer);
  const code = (name: 'F32' | 'BF16' | 'F16') => dtypeByName(name)!.code;

  it.each([
    [[1, 0.5, 2 ** -20, 2 ** 100, 2 ** -140], true],
    [[1, 0.5, 0.75], false],
    [[1 + 2 ** -23], false],
  ])('%j are powers of two: %s', (values, expected) => {
    expect(scaleFacts(f32(...values), code('F32'))).toEqual({ powersOfTwo: expected, bad: null });
  });

  it.each([0, -0, -1, Number.NaN, Number.POSITIVE_INFINITY])('%d is none', (value) => {
    expect(scaleFacts(f32(1, value, 3), code('F32')).bad).toEqual({ index: 1, value });
  });

  it('of 16 bits are read as what they are', () => {
    expect(scaleFacts(Uint8Array.of(0x80, 0x3f, 0x40, 0x3f), code('BF16'))).toEqual({ powersOfTwo: false, bad: null });
    expect(scaleFacts(Uint8Array.of(0x00, 0x3c, 0x00, 0x80), code('F16')).bad).toEqual({ index: 1, value: -0 });
  });
});

describe('where a strip is not finite', () => {
  it('is found by row and column', () => {
    const bf16 = Uint8Array.of(0, 0, 0x80, 0x3f, 0, 0, 0x80, 0x7f, 0, 0, 0xc0, 0x7f);
    expect(firstNonfinite(dtypeByName('BF16')!.code, bf16, 3, null)).toEqual({ row: 1, col: 0 });
    expect(firstNonfinite(dtypeByName('BF16')!.code, bf16.subarray(0, 6), 3, null)).toBeNull();
    expect(firstNonfinite(MXFP4, new Uint8Array(64), 64, Uint8Array.of(1, 2, 3, 255))).toEqual({ row: 1, col: 32 });
  });
});

describe('the journal', () => {
  it('keeps what quantising anew moved for a resumed merge, and believes nothing that is not that', async () => {
    const folder = temporaryFolder();
    const file = 'model.safetensors';
    writeFileSync(join(folder.path, file), new Uint8Array(20));
    const path = join(folder.path, journalFile());
    const journal = await JournalWriter.open(SYSTEM, { path, shown: path, payload: folder.path }, false, 0);
    const unit = { file, start: 0, end: 10, crc: 7, nonfinite: [], rounding: [sums('expert', 0.1, 1 / 3, 2), sums(null, 0, 0)] };
    await journal.append(unit);
    await journal.append({ ...unit, start: 10, end: 20, rounding: [{ ...sums('mlp', 1, 2), error: Number.NaN }] });
    await journal.close();
    const { units } = await readJournals(folder.path, folder.path);
    expect([...units.values()]).toEqual([unit]);
    folder.remove();
  });
});
