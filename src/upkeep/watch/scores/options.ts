import { join, relative, resolve } from 'node:path';
import { SYSTEM } from '../../../base/disk/system.ts';
import { MergeError } from '../../../base/errors.ts';
import { optionName, worded } from '../../../base/option-words.ts';
import { keysOf, omit } from '../../../base/pick.ts';
import type { Taken } from '../../../recipe/given.ts';
import { logTargets } from '../../../search/export/logs.ts';
import type { BranchScore } from '../../../search/forecast/calibrate.ts';
import type { EvaluationSettings } from '../../../search/study/scorer.ts';
import { checkEvaluation } from '../../../search/study/session.ts';
import { OF_EVALUATION } from '../../../search/study/taken.ts';

/** How a watch scores what it merges, and each new checkpoint alone. Same names on the command line, with dashes. */
export interface ScoreOptions extends Partial<Omit<EvaluationSettings, 'timeout'>> {
  /**
   * Instead of `eval`: folder of results that another pipeline writes, NAME.json or a folder NAME of lm-eval or
   * lighteval for each merge and each checkpoint by its name.
   */
  readonly scores?: string | undefined;
  /** Decays that were really trained: with them the page shows what a decay would score. */
  readonly calibrate?: readonly BranchScore[] | undefined;
  /** Folder of the scores, logs and the page; `scores` in the folder of the merges when absent. */
  readonly dir?: string | undefined;
  /** Where scores are logged as they come: `csv`, `jsonl`, `tensorboard`, each alone or with `=PATH`; `wandb`, `mlflow`. */
  readonly log?: readonly string[] | undefined;
  /** Folder for what evaluators are given that do not read the run's own form; `dir` when absent. */
  readonly work?: string | undefined;
}

/** What a watch takes of these, in the library. */
export const OF_SCORES = {
  ...omit(OF_EVALUATION, ['eval', 'timeout']),
  eval: { kind: 'command' },
  scores: { kind: 'path' },
  calibrate: { kind: 'maps', of: { step: { kind: 'index', needed: true }, score: { kind: 'number', needed: true } } },
  dir: { kind: 'path' },
  work: { kind: 'path' },
  log: { kind: 'texts' },
} as const satisfies Taken<ScoreOptions>;

/** Options of a watch that scores. */
export interface ScoringOptions extends ScoreOptions {
  readonly run: string;
  readonly output: string;
  readonly timeout?: number | undefined;
  readonly poll?: number | undefined;
}

/** Whether anything is scored. */
export function isScored({ eval: command, scores }: ScoreOptions): boolean {
  return command !== undefined || scores !== undefined;
}

/** The folder of the scores. */
export function scoresFolder({ dir, output }: Pick<ScoringOptions, 'dir' | 'output'>): string {
  return dir ?? join(output, 'scores');
}

/** How models are scored, where a command does it; of results that are given, how they are read. */
export function evaluationOf({ scores, calibrate, dir, work, log, ...settings }: ScoringOptions): EvaluationSettings {
  return { ...settings, eval: settings.eval ?? '' };
}

/**
 * Refuses what no model could be scored by, before the first round.
 * @throws MergeError E_OPTION, E_USAGE, and of the options of an evaluator
 */
export async function checkScoring(options: ScoringOptions): Promise<void> {
  const { eval: command, scores, run, output, calibrate = [] } = options;
  if (command !== undefined && scores !== undefined) {
    throw new MergeError('E_OPTION', worded`--eval and --scores both say where scores come from`, { help: 'Keep one of the two.' });
  }
  if (!isScored(options)) {
    const idle = keysOf(OF_SCORES).filter((name) => options[name] !== undefined);
    if (idle.length === 0) return;
    const names = idle.map((name) => optionName(name)).join(', ');
    throw new MergeError('E_OPTION', `${names} ${idle.length === 1 ? 'is' : 'are'} about scores, and nothing is scored`, {
      help: worded`Name the command that scores a model with --eval, or the folder of results with --scores.`,
    });
  }
  const twice = calibrate.find(({ step }, i) => calibrate.findIndex((other) => other.step === step) < i);
  if (twice !== undefined) throw new MergeError('E_OPTION', `${optionName('calibrate')} names step ${twice.step} twice`);
  logTargets(options.log ?? []);
  if (command !== undefined) checkEvaluation(evaluationOf(options));
  const places = { [optionName('dir')]: scoresFolder(options), [optionName('scores')]: scores, [optionName('work')]: options.work };
  const real = (path: string) => SYSTEM.fs.realpath(path).catch(() => resolve(path));
  const [from, to] = [await real(run), await real(output)];
  for (const [option, path] of Object.entries(places)) {
    if (path === undefined) continue;
    const place = await real(path);
    if (place === from || place === to || !relative(place, to).startsWith('..'))
      throw new MergeError('E_OPTION', `${option} must be a folder of its own, not ${path}`);
    if (option !== optionName('scores') && !relative(from, place).startsWith('..')) {
      throw new MergeError('E_OUTPUT_OVERLAPS_INPUT', `${option} ${path} lies in the run`, {
        details: { file: path },
        help: 'Name a folder beside the run.',
      });
    }
  }
}
