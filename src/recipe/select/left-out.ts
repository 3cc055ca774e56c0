import { basename } from 'node:path';
import { MergeError, type Warning } from '../../base/errors.ts';
import { optionName } from '../../base/option-words.ts';
import { shownName } from '../../checkpoints/position.ts';
import { comparePositions } from '../../checkpoints/run/position.ts';
import { mayBeSaving } from '../../checkpoints/run/reasons.ts';
import type { BrokenCheckpoint, Run, RunCheckpoint } from '../../checkpoints/run/types.ts';
import { UNLIKE } from '../../checkpoints/run/unlike.ts';
import { topOf } from './scored.ts';
import { label, NO_TOKENS, type Shortlist } from './shortlist.ts';
import type { LeftOutMember, MemberReport, Selection } from './types.ts';

/** Left out checkpoints that a warning names. */
const SHOWN = 20;

/**
 * A selection, and whether `last` is a number that somebody counts on, and not the most that a window may
 * have.
 */
export interface AskedMembers {
  readonly selection: Selection;
  readonly exact: boolean;
}

/** A broken checkpoint in the place of a sound one. */
interface Stand extends RunCheckpoint {
  readonly broken: BrokenCheckpoint;
}

/** What a selection takes of a run, and what it cannot judge. */
type Taken = Pick<Shortlist, 'left' | 'unplaced'>;

/**
 * What a selection would have chosen were every checkpoint usable, against what it chose: what is broken, or
 * stands nobody knows where in the unit of a condition, and was not asked for is nobody's loss, and that
 * another takes its place does not make it one less.
 *
 * @param chosen by run, its members, oldest first
 * @param choose what the selection takes of a run like one of these
 */
export function findLeftOut(
  runs: readonly Run[],
  chosen: readonly Taken[],
  { selection, exact }: AskedMembers,
  choose: (run: Run) => Taken,
): MemberReport {
  const found = chosen.reduce((sum, { left }) => sum + left.length, 0);
  const left: LeftOutMember[] = [];
  let wanted = 0;
  for (const [i, given] of runs.entries()) {
    const members = chosen[i]!.left;
    const run = withUnplaced(given, chosen[i]!.unplaced);
    const whole = run.broken.length === 0 ? members : wantedOf(run, members, choose);
    wanted += whole.length;
    for (const checkpoint of whole) {
      if (!('broken' in checkpoint)) continue;
      const { step, reason } = (checkpoint as Stand).broken;
      const name = shownName(checkpoint);
      // Of siblings each is compared with its own training.
      const rival = members.findLast(({ ingredient }) => selection.eachIngredient === undefined || ingredient === checkpoint.ingredient);
      const newer = rival === undefined || comparePositions(checkpoint, rival) > 0;
      left.push({ name: runs.length === 1 ? name : `${basename(run.path)}/${name}`, step, reason, newer });
    }
  }
  return { asked: (exact ? (topOf(selection.members) ?? selection.last) : undefined) ?? Math.max(wanted, found), found, leftOut: left };
}

/** A run in which what a selection could not place counts as what cannot be used. */
function withUnplaced(run: Run, unplaced: Taken['unplaced']): Run {
  const lost = [...unplaced].flatMap(([{ path, name, stage, ingredient, epoch, step, tokens }, reason]): BrokenCheckpoint[] =>
    step === null ? [] : [{ path, name, stage, ingredient, ...(epoch !== undefined && { epoch }), step, tokens, reason }],
  );
  if (lost.length === 0) return run;
  const paths = new Set(lost.map(({ path }) => path));
  return { ...run, checkpoints: run.checkpoints.filter(({ path }) => !paths.has(path)), broken: [...run.broken, ...lost] };
}

function wantedOf(run: Run, members: readonly RunCheckpoint[], choose: (run: Run) => Taken): readonly RunCheckpoint[] {
  const stands = run.broken.map((broken) => standFor(run, broken));
  const checkpoints = [...run.checkpoints, ...stands].sort(comparePositions);
  // What nothing can be said of counts where it is not older than the oldest member.
  const among = (some: readonly RunCheckpoint[]) => some.filter((stand) => comparePositions(stand, members[0]!) > 0);
  try {
    const { left, unplaced } = choose({ ...run, checkpoints });
    return [...left, ...among(stands.filter((stand) => unplaced.has(stand)))];
  } catch (error) {
    if (!(error instanceof MergeError)) throw error;
    // A condition that the others meet and these do not.
    return [...members, ...among(stands)];
  }
}

/**
 * As the sound one that it would be; its tokens by those of its neighbours, where its name does not tell
 * them.
 */
function standFor({ checkpoints }: Run, broken: BrokenCheckpoint): Stand {
  const { path, name, stage, ingredient, epoch, step } = broken;
  const rest = { tokensFrom: null, bytes: 0, dtypes: [], learningRate: null, loss: null, evalLoss: null, savedAt: null };
  return { path, name, stage, ingredient, epoch, step, tokens: broken.tokens ?? tokensAt(checkpoints, broken), ...rest, broken };
}

