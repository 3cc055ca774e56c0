/**
 * Every dtype the safetensors format names, with the code that crosses to native code and the bits of one
 * element. How to add one: docs/architecture.md.
 */
export const DTYPES = [
  { name: 'BF16', code: 0, bits: 16, kind: 'float' },
  { name: 'F16', code: 1, bits: 16, kind: 'float' },
  { name: 'F32', code: 2, bits: 32, kind: 'float' },
  { name: 'F64', code: 3, bits: 64, kind: 'float' },
  { name: 'U8', code: 4, bits: 8, kind: 'integer' },
  { name: 'I8', code: 5, bits: 8, kind: 'integer' },
  { name: 'U16', code: 6, bits: 16, kind: 'integer' },
  { name: 'I16', code: 7, bits: 16, kind: 'integer' },
  { name: 'U32', code: 8, bits: 32, kind: 'integer' },
  { name: 'I32', code: 9, bits: 32, kind: 'integer' },
  { name: 'U64', code: 10, bits: 64, kind: 'integer' },
  { name: 'I64', code: 11, bits: 64, kind: 'integer' },
  { name: 'BOOL', code: 12, bits: 8, kind: 'integer' },
  { name: 'C64', code: 13, bits: 64, kind: 'complex' },
  { name: 'F8_E5M2', code: 14, bits: 8, kind: 'float' },
  { name: 'F8_E4M3', code: 15, bits: 8, kind: 'float' },
  { name: 'F8_E8M0', code: 16, bits: 8, kind: 'packed' },
  { name: 'F8_E5M2FNUZ', code: 17, bits: 8, kind: 'float' },
  { name: 'F8_E4M3FNUZ', code: 18, bits: 8, kind: 'float' },
  { name: 'F6_E2M3', code: 19, bits: 6, kind: 'packed' },
  { name: 'F6_E3M2', code: 20, bits: 6, kind: 'packed' },
  { name: 'F4', code: 21, bits: 4, kind: 'packed' },
] as const;

export type DtypeName = (typeof DTYPES)[number]['name'];
/** Dtypes that are averaged element by element. */
export type AveragedDtypeName = Extract<(typeof DTYPES)[number], { kind: 'float' }>['name'];
/** Those among them that any tensor may be stored in on request. */
export type FloatDtypeName = Exclude<AveragedDtypeName, `F8_${string}`>;
/** `float` is averaged; `integer` must be equal and is copied; `complex` and `packed` are refused. */
export type DtypeKind = (typeof DTYPES)[number]['kind'];

export interface Dtype {
  readonly name: DtypeName;
  readonly code: number;
  readonly bits: number;
  readonly kind: DtypeKind;
}

const BY_NAME: ReadonlyMap<string, Dtype> = new Map(DTYPES.map((d) => [d.name, d]));

/** The dtype a header names, or undefined where the format knows none of that name. */
export function dtypeByName(name: string): Dtype | undefined {
  return BY_NAME.get(name);
}

/** The dtype of a code from {@link DTYPES}. @throws RangeError for a code that is not in the table. */
export function dtypeByCode(code: number): Dtype {
  const dtype = DTYPES[code];
  if (dtype === undefined) throw new RangeError(`no dtype has code ${code}`);
  return dtype;
}

/**
 * Code of MXFP4 beside the dtype codes of `src/base/dtype.ts`: FP4 (E2M1) two a byte, low nibble first, 16
 * bytes for each 32 elements of a row.
 */
export const MXFP4 = 64;
