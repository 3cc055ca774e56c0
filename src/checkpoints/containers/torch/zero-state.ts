import { join } from 'node:path';
import { MergeError } from '../../../base/errors.ts';
import { worded } from '../../../base/option-words.ts';
import { Call, Dict, type Global, type Value } from '../pickle/values.ts';
import { countOf, itemsOf, pairs, under } from '../pickle/walk.ts';
import type { MasterFragment } from '../types.ts';
import { isOfTorch } from './allowed.ts';
import { MODULE } from './deepspeed.ts';
import { DEEPSPEED, ZERO_STATE } from './file-names.ts';

/** The key of a rank's file that its optimizer's state stands under. */
const STATE = 'optimizer_state_dict';

/** Where in a file the state lies whose tensors a checkpoint has, and under which names it has them. */
export interface StateRoot {
  /** What their names in the file begin with. */
  readonly inFile: string;
  /** What stands for it in the checkpoint. */
  readonly inTable: string;
}

/** The root of a file of DeepSpeed's, by the file's name; of another file all of it. */
export function rootOfFile(name: string): StateRoot {
  const rank = ZERO_STATE.exec(name)?.[1];
  if (rank !== undefined) return { inFile: `${STATE}.`, inTable: `optimizer.zero_pp_rank_${rank}.` };
  return { inFile: DEEPSPEED.test(name) ? `${MODULE}.` : '', inTable: '' };
}

/** The files of the optimizer's state in a folder, by rank. */
export function zeroStateFiles(names: Iterable<string>): string[] {
  const rankOf = (name: string): number => Number(ZERO_STATE.exec(name)![1]);
  return [...names].filter((name) => ZERO_STATE.test(name)).sort((a, b) => rankOf(a) - rankOf(b));
}

/**
 * @param path of the checkpoint
 * @param files of its ranks, in their order
 * @param world ranks that the file of its model says it was saved by; null where it does not
 * @throws MergeError E_SHARD_MISSING where a rank's file is not there; E_LAYOUT_FORM for experts, whose state is
 *   cut over other ranks
 */
export function refuseMissingRanks(path: string, files: readonly string[], world: number | null, experts: readonly number[] | null): void {
  const help = worded`Or merge the model alone, with --format safetensors.`;
  if (experts?.some((count) => count > 0) === true) {
    const message = `${path}: is of DeepSpeed with experts, whose optimizer's state each group of ranks cuts in its own way, and that is not written`;
    throw new MergeError('E_LAYOUT_FORM', message, { details: { file: path }, help });
  }
  const ranks = new Set(files.map((name) => Number(ZERO_STATE.exec(name)![1])));
  const count = Math.max(world ?? 0, ...[...ranks].map((rank) => rank + 1));
  for (let rank = 0; rank < count; rank++) {
    if (ranks.has(rank)) continue;
    const file = join(path, files[0]!.replace(/zero_pp_rank_\d+/, `zero_pp_rank_${rank}`));
    throw new MergeError('E_SHARD_MISSING', `${file}: is not there: the optimizer's state lies in the files of ${count} ranks`, {
      details: { file },
      help: `Copy it from where the training ran. ${help}`,
    });
  }
}

/** Classes of DeepSpeed's in what it saves of an optimizer: numbers and flags. */
const CLASSES: ReadonlySet<string> = new Set([
  'deepspeed.runtime.fp16.loss_scaler.LossScaler',
  'deepspeed.runtime.fp16.loss_scaler.DynamicLossScaler',
  'deepspeed.runtime.zero.config.ZeroStageEnum',
  'deepspeed.utils.tensor_fragment.fragment_address',
]);

/** Whether a rank's file may name it. */
export function isOfZero(name: Global): boolean {
  return CLASSES.has(name.path) || isOfTorch(name);
}

/** The state in a rank's file; undefined where there is none. */
export function zeroState(root: Value): Value | undefined {
  return under(root, STATE);
}

const RECORD = 'param_slice_mappings';

/**
 * Where in a rank's buffers parts of masters lie, as its file records it (`param_slice_mappings`); null where it does not.
 * @param path of the file
 * @throws MergeError E_TORCH_FILE for a record that is none
 */
export function fragmentsOf(state: Value, { inTable }: StateRoot, path: string): MasterFragment[] | null {
  const record = under(state, RECORD);
  if (record === undefined || record === null) return null;
  const groups = itemsOf(record);
  if (groups === null) throw badRecord(path, `${RECORD} is no list of groups`);
  return groups.flatMap((mapping, group) => {
    if (!(mapping instanceof Dict)) throw badRecord(path, `${RECORD}[${group}] does not say of weights where they lie`);
    return [...pairs(mapping)].map(([weight, address]): MasterFragment => {
      if (typeof weight !== 'string') throw badRecord(path, `${RECORD}[${group}] names a weight by something that is no text`);
      const fields = address instanceof Call ? address.state : undefined;
      const field = (name: 'start' | 'numel'): number => {
        const count = countOf(under(fields, name));
        if (count === null) throw badRecord(path, `${RECORD}[${group}] has no whole number as ${name} of ${weight}`, weight);
        return count;
      };
      return { buffer: `${inTable}single_partition_of_fp32_groups.${group}`, weight, start: field('start'), elements: field('numel') };
    });
  });
}

/** A record of one rank, where others have one. @throws MergeError E_TORCH_FILE */
export function refuseMissingRecord(
  ranks: readonly { readonly path: string; readonly fragments: readonly MasterFragment[] | null }[],
): void {
  const without = ranks.find(({ fragments }) => fragments === null);
  if (without !== undefined && ranks.some(({ fragments }) => fragments !== null))
    throw badRecord(without.path, `${RECORD} is not in it, as it is in the files of other ranks`);
}

function badRecord(path: string, what: string, tensor?: string): MergeError {
  const help = worded`The file is damaged or changed: copy it again from where the training ran. Or merge the model alone, with --format safetensors.`;
  return new MergeError('E_TORCH_FILE', `${path}: ${what}`, { details: { file: path, ...(tensor !== undefined && { tensor }) }, help });
}
