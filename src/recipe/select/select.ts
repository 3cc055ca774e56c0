import { MergeError, type Warning } from '../../base/errors.ts';
import { optionName } from '../../base/option-words.ts';
import { refuse } from '../../base/problems.ts';
import { aboutQuantity, parseDistance } from '../../checkpoints/run/quantity.ts';
import type { Excluded, Quantity, QuantityText, Run, RunCheckpoint } from '../../checkpoints/run/types.ts';
import { keepBeforeSpike, logCovers } from './before-spike.ts';
import { keepStage, keepSteps, keepWindow, stagesOf } from './conditions.ts';
import { type AskedMembers, findLeftOut, leftOutWarnings } from './left-out.ts';
import { memberWarnings, siblingWarnings } from './member-warnings.ts';
import { learningRatePhase, unknownPhase } from './phase.ts';
import { keepBest, scoredWarnings, topOf } from './scored.ts';
import { selectionProblems } from './select-check.ts';
import { label, placeText, Shortlist } from './shortlist.ts';
import { type Hole, keepApart, NEAR_ENOUGH, positionsOf, spaceOut, spacingNote, targetOf } from './spacing.ts';
import type { LeftOutMember, MemberScores, Phase, Selected, Selection, Spike } from './types.ts';

/** Holes in a spacing that are noted one by one. */
const HOLES_SHOWN = 3;

interface SelectOptions {
  /** The scores that the selection names, as they were read. */
  readonly scores?: MemberScores | null;
  /** Whether fewer than `last` are worth a warning: not where it is the most that a window may have. */
  readonly exact?: boolean;
}

/**
 * Chooses the members of a merge. Conditions hold together, in this order: stage; steps, or window (from, to,
 * before) and spike; spacing; number.
 *
 * - `every` V: the nearest checkpoint within V/4 of each of T_N, T_N − V, T_N − 2V …, T_N the newest that the
 *   conditions before leave. A target without one is a hole: it is noted, is no member and does not count as
 *   one of `last`, and the walk goes on to the beginning of the run.
 * - `minInterval`: walking back from the newest, each that is at least so far from the one taken before.
 * - `last`: where there are fewer, all there are, and a note.
 * - `members: top:K`: of what is left the best K by their scores, after all else.
 * - Several runs, or `eachIngredient`: siblings, of which each gives the newest checkpoint that meets the
 *   conditions. Stages in which a run has no ingredients give none.
 *
 * What cannot be used of the run and would have been a member is in the report, and a warning.
 *
 * @param runs one, or several trainings from one start
 * @throws MergeError E_OPTION for values that cannot be and conditions that contradict each other; E_SIBLINGS
 *   for a run with several ingredients and no `eachIngredient`; E_NO_MEMBERS where a condition leaves
 *   nothing, with the nearest checkpoints; E_TOO_FEW_MEMBERS under `minMembers`; E_NO_TOKENS, E_NO_POSITION
 *   where a condition is in a unit that no checkpoint has; E_ORDER where distances are asked for and
 *   positions fall; E_NO_SPIKE
 */
export function selectMembers(runs: readonly Run[], selection: Selection, { exact = true, scores = null }: SelectOptions = {}): Selected {
  const problems = [...selectionProblems(selection, runs.length), ...runProblems(runs)];
  refuse(problems, { several: (count) => `the selection has ${count} problems` });
  const siblings = runs.length > 1 || selection.eachIngredient !== undefined;
  const best = topOf(selection.members);
  /** What `top:K` chooses among. */
  let pool: readonly RunCheckpoint[] = [];
  const chooseOf = (run: Run) => {
    const found = choose(run, selection, siblings, runs.length === 1);
    if (run === runs[0]) pool = found.shortlist.left;
    if (best !== null && scores !== null) keepBest(found.shortlist, best, scores);
    return found;
  };
  const chosen = runs.map(chooseOf);
  const members = chosen.flatMap(({ shortlist }) => shortlist.left);
  if (selection.minMembers !== undefined && members.length < selection.minMembers) {
    const found = members.length === 1 ? 'is 1 member' : `are ${members.length} members`;
    throw new MergeError('E_TOO_FEW_MEMBERS', `${runs[0]!.path}: there ${found}, and ${selection.minMembers} are asked for`, {
      details: { file: runs[0]!.path },
    });
  }
  const report = findLeftOut(
    runs,
    chosen.map(({ shortlist }) => shortlist),
    { selection, exact },
    (run) => chooseOf(run).shortlist,
  );
  return {
    members,
    ...(best !== null && scores !== null && { scores: members.map(({ step }) => scores.scores.get(step!)!) }),
    report,
    excluded: runs.flatMap((run, i) => [...run.excluded, ...reasons(chosen[i]!.shortlist)]),
    siblings,
    phase: siblings ? unknownPhase('the members are siblings and span no time') : phaseOf(runs[0]!, members),
    spike: chosen[0]!.spike,
    notes: [
      ...chosen.flatMap(({ shortlist }) => shortlist.notes),
      ...(siblings ? [siblingsNote(runs, members)] : timeNotes(runs[0]!, members, selection)),
    ],
    warnings: [
      ...warningsOf(runs, { members, report, siblings }, { selection, exact }),
      ...(scores === null ? [] : scoredWarnings(members, pool, stepsOf(runs[0]!), scores)),
    ],
  };
}

