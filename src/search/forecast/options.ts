import { basename, resolve } from 'node:path';
import { MOST } from '../../base/limits.ts';
import { optionName } from '../../base/option-words.ts';
import { omit } from '../../base/pick.ts';
import { refuse } from '../../base/problems.ts';
import { checkGiven, OF_OUTPUT, type Taken } from '../../recipe/given.ts';
import { PARAMETERS } from '../../recipe/schedule/parameters.ts';
import type { WeightRequest } from '../../recipe/schedule/types.ts';
import type { StudyRequest } from '../study/session.ts';
import { OF_STUDY } from '../study/taken.ts';
import type { BranchScore } from './calibrate.ts';

/** Checkpoints in a window where nothing else is said, as in the PMA paper. */
export const DEFAULT_WINDOW = 10;

/** Weights that make no sense in a window that slides: of extrapolation, and lists of one's own. */
type NotOfWindows = 'weights' | 'normalize' | 'gamma' | 'window' | 'lag';

/** Same names in the library and (with dashes) on the command line. */
export interface ForecastOptions extends Omit<StudyRequest, 'dir' | 'output'>, Omit<WeightRequest, NotOfWindows> {
  /**
   * Folder of trials, logs and reports; `RUN.forecast` in the current folder when absent, after the run's
   * name.
   */
  readonly dir?: string | undefined;
  /** Checkpoints in a window; default 10, or half of the checkpoints (at least 2) where there are fewer than 10. */
  readonly window?: number | undefined;
  /** Decays that were really trained. */
  readonly calibrate?: readonly BranchScore[] | undefined;
}

/** What a forecast takes, in the library. */
const OF_FORECAST = {
  ...omit(OF_STUDY, ['output']),
  method: OF_OUTPUT.method,
  ...omit(PARAMETERS, ['gamma', 'lag']),
  window: { kind: 'integer' },
  calibrate: { kind: 'maps', of: { step: { kind: 'index', needed: true }, score: { kind: 'number', needed: true } } },
} as const satisfies Taken<ForecastOptions>;

/** Options with what they leave open. */
export type ResolvedForecast = ForecastOptions & { readonly dir: string };

/**
 * Refuses what is wrong whatever the run holds.
 * @throws MergeError E_OPTION with every problem
 */
export function resolveForecast(options: ForecastOptions): ResolvedForecast {
  checkGiven('forecast', options, OF_FORECAST);
  const { window, method, select, calibrate = [], inputs } = options;
  const problems: string[] = [];
  if (window !== undefined && !(Number.isSafeInteger(window) && window >= 2 && window <= MOST.count)) {
    problems.push(
      `${optionName('window')} must be a whole number of at least 2, not ${window}: that of one checkpoint is the checkpoint alone`,
    );
  }
  if (method === 'extrapolate') problems.push('extrapolate has windows of its own, and a forecast slides one along the run');
  if (select?.eachIngredient !== undefined) problems.push('ingredients are siblings, which have no order to slide along');
  const twice = calibrate.find(({ step }, i) => calibrate.findIndex((other) => other.step === step) < i);
  if (twice !== undefined) problems.push(`${optionName('calibrate')} names step ${twice.step} twice`);
  if (inputs.length === 0) problems.push('no run is given');
  refuse(problems, { several: (count) => `${count} things are wrong with the options of the forecast` });
  return { ...options, dir: options.dir ?? `${basename(resolve(inputs[0]!)) || 'run'}.forecast` };
}
