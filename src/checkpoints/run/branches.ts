import type { Warning } from '../../base/errors.ts';
import { groupBy } from '../../base/group-by.ts';
import { worded } from '../../base/option-words.ts';
import { foldersOfStep } from '../position.ts';
import { readLog } from '../states.ts';
import type { LogEntry } from '../types.ts';
import { stepsText } from './position.ts';
import type { RunCheckpoint, StrayCheckpoint } from './types.ts';

/** Seconds by which a later step must be older: a copy that does not keep times is written within fewer. */
const LEAST_SECONDS = 600;
/** Or as long as copying a checkpoint takes, at this rate. */
const COPY_BYTES_PER_SECOND = 20e6;
/**
 * Of how many checkpoints, in the order of their times, steps may fall once: a training goes back now and
 * then.
 */
const CHECKPOINTS_A_FALL = 8;
/** Entries of logs that are read for what they say against each other: about 30 MB of JSON. */
const MOST_ENTRIES = 200_000;

export type SavedCheckpoint = Pick<RunCheckpoint, 'path' | 'name' | 'stage' | 'ingredient' | 'step' | 'bytes' | 'savedAt'>;

/**
 * Checkpoints of branches that a training left behind: as where it went back (to step 200 of 100, 200, 300)
 * and came by these steps again, so that step 300 is of a branch that was abandoned. Where both have a
 * training log, that decides: logs of one training agree on the steps that both have, as each goes on from
 * the one before. Otherwise times of files do, which say this of a run as its trainer left it, and nothing of
 * one that was copied without its times or downloaded; so a later step counts as older only where
 *
 * - it is so by over ten minutes, and by longer than a copy of the checkpoint takes at 20 MB/s;
 * - in the order of times steps rise, with one fall in eight checkpoints at most (each is a way back), and not in the
 *   order of names, in which copies are made;
 * - the oldest file is that of the first step, or what came after the way back lies among the steps of before: two
 *   halves of a run may have been downloaded one after the other.
 *
 * @param checkpoints in the order of their run
 * @param options `times`: whether times of files are those of saving
 */
export async function abandonedBranch(
  checkpoints: readonly SavedCheckpoint[],
  { times = true }: { readonly times?: boolean } = {},
): Promise<readonly StrayCheckpoint[]> {
  const trainings = groupBy(
    checkpoints.filter(({ step }) => step !== null),
    ({ stage, ingredient }) => `${stage} ${ingredient}`,
  );
  const found: StrayCheckpoint[] = [];
  for (const training of trainings.values()) {
    if (training.length < 2) continue;
    const logs = await logsOf(training);
    const byLogs = strayByLogs(training, logs, times);
    const known = new Set(byLogs.map(({ path }) => path));
    const byTimes = times ? strayByTimes(training, logs).filter((path) => !known.has(path)) : [];
    found.push(...byLogs, ...byTimes.map((path) => ({ path, contradicts: null })));
  }
  return found;
}

type Logs = ReadonlyMap<SavedCheckpoint, ReadonlyMap<number, LogEntry>>;

/** The training logs by step, of the newest checkpoints where all would be too many. */
async function logsOf(training: readonly SavedCheckpoint[]): Promise<Logs> {
  const logs = new Map<SavedCheckpoint, ReadonlyMap<number, LogEntry>>();
  let entries = 0;
  for (const checkpoint of training.toReversed()) {
    const log = await readLog(foldersOfStep(checkpoint.path));
    entries += log.length;
    if (entries > MOST_ENTRIES) break;
    if (log.length > 0) logs.set(checkpoint, new Map(log.map((entry) => [entry.step, entry])));
  }
  return logs;
}

/** Whether two logs agree on what both say; null where they have nothing in common. */
function agree(one: ReadonlyMap<number, LogEntry> | undefined, other: ReadonlyMap<number, LogEntry> | undefined): boolean | null {
  if (one === undefined || other === undefined) return null;
  let common = false;
  for (const { step, loss, learningRate } of one.values()) {
    const entry = other.get(step);
    if (entry === undefined) continue;
    for (const [a, b] of [
      [loss, entry.loss],
      [learningRate, entry.learningRate],
    ] as const) {
      if (a === null || b === null) continue;
      if (a !== b) return false;
      common = true;
    }
  }
  return common || null;
}

/**
 * Those whose logs contradict that of the checkpoint saved last, or where times do not tell that, of the last
 * step.
 */
