import { basename } from 'node:path';
import { dtypeByCode } from '../../../base/dtype.ts';
import type { Warning } from '../../../base/errors.ts';
import { optionName, optionWith } from '../../../base/option-words.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import type { DraftOutput } from '../inputs/drafts.ts';
import type { PlannedTensors } from './tensors.ts';
import { outputDtypes } from './treatments.ts';

/** Members that a warning names. */
const SHOWN = 6;

/** Tensors that the same members hold in the same, wider dtype. */
interface Narrowed {
  /** Dtype codes of the output and of the members that hold more. */
  readonly out: number;
  readonly held: readonly number[];
  /** Members of the plan: those that hold more, and how many the tensors are made of. */
  readonly wider: readonly number[];
  readonly of: number;
  tensors: number;
}

/**
 * That mixed dtypes make an output narrower than what most members hold, as where the newest is an export: a
 * mean of float32 that is stored as BF16 because of one of its members is seldom meant. Nothing is said where
 * the dtype is asked for (`same` too), nor of weights that are made from their float32 masters.
 * @param planned of the layout, before its tensors are put into other files
 */
export function narrowedWarnings(
  planned: Pick<PlannedTensors, 'targets' | 'treatments' | 'treatmentOf' | 'matched' | 'masters'>,
  checkpoints: readonly Checkpoint[],
  { output, own, layout }: DraftOutput,
  k: number,
): Warning[] {
  if (output.dtype !== undefined || output.convert) return [];
  const groups = narrowedGroups(planned, checkpoints, layout, k);
  const [most] = [...groups].sort((a, b) => b.tensors - a.tensors);
  if (most === undefined) return [];
  const count = groups.reduce((sum, { tensors }) => sum + tensors, 0);
  const names = (codes: readonly number[]): string => codes.map((code) => dtypeByCode(code).name).join(' or ');
  const wide = most.wider.map((m) => checkpoints[m]!.path);
  const shown = wide.slice(0, SHOWN).map((path) => basename(path));
  const rest = wide.length > SHOWN ? ` and ${wide.length - SHOWN} more` : '';
  const out = dtypeByCode(most.out).name;
  const because = own.includes(layout) ? `the newest, ${basename(layout.path)},` : `${optionName('like')} (${basename(layout.path)})`;
  const several = count === 1 ? '1 tensor is' : `${count} tensors are`;
  const message =
    `${output.path}: ${several} ${names(most.held)} in ${wide.length} of ${most.of} members (${shown.join(', ')}${rest}) and stored as ${out}, ` +
    `because ${because} holds ${out}: the merge is rounded to fewer bits than most members have; ` +
    `${optionWith('dtype', names(most.held.slice(-1)))} or ${optionWith('like', wide.at(-1)!)} keeps them, ` +
    `${optionWith('dtype', 'same')} says that ${out} is meant`;
  return [{ code: 'W_DTYPE_CHANGED', message }];
}

function narrowedGroups(
  {
    targets,
    treatments,
    treatmentOf,
    matched,
    masters,
  }: Pick<PlannedTensors, 'targets' | 'treatments' | 'treatmentOf' | 'matched' | 'masters'>,
  checkpoints: readonly Checkpoint[],
  layout: Checkpoint,
  k: number,
): Narrowed[] {
  const groups = new Map<string, Narrowed>();
  const { treatments: kinds, weights } = treatments[k]!;
  for (const [s, { table, origin }] of targets.entries()) {
    const of = treatmentOf[k]![s]!;
    const stored = outputDtypes(table.dtypes, of, kinds, undefined);
    const held = checkpoints.map((checkpoint, m) => dtypesOf(checkpoint, layout, s, origin, matched[s]!.spans, m));
    for (let row = 0; row < table.count; row++) {
      if (masters.used && masters.of(s, origin[row]!) !== undefined) continue;
      const { dtype } = kinds[of[row]!]!;
      const out = dtypeByCode(stored[row]!);
      // A policy that gives a dtype asks for it.
      if (out.kind !== 'float' || (dtype !== null && dtype !== 'stored' && dtype !== 'stored-or-wider')) continue;
      const members = [...held.keys()].filter((m) => weights[of[row]!]![m] !== 0 && held[m]![row]! >= 0);
      const wider = members.filter((m) => {
        const own = dtypeByCode(held[m]![row]!);
        return own.kind === 'float' && own.bits > out.bits;
      });
      if (2 * wider.length <= members.length) continue;
      const codes = [...new Set(wider.map((m) => held[m]![row]!))].sort((a, b) => dtypeByCode(a).bits - dtypeByCode(b).bits);
      const key = `${out.code} ${codes.join()} ${members.length} ${wider.join()}`;
      const group = groups.get(key) ?? { out: out.code, held: codes, wider, of: members.length, tensors: 0 };
      group.tensors++;
      groups.set(key, group);
    }
  }
  return [...groups.values()];
}

/** [rows of the target] dtype codes in one member; -1 where it has no such tensor. */
function dtypesOf(
  checkpoint: Checkpoint,
  layout: Checkpoint,
  s: number,
  origin: Int32Array,
  { row, columns }: PlannedTensors['matched'][number]['spans'],
  m: number,
): Int16Array {
  const { name, tensors } = layout.shards[s]!;
  const found = new Int16Array(origin.length).fill(-1);
  const own = columns[m];
  if (own != null) {
    for (const [i, tensor] of row.entries()) if (own.file[i]! >= 0) found[tensor] = own.dtype[i]!;
  }
  // Codes of quantised weights are no spans.
  for (const [i, from] of origin.entries()) {
    if (found[i]! >= 0) continue;
    const place = checkpoint.locate(tensors.names[from]!, name);
    if (place !== undefined) found[i] = checkpoint.shards[place.shard]!.tensors.dtypes[place.row]!;
  }
  return found;
}
