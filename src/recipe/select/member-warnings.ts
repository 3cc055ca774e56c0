import type { Warning } from '../../base/errors.ts';
import { optionName, optionWith } from '../../base/option-words.ts';
import { branchWarnings } from '../../checkpoints/run/branches.ts';
import { countsAnew, stepsText } from '../../checkpoints/run/position.ts';
import { aboutQuantity } from '../../checkpoints/run/quantity.ts';
import type { Run, RunCheckpoint } from '../../checkpoints/run/types.ts';
import type { LogEntry } from '../../checkpoints/types.ts';
import { learningRatePhase } from './phase.ts';

/**
 * Largest share of the training so far that members may span without a warning. In the PMA paper's sweep
 * (1.3B/13B after 204B tokens, section 4.3) shares up to .35 were better than the newest checkpoint and
 * shares from .55 on worse; .4 is ours.
 */
export const SAFE_SHARE = 0.4;

/** A rate from here on, as a share of the highest, is the highest one: logs are rounded. */
const PEAK = 0.99;
/** A first logged rate below this share of the highest is that of a warm-up. */
const WARM_UP_BELOW = 0.9;
/**
 * A rate that stood at its highest for this share of the log was constant, and what falls from it is a decay
 * of its own. At its highest is nearer to it than {@link PEAK}: a cosine at 30 % of its length was in the
 * highest hundredth for 21 % of that, and in the highest thousandth for 7 %.
 */
const PLATEAU = { share: 0.2, from: 0.999 };
/** A climb of the rate among the members, as a share of the highest there: it was warmed up again. */
const CLIMB = 0.2;
/**
 * Falls of the rate over the members that are worth a warning: after a plateau, and in a rate that falls all
 * the time.
 */
const FALL = { afterPlateau: 0.1, always: 0.5 };
/** Rates of this share of the highest before are those after a decay: most decays end at a tenth of it, or at none. */
const DECAYED = 0.25;

/** A member as far as its place in the training is known. */
export type PlacedMember = Pick<RunCheckpoint, 'path' | 'stage' | 'ingredient' | 'epoch' | 'step' | 'tokens'>;

/**
 * Warnings that a mean of these members may be worse than the newest alone. Reports that merge nothing have
 * no use for them.
 */
export const ADVICE: ReadonlySet<Warning['code']> = new Set(['W_WINDOW_WIDE', 'W_LR_PHASE']);

/**
 * What the log, the steps and the times of files say against a mean of these members: a window that is wide
 * for the training so far, members in the warm-up or in a decay of the learning rate, a loss that was no
 * number, a branch that was abandoned. Of siblings nothing can be said by their place.
 *
 * @param members oldest first, at least one
 * @param about the log of the newest one's stage, what is known to be of an abandoned branch, and from where
 * epochs count
 */
export function memberWarnings(
  members: readonly PlacedMember[],
  { log, abandoned, firstEpoch = 0 }: Pick<Run, 'log' | 'abandoned'> & { readonly firstEpoch?: number },
): Warning[] {
  const newest = members.at(-1)!;
  const oneTraining = members.every(({ stage, ingredient }) => stage === newest.stage && ingredient === newest.ingredient);
  if (!oneTraining) return [];
  return [
    ...branchWarnings(members, abandoned),
    ...lossWarnings(members, log),
    ...windowWarnings(members, firstEpoch),
    ...rateWarnings(members, log),
  ];
}

/**
 * Shares of the highest rate that are this far apart are those of a run that was annealed and of one that was
 * not.
 */
const PHASES_APART = 0.5;

/** A sibling: the rate at its place, and the log of the training that it is of. */
export interface Sibling {
  readonly path: string;
  readonly learningRate: number | null;
  readonly log: readonly Pick<LogEntry, 'learningRate'>[];
}

/**
 * What the learning rates say against a mean of siblings: that some of them have been annealed and others
 * have not. A rate is measured by the highest of its own training: siblings may differ in that.
 */