/** Steps of all that a run holds, be it usable or not. */
function stepsOf({ checkpoints, broken }: Run): ReadonlySet<number> {
  return new Set([...checkpoints, ...broken].flatMap(({ step }) => step ?? []));
}

/** What there is to say of members that were chosen. */
function warningsOf(
  runs: readonly Run[],
  { members, report, siblings }: Pick<Selected, 'members' | 'report' | 'siblings'>,
  asked: AskedMembers,
): Warning[] {
  const [run] = runs as readonly [Run];
  // The log of a run is that of its newest stage.
  const log = logCovers(run, members.at(-1)!) ? run.log : [];
  const firstEpoch = Math.min(1, run.checkpoints[0]?.epoch ?? 0);
  return [
    ...leftOutWarnings(runs, members, report, asked),
    ...(siblings
      ? siblingWarnings(members.map((member) => ({ ...member, log: ratesAround(runs, member) })))
      : memberWarnings(members, { log, abandoned: run.abandoned, firstEpoch })
          // Scores say more of these members than how far apart they lie.
          .filter(({ code }) => code !== 'W_WINDOW_WIDE' || asked.selection.members === undefined)),
    ...runs.flatMap(({ warnings }) => warnings),
  ];
}

/** The rates of the training that a sibling is of: where the log is another's, those at its checkpoints. */
function ratesAround(runs: readonly Run[], member: RunCheckpoint): readonly Pick<RunCheckpoint, 'learningRate'>[] {
  const run = runs.find(({ checkpoints }) => checkpoints.includes(member));
  if (run === undefined) return [];
  return logCovers(run, member)
    ? run.log
    : run.checkpoints.filter(({ stage, ingredient }) => stage === member.stage && ingredient === member.ingredient);
}

/** Runs that are named side by side may be meant with all their checkpoints. */
function siblingsNote(runs: readonly Run[], members: readonly RunCheckpoint[]): string {
  const others = runs.reduce((sum, { checkpoints }) => sum + checkpoints.length, 0) - members.length;
  const note = `${members.length} siblings, one member each`;
  if (runs.length === 1 || others === 0) return note;
  const left = others === 1 ? '1 other checkpoint of these runs is' : `${others} other checkpoints of these runs are`;
  return `${note}: ${left} not merged; name checkpoints one by one to merge several of a run`;
}

/**
 * A window of neighbours among members that were chosen before.
 * @param selected of one run, all that there are
 */
export function windowOf(run: Run, selected: Selected, start: number, width: number): Selected {
  const members = selected.members.slice(start, start + width);
  const [oldest, newest] = [members[0]!, members.at(-1)!];
  const ends = start + width === selected.members.length;
  const within = ({ step }: LeftOutMember) => step > (oldest.step ?? 0) && (ends || step < (newest.step ?? 0));
  const report = { asked: width, found: width, leftOut: selected.report.leftOut.filter(within) };
  const window = { ...selected, members, report, phase: phaseOf(run, members) };
  return { ...window, warnings: warningsOf([run], window, { selection: { last: width }, exact: true }) };
}

function runProblems(runs: readonly Run[]): string[] {
  if (runs.length === 0) return ['there is no run to select from'];
  const twice = runs.find(({ path }, i) => runs.findIndex((other) => other.path === path) < i);
  return twice === undefined ? [] : [`the run ${twice.path} is given twice`];
}

