import { MergeError, type Warning } from '../../base/errors.ts';
import { optionName } from '../../base/option-words.ts';
import { readStepScores } from '../../checkpoints/results/by-step.ts';
import { directionOf, goalOf } from '../../checkpoints/results/goal.ts';
import { parseMetric } from '../../checkpoints/results/metric.ts';
import type { RunCheckpoint } from '../../checkpoints/run/types.ts';
import { label, type Shortlist } from './shortlist.ts';
import type { MemberScores, ScoredSelection } from './types.ts';

/** Steps that a warning names. */
const SHOWN = 10;

/** How many of `top:K`; null where it is something else. */
export function topOf(members: string | undefined): number | null {
  const [, count] = /^top:(\d{1,9})$/.exec(members ?? '') ?? [];
  return count === undefined || Number(count) === 0 ? null : Number(count);
}

/**
 * Reads the scores that a selection names; null where it names none.
 * @throws MergeError what {@link readStepScores} and {@link goalOf} throw; E_OPTION for a metric that is none
 */
export async function readMemberScores({ scores: path, metrics = [], goal }: ScoredSelection): Promise<MemberScores | null> {
  if (path === undefined) return null;
  const terms = [metrics].flat().map(parseMetric);
  const read = await readStepScores(path, terms);
  const names = terms.map(({ name }) => name).join(' and ');
  return { ...read, goal: goalOf(goal, read, { metrics: terms }), what: names === '' ? 'score' : names };
}

/**
 * Leaves the best `count` by their scores; of equal ones at the end the newer. Those without a score are left
 * out.
 * @throws MergeError E_SCORES where no checkpoint that is left has a score, or two have the same step
 */
export function keepBest(shortlist: Shortlist, count: number, { source, scores, without, goal, what }: MemberScores): void {
  const { run, left } = shortlist;
  const steps = left.map(({ step }) => step);
  const twice = steps.findIndex((step, i) => step !== null && steps.indexOf(step) < i);
  if (twice > 0) {
    const message = `${run.path}: ${left[steps.indexOf(steps[twice]!)]!.path} and ${left[twice]!.path} are both step ${steps[twice]}, and scores go by steps`;
    throw new MergeError('E_SCORES', message, { details: { file: left[twice]!.path }, help: 'Choose a stage with --stage.' });
  }
  const scoreOf = ({ step }: RunCheckpoint) => (step === null ? undefined : scores.get(step));
  const scored = left.filter((checkpoint) => scoreOf(checkpoint) !== undefined);
  if (scored.length === 0) {
    const range = scores.size === 0 ? 'there is no score that can be compared' : `it has scores of ${stepsText([...scores.keys()])}`;
    const there = stepsText(steps.flatMap((step) => step ?? []));
    throw new MergeError('E_SCORES', `${source} has no score of any checkpoint that is left (${there}): ${range}`, {
      details: { file: run.path },
    });
  }
  const { sign, which } = directionOf(goal);
  const ranked = scored.toSorted((a, b) => sign * (scoreOf(b)! - scoreOf(a)!) || left.indexOf(b) - left.indexOf(a));
  const best = new Set(ranked.slice(0, count));
  const [last, next] = [ranked[count - 1], ranked[count]];
  const said = (checkpoint: RunCheckpoint) => `${label(checkpoint)} ${Number(scoreOf(checkpoint)!.toPrecision(6))}`;
  const few =
    scored.length < count ? `all ${scored.length} that have one, and ${count} were asked for` : `the best ${count} of ${scored.length}`;
  shortlist.notes.push(`by ${what} in ${source} (${which} is better) ${few}: ${said(ranked[0]!)} to ${said(ranked[best.size - 1]!)}`);
  if (next !== undefined && scoreOf(last!) === scoreOf(next))
    shortlist.notes.push(`${said(last!)} ties with ${said(next)} for the last place: the newer is taken`);
  shortlist.drop((checkpoint) => {
    if (best.has(checkpoint)) return null;
    const score = scoreOf(checkpoint);
    if (score !== undefined) shortlist.outscored.set(checkpoint, score);
    if (score !== undefined) return `its score ${Number(score.toPrecision(6))} is not among the best ${count}`;
    return without.get(checkpoint.step ?? -1) === undefined
      ? `${source} has no score of it`
      : `it has no score (${without.get(checkpoint.step!)})`;
  });
}

