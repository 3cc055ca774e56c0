import { dtypeByCode } from '../../base/dtype.ts';
import { groupBy } from '../../base/group-by.ts';
import { quantisationConfig } from '../../model/quantised/config.ts';
import { MXFP4, MXFP4_GROUP, type QuantisedTensors, type QuantisedWeight } from '../../model/quantised/types.ts';
import type { CheckpointRoles } from '../../model/roles/checkpoint-roles.ts';

/** How weights of a checkpoint are stored as codes. */
export interface QuantisationSummary {
  /** `quant_method` of config.json; null where it says nothing. */
  readonly method: string | null;
  /**
   * Each form in words, as `F8_E4M3 codes, an F32 scale for each 128x128 block`, with its number of weights.
   * Empty for a form that is not read.
   */
  readonly forms: readonly { readonly form: string; readonly tensors: number }[];
}

/** Null for a checkpoint of plain tensors. */
export function quantisationSummary({ weights }: QuantisedTensors, { config }: CheckpointRoles): QuantisationSummary | null {
  const method = quantisationConfig(config)?.method ?? null;
  const forms = [...groupBy(weights, (weight) => formOf(weight))].map(([form, all]) => ({ form, tensors: all.length }));
  return method === null && forms.length === 0 ? null : { method: method === '' ? null : method, forms };
}

function formOf({ encoding, scaleDtype, blockRows, blockCols, rows, cols }: QuantisedWeight): string {
  const wide = blockCols >= cols;
  const part = wide && blockRows >= rows ? 'matrix' : wide && blockRows === 1 ? 'row' : `${blockRows}x${blockCols} block`;
  if (encoding === MXFP4) return `MXFP4 codes, a power of two for each ${MXFP4_GROUP}`;
  const scale = dtypeByCode(scaleDtype).name;
  return `${dtypeByCode(encoding).name} codes, ${/^[FIU]/.test(scale) ? 'an' : 'a'} ${scale} scale for each ${part}`;
}