function choose(
  run: Run,
  selection: Selection,
  siblings: boolean,
  alone: boolean,
): { readonly shortlist: Shortlist; readonly spike: Spike | null } {
  const { last, every, minInterval, steps, stage, beforeSpike, margin } = selection;
  const shortlist = new Shortlist(run);
  if (run.checkpoints.length === 0) {
    throw new MergeError('E_NO_MEMBERS', `${run.path}: there is no complete checkpoint`, { details: { file: run.path } });
  }
  if (stage !== undefined) keepStage(shortlist, stage);
  if (siblings) keepIngredients(shortlist, alone);
  else refuseIngredients(shortlist);
  const trainings = ingredientsOf(shortlist.left);
  if (steps !== undefined) keepSteps(shortlist, steps);
  keepWindow(shortlist, selection);
  const spike = beforeSpike === undefined ? null : keepBeforeSpike(shortlist, beforeSpike, margin);
  if (siblings) keepLastOfEach(shortlist, trainings);
  if (every !== undefined) keepSpaced(shortlist, every, last);
  if (minInterval !== undefined) keepDistant(shortlist, minInterval);
  if (last !== undefined) keepNewest(shortlist, last);
  return { shortlist, spike };
}

function ingredientsOf(checkpoints: readonly RunCheckpoint[]): number[] {
  return [...new Set(checkpoints.flatMap(({ ingredient }) => ingredient ?? []))];
}

function refuseIngredients({ run, left }: Shortlist): void {
  const ingredients = ingredientsOf(left);
  if (ingredients.length < 2) return;
  const message = `${run.path}: ingredients ${ingredients.join(', ')} are trainings of their own from one start: siblings, not moments of one training`;
  throw new MergeError('E_SIBLINGS', message, {
    details: { file: run.path },
    help: 'Take the last checkpoint of each with --each-ingredient last, choose a --stage without ingredients, or name checkpoints one by one.',
  });
}

/** Runs that are given side by side are siblings themselves; a run alone must have ingredients. */
function keepIngredients(shortlist: Shortlist, alone: boolean): void {
  const { run, left } = shortlist;
  const none = ingredientsOf(left).length === 0;
  if (!none) shortlist.drop(({ ingredient }) => (ingredient === null ? 'of no ingredient' : null));
  if (!none || !alone) return;
  throw new MergeError(
    'E_OPTION',
    `${run.path}: its checkpoints are of no ingredients that ${optionName('eachIngredient')} could tell apart`,
    {
      details: { file: run.path },
      help: 'Name runs that are siblings side by side, or select with --last.',
    },
  );
}

/** Checkpoints are in order, so the last seen of an ingredient is its newest. */
function keepLastOfEach(shortlist: Shortlist, ingredients: readonly number[]): void {
  const last = new Map(shortlist.left.map((checkpoint) => [checkpoint.ingredient, checkpoint]));
  for (const missing of ingredients.filter((i) => !last.has(i))) shortlist.notes.push(`ingredient ${missing} has no checkpoint that fits`);
  shortlist.drop((checkpoint) => {
    const newest = last.get(checkpoint.ingredient)!;
    return checkpoint === newest ? null : `older than ${label(newest)} of the same training`;
  });
}

/** @throws MergeError E_NO_TOKENS, E_NO_POSITION, E_ORDER */
function measured(shortlist: Shortlist, text: QuantityText, name: string): { readonly asked: Quantity; readonly at: readonly number[] } {
  const asked = parseDistance(text, name);
  shortlist.dropUnplaced(asked.unit, `${name} ${text}`);
  const { run, left } = shortlist;
  const at = positionsOf(left, asked.unit) as number[];
  const falls = at.findIndex((position, i) => i > 0 && position < at[i - 1]!);
  if (falls > 0) {
    const [before, after] = [left[falls - 1]!, left[falls]!].map(
      (checkpoint, i) => `${label(checkpoint)} (${placeText({ value: at[falls - 1 + i]!, unit: asked.unit })})`,
    );
    throw new MergeError('E_ORDER', `${run.path}: ${name} ${text} cannot be measured: ${asked.unit} fall from ${before} to ${after}`, {
      details: { file: left[falls]!.path },
      help: stagesOf(left).length > 1 ? 'Stages count anew: choose one with --stage.' : 'Measure in another unit.',
    });
  }
  return { asked, at };
}

