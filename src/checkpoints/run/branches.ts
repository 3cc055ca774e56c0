import type { Warning } from '../../base/errors.ts';
import { foldersOfStep } from '../position.ts';
import { readLog } from '../states.ts';
import type { LogEntry } from '../types.ts';
import { stepsText } from './position.ts';
import type { RunCheckpoint } from './types.ts';

/** Seconds by which a later step must be older: a copy that does not keep times is written within fewer. */
const LEAST_SECONDS = 600;
/** Or as long as copying a checkpoint takes, at this rate. */
const COPY_BYTES_PER_SECOND = 20e6;
/** Of how many checkpoints times may fall once from one step to the next; a training goes back now and then. */
const CHECKPOINTS_A_FALL = 8;

export type SavedCheckpoint = Pick<RunCheckpoint, 'path' | 'name' | 'stage' | 'ingredient' | 'step' | 'bytes' | 'savedAt'>;

/**
 * Paths of checkpoints that were saved long before ones of earlier steps: as where a training went back (to
 * step 200 of 100, 200, 300) and came by these steps again, so that step 300 is of a branch that was
 * abandoned. Times of files say this of a run as its trainer left it, and nothing of one that was copied
 * without its times or downloaded; so a later step counts as older only where
 *
 * - it is so by over ten minutes, and by longer than a copy of the checkpoint takes at 20 MB/s;
 * - times rise from step to step otherwise, with one fall in eight checkpoints at most;
 * - the oldest file is that of the first step, and the order of times is not that of names, in which copies are
 *   made;
 * - the training logs of the two do not agree on the steps that both have.
 *
 * @param checkpoints in the order of their run
 */
export async function abandonedBranch(checkpoints: readonly SavedCheckpoint[]): Promise<readonly string[]> {
  const found: string[] = [];
  const trainings = new Map<string, SavedCheckpoint[]>();
  for (const checkpoint of checkpoints) {
    if (checkpoint.step === null || checkpoint.savedAt === null) continue;
    const key = `${checkpoint.stage} ${checkpoint.ingredient}`;
    trainings.set(key, [...(trainings.get(key) ?? []), checkpoint]);
  }
  for (const training of trainings.values()) found.push(...(await abandonedOf(training)));
  return found;
}

async function abandonedOf(training: readonly SavedCheckpoint[]): Promise<readonly string[]> {
  const times = training.map(({ savedAt }) => savedAt!);
  const falls = times.filter((time, i) => i > 0 && time < times[i - 1]!).length;
  if (training.length < 3 || falls === 0 || falls > Math.max(1, Math.floor(training.length / CHECKPOINTS_A_FALL))) return [];
  if (Math.min(...times) < times[0]! || inOrderOfNames(training)) return [];
  const found: string[] = [];
  let newest = training[0]!;
  for (const checkpoint of training.slice(1)) {
    const behind = (newest.savedAt! - checkpoint.savedAt!) / 1000;
    if (behind > Math.max(LEAST_SECONDS, checkpoint.bytes / COPY_BYTES_PER_SECOND) && !(await sameTraining(newest, checkpoint))) {
      found.push(checkpoint.path);
    }
    if (checkpoint.savedAt! > newest.savedAt!) newest = checkpoint;
  }
  return found;
}

/** As where a shell or a copying program goes through a folder: `checkpoint-1000` before `checkpoint-200`. */
function inOrderOfNames(training: readonly SavedCheckpoint[]): boolean {
  const byTime = training.toSorted((a, b) => a.savedAt! - b.savedAt!);
  return byTime.every(({ name }, i) => i === 0 || byTime[i - 1]!.name < name);
}

/** Whether both have a log, and these say the same of the steps that both have. */
async function sameTraining(a: SavedCheckpoint, b: SavedCheckpoint): Promise<boolean> {
  const [ofA = [], ofB = []] = await Promise.all([a, b].map(({ path }) => readLog(foldersOfStep(path))));
  const known = new Map(ofA.map((entry) => [entry.step, entry]));
  const pairs = ofB.flatMap((entry): [LogEntry, LogEntry][] => {
    const other = known.get(entry.step);
    return other === undefined ? [] : [[other, entry]];
  });
  return pairs.length > 0 && pairs.every(([one, other]) => one.loss === other.loss && one.learningRate === other.learningRate);
}

/**
 * What there is to say of those among checkpoints that {@link abandonedBranch} names.
 * @param checkpoints of a run, or members of a merge
 */
export function branchWarnings(checkpoints: readonly Pick<RunCheckpoint, 'path' | 'step'>[], abandoned: readonly string[]): Warning[] {
  const older = checkpoints.filter(({ path }) => abandoned.includes(path));
  if (older.length === 0) return [];
  const [verb, pronoun] = older.length === 1 ? ['was', 'it'] : ['were', 'they'];
  const message =
    `${stepsText(older)} ${verb} saved long before checkpoints of earlier steps: ${pronoun} may be of a branch of the training that was abandoned ` +
    '(or the others were copied or written again later); unless all are one training, leave out one branch, as with to or steps';
  return [{ code: 'W_ABANDONED_BRANCH', message }];
}
