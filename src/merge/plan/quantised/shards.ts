import { DTYPES, dtypeByCode } from '../../../base/dtype.ts';
import { elementCount } from '../../../checkpoints/tensors/table.ts';
import type { TensorPlace } from '../../../checkpoints/tensors/types.ts';
import { scaleGrid } from '../../../model/quantised/blocks.ts';
import type { Entries } from '../tensors/shared-text.ts';
import type { PlannedTensors } from '../tensors/tensors.ts';
import type { PlanQuantised } from '../types.ts';
import { codeBytes, isMeasured } from './strips.ts';
import type { QuantisedTarget } from './types.ts';

/**
 * The quantised weights of which a shard of the outputs holds codes or scales, with the weight table that
 * their treatment gives them.
 * @param outputs [K] the shard in each output
 */
export function quantisedOf(
  shard: number,
  { placeOf, works, quantised }: PlannedTensors,
  outputs: readonly { readonly entries: Entries; readonly dataStart: number }[],
): PlanQuantised[] {
  const targetRow = (place: TensorPlace | null): number | null => {
    const at = place === null ? null : placeOf(place);
    return at?.shard === shard ? at.row : null;
  };
  const concerned = quantised.works.filter(({ codes, scales }) => targetRow(codes) !== null || targetRow(scales) !== null);
  return concerned.map((work) => {
    const { table } = works.kinds[works.of[work.codes.shard]![work.codes.row]!]!;
    const [codesRow, scalesRow] = [targetRow(work.codes), targetRow(work.scales)];
    // Floats are stored as the header says, whoever decided it.
    const targets = work.targets.map((target, k) =>
      target.scaleDtype === null && codesRow !== null ? { ...target, encoding: outputs[k]!.entries.dtypes[codesRow]! } : target,
    );
    const offsets = (row: number | null, before: (target: QuantisedTarget) => number): number[] | null =>
      row === null ? null : outputs.map(({ entries, dataStart }, k) => dataStart + entries.begin[row]! + before(targets[k]!));
    return {
      work: { ...work, table, targets },
      codesRow,
      scalesRow,
      codesOffset: offsets(codesRow, ({ encoding }) => codeBytes(encoding, work.codes.from)),
      scalesOffset: offsets(scalesRow, ({ scaleDtype }) => (work.scales?.from ?? 0) * (dtypeByCode(scaleDtype!).bits / 8)),
    };
  });
}

/**
 * Parameters of the outputs: elements of their tensors, of quantised weights the values that they stand for,
 * without scales.
 */
export function parameterCount({ targets, placeOf, quantised }: PlannedTensors): number {
  const elements = (place: TensorPlace): number => {
    const at = placeOf(place);
    return at === null ? 0 : elementCount(targets[at.shard]!.table.shapes[at.row]!);
  };
  let count = 0;
  for (const { table } of targets) for (const shape of table.shapes) count += elementCount(shape);
  for (const { codes, scales, matrices, rows, cols } of quantised.works) {
    if (scales === null) continue;
    count += matrices * rows * cols;
    // A weight may be several works.
    if (codes.from === 0) count -= elements(codes) + elements(scales);
  }
  for (const { place } of quantised.copies) count -= elements(place);
  return count;
}

/** Whether no tensor of the outputs is quantised or might be. */
export function hasFloatsOnly({ targets, quantised }: PlannedTensors): boolean {
  if (quantised.dequantised) return true;
  const narrow = targets.some(({ table: { dtypes } }) => dtypes.some((code) => NARROW.has(code)));
  return !narrow && quantised.works.every(({ scales }) => scales === null);
}

/** Dtypes of codes, and of floats that no library computes with. */
const NARROW: ReadonlySet<number> = new Set(DTYPES.filter(({ name }) => /^[FUI](4|6|8)(_|$)/.test(name)).map(({ code }) => code));

/**
 * Bytes of codes and scales that are read: by each shard that holds some, and twice where values are measured
 * before they are written.
 */
export function quantisedBytes({ placeOf, quantised }: PlannedTensors): number {
  let bytes = 0;
  for (const work of quantised.works) {
    const { matrices, rows, cols } = work;
    const { down, across } = scaleGrid(work);
    const shards = work.scales === null || placeOf(work.scales)?.shard === placeOf(work.codes)?.shard ? 1 : 2;
    const times = isMeasured(work) ? 2 * shards : shards;
    for (const source of work.sources) {
      if (source === null) continue;
      const scales = source.scales === null ? 0 : (matrices * down * across * dtypeByCode(source.scales.dtype).bits) / 8;
      bytes += times * (codeBytes(source.encoding, matrices * rows * cols) + scales);
    }
  }
  return bytes;
}