/** On the straight line through the two checkpoints nearest to a step; null where two are not known. */
export function tokensAt(checkpoints: readonly RunCheckpoint[], { stage, ingredient, epoch, step }: BrokenCheckpoint): number | null {
  const known = checkpoints.filter(
    (c) =>
      c.stage === stage && c.ingredient === ingredient && (c.epoch === epoch || epoch === step) && c.step !== null && c.tokens !== null,
  );
  const after = known.findIndex((c) => c.step! > step);
  const second = after === -1 ? known.length - 1 : Math.max(1, after);
  const [a, b] = [known[second - 1], known[second]];
  if (a === undefined || b === undefined) return null;
  return Math.max(0, Math.round(a.tokens! + ((b.tokens! - a.tokens!) * (step - a.step!)) / (b.step! - a.step!)));
}

/**
 * What there is to say of members that are not all that was asked for: first what is newer than the newest of
 * them, then what else is left out, then how many were asked for. A single member, where more could have been
 * meant, is said to be a copy.
 */
export function leftOutWarnings(
  runs: readonly Run[],
  members: readonly RunCheckpoint[],
  { asked, found, leftOut }: MemberReport,
  { selection }: AskedMembers,
): Warning[] {
  const where = runs.map(({ path }) => path).join(', ');
  const copy = `a merge of it is a copy of ${label(members[0]!)}`;
  const fewer = found < asked;
  if (leftOut.length === 0 && !fewer) {
    if (found > 1 || selection.last === 1 || selection.steps !== undefined) return [];
    return [{ code: 'W_ONE_MEMBER', message: `${where}: one checkpoint takes part (${whyFewer(selection)}), and ${copy}` }];
  }
  const newer = leftOut.filter((left) => left.newer);
  const others = leftOut.filter((left) => !left.newer);
  const count = found === 1 ? 'there is 1 member' : `there are ${found} members`;
  // Where no number was asked for it is that of the whole ones and these.
  const counted = selection.last !== undefined || selection.members !== undefined || selection.steps !== undefined;
  const why = leftOut.length === 0 ? `: ${whyFewer(selection)}` : '';
  const head = [
    ...(newer.length === 0 ? [] : [newerText(newer, members, runs.length === 1)]),
    ...(others.length === 0 ? [] : [others.length === 1 ? `${others[0]!.name} is left out` : `${others.length} checkpoints are left out`]),
    fewer
      ? `${count}, ${found} of ${asked} ${counted ? 'asked for' : 'that would be there'}${why}`
      : `${count}, with ${leftOut.length === 1 ? 'an older one in its place' : `older ones in the place of those ${leftOut.length}`}`,
    ...(found === 1 ? [copy] : []),
  ];
  const named = [...newer, ...others];
  const lines = named.slice(0, SHOWN).map(({ name, reason }) => `${name}: ${reason}`);
  if (named.length > SHOWN) lines.push(`and ${named.length - SHOWN} more`);
  const refusing = `${optionName('minMembers')} and ${optionName('strict')}`;
  const saving = leftOut.some(({ reason }) => mayBeSaving(reason)) ? ', or wait for a save to end' : '';
  const them = leftOut.length === 1 ? 'it' : 'them';
  const mend = [...(leftOut.some(isBroken) ? [`mend ${them}${saving}`] : []), ...(leftOut.some(lacksTokens) ? [tokensWay()] : [])];
  const advice =
    leftOut.length === 0
      ? `ask for as many as there are; ${refusing} refuse such a merge`
      : `${[...mend, ''].join(', or ')}select without ${them}; ${refusing} refuse such a merge`;
  return [{ code: 'W_LEFT_OUT_MEMBERS', message: [`${where}: ${head.join('; ')}`, ...lines, advice].join('\n') }];
}

const lacksTokens = ({ reason }: LeftOutMember): boolean => reason === NO_TOKENS;

/** What is sound and not like the others says itself what merges it. */
const isBroken = (left: LeftOutMember): boolean => !left.reason.startsWith(UNLIKE) && !lacksTokens(left);

function tokensWay(): string {
  const [perStep, schedule, file] = (['tokensPerStep', 'batchSchedule', 'tokensFile'] as const).map(optionName);
  return `say where tokens come from (${perStep}, ${schedule} or ${file})`;
}

function newerText(newer: readonly LeftOutMember[], members: readonly RunCheckpoint[], alone: boolean): string {
  const than = alone ? `the newest member, ${label(members.at(-1)!)}` : 'the member of its run';
  return newer.length === 1
    ? `${newer[0]!.name} is newer than ${than}, and is left out`
    : `${newer.length} checkpoints are newer than ${than}, and are left out`;
}

function whyFewer({ every, minInterval, last, minMembers, margin, ...conditions }: Selection): string {
  if (conditions.members !== undefined) return 'no more have a score';
  if (every !== undefined) return `no more lie on a spacing of ${every}`;
  if (minInterval !== undefined) return `no more lie ${minInterval} apart`;
  return Object.values(conditions).some((value) => value !== undefined) ? 'no more meet the conditions' : 'no more are there';
}
