import { newId } from '../../base/disk/new-id.ts';
import { removeTree } from '../../base/disk/remove-tree.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import type { Warning } from '../../base/errors.ts';
import type { WorkFolder } from './folder.ts';
import type { Lender } from './lent-model.ts';
import type { StudyMember } from './members.ts';
import { type MergeRequest, type Merger, mergePath, takingPart } from './merges.ts';
import type { Job, TrialOptions, Trials } from './trials.ts';

/** Outputs of one read: each costs a buffer in every tile. */
const MOST_OUTPUTS = 16;
/** Merges that are left for a driver that asks for the same recipe again. */
const MOST_REMEMBERED = 4;

export interface MergeStoreOptions extends Pick<TrialOptions, 'driver' | 'emit'> {
  readonly members: readonly StudyMember[];
  readonly merger: Merger;
  readonly trials: Pick<Trials, 'warn'>;
  readonly lender: Pick<Lender, 'isSpoiled'>;
  readonly work: WorkFolder;
  /** Where the best is merged to in the end, where it is. */
  readonly output?: string | undefined;
  /** Bytes of a merge. */
  readonly bytes: number;
  /** Leave the merges of trials where they were made. */
  readonly keep: boolean;
}

/** Merges that wait to be scored. */
export interface HeldMerges {
  /** By recipe. */
  readonly paths: ReadonlyMap<string, string>;
  /** Seconds that one of them took; 0 for those that were there. */
  secondsOf(recipe: string): number;
  /** Scored for the last time. */
  release(recipe: string): Promise<void>;
  /** Removes what was not released. */
  drop(): Promise<void>;
}

/** The merges of a study, from their making to their removal. */
export class MergeStore {
  readonly #options: MergeStoreOptions;
  /** Of scored recipes, those that are still there, the oldest first. */
  readonly #remembered = new Map<string, string>();
  #merging: Promise<unknown> = Promise.resolve();

  constructor(options: MergeStoreOptions) {
    this.#options = options;
  }

  /** How many merges fit into the work folder, beside those that are remembered. */
  get room(): number {
    const { work, bytes, driver } = this.#options;
    const room = Math.floor(work.room / Math.max(1, bytes));
    return Math.max(1, driver === null ? room : room - MOST_REMEMBERED);
  }

  /** Recipes that are merged in one read. */
  get atOnce(): number {
    return Math.min(MOST_OUTPUTS, this.room);
  }

  /**
   * Merges in one read what is not there.
   * @param recipes trials of equal recipes: of them one merge is made
   */
  async hold(recipes: readonly (readonly Job[])[], signal: AbortSignal): Promise<HeldMerges> {
    const { work, members, keep } = this.#options;
    const paths = new Map<string, string>();
    const fresh = new Map<string, MergeRequest>();
    for (const [job] of recipes) {
      const { id, recipe, request } = job!;
      const path = this.#remembered.get(recipe) ?? mergePath(work.path, id, members, newId());
      if (!this.#remembered.delete(recipe)) fresh.set(recipe, { path, taking: takingPart(request.candidate) });
      paths.set(recipe, path);
    }
    const drop = async () => {
      if (!keep) for (const path of paths.values()) await removeTree(SYSTEM, path);
    };
    try {
      const seconds = fresh.size === 0 ? 0 : await this.#merge(fresh, recipes.flat(), signal);
      return {
        paths,
        secondsOf: (recipe) => (fresh.has(recipe) ? seconds / fresh.size : 0),
        release: async (recipe) => {
          await this.#release(recipe, paths.get(recipe)!);
          paths.delete(recipe);
        },
        drop,
      };
    } catch (error) {
      await drop();
      throw error;
    }
  }

  /**
   * One read after another: two at a time would need the memory of two.
   * @param fresh by recipe
   * @returns seconds
   */
  #merge(fresh: ReadonlyMap<string, MergeRequest>, jobs: readonly Job[], signal: AbortSignal): Promise<number> {
    const { emit, members, merger, trials, output } = this.#options;
    const merged = this.#merging.then(async () => {
      emit({ type: 'merging', trials: jobs.map(({ id }) => id), members: members.length });
      const { seconds, warnings } = await merger.make([...fresh.values()], { signal });
      const places = [...fresh].map(([recipe, { path }]) => ({ path, trial: jobs.find((job) => job.recipe === recipe)!.id }));
      trials.warn(warnings.map((warning) => asOfTrials(warning, places, output)));
      return seconds;
    });
    this.#merging = merged.catch(() => {});
    return merged;
  }

  /** Removes a merge, or remembers it in the place of the one that was remembered longest. */
  async #release(recipe: string, path: string): Promise<void> {
    const { keep, driver, lender } = this.#options;
    if (keep) return;
    // What an evaluation wrote into is no merge of this recipe any more.
    if (driver === null || lender.isSpoiled(path)) return removeTree(SYSTEM, path);
    this.#remembered.set(recipe, path);
    for (const [other, old] of this.#remembered) {
      if (this.#remembered.size <= MOST_REMEMBERED) return;
      this.#remembered.delete(other);
      await removeTree(SYSTEM, old);
    }
  }
}

/**
 * A warning of a merge that is gone when it is read: of the trial that it was made for, or of all that the
 * study makes, OUT among them, where nothing in it is of one trial.
 */
export function asOfTrials(
  warning: Warning,
  places: readonly { readonly path: string; readonly trial: number }[],
  output: string | undefined,
): Warning {
  const named = (trial: number) => (warning.code === 'W_DTYPE_CHANGED' ? (output ?? 'every merge') : `the merge of trial ${trial}`);
  const message = places.reduce((text, { path, trial }) => text.replaceAll(path, named(trial)), warning.message);
  return message === warning.message ? warning : { ...warning, message };
}
