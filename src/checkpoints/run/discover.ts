import { basename, resolve } from 'node:path';
import type { Warning } from '../../base/errors.ts';
import { groupBy } from '../../base/group-by.ts';
import { mapBounded } from '../../base/map-bounded.ts';
import { containerOf } from '../containers/all.ts';
import { areForeign } from '../containers/foreign.ts';
import { find } from '../containers/found.ts';
import { OpenCache } from '../containers/open-cache.ts';
import { hubRepository } from '../hub.ts';
import { innerCheckpoints } from '../inner-checkpoint.ts';
import { positionFromName, reasonAgainstName, stepMentioned } from '../names.ts';
import { readTrainingState } from '../states.ts';
import type { LogEntry } from '../types.ts';
import { abandonedBranch } from './branches.ts';
import { type CandidateFolder, type Listing, listRun } from './candidates.ts';
import { examineCandidate, type FoundCheckpoint } from './examine.ts';
import { loggedAt, logOf } from './log.ts';
import { noRun } from './no-run.ts';
import { comparePositions, samePosition } from './position.ts';
import { NO_STEP } from './reasons.ts';
import { asideWarnings } from './set-aside.ts';
import { missingNewest, TRACKERS } from './tracker.ts';
import type { BrokenCheckpoint, Excluded, Run } from './types.ts';
import { unlikeMembers } from './unlike.ts';

/**
 * Checkpoints that are looked into at the same time: each opens up to 16 files, and `ulimit -n` is often
 * 1024.
 */
const AT_ONCE = 16;

/** Warnings of one kind that are given in full; a run of thousands has one for each. */
const WARNINGS_SHOWN = 3;

interface DiscoverOptions {
  readonly signal?: AbortSignal | undefined;
  /** Whether checkpoints are wanted that are stored in other dtypes than those of the run. */
  readonly mixedDtypes?: boolean | undefined;
}

/**
 * The training run in a folder: its complete checkpoints in order, with what their names, state files and log
 * say; what is left out, and why. Headers and indexes are read, tensor data is not. Folders that have nothing
 * to do with checkpoints (`logs`, `runs`) are passed over in silence.
 * @param path folder that holds the step folders (or files of weights named by step), or a repository in
 *   the Hub's cache
 * @throws MergeError E_NOT_FOUND, E_NOT_READABLE; E_NO_RUN when there is no checkpoint in it, or no complete
 * one: `details.excluded` says what was found; `signal.reason` on an abort
 */
export async function discoverRun(path: string, { signal, mixedDtypes = false }: DiscoverOptions = {}): Promise<Run> {
  signal?.throwIfAborted();
  const listing = await listRun(path);
  if (await isStepItself(path, listing)) throw noRun(path, { ...listing, isCheckpoint: true }, [], []);
  const cache = new OpenCache();
  const results = await mapBounded(listing.candidates, AT_ONCE, async (candidate) => {
    signal?.throwIfAborted();
    return examineCandidate(candidate, cache);
  });
  const sound = results.filter((result): result is FoundCheckpoint => result !== null && 'checkpoint' in result);
  // Epochs and steps are no order together.
  const ordered = sound.every(({ byEpoch }) => byEpoch) ? sound : sound.filter(({ byEpoch }) => !byEpoch);
  // Nor are steps of an epoch, and steps so far that state files give.
  const isAnew = ({ checkpoint }: FoundCheckpoint) => checkpoint.epoch !== undefined;
  const steps = ordered.some((one) => !isAnew(one)) ? ordered.filter((one) => !isAnew(one)) : ordered;
  // Beside the step that it was made of, a conversion is no other.
  const again = steps.filter(
    ({ checkpoint, converted }) => converted && steps.some((o) => !o.converted && samePosition(o.checkpoint, checkpoint)),
  );
  const found = steps.filter((one) => !again.includes(one));
  const excluded = results.filter((result): result is Excluded => result !== null && 'reason' in result);
  excluded.push(...again.map(({ checkpoint: { path, step } }) => ({ path, step, reason: 'a conversion that this tool wrote' })));
  const apart = sound.filter((one) => !steps.includes(one));
  excluded.push(...apart.map(({ checkpoint: { path } }) => ({ path, step: null, reason: NO_STEP })));
  if (found.length === 0) throw noRun(path, await asCheckpoint(path, listing), excluded, await runsAmong(listing.candidates));

  const { kept: whole, duplicates } = inOrder(found);
  const { kept, unlike } = withoutUnlike(whole, found, mixedDtypes);
  excluded.push(...unlike);
  const own = listing.isCheckpoint ? await ownModel(path, kept.at(-1)!) : null;
  if (own !== null) excluded.push(own);
  const missing = await missingNewest(path, listing.names, [...whole, ...excluded], kept.at(-1)!);
  if (missing !== null) excluded.push(missing);
  const broken = [...results, ...unlike, own, missing]
    .filter((result): result is BrokenCheckpoint => result !== null && 'ingredient' in result)
    .filter((lost) => !kept.some((checkpoint) => samePosition(checkpoint, lost)))
    .sort((a, b) => comparePositions(a, b) || (a.path < b.path ? -1 : 1));
  // Copies of a step, as a file that is called best or final is.
  const copies = new Set(listing.candidates.flatMap(({ path: file, isFile, position }) => (isFile && position === null ? file : [])));
  const logs = await logsByStage(kept);
  const checkpoints = kept.map((checkpoint) => ({ ...checkpoint, ...loggedAt(logs.get(stageKey(checkpoint)) ?? [], checkpoint.step) }));
  return {
    path,
    checkpoints,
    excluded: [...excluded, ...duplicates]
      .map(({ path, step, reason }) => ({ path, step, reason }))
      .sort((a, b) => (a.step ?? -1) - (b.step ?? -1) || (a.path < b.path ? -1 : 1)),
    broken,
    // Times in the Hub's cache are those of downloads.
    abandoned: await abandonedBranch(kept, { times: (await hubRepository(path)) === null }),
    log: logs.get(stageKey(kept.at(-1)!)) ?? [],
    warnings: shortened([
      ...asideWarnings(path, listing.names),
      ...found.flatMap(({ warnings }) => warnings),
      ...duplicateWarnings(duplicates.filter((one) => isUnforeseen(one) && !copies.has(one.path))),
      ...apartWarnings(listing.candidates, found[0]!.byEpoch ? null : kept.at(-1)!.step),
    ]),
  };
}