function keepSpaced(shortlist: Shortlist, every: QuantityText, last: number | undefined): void {
  const { asked, at } = measured(shortlist, every, optionName('every'));
  const { left } = shortlist;
  const { taken, holes } = spaceOut(at, asked.value);
  const places = at.map((position) => targetOf(position, at.at(-1)!, asked.value));
  // Holes behind the oldest member concern nobody.
  const oldest = last === undefined ? undefined : taken[last - 1];
  const within = oldest === undefined ? holes : holes.filter(({ target }) => target < places[oldest]!.target);
  shortlist.notes.push(...holeNotes(within, left, at, asked));
  const span = { ...asked, value: at.at(-1)! - at[0]! };
  if (taken.length === 1 && left.length > 1 && span.value < asked.value) {
    shortlist.notes.push(`only one member: the checkpoints span ${aboutQuantity(span)}, less than the spacing of ${aboutQuantity(asked)}`);
  }
  const takenAt = new Map(taken.map((index) => [places[index]!.target, index]));
  const kept = new Set(taken);
  const quarter = aboutQuantity({ ...asked, value: asked.value * NEAR_ENOUGH });
  shortlist.drop((_, i) => {
    if (kept.has(i)) return null;
    const { target, off } = places[i]!;
    if (off <= NEAR_ENOUGH * asked.value) return `the spacing takes ${label(left[takenAt.get(target)!]!)} instead`;
    return `between spacings: ${aboutQuantity({ ...asked, value: off })} off, and ${quarter} would do`;
  });
}

function holeNotes(holes: readonly Hole[], checkpoints: readonly RunCheckpoint[], at: readonly number[], asked: Quantity): string[] {
  const notes = holes.slice(0, HOLES_SHOWN).map(({ target, count }) => {
    const place = at.at(-1)! - target * asked.value;
    const near = at.reduce((best, position, i) => (Math.abs(position - place) < Math.abs(at[best]! - place) ? i : best), 0);
    const nearAt = asked.unit === 'steps' ? '' : ` at ${placeText({ ...asked, value: at[near]! })}`;
    const more = count === 1 ? '' : `; ${count - 1} more before it`;
    return `hole at ${placeText({ ...asked, value: place })}: the nearest checkpoint is ${label(checkpoints[near]!)}${nearAt}${more}`;
  });
  return holes.length > HOLES_SHOWN ? [...notes, `and holes at ${holes.length - HOLES_SHOWN} more places`] : notes;
}

function keepDistant(shortlist: Shortlist, minInterval: QuantityText): void {
  const { asked, at } = measured(shortlist, minInterval, optionName('minInterval'));
  const kept = new Set(keepApart(at, asked.value));
  shortlist.drop((_, i) => (kept.has(i) ? null : `less than ${aboutQuantity(asked)} from the next member`));
}

function keepNewest(shortlist: Shortlist, last: number): void {
  const { length } = shortlist.left;
  const fit = length === 1 ? '1 checkpoint fits' : `${length} checkpoints fit`;
  if (length < last) shortlist.notes.push(`${fit}, and ${last} were asked for`);
  shortlist.drop((_, i) => (i >= length - last ? null : `older than the newest ${last}`));
}

function reasons({ run, reasons, outscored }: Shortlist): Excluded[] {
  return run.checkpoints.flatMap((checkpoint) => {
    const reason = reasons.get(checkpoint);
    const score = outscored.get(checkpoint);
    return reason === undefined ? [] : [{ path: checkpoint.path, step: checkpoint.step, reason, ...(score !== undefined && { score }) }];
  });
}

function phaseOf(run: Run, members: readonly RunCheckpoint[]): Phase {
  const [oldest, newest] = [members[0]!, members.at(-1)!];
  if (stagesOf(members).length > 1) return unknownPhase('the members are of several stages');
  if (!logCovers(run, newest)) return unknownPhase('the log is that of another stage');
  if (oldest.step === null || newest.step === null) return unknownPhase('the steps of the members are not known');
  return learningRatePhase(run.log, oldest.step, newest.step);
}

function timeNotes(run: Run, members: readonly RunCheckpoint[], { every, minInterval, stage }: Selection): string[] {
  const asked = every ?? minInterval;
  const spacing = spacingNote(members, asked === undefined ? null : parseDistance(asked, 'every'), every === undefined);
  const stages = stage === undefined ? stagesOf(run.checkpoints) : [];
  const names = (all: readonly (number | null)[]) => all.map((s) => s ?? 'unknown').join(', ');
  return [
    ...(spacing === null ? [] : [spacing]),
    ...(stages.length > 1 ? [`the run has stages ${names(stages)}; the members are of stage ${names(stagesOf(members))}`] : []),
  ];
}