export function siblingWarnings(siblings: readonly Sibling[]): Warning[] {
  const rated = siblings.flatMap(({ path, learningRate, log }) => {
    const top = log.reduce((most, entry) => Math.max(most, entry.learningRate ?? 0), learningRate ?? 0);
    return learningRate === null || top === 0 ? [] : [{ path, rate: learningRate, share: learningRate / top }];
  });
  if (rated.length < 2) return [];
  const [low, high] = [rated.reduce(lower), rated.reduce(higher)];
  if (high.share - low.share < PHASES_APART) return [];
  const message =
    `the members stand at different learning rates: ${low.path} at ${short(low.rate)}, ${high.path} at ${short(high.rate)}. One that was annealed has settled, and a ` +
    'mean with one that was not is often worse than it; merge members that are in one phase';
  return [{ code: 'W_LR_PHASE', message }];
}

type Rated = { readonly path: string; readonly rate: number; readonly share: number };
const lower = (a: Rated, b: Rated): Rated => (b.share < a.share ? b : a);
const higher = (a: Rated, b: Rated): Rated => (b.share > a.share ? b : a);

function lossWarnings(members: readonly PlacedMember[], log: readonly LogEntry[]): Warning[] {
  const [oldest, newest] = [members[0]!.step, members.at(-1)!.step];
  if (oldest === null || newest === null) return [];
  // One distance between members before the oldest: it was saved in what came of that loss.
  const before = members.length === 1 ? 0 : (newest - oldest) / (members.length - 1);
  const lost = log.filter(({ step, loss }) => loss === Number.POSITIVE_INFINITY && step > oldest - before && step <= newest);
  if (lost.length === 0) return [];
  const [first] = lost;
  const more = lost.length === 1 ? '' : ` and in ${lost.length - 1} more logs up to step ${lost.at(-1)!.step}`;
  const message =
    `the loss was NaN or infinite at step ${first!.step}${more}: checkpoints from then on may be damaged; ` +
    `look at the loss around it, and unless it recovered take members from before it (${optionWith('before', first!.step)})`;
  return [{ code: 'W_LOSS_NAN', message }];
}

/** Stages after the first count their steps anew, so how long the training is they do not say. */
function windowWarnings(members: readonly PlacedMember[], firstEpoch: number): Warning[] {
  const { stage } = members.at(-1)!;
  if (members.length < 2 || (stage ?? 1) > 1) return [];
  for (const unit of ['tokens', 'steps'] as const) {
    const at = unit === 'tokens' ? members.map(({ tokens }) => tokens) : stepsOverEpochs(members, firstEpoch);
    if (at.includes(null)) continue;
    const [first, last] = [at[0]!, at.at(-1)!];
    if (!(last - first > SAFE_SHARE * last)) return [];
    const safe = at.filter((position) => last - position! <= SAFE_SHARE * last).length;
    const newest = members.at(-1)!;
    const about = unit === 'steps' && countsAnew(newest) ? 'about' : 'the';
    const inEpochs = unit === 'steps' && newest.epoch !== undefined && !countsAnew(newest);
    const soFar = inEpochs ? `the ${last} epochs` : `${about} ${aboutQuantity({ value: last, unit })}`;
    const advice = safe > 1 ? `take no more than ${safe} members` : 'wait until the training is longer';
    const message =
      `${members.length} members span ${((last - first) / last).toFixed(2)} of ${soFar} so far, where a mean may be worse than the ` +
      `newest alone: the PMA paper saw gain up to 0.35 and harm from 0.55 on, in one run of 1.3B/13B; ${advice}, or weigh the recent ones more than these are`;
    return [{ code: 'W_WINDOW_WIDE', message }];
  }
  return [];
}

