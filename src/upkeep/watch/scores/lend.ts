import { join } from 'node:path';
import { newId } from '../../../base/disk/new-id.ts';
import { removeTree } from '../../../base/disk/remove-tree.ts';
import { SYSTEM } from '../../../base/disk/system.ts';
import { keysOf, pick } from '../../../base/pick.ts';
import { fingerprint } from '../../../checkpoints/fingerprint.ts';
import { openCheckpoint } from '../../../checkpoints/open.ts';
import { CHECKS, MACHINE, TRUST } from '../../../recipe/options.ts';
import type { StudyFolder } from '../../../search/study/folder.ts';
import { Lender, type LentModel } from '../../../search/study/lent-model.ts';
import { isLendable } from '../../../search/study/members.ts';
import { Merger } from '../../../search/study/merges.ts';
import type { WatchOptions } from '../types.ts';

/** Gives evaluators the models of a watch: links to what can be loaded as it lies, and safetensors made of all else. */
export class WatchLender {
  readonly #options: WatchOptions;
  readonly #folder: StudyFolder;
  #lender: Promise<{ readonly lender: Lender; readonly work: string }> | null = null;

  constructor(options: WatchOptions, folder: StudyFolder) {
    this.#options = options;
    this.#folder = folder;
  }

  /** @throws MergeError of opening the checkpoint, and of the side of outputs; `signal.reason` when aborted */
  async lend(path: string, trial: number, signal: AbortSignal): Promise<LentModel> {
    const checkpoint = await openCheckpoint(path);
    const member = { path, step: null, tokens: null, fingerprint: await fingerprint(checkpoint, signal), checkpoint };
    const lendable = isLendable(checkpoint);
    const { lender, work } = await this.#place(lendable ? 0 : checkpoint.files.reduce((sum, { stat }) => sum + stat.size, 0));
    if (lendable) return lender.member(member, trial);
    const made = join(work, `converted-${newId()}`);
    const settings = pick(this.#options, [...keysOf(CHECKS), ...keysOf(TRUST), ...keysOf(MACHINE), 'names', 'config']);
    await new Merger([member], settings).make([{ path: made, taking: { members: [0], weights: [1], parts: [] } }], { signal });
    try {
      const lent = await lender.merge(made, trial, false);
      const takeBack = async (): Promise<boolean> => (await lent.takeBack()) && (await removed(made));
      return { ...lent, takeBack };
    } catch (error) {
      await removed(made);
      throw error;
    }
  }

  /** @param bytes that one model takes there */
  async #place(bytes: number): Promise<{ readonly lender: Lender; readonly work: string }> {
    this.#lender ??= (async () => {
      // Room for one is made sure of once: models of a run are of one size.
      const { path: work } = await this.#folder.makeWork(this.#options.work ?? (bytes > 0 ? this.#folder.path : undefined), false, bytes);
      return { lender: new Lender({ path: work }, this.#options), work };
    })();
    return this.#lender.catch((error: unknown) => {
      this.#lender = null;
      throw error;
    });
  }
}

function removed(path: string): Promise<boolean> {
  return removeTree(SYSTEM, path).then(
    () => true,
    () => false,
  );
}