/**
 * Whether a path is the folder of a run: it holds folders or files that are named by step, or is a repository
 * in the Hub's cache, and is no checkpoint itself. Nothing is opened; a path that cannot be read is none.
 * @param options `orCheckpoint`: it may be a checkpoint as well, as where a trainer leaves the final model
 *   among its checkpoints
 */
export async function isRunFolder(path: string, { orCheckpoint = false }: { readonly orCheckpoint?: boolean } = {}): Promise<boolean> {
  if ((await hubRepository(path)) !== null) return true;
  const listing = await listRun(path).catch(() => null);
  if (listing === null || (listing.isCheckpoint && !orCheckpoint)) return false;
  return (
    listing.candidates.some(({ position, epoch, apart }) => position !== null || epoch !== null || apart !== null) ||
    listing.names.some((name) => TRACKERS.has(name))
  );
}

async function runsAmong(candidates: readonly CandidateFolder[]): Promise<string[]> {
  const runs: string[] = [];
  for (const { path } of candidates) if (await isRunFolder(path)) runs.push(path);
  return runs;
}

/**
 * Whether the folder of a step is a checkpoint, in whatever form, or one lies deeper in it: nothing in it is a
 * step of a run then, unless it is named by another one.
 */
async function isStepItself(path: string, { candidates, snapshots }: Listing): Promise<boolean> {
  const step = positionFromName(basename(resolve(path)))?.step ?? null;
  const named = candidates.some(({ position, epoch, apart }) => position !== null || epoch !== null || apart !== null);
  if (step === null || named || snapshots !== null) return false;
  const found = await find(path);
  return (
    (await containerOf(found)) !== undefined || areForeign(await found.paths()) || (await innerCheckpoints(found, step, true)).length > 0
  );
}

/** Where no run was found: a checkpoint may be in any form, and be named by no step. */
async function asCheckpoint(path: string, listing: Listing): Promise<Listing> {
  if (listing.isCheckpoint || listing.snapshots !== null) return listing;
  return { ...listing, isCheckpoint: (await containerOf(await find(path))) !== undefined };
}

/**
 * The model in the folder of the run itself: as a trainer leaves the final one there, or the best. It is none
 * of the steps, and said to be missing among them where the trainer went on after the newest.
 */
async function ownModel(path: string, newest: FoundCheckpoint['checkpoint']): Promise<BrokenCheckpoint | Excluded> {
  const reason = 'the model in the folder of the run itself: no step of the run';
  const { step, file } = await readTrainingState(path);
  if (step === null || newest.epoch !== undefined || step <= (newest.step ?? step)) return { path, step: null, reason };
  const { stage, ingredient } = newest;
  const newer = `the model in the folder of the run itself, where ${basename(file!)} says step ${step}: name it beside the others, one by one, to merge it`;
  return { path, name: basename(resolve(path)), stage, ingredient, step, tokens: null, reason: newer };
}