function rateWarnings(members: readonly PlacedMember[], log: readonly LogEntry[]): Warning[] {
  const [oldest, newest] = [members[0]!.step, members.at(-1)!.step];
  const rates = log.filter((entry): entry is Rate => entry.learningRate !== null);
  if (members.length < 2 || oldest === null || newest === null || rates.length < 2) return [];
  const risen = endOfWarmUp(rates);
  const early = members.filter(({ step }) => risen !== null && step! < risen);
  if (early.length > 0) {
    const message =
      `${early.length} of ${members.length} members (${stepsText(early)}) ${early.length === 1 ? 'is' : 'are'} from the warm-up, in which the learning rate rises up to step ${risen} ` +
      `and weights move far: a mean with them may be worse than the newest alone; take members from there on (${optionWith('from', risen!)})`;
    return [{ code: 'W_LR_PHASE', message }];
  }
  const climb = climbAmong(rates.filter(({ step }) => step >= oldest && step <= newest));
  if (climb !== null) {
    const { from, to } = climb;
    const message =
      `the learning rate rises again among the members, from ${short(from.learningRate)} at step ${from.step} to ${short(to.learningRate)} at step ${to.step}, and weights move far then: ` +
      `a mean over it may be worse than the newest alone; take members of one side (${optionWith('to', from.step)}, ${optionWith('from', to.step)})`;
    return [{ code: 'W_LR_PHASE', message }];
  }
  const { kind, lowest, highest, text } = learningRatePhase(log, oldest, newest);
  const before = Math.max(0, ...rates.filter(({ step }) => step < oldest).map(({ learningRate }) => learningRate));
  if (kind === 'constant' && highest! <= DECAYED * before) {
    const message =
      `the members are from after a decay (${text}; ${short(before)} before): they have settled, and little is to be gained by a mean of them; ` +
      `score it against the newest alone, or take members from before the decay (${optionName('to')})`;
    return [{ code: 'W_LR_PHASE', message }];
  }
  if (kind !== 'decaying') return [];
  const top = Math.max(...rates.map(({ learningRate }) => learningRate));
  const plateau = rates.filter(({ learningRate }) => learningRate >= PLATEAU.from * top).length >= PLATEAU.share * rates.length;
  if (1 - lowest! / highest! < (plateau ? FALL.afterPlateau : FALL.always)) return [];
  const message =
    `the members lie in a decay (${text}): the newest of them has settled further than the others, and is often better than a mean with them, so little is to be gained; ` +
    `score both, or take fewer members, or ones from before the decay (${optionName('to')})`;
  return [{ code: 'W_LR_PHASE', message }];
}

/**
 * Steps so far. Where they begin anew in every epoch, one is taken to be as long as the last step seen of it;
 * where epochs are counted alone, they are those done. The first is 0 unless it is known that none is.
 */
function stepsOverEpochs(members: readonly PlacedMember[], first: number): (number | null)[] {
  const length = Math.max(...members.map(({ step }) => step ?? 0));
  return members.map(({ epoch, step }) => {
    if (step === null || epoch === undefined) return step;
    return epoch === step ? epoch - first + 1 : (epoch - first) * length + step;
  });
}

type Rate = LogEntry & { readonly learningRate: number };

/** The largest climb of the rate, from where to where; null where that is none to speak of. */
function climbAmong(rates: readonly Rate[]): { readonly from: Rate; readonly to: Rate } | null {
  let low = rates[0];
  let most: { readonly from: Rate; readonly to: Rate } | null = null;
  for (const rate of rates) {
    if (low === undefined || rate.learningRate <= low.learningRate) low = rate;
    else if (most === null || rate.learningRate - low.learningRate > most.to.learningRate - most.from.learningRate)
      most = { from: low, to: rate };
  }
  const highest = Math.max(...rates.map(({ learningRate }) => learningRate));
  return most !== null && most.to.learningRate - most.from.learningRate >= CLIMB * highest ? most : null;
}

function short(rate: number): string {
  return String(Number(rate.toPrecision(3)));
}

/**
 * Step from which on the rate is at its highest; null where it does not rise to that from the first log on.
 */
function endOfWarmUp(rates: readonly { readonly step: number; readonly learningRate: number }[]): number | null {
  const top = rates.reduce((most, { learningRate }) => Math.max(most, learningRate), 0);
  const end = rates.findIndex(({ learningRate }) => learningRate >= PEAK * top);
  if (end < 1 || rates[0]!.learningRate >= WARM_UP_BELOW * top) return null;
  const rising = rates.slice(1, end + 1).every(({ learningRate }, i) => learningRate >= PEAK * rates[i]!.learningRate);
  return rising ? rates[end]!.step : null;
}
