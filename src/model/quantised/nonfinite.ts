import { dtypeByCode, type FloatDtypeName } from '../../base/dtype.ts';
import { decodeFloat } from '../../base/numbers/float.ts';
import { MXFP4, MXFP4_GROUP } from './types.ts';

/**
 * Where the first code of a strip stands that is not finite, as a row and a column. With MXFP4 every code is
 * finite, and only a scale (255) is not.
 * @param codes the strip's codes, `cols` a row
 * @param scales the strip's scales, for MXFP4
 */
export function firstNonfinite(
  encoding: number,
  codes: Uint8Array,
  cols: number,
  scales: Uint8Array | null,
): { row: number; col: number } | null {
  if (encoding === MXFP4) {
    const group = scales?.indexOf(255) ?? -1;
    const across = cols / MXFP4_GROUP;
    return group < 0 ? null : { row: Math.floor(group / across), col: (group % across) * MXFP4_GROUP };
  }
  const { name, bits } = dtypeByCode(encoding);
  const view = new DataView(codes.buffer, codes.byteOffset, codes.length);
  for (let i = 0; i < (codes.length * 8) / bits; i++) {
    if (!Number.isFinite(decodeFloat(name as FloatDtypeName, view, i))) return { row: Math.floor(i / cols), col: i % cols };
  }
  return null;
}
