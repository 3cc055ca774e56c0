export type { Dtype, DtypeKind, DtypeName } from './base/dtype.ts';
export { DTYPES, dtypeByCode, dtypeByName } from './base/dtype.ts';
export type { Conflict, ErrorCode, ErrorDetails, Warning, WarningCode } from './base/errors.ts';
export { MergeError } from './base/errors.ts';
export type { FileStat } from './base/store/local.ts';
export type { HeaderMetadata, TensorSpec } from './checkpoints/containers/safetensors/encode-header.ts';
export { encodeHeader, layOutTensors } from './checkpoints/containers/safetensors/encode-header.ts';
export type { IndexContent } from './checkpoints/containers/safetensors/encode-index.ts';
export { encodeIndex } from './checkpoints/containers/safetensors/encode-index.ts';
export { HeaderCache } from './checkpoints/containers/safetensors/header-cache.ts';
export { readHeader } from './checkpoints/containers/safetensors/read-header.ts';
export { readIndex } from './checkpoints/containers/safetensors/read-index.ts';
export type { ScannedHeader } from './checkpoints/containers/safetensors/scan-header.ts';
export { scanHeader } from './checkpoints/containers/safetensors/scan-header.ts';
export type { SafetensorsIndex } from './checkpoints/containers/safetensors/scan-index.ts';
export { scanIndex } from './checkpoints/containers/safetensors/scan-index.ts';
export type {
  HeaderEntry as TensorInfo,
  HeaderSource,
  HeaderTable as TensorTable,
  SafetensorsHeader,
} from './checkpoints/containers/safetensors/types.ts';
export type { TensorData } from './checkpoints/containers/safetensors/write-file.ts';
export { writeSafetensors } from './checkpoints/containers/safetensors/write-file.ts';
/** Reading and writing safetensors: `ckpt-merge/safetensors`. */
export type { SafetensorsCheckpoint as Checkpoint, SafetensorsShard as Shard } from './checkpoints/open.ts';
export { openSafetensors as openCheckpoint } from './checkpoints/open.ts';
export type { TensorColumns } from './checkpoints/tensors/types.ts';
