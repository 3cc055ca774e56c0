import { basename, join } from 'node:path';
import { SYSTEM } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { optionName } from '../../base/option-words.ts';
import { storeOf } from '../../base/store/store.ts';
import { positionFromName } from '../../checkpoints/names.ts';
import { TRACKERS, trackedNames } from '../../checkpoints/run/tracker.ts';
import type { Run, RunCheckpoint } from '../../checkpoints/run/types.ts';
import { NEWEST } from './script.ts';
import { wholeOf } from './whole-save.ts';

/** Settings and texts about a state, and no state. */
const ABOUT = /\.(jsonl?|ya?ml|txt|md|py|log|toml|ini|cfg|html)$/i;

/** Names of an optimizer's state, as `optimizer.pt`, `model_and_optim`, `zero_pp_rank_0_…`; none of a word that begins so. */
const OPTIMIZER = /(^|[^A-Za-z])[Oo]ptim(s|i[sz]ers?)?(?![a-z])|zero_pp/;

/** What else says that a trainer goes on from it, or may. */
const STATE = /\.distcp$|^common\.pt$|random_states|rng_state|^dist_ckpt|training_state/;

/** Saves that stay whatever the windows say, by their places among all. */
export interface HeldSaves {
  /** With the reasons, now. */
  readonly now: ReadonlyMap<number, readonly string[]>;
  /**
   * Those that stay held as the run goes on: what is the newest to resume from, and what a tracker names, is a newer save by
   * then where it is the newest now; a tracker may be one save late.
   */
  readonly later: ReadonlySet<number>;
}

export async function heldFast(
  run: Run,
  saves: readonly RunCheckpoint[],
  steps: readonly number[],
  names: { readonly keepSteps: string },
): Promise<HeldSaves> {
  const [now, later] = [new Map<number, string[]>(), new Set<number>()];
  const last = saves.length - 1;
  const hold = (i: number, why: string, stays: boolean) => {
    now.set(i, [...(now.get(i) ?? []), why]);
    if (stays) later.add(i);
  };
  const unknown = steps.filter((step) => !saves.some((save) => save.step === step));
  if (unknown.length > 0) {
    throw new MergeError(
      'E_NO_MEMBERS',
      `${run.path}: ${optionName(names.keepSteps)} names step ${unknown[0]}, and there is no such checkpoint`,
      {
        details: { file: run.path },
      },
    );
  }
  for (const [i, { step }] of saves.entries())
    if (step !== null && steps.includes(step)) hold(i, `${optionName(names.keepSteps)} names it`, true);
  // A save that may hold a state is no reason to let go of one that surely does.
  for (let i = saves.length - 1, found = false; i >= 0; i--) {
    const state = saves[i]!.holdsOptimizer ? 'optimizer' : await stateIn(wholeOf(run, saves[i]!));
    if (state === null || (found && state !== 'optimizer')) continue;
    hold(i, state === 'optimizer' ? NEWEST : "may hold a trainer's state", i < last);
    found = true;
    if (state === 'optimizer') break;
  }
  for (const { name, kind } of (await storeOf(run.path).list(run.path)) ?? []) {
    if (TRACKERS.has(name)) {
      const said = await trackedNames(join(run.path, name));
      const named = new Set(said.map((one) => positionFromName(one)?.step));
      for (const [i, save] of saves.entries())
        if (said.includes(save.name) || (save.step !== null && named.has(save.step))) hold(i, `${name} names it`, i < last - 1);
    }
    // A tracker may be one: OLMo's `latest` leads to a save, and is no file.
    if (kind === 'link') {
      const to = await SYSTEM.fs.realpath(join(run.path, name)).catch(() => null);
      for (const [i, { path }] of saves.entries()) {
        if (to !== null && path !== join(run.path, name) && (await SYSTEM.fs.realpath(path).catch(() => path)) === to)
          hold(i, `${name} leads to it`, i < (TRACKERS.has(name) ? last - 1 : last));
      }
    }
  }
  return { now, later };
}

/**
 * Whether a save holds more than the model by the names in its folder or in one inside it: an optimizer's state, or what
 * may be some; null where nothing says so. A single file may, and so may the files of a container.
 */
async function stateIn(path: string): Promise<'optimizer' | 'perhaps' | null> {
  const entries = await storeOf(path).list(path);
  if (entries === null) return 'perhaps';
  const inner = await Promise.all(
    entries.map(async ({ name, kind }) => {
      const below = kind === 'folder' ? ((await storeOf(path).list(join(path, name))) ?? []) : [];
      return below.map((one) => join(name, one.name));
    }),
  );
  const names = [...entries.map(({ name }) => name), ...inner.flat()].filter((name) => !ABOUT.test(name));
  for (const name of names) if (OPTIMIZER.test(basename(name)) && !(await isEmpty(join(path, name)))) return 'optimizer';
  return names.some((name) => STATE.test(basename(name))) ? 'perhaps' : null;
}

/** A file of no bytes, a link to nothing, or an empty folder. */
async function isEmpty(path: string): Promise<boolean> {
  const entries = await storeOf(path).list(path);
  if (entries !== null) return entries.length === 0;
  return storeOf(path)
    .stat(path)
    .then(
      ({ size }) => size === 0,
      () => true,
    );
}
