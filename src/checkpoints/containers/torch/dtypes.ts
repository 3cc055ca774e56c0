import type { DtypeName } from '../../../base/dtype.ts';

/** Dtypes of torch by their names there. Those that are not here are refused by name. */
export const TORCH_DTYPES: ReadonlyMap<string, DtypeName> = new Map([
  ['bfloat16', 'BF16'],
  ['float16', 'F16'],
  ['float32', 'F32'],
  ['float64', 'F64'],
  ['uint8', 'U8'],
  ['int8', 'I8'],
  ['uint16', 'U16'],
  ['int16', 'I16'],
  ['uint32', 'U32'],
  ['int32', 'I32'],
  ['uint64', 'U64'],
  ['int64', 'I64'],
  ['bool', 'BOOL'],
  ['complex64', 'C64'],
  ['float8_e5m2', 'F8_E5M2'],
  ['float8_e4m3fn', 'F8_E4M3'],
  ['float8_e8m0fnu', 'F8_E8M0'],
  ['float8_e5m2fnuz', 'F8_E5M2FNUZ'],
  ['float8_e4m3fnuz', 'F8_E4M3FNUZ'],
]);

/** The dtype of a storage class, as `torch.BFloat16Storage`; of untyped ones the tensor says it. */
export const STORAGE_DTYPES: ReadonlyMap<string, string> = new Map([
  ['FloatStorage', 'float32'],
  ['HalfStorage', 'float16'],
  ['BFloat16Storage', 'bfloat16'],
  ['DoubleStorage', 'float64'],
  ['CharStorage', 'int8'],
  ['ByteStorage', 'uint8'],
  ['ShortStorage', 'int16'],
  ['IntStorage', 'int32'],
  ['LongStorage', 'int64'],
  ['BoolStorage', 'bool'],
  ['ComplexFloatStorage', 'complex64'],
]);
