import type { Global } from '../pickle/values.ts';
import { STORAGE_DTYPES } from './dtypes.ts';

/**
 * Classes and functions in what torch.save writes of weights and of what lies beside them, by exact name:
 * data of torch, of numpy and of Python. None is ever called.
 */
const NAMES: ReadonlySet<string> = new Set([
  'collections.OrderedDict',
  'collections.Counter',
  'collections.defaultdict',
  'torch._utils._rebuild_tensor_v2',
  'torch._utils._rebuild_tensor_v3',
  'torch._utils._rebuild_parameter',
  'torch._utils._rebuild_parameter_with_state',
  'torch._tensor._rebuild_from_type_v2',
  // Named by what refuses them: a tensor without bytes, sparse, quantised, of a device of its own.
  'torch._utils._rebuild_meta_tensor_no_storage',
  'torch._utils._rebuild_sparse_tensor',
  'torch._utils._rebuild_qtensor',
  'torch._utils._rebuild_nested_tensor',
  'torch._utils._rebuild_wrapper_subclass',
  'torch._utils._rebuild_device_tensor_from_numpy',
  'torch._utils._rebuild_device_tensor_from_cpu_tensor',
  'torch.storage.UntypedStorage',
  'torch.Tensor',
  'torch.Size',
  'torch.device',
  'torch.nn.parameter.Parameter',
  'torch.nn.parameter.Buffer',
  'torch.serialization._get_layout',
  'torch.per_tensor_affine',
  'torch.per_channel_affine',
  'torch.strided',
  // DTensors, as a rank of FSDP saves them; classes of the mesh moved between releases.
  'torch.distributed.tensor.DTensor',
  'torch.distributed._tensor.DTensor',
  'torch.distributed._tensor.api.DTensor',
  ...['torch.distributed.tensor._dtensor_spec', 'torch.distributed._tensor.placement_types'].flatMap((module) =>
    ['DTensorSpec', 'TensorMeta', 'ShardOrderEntry'].map((name) => `${module}.${name}`),
  ),
  ...['torch.distributed.tensor.placement_types', 'torch.distributed._tensor.placement_types'].flatMap((module) =>
    ['Shard', 'Replicate', 'Partial', '_StridedShard'].map((name) => `${module}.${name}`),
  ),
  'torch.distributed.device_mesh.DeviceMesh',
  'torch.distributed._mesh_layout._MeshLayout',
  'torch.distributed._mesh_layout._FlatLayout',
  // Of arguments and states that trainers keep beside the weights.
  'argparse.Namespace',
  ...['pathlib', 'pathlib._local'].flatMap((module) =>
    ['Path', 'PosixPath', 'WindowsPath', 'PurePosixPath'].map((name) => `${module}.${name}`),
  ),
  'datetime.datetime',
  'datetime.date',
  'datetime.timedelta',
  'types.SimpleNamespace',
  'collections.deque',
  'torch.torch_version.TorchVersion',
  'decimal.Decimal',
  'uuid.UUID',
  '_codecs.encode',
  ...['numpy', 'numpy.core.multiarray', 'numpy._core.multiarray'].flatMap((module) =>
    ['ndarray', 'dtype', 'scalar', '_reconstruct'].map((name) => `${module}.${name}`),
  ),
  ...['__builtin__', 'builtins'].flatMap((module) =>
    [
      'set',
      'frozenset',
      'complex',
      'bytearray',
      'slice',
      'range',
      'xrange',
      'Ellipsis',
      'dict',
      'list',
      'tuple',
      'int',
      'float',
      'str',
      'bool',
    ].map((name) => `${module}.${name}`),
  ),
]);

/** A dtype of torch, of which there will be others. */
const DTYPE = /^(?:float|bfloat|int|uint|complex|bool|qint|quint)\w*$/;

/** Whether a file of torch.save may name it. */
export function isOfTorch({ module, name, path }: Global): boolean {
  if (module === 'torch')
    return (
      NAMES.has(path) || DTYPE.test(name) || STORAGE_DTYPES.has(name) || /^Q\w+Storage$|^QU\w+Storage$|^ComplexDoubleStorage$/.test(name)
    );
  return NAMES.has(path);
}
