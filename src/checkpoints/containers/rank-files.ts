import { MergeError } from '../../base/errors.ts';
import { isRankFile } from './safetensors/shard-names.ts';
import type { Container } from './types.ts';

const FORMAT = 'PyTorch distributed checkpoint (DCP, a safetensors file a rank)';
const CONVERTER = 'consolidate_safetensors_files of torch.distributed.checkpoint';

/** Parts of tensors, taken for whole ones, would be merged into a model of a part of its size. */
export function rankFileError(path: string): MergeError {
  return failure(path, `is one rank's file of a ${FORMAT}, and holds parts of tensors`);
}

function failure(path: string, problem: string): MergeError {
  return new MergeError('E_NO_CHECKPOINT', `${path}: ${problem}`, {
    details: { file: path, format: FORMAT, converter: CONVERTER },
    help: `Make it whole first, with ${CONVERTER}, or save with enable_consolidation=True of HuggingFaceStorageWriter.`,
  });
}

/** A folder of such files and nothing else: recognised, and refused. */
export const rankFiles: Container = {
  kind: FORMAT,
  async recognise({ entries, paths }) {
    if (entries === null) return false;
    return (await paths()).some((path) => isRankFile(path.slice(path.lastIndexOf('/') + 1)));
  },
  async open({ path }) {
    throw failure(path, `is a ${FORMAT}, of which each file holds parts of tensors`);
  },
};
