import type { Global } from '../pickle/values.ts';

/**
 * Classes and functions in the `.metadata` of torch 2.1 to 2.15, Megatron-core and OLMo-core, by exact name.
 * They hold data; the classes of Megatron's plans are named, and not looked into.
 */
const NAMES: ReadonlySet<string> = new Set(
  [
    ...['Metadata', 'TensorStorageMetadata', 'BytesStorageMetadata', 'ChunkStorageMetadata', 'TensorProperties'],
    ...['MetadataIndex', 'StorageMeta', '_MEM_FORMAT_ENCODING'],
  ]
    .map((name) => `torch.distributed.checkpoint.metadata.${name}`)
    .concat([
      // torch 2.1
      'torch.distributed._shard.sharded_tensor.metadata.TensorProperties',
      'torch.distributed._shard.sharded_tensor.metadata.MEM_FORMAT_ENCODING',
      'torch.distributed.checkpoint.filesystem._StorageInfo',
      'torch.distributed.checkpoint._fsspec_filesystem._StorageInfo',
      'olmo_core.distributed.checkpoint.filesystem._StorageInfo',
      'torch.distributed.checkpoint.planner.SavePlan',
      'torch.distributed.checkpoint.planner.WriteItem',
      'torch.distributed.checkpoint.planner.WriteItemType',
      'torch.distributed.checkpoint.planner.TensorWriteData',
      'torch.distributed.checkpoint.planner.BytesIOWriteData',
      'megatron.core.dist_checkpointing.strategies.torch.MCoreMetadata',
      'megatron.core.dist_checkpointing.strategies.torch.MCoreSavePlan',
      'torch.Size',
      'torch.serialization._get_layout',
      'torch.strided',
      'collections.OrderedDict',
      'pathlib.PosixPath',
      'pathlib.WindowsPath',
      'pathlib._local.PosixPath',
      'pathlib._local.WindowsPath',
    ]),
);

/** A dtype of torch, of which there will be others. */
const DTYPE = /^(?:float|bfloat|int|uint|complex|bool|q?u?int)\w*$/;

/** Whether the metadata of a checkpoint of torch.distributed may name it. */
export function isOfMetadata({ module, name, path }: Global): boolean {
  return NAMES.has(path) || (module === 'torch' && DTYPE.test(name));
}
