import { roleWords } from '../../model/roles/words.ts';
import { formatCount, formatTable } from '../../render/format.ts';
import type { RoundingFigure } from '../record/rounding.ts';

/**
 * How far quantising anew moved the merged values of each role, over how far merging moved them from the
 * newest member; two spaces in. Nothing where nothing was quantised.
 */
export function roundingTable(figures: readonly RoundingFigure[]): string[] {
  if (figures.length === 0) return [];
  const rows = [
    ['quantised anew', 'tensors', 'values', 'rounding / merging'],
    ...figures.map(({ role, tensors, elements, ratio }) => [
      role === null ? 'unknown' : roleWords(role),
      formatCount(tensors),
      formatCount(elements),
      ratio === null ? 'nothing moved' : ratio.toPrecision(2),
    ]),
  ];
  return formatTable(rows, ['left', 'right', 'right', 'right']).map((line) => `  ${line}`);
}
