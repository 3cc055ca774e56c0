import type { Conflict } from '../../../base/errors.ts';
import { sectionOf } from '../../../checkpoints/tensors/section.ts';
import type { TensorTable } from '../../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';

/** Share of the layout's tensors from which on a member names all of them otherwise. */
const MOST = 1 / 2;

/**
 * Says of tensors that a member lacks which of its own could be the same under another name: those of the same
 * numbers and shape that the layout lacks, where there is one. A model whose own files and transformers call a
 * parameter differently, of which no rename is known, is the usual cause.
 */
export function withOtherNames(all: readonly Conflict[], layout: Checkpoint, members: readonly Checkpoint[]): readonly Conflict[] {
  const conflicts = ofOtherWriters(all, layout, members);
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

/**
 * Where another program wrote a member, and most tensors of the layout are none of it, that is one cause: each
 * names them as it likes, and shapes do not say which are the same.
 */
function ofOtherWriters(conflicts: readonly Conflict[], layout: Checkpoint, members: readonly Checkpoint[]): readonly Conflict[] {
  let told = conflicts;
  for (const member of members) {
    if (member.form.writer === layout.form.writer) continue;
    const own = new Set([member.path, ...member.files.map(({ path }) => path)]);
    const isOf = (code: Conflict['code']) => (conflict: Conflict) => conflict.code === code && own.has(conflict.file ?? '');
    const missing = told.filter(isOf('E_TENSOR_MISSING'));
    const extra = told.filter(isOf('E_TENSOR_EXTRA'));
    const wanted = layout.shards.reduce((sum, { tensors }) => sum + modelTensors(tensors), 0);
    if (missing.length === 0 || extra.length === 0 || missing.length < MOST * wanted) continue;
    const names = `${extra[0]!.tensor} … and ${missing[0]!.tensor} …`;
    const message = `${member.path} is ${written(member)}, and ${layout.path} is ${written(layout)}: their names for tensors differ (${names}), and nothing says which are the same`;
    const others = told.filter((conflict) => !missing.includes(conflict) && !extra.includes(conflict));
    told = [{ code: 'E_LAYOUT_FORM', message, file: member.path }, ...others];
  }
  return told;
}

function written({ form: { writer } }: Checkpoint): string {
  return writer === null ? 'safetensors' : `written by ${writer}`;
}

function modelTensors(tensors: TensorTable): number {
  let count = 0;
  for (let row = 0; row < tensors.count; row++) if (sectionOf(tensors, row) === 'model') count++;
  return count;
}

/** What tensors are for that have one number for each of many: a bias is no weight, whatever its shape. */
const BIAS = /(?:^|[._])(?:bias|beta)$/;

/** The numbers in a tensor's name, whether it is a bias, and its shape. */
function keyOf(checkpoint: Checkpoint, tensor: string): string | null {
  const place = checkpoint.locate(tensor);
  if (place === undefined) return null;
  const numbers = tensor.split('.').filter((part) => /^\d+$/.test(part));
  return `${numbers.join('.')} ${BIAS.test(tensor) ? 'bias' : ''} [${checkpoint.shards[place.shard]!.tensors.shapes[place.row]!.join(', ')}]`;
}
