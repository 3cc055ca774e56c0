import { basename } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import type { LogEntry } from '../../checkpoints/types.ts';
import { decayNotes, decayWeights } from './decay.ts';
import { type RatePoint, readRateCurve } from './decay-files.ts';
import { positionsIn } from './positions.ts';
import type { ScheduleContext, ScheduleMember, Weighing, WeightRequest } from './types.ts';

/** Rates are logged in few digits: this much above the run's own rate, or of rise, counts as none. */
const TOLERANCE = 1e-6;

/**
 * Factors w_1 … w_k that make a run stand for another learning rate: w_i is the mean, over the steps s with
 * T_{i−1} < s ≤ T_i, of the target rate at s divided by the rate really used at s. Both are linear between
 * the points given (logs and curves sample smooth schedules); after its last point the run's rate stays.
 * Ours; the weights follow by WSM's theorem (arXiv 2507.17634, theorem 3.1), taking each update as
 * proportional to its rate.
 *
 * @param steps T_0 … T_k, rising
 * @param target by step, from T_0 + 1 or before to T_k or after
 * @param used by step, from T_0 + 1 or before, all above 0
 * @throws MergeError E_DECAY when the target is above the rate used, or rises in relation to it
 */
function rateFactors(steps: readonly number[], target: readonly RatePoint[], used: readonly RatePoint[], file: string): number[] {
  const [targetAt, usedAt] = [follow(target), follow(used)];
  const factors: number[] = [];
  for (let i = 1; i < steps.length; i++) {
    const [from, to] = [steps[i - 1]!, steps[i]!];
    let sum = 0;
    for (let step = from + 1; step <= to; step++) {
      const [want, had] = [targetAt(step), usedAt(step)];
      if (want.rate > had.rate * (1 + TOLERANCE)) {
        throw decayError(file, `line ${want.line}: at step ${step} the curve has ${want.rate}, above the run's own ${had.rate}`, {
          help: 'A merge can only stand for less learning than there was: lower the curve.',
        });
      }
      sum += Math.min(1, want.rate / had.rate);
    }
    const [before, factor] = [factors.at(-1) ?? 1, sum / (to - from)];
    if (factor > before + TOLERANCE) {
      const rise = `from ${before} of the run's own rate to ${factor}`;
      throw decayError(file, `line ${targetAt(to).line}: over steps ${from + 1} to ${to} the curve rises ${rise}, and a decay never rises`);
    }
    factors.push(Math.min(before, factor));
  }
  return factors;
}

export async function weighByRateCurve(
  members: readonly ScheduleMember[],
  request: WeightRequest,
  { log }: ScheduleContext,
): Promise<Weighing> {
  const file = request.lrCurve!;
  const positions = positionsIn('steps', members, 'lr-curve');
  const target = await readRateCurve(file);
  const parameters = { lrCurve: basename(file) };
  if (members.length === 1) return { weights: Float64Array.of(1), parameters };
  const [first, last] = [positions.at[0]! + 1, positions.at.at(-1)!];
  const [from, to] = [target[0]!, target.at(-1)!];
  if (from.step > first)
    throw decayError(file, `line ${from.line}: the curve begins at step ${from.step}, and the members need it from step ${first} on`);
  if (to.step < last)
    throw decayError(file, `line ${to.line}: the curve ends at step ${to.step}, and the members need it up to step ${last}`);
  const weights = decayWeights(rateFactors(positions.at, target, ratesUsed(log ?? [], first, last), file));
  return { weights, parameters, notes: decayNotes(members, weights, positions) };
}

/** The logged rates that the window needs; the last one may stay for as long as logs are apart. */
function ratesUsed(log: readonly LogEntry[], first: number, last: number): RatePoint[] {
  const used = log.flatMap(({ step, learningRate }) => (learningRate === null ? [] : [{ step, rate: learningRate }]));
  const help = 'Members need a trainer_state.json or another state file with logged learning rates; wsm needs none.';
  if (used.length === 0)
    throw new MergeError('E_DECAY', 'lr-curve divides by the rate really used, and the run has no log of it', { help });
  const [oldest, newest] = [used[0]!, used.at(-1)!];
  const reach = newest.step + newest.step - (used.at(-2) ?? newest).step;
  if (oldest.step > first || reach < last) {
    const covered = `the log has it for steps ${oldest.step} to ${newest.step}, and the members need ${first} to ${last}`;
    throw new MergeError('E_DECAY', `lr-curve divides by the rate really used: ${covered}`, { help });
  }
  const zero = used.findIndex((p, i) => !(p.rate > 0) && p.step <= last && (used[i + 1]?.step ?? last) >= first);
  if (zero >= 0)
    throw new MergeError(
      'E_DECAY',
      `the run's own learning rate at step ${used[zero]!.step} is ${used[zero]!.rate}: there is nothing to divide by`,
    );
  return used;
}

/**
 * The curve at rising steps: linear between points, level after the last; `line` is that of the point at or
 * before.
 */
function follow(points: readonly RatePoint[]): (step: number) => RatePoint {
  let i = 0;
  return (step) => {
    while (i + 1 < points.length && points[i + 1]!.step <= step) i++;
    const [a, b] = [points[i]!, points[i + 1]];
    return b === undefined ? a : { ...a, rate: a.rate + ((b.rate - a.rate) * (step - a.step)) / (b.step - a.step) };
  };
}

function decayError(file: string, message: string, options: { help?: string } = {}): MergeError {
  return new MergeError('E_DECAY', `${file}: ${message}`, { details: { file }, ...options });
}