/**
 * By position. Of several at one position the one that is named by its step is kept, else the first by name:
 * copies of a checkpoint (`best`, `final`) are not named by step.
 */
function inOrder(found: readonly FoundCheckpoint[]): { kept: FoundCheckpoint['checkpoint'][]; duplicates: Excluded[] } {
  const foreignName = ({ name, step }: FoundCheckpoint['checkpoint']) => Number(positionFromName(name)?.step !== step);
  const sorted = found
    .map(({ checkpoint }) => checkpoint)
    .sort((a, b) => comparePositions(a, b) || foreignName(a) - foreignName(b) || (a.name < b.name ? -1 : 1));
  const kept: FoundCheckpoint['checkpoint'][] = [];
  const duplicates: Excluded[] = [];
  for (const checkpoint of sorted) {
    const last = kept.at(-1);
    if (last === undefined || !samePosition(last, checkpoint)) kept.push(checkpoint);
    else {
      const reason = reasonAgainstName(checkpoint.name) ?? `at the same step as ${last.name}, which is kept`;
      duplicates.push({ path: checkpoint.path, step: checkpoint.step, reason });
    }
  }
  return { kept, duplicates };
}

/** Without those that are not like the others of the run. @param found the same, with their forms */
function withoutUnlike(
  ordered: readonly FoundCheckpoint['checkpoint'][],
  found: readonly FoundCheckpoint[],
  mixedDtypes: boolean,
): { kept: FoundCheckpoint['checkpoint'][]; unlike: (BrokenCheckpoint | Excluded)[] } {
  const forms = new Map(found.map(({ checkpoint, form }) => [checkpoint, form]));
  const reasons = unlikeMembers(
    ordered.map((checkpoint) => forms.get(checkpoint)!),
    mixedDtypes,
  );
  return {
    kept: ordered.filter((_, i) => !reasons.has(i)),
    unlike: [...reasons].map(([i, reason]) => {
      const { path, name, stage, ingredient, epoch, step, tokens } = ordered[i]!;
      if (step === null) return { path, step, reason };
      return { path, name, stage, ingredient, ...(epoch !== undefined && { epoch }), step, tokens, reason };
    }),
  };
}

const isUnforeseen = ({ path }: Excluded): boolean => reasonAgainstName(basename(path)) === null;

/** As where each checkpoint was converted beside itself: that is one cause. */
function duplicateWarnings(duplicates: readonly Excluded[]): Warning[] {
  const [first, ...others] = duplicates;
  if (first === undefined) return [];
  const names = others.slice(0, WARNINGS_SHOWN).map(({ path }) => basename(path));
  const rest = others.length > names.length ? ` and ${others.length - names.length} more` : '';
  const more = others.length === 0 ? '' : `; and so ${others.length === 1 ? 'is' : 'are'} ${names.join(', ')}${rest}, at steps of others`;
  return [{ code: 'W_SAME_STEP', message: `${first.path} is left out: ${first.reason}${more}` }];
}

/** What is named in another form and may well be missed: several, or what is newer than all that are read. */
function apartWarnings(candidates: readonly CandidateFolder[], newest: number | null): Warning[] {
  const isMissed = ({ name, apart }: CandidateFolder) =>
    apart?.missed != null && (apart.missed > 1 || (newest !== null && (stepMentioned(name) ?? 0) > newest));
  const missed = candidates.filter(isMissed);
  const [first] = missed;
  if (first === undefined) return [];
  const count = missed.length === 1 ? '' : ` and ${missed.length - 1} more`;
  const them = missed.length === 1 ? 'it is meant, name it' : 'they are meant, name them';
  const message = `${first.path}${count} ${missed.length === 1 ? 'is' : 'are'} left out: ${first.apart!.reason}; where ${them}, one by one or with a pattern`;
  return [{ code: 'W_LEFT_OUT_MEMBERS', message }];
}

const stageKey = ({ stage, ingredient }: { readonly stage: number | null; readonly ingredient: number | null }) => `${stage} ${ingredient}`;

/** Stages and ingredients count their steps anew, so each has a log of its own. */
async function logsByStage(checkpoints: readonly FoundCheckpoint['checkpoint'][]): Promise<Map<string, LogEntry[]>> {
  const logs = new Map<string, LogEntry[]>();
  for (const [key, members] of groupBy(checkpoints, stageKey)) logs.set(key, await logOf(members));
  return logs;
}

function shortened(warnings: readonly Warning[]): Warning[] {
  return [...groupBy(warnings, ({ code }) => code)].flatMap(([code, all]) => {
    const more = all.length - WARNINGS_SHOWN;
    return more < 2 ? all : [...all.slice(0, WARNINGS_SHOWN), { code, message: `and ${more} more of this kind` }];
  });
}
