import { join } from 'node:path';
import { MergeError } from '../../../base/errors.ts';
import { goalOf } from '../../../checkpoints/results/goal.ts';
import type { Goal } from '../../../checkpoints/results/types.ts';
import { ScoreLogs } from '../../../search/export/logs.ts';
import { differences } from '../../../search/study/differences.ts';
import { StudyFolder } from '../../../search/study/folder.ts';
import { Records } from '../../../search/study/records.ts';
import { commandText, metricTexts, readOptions, scorerOf } from '../../../search/study/scorer.ts';
import { Trials } from '../../../search/study/trials.ts';
import {
  readTrials,
  type StudiedArm,
  type StudyGrowth,
  type StudyIdentity,
  storedGoal,
  TRIALS_FILE,
} from '../../../search/study/trials-file.ts';
import type { StudyEvent } from '../../../search/study/types.ts';
import type { WatchOptions } from '../types.ts';
import { LIVE_PAGE } from './live-page.ts';
import { evaluationOf, scoresFolder } from './options.ts';

/** The trials of a watch, and how models are scored. */
export interface WatchStudy {
  readonly folder: StudyFolder;
  readonly trials: Trials;
  readonly records: Records;
  /** With all that was scored so far. */
  identity(): StudyIdentity;
  /** Takes in what comes with a trial, before it is scored. */
  grow(growth: StudyGrowth): void;
  /** Which scores are better; null before anything says it. */
  goal(): Goal | null;
  /** Ends the logs, and gives the folder back. */
  close(): Promise<void>;
  /** Runs what prepares for evaluations, the first time that it is asked for. */
  setup(): Promise<void>;
}

/**
 * Opens the folder of a watch's scores, and goes on with what is there.
 * @throws MergeError E_SEARCH_BUSY, E_TRIALS, E_SEARCH_STATE where it was begun with another evaluator or metric; of the
 *   side of outputs
 */
export async function openWatchStudy(options: WatchOptions, signal: AbortSignal, emit: (event: StudyEvent) => void): Promise<WatchStudy> {
  const { run, output, scores } = options;
  const settings = evaluationOf(options);
  const folder = await StudyFolder.open(scoresFolder(options));
  try {
    const file = join(folder.path, TRIALS_FILE);
    const stored = await readTrials(file, { mend: true });
    const asked: StudyIdentity = {
      ...{ kind: 'watch', inputs: [run], members: [], pool: [], last: [], legs: [], scored: [] },
      evaluator: scores === undefined ? commandText(settings.eval) : `results in ${scores}`,
      ...{ metrics: metricTexts(options.metrics), goal: options.goal ?? null },
      ...{ noise: 'shared', sampler: 'watch', seed: 0, policies: [], dtype: null },
    };
    const records = new Records(folder.path, asked, { others: [output, ...(scores === undefined ? [] : [scores])] });
    const other = stored === null ? [] : differences({ ...stored.identity, members: [] }, records.identity(asked));
    if (other.length > 0) {
      throw new MergeError('E_SEARCH_STATE', `${file}: it was begun with other settings: ${other.join('; ')}`, {
        details: { file },
        help: 'Scores of another evaluator cannot be compared with these: go on with that one, or name another folder with --dir.',
      });
    }
    const identity = stored === null ? asked : { ...stored.identity, goal: asked.goal ?? stored.identity.goal };
    const arms = new Map<string, StudiedArm>();
    let logs: ScoreLogs | null = null;
    const grow = ({ scored }: Pick<StudyGrowth, 'scored'>): void => {
      for (const arm of scored) arms.set(`${arm.recipe} ${arm.is[0]!.name}`, arm);
    };
    grow({ scored: identity.scored ?? [] });
    let goal = stored === null ? asked.goal : storedGoal({ ...stored, identity });
    const scorer = scores === undefined ? scorerOf(settings) : null;
    const trials = new Trials({
      ...{ folder, file: TRIALS_FILE, members: [], identity, records, stored: stored?.trials ?? [], driver: 'scores', emit },
      score: scorer?.score ?? (() => Promise.reject(new Error('results are given'))),
      onRecorded: () => logs?.update(),
      onScore: (score) => {
        goal ??= goalOf(options.goal, score, readOptions(settings));
      },
    });
    const identityNow = () => ({ ...identity, scored: [...arms.values()] });
    logs = await ScoreLogs.open({
      ...{ log: options.log ?? [], folder: folder.path, page: LIVE_PAGE },
      stored: () => ({ identity: records.identity(identityNow()), trials: trials.trials.map((trial) => records.trial(trial)) }),
      warn: (warnings) => trials.warn(warnings),
    });
    const close = async (): Promise<void> => {
      await logs?.end();
      await folder.close();
    };
    let prepared: Promise<void> | null = null;
    const setup = (): Promise<void> => (prepared ??= scorer?.setup(signal) ?? Promise.resolve());
    return { folder, trials, records, identity: identityNow, grow, close, goal: () => goal, setup };
  } catch (error) {
    await folder.close();
    throw error;
  }
}
