import type { Conflict } from '../../../base/errors.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';

/**
 * Says of tensors that a member lacks which of its own could be the same under another name: those of the same
 * numbers and shape that the layout lacks, where there is one. A model whose own files and transformers call a
 * parameter differently, of which no rename is known, is the usual cause.
 */
export function withOtherNames(conflicts: readonly Conflict[], layout: Checkpoint, members: readonly Checkpoint[]): readonly Conflict[] {
  const extra = conflicts.filter(({ code }) => code === 'E_TENSOR_EXTRA');
  if (extra.length === 0) return conflicts;
  const unknown = new Map<string, string[]>();
  for (const { tensor, file } of extra) {
    const member = members.find(({ files }) => files.some(({ path }) => path === file));
    const key = member === undefined ? null : keyOf(member, tensor!);
    if (key !== null) unknown.set(`${member!.path} ${key}`, [...(unknown.get(`${member!.path} ${key}`) ?? []), tensor!]);
  }
  return conflicts.map((conflict) => {
    const { code, tensor, file } = conflict;
    if (code !== 'E_TENSOR_MISSING' || tensor === undefined) return conflict;
    const [other, ...more] = unknown.get(`${file} ${keyOf(layout, tensor)}`) ?? [];
    if (other === undefined || more.length > 0) return conflict;
    const message = `${conflict.message}, which holds ${other} of the same shape: where that is another name of it, save both checkpoints with one version of the library that wrote them`;
    return { ...conflict, message };
  });
}

/** The numbers in a tensor's name, and its shape. */
function keyOf(checkpoint: Checkpoint, tensor: string): string | null {
  const place = checkpoint.locate(tensor);
  if (place === undefined) return null;
  const numbers = tensor.split('.').filter((part) => /^\d+$/.test(part));
  return `${numbers.join('.')} [${checkpoint.shards[place.shard]!.tensors.shapes[place.row]!.join(', ')}]`;
}