/**
 * That selecting by a score and scoring the merge by the same flatters it; and what of the scores fits no
 * checkpoint, or the other way round.
 * @param pool what the other conditions leave
 * @param steps of all that the run holds
 */
export function scoredWarnings(
  members: readonly RunCheckpoint[],
  pool: readonly RunCheckpoint[],
  steps: ReadonlySet<number>,
  { source, scores, without, what }: MemberScores,
): Warning[] {
  const unscored = pool.filter(({ step }) => step === null || !scores.has(step));
  const unknown = [...scores.keys()].filter((step) => !steps.has(step));
  const reasons = unscored.flatMap(({ step }) => (step !== null && without.has(step) ? [`step ${step}: ${without.get(step)}`] : []));
  const lacking = unscored.length - reasons.length;
  const findings = [
    ...(lacking === 0
      ? []
      : [
          `${count(lacking, 'checkpoint has', 'checkpoints have')} no score, and cannot be among the best: ${stepsText(unscored.flatMap(({ step }) => (step !== null && !without.has(step) ? [step] : [])))}`,
        ]),
    ...reasons.slice(0, SHOWN),
    ...(reasons.length > SHOWN ? [`and ${reasons.length - SHOWN} more`] : []),
    ...(unknown.length === 0
      ? []
      : [`${count(unknown.length, 'score is of a step', 'scores are of steps')} that the run does not hold: ${stepsText(unknown)}`]),
  ];
  return [
    ...(findings.length === 0
      ? []
      : [{ code: 'W_SCORES' as const, message: [`${source}:`, ...findings].join(findings.length === 1 ? ' ' : '\n') }]),
    selectedByScore(`the ${members.length === 1 ? 'member was' : `${members.length} members were`} chosen`, { source, what }),
  ];
}

/** That the same items flatter what was chosen by them. @param who `the 3 members were chosen` */
export function selectedByScore(who: string, { source, what }: Pick<MemberScores, 'source' | 'what'>): Warning {
  const message = `${who} by ${what} in ${source}: on the same items the merge scores better than it is, so judge it on others`;
  return { code: 'W_SELECTED_BY_SCORE', message };
}

function count(number: number, one: string, many: string): string {
  return `${number} ${number === 1 ? one : many}`;
}

function stepsText(steps: readonly number[]): string {
  if (steps.length === 0) return 'no known step';
  const sorted = steps.toSorted((a, b) => a - b);
  const shown = sorted.length <= SHOWN ? sorted.join(', ') : `${sorted.slice(0, SHOWN - 1).join(', ')} … ${sorted.at(-1)}`;
  return `${sorted.length === 1 ? 'step' : 'steps'} ${shown}`;
}

/** What is wrong with the entries, whatever the scores are. */
export function scoredProblems({ members, scores, metrics, goal }: ScoredSelection, runs: number): string[] {
  const problems: string[] = [];
  if (members !== undefined && topOf(members) === null)
    problems.push(`${optionName('members')} takes top:K with a whole number of at least 1, as top:32, not '${members}'`);
  if (members !== undefined && scores === undefined) problems.push(`${optionName('members')} ${members} needs ${optionName('scores')}`);
  for (const [name, value] of Object.entries({ scores, metrics, goal })) {
    if (value !== undefined && members === undefined)
      problems.push(`${optionName(name)} has a meaning only with ${optionName('members')}, as top:32`);
  }
  if (members !== undefined && runs > 1) problems.push(`${optionName('members')} goes by steps of one run, and there are ${runs}`);
  return problems;
}
