import { join } from 'node:path';
import { onOutput } from '../../base/disk/io-error.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { worded } from '../../base/option-words.ts';
import { directionOf } from '../../checkpoints/results/goal.ts';
import type { ValidationScores } from '../conclusion/validate.ts';
import type { Candidate } from '../space/types.ts';
import { differences } from '../study/differences.ts';
import { tellsAll } from '../study/grown.ts';
import { plainCommand } from '../study/records.ts';
import { commandText, type EvaluationSettings, metricTexts, scorerOf } from '../study/scorer.ts';
import type { Session } from '../study/session.ts';
import { Study } from '../study/study.ts';
import type { RoundTrial } from '../study/trials.ts';
import { readTrials, type StudyIdentity, type TrialLine } from '../study/trials-file.ts';
import type { StudyEvent, StudyProgress } from '../study/types.ts';
import { concludedLegs } from './document.ts';
import { overAll } from './legs.ts';
import { type SearchOptions, VALIDATED } from './options.ts';
import { takenBy } from './result.ts';

/** Trials of the second set, beside those of the study. */
export const VALIDATION_FILE = 'validation.jsonl';

/** How a second set is scored, and what of the search holds there too. */
export interface ValidationOptions extends Omit<EvaluationSettings, 'eval'> {
  readonly output?: string | undefined;
  readonly validate: EvaluationSettings['eval'];
  readonly validateMetrics?: EvaluationSettings['metrics'];
}

/** Scores the best recipes and the baselines on a second set. */
export async function validateSearch(
  options: SearchOptions & { readonly dir: string; readonly validate: NonNullable<SearchOptions['validate']> },
  session: Session,
  signal: AbortSignal,
): Promise<ValidationScores | undefined> {
  const candidateOf = (id: number) => {
    const taken = takenBy(session, id);
    return overAll(taken, taken.members, session.members.all.length);
  };
  return validateTrials(options, session, { chosen: trialsToValidate(session), candidateOf }, signal);
}

/**
 * Scores trials of a study on a second set, once each, with one merge for all. Kept in a file of its own, so
 * that a study that is resumed does not score them again.
 */
export async function validateTrials(
  options: ValidationOptions,
  session: Session,
  { chosen, candidateOf }: { readonly chosen: readonly number[]; readonly candidateOf: (trial: number) => Candidate },
  signal: AbortSignal,
): Promise<ValidationScores | undefined> {
  const { study, folder, identity, records, members, merging, work, bytes, lying, gone, emit } = session;
  if (chosen.length === 0) return undefined;
  const { validate: command, validateMetrics: metrics = options.metrics } = options;
  const own: StudyIdentity = { ...identity, kind: 'validation', evaluator: commandText(command), metrics: metricTexts(metrics) };
  const file = join(folder.path, VALIDATION_FILE);
  const stored = await readTrials(file, { mend: true });
  const usable = stored !== null && differences(stored.identity, own).length === 0;
  // Scores of another set were paid for, too.
  if (stored !== null && !usable) await onOutput('rename', file, () => SYSTEM.fs.rename(file, `${file}.old`));
  const { evalSetup, goal, ...evaluation } = options;
  const { score } = scorerOf({ ...evaluation, eval: command, metrics }, worded`--validate`);
  const second = new Study({
    folder,
    file: VALIDATION_FILE,
    members: members.all,
    identity: own,
    records,
    stored: usable ? stored.trials : [],
    merging,
    work,
    bytes,
    output: options.output,
    parallel: options.parallel ?? 1,
    driver: null,
    keep: false,
    lying,
    gone,
    grown: usable && !tellsAll(stored.identity, own),
    // What was said of the search's own merges is not said again.
    emit: (event) => (event.type === 'warning' ? study.warn([event.warning]) : emit(asInSearch(event, (id) => names.get(id) ?? id))),
    score,
  });
  const names = new Map<number, number>();
  const recipes = new Map(chosen.map((id) => [study.trials.find((trial) => trial.id === id)!.recipe, id]));
  const scored = new Set(second.trials.filter(({ status }) => status === 'complete').map(({ recipe }) => recipe));
  const wanted = [...recipes].filter(([recipe]) => !scored.has(recipe)).map(([, id]) => id);
  const requests = wanted.map((id): RoundTrial => {
    const { kind, params } = study.trials.find((trial) => trial.id === id)!;
    return { kind, params, point: null, leg: 0, candidate: candidateOf(id) };
  });
  const first = Math.max(-1, ...second.trials.map(({ id }) => id)) + 1;
  for (const [i, id] of wanted.entries()) names.set(first + i, id);
  if (requests.length > 0) await second.round(first, requests, signal, () => true, second.trials.length + requests.length);
  return validationScores(commandText(command), recipes, second.trials);
}

/** What a validation does is told by the trials of the search that it scores again. */
function asInSearch(event: StudyEvent, nameOf: (id: number) => number): StudyEvent {
  switch (event.type) {
    case 'merging':
      return { ...event, trials: event.trials.map(nameOf) };
    case 'evaluating':
      return {
        ...event,
        trial: nameOf(event.trial),
        validation: true,
        ...(event.progress === undefined ? {} : { progress: ofSearch(event.progress, nameOf) }),
      };
    case 'retry':
      return { ...event, trial: nameOf(event.trial) };
    case 'trial':
      return { ...event, trial: { ...event.trial, id: nameOf(event.trial.id) }, validation: true };
    default:
      return event;
  }
}

function ofSearch(progress: StudyProgress, nameOf: (id: number) => number): StudyProgress {
  const { best } = progress;
  return { ...progress, best: best === null ? null : { ...best, trial: nameOf(best.trial) } };
}

function validationScores(command: string, recipes: ReadonlyMap<string, number>, lines: readonly TrialLine[]): ValidationScores {
  const rows = [...recipes].flatMap(([recipe, trial]) => {
    const found = lines.findLast((line) => line.recipe === recipe);
    if (found === undefined) return [];
    return [{ trial, score: found.score === null ? null : { score: found.score, stderr: found.stderr, items: found.items } }];
  });
  return { command, rows };
}

/** What the folder of a search holds of its validation. */
export async function storedValidation(
  folder: string,
  identity: StudyIdentity,
  trials: readonly TrialLine[],
): Promise<ValidationScores | undefined> {
  const stored = await readTrials(join(folder, VALIDATION_FILE));
  if (stored === null) return undefined;
  const { evaluator, metrics } = stored.identity;
  if (differences(stored.identity, { ...identity, kind: 'validation', evaluator, metrics }).length > 0) return undefined;
  const recipes = new Map([...trials].sort((a, b) => b.id - a.id).map(({ recipe, id }) => [recipe, id]));
  return validationScores(plainCommand(evaluator), recipes, stored.trials);
}

/** Baselines, and the recipes of the highest posterior means. */
function trialsToValidate(session: Session): readonly number[] {
  return concludedLegs(session.identity, session.goal(), session.study.trials, undefined, null).flatMap(
    ({ concluded, baselines, trials }) => {
      if (concluded.best === null) return [];
      const { sign } = directionOf(session.goal());
      const scoreOf = (id: number) => concluded.posterior.get(id)?.mean ?? trials.find((trial) => trial.id === id)!.score!;
      const ranked = trials
        .filter(({ score, repeatOf, kind }) => score !== null && repeatOf === null && (kind === 'trial' || kind === 'soup'))
        .map(({ id }) => id)
        .sort((a, b) => sign * (scoreOf(b) - scoreOf(a)));
      return [...new Set([...baselines.map(({ trial }) => trial), concluded.best, ...ranked.slice(0, VALIDATED)])];
    },
  );
}