function strayByLogs(training: readonly SavedCheckpoint[], logs: Logs, times: boolean): StrayCheckpoint[] {
  const logged = training.filter((checkpoint) => logs.has(checkpoint));
  if (logged.length < 2) return [];
  const [latest] = logged.toSorted((a, b) => (b.savedAt ?? 0) - (a.savedAt ?? 0));
  const last = logged.at(-1)!;
  const current = times && isLater(latest!, last) ? latest! : last;
  const stray = logged.filter((checkpoint) => agree(logs.get(checkpoint), logs.get(current)) === false);
  const others = logged.filter((checkpoint) => !stray.includes(checkpoint));
  return stray.map((checkpoint) => ({
    path: checkpoint.path,
    contradicts: others.filter((other) => agree(logs.get(checkpoint), logs.get(other)) === false).map(({ path }) => path),
  }));
}

/** Whether one was saved later than another by more than a copy of it takes. */
function isLater(one: SavedCheckpoint, other: SavedCheckpoint): boolean {
  if (one.savedAt === null || other.savedAt === null) return false;
  return (one.savedAt - other.savedAt) / 1000 > Math.max(LEAST_SECONDS, other.bytes / COPY_BYTES_PER_SECOND);
}

function strayByTimes(all: readonly SavedCheckpoint[], logs: Logs): readonly string[] {
  const training = all.filter(({ savedAt }) => savedAt !== null);
  if (training.length < 3) return [];
  const saved = training.toSorted((a, b) => a.savedAt! - b.savedAt! || a.step! - b.step!);
  const falls = saved.flatMap(({ step }, i) => (i > 0 && step! < saved[i - 1]!.step! ? [i] : []));
  if (falls.length === 0 || falls.length > Math.max(1, Math.floor(training.length / CHECKPOINTS_A_FALL))) return [];
  const before = saved.slice(0, falls[0]);
  const among = before.length > 1 && saved.length - falls[0]! > 1 && saved.at(-1)!.step! > before[0]!.step!;
  if ((saved[0] !== training[0] && !among) || saved.every(({ name }, i) => i === 0 || saved[i - 1]!.name < name)) return [];
  const found: string[] = [];
  let newest = training[0]!;
  for (const checkpoint of training.slice(1)) {
    if (isLater(newest, checkpoint) && agree(logs.get(newest), logs.get(checkpoint)) !== true) found.push(checkpoint.path);
    if (checkpoint.savedAt! > newest.savedAt!) newest = checkpoint;
  }
  return found;
}

/**
 * What there is to say of those among checkpoints that {@link abandonedBranch} names. Of logs that contradict
 * each other nothing is said where only those of one branch are among them.
 * @param checkpoints of a run, or members of a merge
 */
export function branchWarnings(
  checkpoints: readonly Pick<RunCheckpoint, 'path' | 'step'>[],
  abandoned: readonly StrayCheckpoint[],
): Warning[] {
  const here = new Set(checkpoints.map(({ path }) => path));
  const byLogs = new Map(
    abandoned.flatMap(({ path, contradicts }) => (contradicts?.some((other) => here.has(other)) ? [[path, contradicts]] : [])),
  );
  const byTimes = new Set(abandoned.flatMap(({ path, contradicts }) => (contradicts === null ? [path] : [])));
  const contradicting = checkpoints.filter(({ path }) => byLogs.has(path));
  const older = checkpoints.filter(({ path }) => byTimes.has(path));
  const leave = worded`leave out one branch, with --to or --steps`;
  const messages: string[] = [];
  if (contradicting.length > 0) {
    const against = new Set([...byLogs.values()].flat());
    const others = stepsText(checkpoints.filter(({ path }) => against.has(path)));
    const verb = contradicting.length === 1 ? 'is' : 'are';
    messages.push(
      `${stepsText(contradicting)} ${verb} of another branch of the training than ${others}: their training logs differ at steps that both have; ` +
        `a mean of two branches is of no training; ${leave}`,
    );
  }
  if (older.length > 0) {
    const [verb, pronoun] = older.length === 1 ? ['was', 'it'] : ['were', 'they'];
    messages.push(
      `${stepsText(older)} ${verb} saved long before checkpoints of earlier steps: ${pronoun} may be of a branch of the training that was abandoned ` +
        `(or the others were copied or written again later); unless all are one training, ${leave}`,
    );
  }
  return messages.map((message) => ({ code: 'W_ABANDONED_BRANCH', message }));
}
