import { join } from 'node:path';
import { storeOf } from '../../base/store/store.ts';
import { type SideFileOptions, sideFiles } from '../../checkpoints/side-files.ts';
import { isTrainersFile, isTrainersFolder } from '../../checkpoints/training-state.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';

/** What a container has beside the files that hold tensors: of torch.distributed, and of Megatron-core. */
const OF_DCP = /\.distcp$|^common\.pt$|^metadata\.json$/;

/**
 * What of a save neither its copy has nor is surely the trainer's state: other weights, notes, results. It goes with the
 * save where the copy takes its place, so it has to be said.
 * @param whole all of the save, which the model may lie deeper in
 * @param checkpoint the model
 * @returns paths in the save, sorted; a folder of which nothing is known ends in `/` and stands for all in it
 * @throws MergeError what listing throws
 */
export async function lostWith(whole: string, checkpoint: Checkpoint, options: SideFileOptions): Promise<string[]> {
  if (checkpoint.kind === 'file') return [];
  const { path, files, heads, indexName, form } = checkpoint;
  const copied = (await sideFiles(checkpoint, options)).copied;
  const known = new Set([...[...files, ...heads, ...copied].map(({ name }) => name), ...(indexName === null ? [] : [indexName])]);
  const kept = new Set([...known].map((name) => join(path, name)));
  const isKnown = (at: string, name: string, ofTrainer: boolean): boolean =>
    kept.has(at) || isTrainersFile(name, ofTrainer) || (form.kind === 'dcp' && OF_DCP.test(name));

  /** Null where all of a folder is unknown. */
  const inFolder = async (folder: string, ofTrainer: boolean): Promise<string[] | null> => {
    const lost: string[] = [];
    let anyKnown = false;
    for (const { name, kind } of (await storeOf(folder).list(folder)) ?? []) {
      const at = join(folder, name);
      const inner = kind === 'folder' ? await inFolder(at, ofTrainer || isTrainersFolder(name)) : undefined;
      if (inner === null) lost.push(`${name}/`);
      else if (inner !== undefined) {
        anyKnown = true;
        lost.push(...inner.map((one) => `${name}/${one}`));
      } else if (isKnown(at, name, ofTrainer)) anyKnown = true;
      else lost.push(name);
    }
    return anyKnown ? lost : null;
  };
  return ((await inFolder(whole, false)) ?? []).sort();
}
